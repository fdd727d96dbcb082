"""Node embeddings to molecule embeddings."""

from __future__ import annotations

from collections.abc import Callable

import torch

Pooling = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]


def _segment(reduction: str) -> Pooling:
    def pool(nodes: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
        # Nodes of a molecule are neighbours in the batch, so a segment reduction sums each molecule in
        # the same order on every device and in every batch; scattered additions would not.
        lengths = torch.bincount(index, minlength=size)
        return torch.segment_reduce(nodes, reduction, lengths=lengths)

    return pool


POOLINGS: dict[str, Pooling] = {name: _segment(name) for name in ("mean", "sum", "max")}
"""Poolings by name: ``pooling(nodes (n_nodes, d), index (n_nodes,), size) -> (size, d)``.

``index`` holds the molecule of each node and must be sorted; every molecule has at least one node.
"""
