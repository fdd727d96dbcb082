"""Tests of molrate.encoders.sparse."""

import torch

from molrate.encoders.sparse import compressed_rows


def test_views_of_other_tensors_become_indices_without_gaps() -> None:
    # cuSPARSE ignores strides: on a GPU such a matrix had the wrong columns, and no error was raised.
    edges = torch.tensor([[1, 0], [0, 1], [2, 1], [1, 2]])
    values = torch.arange(8.0).view(4, 2)[:, 1]
    source, target = edges.T
    assert not source.is_contiguous()
    assert not values.is_contiguous()
    matrix = compressed_rows(target, source, values, (3, 3))
    assert matrix.col_indices().is_contiguous()
    assert matrix.values().is_contiguous()
    dense = torch.zeros(3, 3).index_put((target, source), values, accumulate=True)
    assert torch.equal(matrix.to_dense(), dense)
