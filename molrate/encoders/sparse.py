"""Sparse matrices in compressed rows, the format that torch multiplies fastest."""

from __future__ import annotations

import warnings

import torch


def compressed_rows(
    rows: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    """Build a sparse matrix of `shape` with `values` at (`rows`, `columns`).

    A product with it adds the entries of each row in their order, on every device and whatever else is in
    the batch. Scattered additions do not promise that.

    Parameters
    ----------
    rows, columns : Tensor of int, shape (n_values,)
        Positions of the values, sorted by row.
    values : Tensor, shape (n_values,)
    shape : (int, int)
    """
    start = torch.zeros(shape[0] + 1, dtype=torch.long, device=rows.device)
    start[1:] = torch.bincount(rows, minlength=shape[0]).cumsum(0)
    with warnings.catch_warnings():
        # torch warns once in each process that the format is beta; products with dense matrices are stable.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        # cuSPARSE reads both as if they lay without gaps, and a view of another tensor may have some.
        columns, values = columns.contiguous(), values.contiguous()
        return torch.sparse_csr_tensor(start, columns, values, size=shape, check_invariants=False)
