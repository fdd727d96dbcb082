"""Node embeddings to molecule embeddings."""

from __future__ import annotations

from collections.abc import Callable

import torch

Pooling = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]


def sum_pooling(nodes: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Sum of each molecule's nodes, (n_nodes, d) to (size, d).

    A product with a sparse matrix adds the nodes of a molecule in their order on every device and in
    every batch, which scattered additions would not.
    """
    lengths = torch.bincount(index, minlength=size)
    start = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    columns = torch.arange(len(nodes), device=nodes.device)
    ones = nodes.new_ones(len(nodes))
    shape = (size, len(nodes))
    return torch.sparse_csr_tensor(start, columns, ones, size=shape, check_invariants=False) @ nodes


def mean_pooling(nodes: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Mean of each molecule's nodes, (n_nodes, d) to (size, d)."""
    lengths = torch.bincount(index, minlength=size)
    return sum_pooling(nodes, index, size) / lengths[:, None]


def max_pooling(nodes: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Largest value of each molecule's nodes in each dimension, (n_nodes, d) to (size, d)."""
    return torch.segment_reduce(nodes, "max", lengths=torch.bincount(index, minlength=size))


POOLINGS: dict[str, Pooling] = {"mean": mean_pooling, "sum": sum_pooling, "max": max_pooling}
"""Poolings by name: ``pooling(nodes (n_nodes, d), index (n_nodes,), size) -> (size, d)``.

``index`` holds the molecule of each node and must be sorted; every molecule has at least one node.
"""
