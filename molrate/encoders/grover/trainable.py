"""The GROVER network for fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rdkit import Chem
from torch import Tensor

from molrate.encoders.grover.deduplication import DeduplicatedBatch, Movable, deduplicate_batch, owners
from molrate.encoders.grover.graphs import collate, encode
from molrate.encoders.grover.network import Grover
from molrate.encoders.trainable import SeparateBatch, Trainable


@dataclass(frozen=True)
class TuningBatch(Movable):
    """A deduplicated batch, and the molecule of each atom and directed bond."""

    graph: DeduplicatedBatch
    atom_molecule: Tensor
    bond_molecule: Tensor
    n_molecules: int


class TrainableGrover(Trainable):
    """A GROVER network with the fingerprint of its branches.

    Parameters
    ----------
    network : Grover
    branches : sequence of str
        Branches that stand side by side in the fingerprint.
    padding : int, "batch" or None
        See :func:`molrate.encoders.grover.deduplication.padded_neighbours`.
    pooling : str
    """

    network: Grover

    def __init__(
        self, network: Grover, branches: Sequence[str], padding: int | str | None, pooling: str
    ) -> None:
        super().__init__(pooling)
        self.network, self.branches, self.padding = network, tuple(branches), padding
        self.width = network.width * len(self.branches)

    def encode(self, molecule: Chem.Mol) -> Any:
        """See :func:`molrate.encoders.grover.graphs.encode`."""
        return encode(molecule)

    def collate(self, encoded: Sequence[Any]) -> TuningBatch:
        """Join molecules into a batch and deduplicate their neighbourhoods."""
        return self._collate(encoded, apart=False)

    def separate(self, encoded: Sequence[Any]) -> SeparateBatch:
        """Neighbourhoods are shared within each molecule only."""
        batch = self._collate(encoded, apart=True)
        return SeparateBatch(batch, owners(batch.graph, batch.atom_molecule, batch.bond_molecule))

    def _collate(self, encoded: Sequence[Any], apart: bool) -> TuningBatch:
        graph, network = collate(encoded), self.network
        batch = deduplicate_batch(graph, network.depth, network.n_blocks, self.padding, self.branches, apart)
        return TuningBatch(batch, graph.batch, graph.bond_batch, graph.num_graphs)

    def forward(self, batch: TuningBatch) -> Tensor:
        """Compute the pooled branches, shape (n_molecules, width)."""
        layers = self.network(batch.graph)
        parts = []
        for branch in self.branches:
            rows = layers[branch][batch.graph.branches[branch].inverse]
            index = batch.atom_molecule if branch.startswith("atom") else batch.bond_molecule
            parts.append(self.pooling(rows, index, batch.n_molecules))
        return torch.cat(parts, dim=1)
