"""Pooling of node embeddings into molecule embeddings."""

from __future__ import annotations

from collections.abc import Callable

import torch

from molrate.encoders.sparse import compressed_rows

Pooling = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]


def sum_pooling(nodes: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Sum the nodes of each molecule, (n_nodes, d) to (size, d)."""
    nodes_in_order = torch.arange(len(nodes), device=nodes.device)
    # Sparse products on a CPU do not support bfloat16, and sums in it would lose digits.
    wide = nodes.float() if nodes.dtype == torch.bfloat16 else nodes
    with torch.autocast(nodes.device.type, enabled=False):
        return compressed_rows(index, nodes_in_order, wide.new_ones(len(wide)), (size, len(wide))) @ wide


def mean_pooling(nodes: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Average the nodes of each molecule, (n_nodes, d) to (size, d)."""
    lengths = torch.bincount(index, minlength=size).clamp(min=1)
    return sum_pooling(nodes, index, size) / lengths[:, None]


def max_pooling(nodes: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """Take the largest value in each dimension over the nodes of each molecule, (n_nodes, d) to (size, d)."""
    lengths = torch.bincount(index, minlength=size)
    largest = torch.segment_reduce(nodes, "max", lengths=lengths)
    return largest.masked_fill((lengths == 0)[:, None], 0.0)


POOLINGS: dict[str, Pooling] = {"mean": mean_pooling, "sum": sum_pooling, "max": max_pooling}
"""Poolings by name: ``pooling(nodes (n_nodes, d), index (n_nodes,), size) -> (size, d)``.

``index`` holds the molecule of each node and must be sorted. A molecule without nodes gets zeros: a
single atom, for example, has no bonds.
"""
