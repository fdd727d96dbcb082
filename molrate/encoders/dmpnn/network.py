"""The directed message passing network (D-MPNN) of Chemprop.

Sources: K. Yang et al., Analyzing Learned Molecular Representations for Property Prediction, J. Chem. Inf.
Model. 2019, for the equations; Chemprop v2 for the features and for names and shapes of parameters, so that
its models load as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from rdkit import Chem
from torch import Tensor, nn
from torch.nn.functional import linear

from molrate.encoders.dmpnn.graphs import LARGEST_CHARGE, N_VALUES, collate, encode
from molrate.encoders.graph import Graph
from molrate.encoders.pooling import sum_pooling
from molrate.encoders.trainable import SeparateBatch, Trainable

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "selu": nn.SELU,
}

_HYBRIDISATION = Chem.HybridizationType
_ORGANIC = (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53)
_SCHEMES: dict[str, tuple[Sequence[int], Sequence[Any]]] = {
    "v1": (
        range(1, 101),
        [getattr(_HYBRIDISATION, name) for name in ("SP", "SP2", "SP3", "SP3D", "SP3D2")],
    ),
    "v2": (
        (*range(1, 37), 53),
        [getattr(_HYBRIDISATION, name) for name in ("S", "SP", "SP2", "SP2D", "SP3", "SP3D", "SP3D2")],
    ),
    "organic": (_ORGANIC, [getattr(_HYBRIDISATION, name) for name in ("S", "SP", "SP2", "SP3")]),
}
"""Elements and hybridisations that Chemprop's schemes of atom features know."""

_CHARGES = (-1, -2, 1, 2, 0)
_BOND_TYPES = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)
_N_STEREO = 6
N_BOND_FEATURES = 1 + len(_BOND_TYPES) + 2 + _N_STEREO + 1


def _known_values(scheme: str) -> list[list[int]]:
    """Known values of each column of :data:`N_VALUES`, in the order of their features."""
    numbers, hybridisations = _SCHEMES[scheme]
    charges = [charge + LARGEST_CHARGE for charge in _CHARGES]
    return [
        list(numbers),
        list(range(6)),
        charges,
        list(range(4)),
        list(range(5)),
        [int(value) for value in hybridisations],
    ]


def n_atom_features(scheme: str) -> int:
    """Number of atom features of one of Chemprop's schemes: 133 of v1, 72 of v2, 44 of organic."""
    return sum(len(known) + 1 for known in _known_values(scheme)) + 2


SCHEME_OF_WIDTH = {n_atom_features(scheme): scheme for scheme in _SCHEMES}
"""Schemes by their number of atom features, which is all that a model tells of its scheme."""


class AtomFeatures(nn.Module):
    """Chemprop's atom features: one-hot blocks, each with a place for unknown values, aromaticity and mass.

    Parameters
    ----------
    scheme : {"v1", "v2", "organic"}
    """

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self.width = n_atom_features(scheme)
        tables, start = [], 0
        for known, n_values in zip(_known_values(scheme), N_VALUES, strict=True):
            table = torch.full((max(N_VALUES),), start + len(known))
            table[known] = start + torch.arange(len(known))
            # An atom beyond what is told apart is unknown to every scheme.
            table[n_values - 1 :] = start + len(known)
            tables.append(table)
            start += len(known) + 1
        self.register_buffer("places", torch.stack(tables), persistent=False)

    def forward(self, graph: Graph, dtype: torch.dtype) -> Tensor:
        """Features of each atom, shape (n_atoms, width)."""
        features = torch.zeros(len(graph.x), self.width, dtype=dtype, device=graph.x.device)
        columns = torch.arange(len(N_VALUES), device=graph.x.device)
        places: Tensor = self.places  # type: ignore[assignment]
        features.scatter_(1, places[columns, graph.x[:, : len(N_VALUES)]], 1.0)
        features[:, -2] = graph.x[:, -1].to(dtype)
        features[:, -1] = 0.01 * graph.mass.to(dtype)
        return features


def bond_features(bonds: Tensor, dtype: torch.dtype) -> Tensor:
    """Chemprop's features of bonds (n_edges, 4) of a graph, shape (n_edges, 14)."""
    features = torch.zeros(len(bonds), N_BOND_FEATURES, dtype=dtype, device=bonds.device)
    kind, conjugated, in_ring, stereo = bonds.unbind(1)
    # The first is for a bond that is not there. An unknown type sets none.
    for place, known in enumerate(_BOND_TYPES, start=1):
        features[:, place] = (kind == int(known)).to(dtype)
    features[:, 5] = conjugated.to(dtype)
    features[:, 6] = in_ring.to(dtype)
    features.scatter_(1, 7 + stereo.clamp(max=_N_STEREO)[:, None], 1.0)
    return features


class DMPNN(nn.Module):
    """Messages along directed bonds, and the atoms that receive them.

    Parameters
    ----------
    width : int
        Dimension of messages and of the output.
    depth : int
        Steps; each but the first passes messages on, and all of these have the same weights.
    features : {"v2", "v1", "organic"}
        Scheme of atom features.
    activation : str
        One of :data:`ACTIVATIONS`.
    slope : float, optional
        Negative slope of ``leakyrelu``.
    bias : bool
        Whether input and hidden layers have one; the output has one always.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        features: str = "v2",
        activation: str = "relu",
        slope: float | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.atom_features = AtomFeatures(features)
        n_atom = self.atom_features.width
        self.W_i = nn.Linear(n_atom + N_BOND_FEATURES, width, bias=bias)
        self.W_h = nn.Linear(width, width, bias=bias)
        self.W_o = nn.Linear(n_atom + width, width)
        self.tau = ACTIVATIONS[activation]() if slope is None else nn.LeakyReLU(slope)

    def forward(self, graph: Graph) -> list[Tensor]:
        """Compute the embeddings of atoms after each step, each of shape (n_atoms, width).

        The last are Chemprop's output. Those of earlier steps go through the same output layer, which joins
        to each atom's own features the sum of the messages to it.
        """
        atoms = self.atom_features(graph, self.W_o.weight.dtype)
        n_features = self.atom_features.width
        of_atoms, of_messages = self.W_o.weight[:, :n_features], self.W_o.weight[:, n_features:]
        own = linear(atoms, of_atoms, self.W_o.bias)
        return [self.tau(own + linear(arrived, of_messages)) for arrived in self.messages(graph, atoms)]

    def output(self, graph: Graph) -> Tensor:
        """Compute the embeddings of atoms after the last step alone."""
        atoms = self.atom_features(graph, self.W_o.weight.dtype)
        arrived = self.messages(graph, atoms)[-1]
        return self.tau(self.W_o(torch.cat([atoms, arrived], dim=1)))

    def messages(self, graph: Graph, atoms: Tensor) -> list[Tensor]:
        """Sum the messages to each atom in each step; to an atom without bonds there are none."""
        source, target = graph.edge_index
        bonds = bond_features(graph.edge_attr, atoms.dtype)
        # Of a bond's features, those of its first atom are multiplied once for each atom, not for each bond.
        n_features = self.atom_features.width
        of_atoms, of_bonds = self.W_i.weight[:, :n_features], self.W_i.weight[:, n_features:]
        inputs = linear(atoms, of_atoms)[source] + linear(bonds, of_bonds, self.W_i.bias)
        messages = self.tau(inputs)
        steps = [sum_pooling(messages, target, len(atoms))]
        for _ in range(1, self.depth):
            # All that arrives where a bond starts goes on along it, but what came along it the other way.
            messages = self.tau(inputs + self.W_h(steps[-1][source] - messages[graph.reverse]))
            steps.append(sum_pooling(messages, target, len(atoms)))
        return steps


def layer_number(name: str) -> int:
    """Layer that a parameter belongs to: the input is 1, the hidden layer of all steps 2, the output 3."""
    return {"W_h": 2, "W_o": 3}.get(name.partition(".")[0], 1)


class TrainableDMPNN(Trainable):
    """A D-MPNN with its output pooled."""

    network: DMPNN

    def __init__(self, network: DMPNN, pooling: str) -> None:
        super().__init__(pooling)
        self.network = network
        self.width = network.W_o.out_features

    def encode(self, molecule: Chem.Mol) -> Any:
        """See :func:`molrate.encoders.dmpnn.graphs.encode`."""
        return encode(molecule)

    def collate(self, encoded: Sequence[Any]) -> Graph:
        """Join molecules into one graph."""
        return collate(encoded)

    def separate(self, encoded: Sequence[Any]) -> SeparateBatch:
        """Linear maps read atoms and directed bonds."""
        graph = collate(encoded)
        return SeparateBatch(graph, (graph.batch, graph.batch[graph.edge_index[0]]))

    def forward(self, batch: Graph) -> Tensor:
        """Compute the pooled output, shape (n_molecules, width)."""
        return self.pooling(self.network.output(batch), batch.batch, batch.num_graphs)
