"""The network of MiniMol: 16 GINE convolutions with a virtual node.

Source: Kläser et al., MiniMol: A Parameter-Efficient Foundation Model for Molecular Learning,
arXiv:2404.14986, and the checkpoint released with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from rdkit import Chem
from torch import Tensor, nn
from torch.nn import functional

from molrate.encoders.graph import Graph
from molrate.encoders.minimol.graphs import (
    N_ATOM_FEATURES,
    N_BOND_FEATURES,
    N_BOND_KINDS,
    N_STEPS,
    bond_table,
    collate,
    encode,
)
from molrate.encoders.pooling import mean_pooling
from molrate.encoders.sparse import compressed_rows
from molrate.encoders.trainable import SeparateBatch, Trainable

POSITION_WIDTH = 32
"""Of what eigenvectors and random walks tell of an atom."""
_HIDDEN_POSITION = 64
_HIDDEN_ATOM, ATOM_WIDTH = 256, 128
_HIDDEN_BOND, BOND_WIDTH = 128, 168
_VIRTUAL_NODE_SCALE = 0.5
"""The network was scaled up from one of half its width by the rules of muP, which divide this projection."""


class NormalisedLinear(nn.Module):
    """Linear map, then layer normalisation."""

    def __init__(self, width: int, width_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width_out)
        self.norm = nn.LayerNorm(width_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width) to (n, width_out)."""
        return self.norm(self.linear(x))


class EigenvectorEncoder(nn.Module):
    """A sum over eigenvectors, each described by its eigenvalue and its entry at the atom."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, _HIDDEN_POSITION)
        self.second = nn.Linear(_HIDDEN_POSITION, _HIDDEN_POSITION)
        self.third = nn.Linear(_HIDDEN_POSITION, _HIDDEN_POSITION)
        self.last = nn.Linear(_HIDDEN_POSITION, POSITION_WIDTH)

    def forward(self, eigenvalues: Tensor, eigenvectors: Tensor) -> Tensor:
        """Encode two matrices of shape (n_atoms, 8), to (n_atoms, 32)."""
        x = torch.stack([eigenvalues, eigenvectors], dim=-1)
        hidden = functional.relu(self.second(self.first(x))).sum(dim=1)
        # A sum commutes with a linear map but for its bias, which counts once for each eigenvector.
        summed = functional.linear(hidden, self.third.weight) + x.shape[1] * self.third.bias
        return self.last(summed)


class WalkEncoder(nn.Module):
    """A perceptron over the return probabilities of random walks."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(N_STEPS)
        self.first = NormalisedLinear(N_STEPS, _HIDDEN_POSITION)
        self.second = NormalisedLinear(_HIDDEN_POSITION, POSITION_WIDTH)

    def forward(self, walks: Tensor) -> Tensor:
        """Encode (n_atoms, 16) to (n_atoms, 32)."""
        return functional.relu(self.second(functional.relu(self.first(self.norm(walks)))))


class Perceptron(nn.Module):
    """Two normalised linear maps with a ReLU between them."""

    def __init__(self, width: int, hidden: int, width_out: int) -> None:
        super().__init__()
        self.first = NormalisedLinear(width, hidden)
        self.second = NormalisedLinear(hidden, width_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width) to (n, width_out)."""
        return self.second(functional.relu(self.first(x)))


class Convolution(nn.Module):
    """GINE convolution (Hu et al. 2020), then layer normalisation and GELU."""

    def __init__(self, width: int, width_out: int) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(1))
        self.bond = nn.Linear(BOND_WIDTH, width)
        self.first = NormalisedLinear(width, width)
        self.second = nn.Linear(width, width_out)
        self.norm = nn.LayerNorm(width_out)

    def forward(self, x: Tensor, bonds: Tensor, kind: Tensor, edge_index: Tensor) -> Tensor:
        """One convolution.

        Parameters
        ----------
        x : Tensor, shape (n_atoms, width)
        bonds : Tensor, shape (n_kinds, 168)
            Embedding of every kind of bond.
        kind : Tensor, shape (n_edges,)
        edge_index : Tensor, shape (2, n_edges)
            Sorted by target.

        Returns
        -------
        Tensor, shape (n_atoms, width_out)
        """
        source, target = edge_index
        messages = functional.relu(x[source] + self.bond(bonds)[kind])
        summed = (1 + self.eps) * x + _sum_messages(messages, target, len(x))
        return functional.gelu(self.norm(self.second(functional.gelu(self.first(summed)))))


def _sum_messages(messages: Tensor, target: Tensor, n_atoms: int) -> Tensor:
    """Sum the messages that each atom receives, (n_edges, width) to (n_atoms, width)."""
    in_order = torch.arange(len(messages), device=messages.device)
    ones = torch.ones(len(messages), device=messages.device)
    # Sparse products do not exist in half precision.
    with torch.autocast(messages.device.type, enabled=False):
        return compressed_rows(target, in_order, ones, (n_atoms, len(messages))) @ messages.float()


class VirtualNode(nn.Module):
    """A node that hears from all atoms of a molecule and speaks to all of them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.update = NormalisedLinear(width, width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor, state: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Update the node and give its word to the atoms.

        Parameters
        ----------
        x : Tensor, shape (n_atoms, width)
        state : Tensor, shape (n_molecules, width)
            Zeros before the first layer.
        index : Tensor, shape (n_atoms,)
            Molecule of each atom.

        Returns
        -------
        Tensor, Tensor
            What is added to the atoms, and the new state.
        """
        lengths = torch.bincount(index, minlength=len(state)).to(x.dtype).clamp(min=1)
        pooled = mean_pooling(x, index, len(state)) * lengths.log()[:, None]
        state = state + functional.gelu(self.update(state + pooled))
        return self.projection(state * _VIRTUAL_NODE_SCALE)[index], state


class MiniMol(nn.Module):
    """Embeddings of atoms and bonds, and a stack of convolutions with residuals and a virtual node.

    Parameters
    ----------
    n_layers : int
    width : int
        Dimension of every layer but the last.
    width_out : int
        Dimension of the last.
    """

    def __init__(self, n_layers: int, width: int, width_out: int) -> None:
        super().__init__()
        self.width_out = width_out
        self.eigenvectors = EigenvectorEncoder()
        self.walks = WalkEncoder()
        self.atoms = Perceptron(POSITION_WIDTH + N_ATOM_FEATURES, _HIDDEN_ATOM, ATOM_WIDTH)
        self.bonds = Perceptron(N_BOND_FEATURES, _HIDDEN_BOND, BOND_WIDTH)
        widths = [ATOM_WIDTH, *[width] * (n_layers - 1), width_out]
        self.convolutions = nn.ModuleList(Convolution(before, after) for before, after in pairwise(widths))
        self.virtual_nodes = nn.ModuleList(VirtualNode(width) for _ in range(n_layers - 1))
        self.register_buffer("kinds_of_bonds", bond_table(), persistent=False)

    def forward(self, graph: Graph) -> list[Tensor]:
        """Compute node embeddings: (n_atoms, 128) of the input, (n_atoms, width) of each layer."""
        position = self.eigenvectors(graph.eigenvalues, graph.eigenvectors) + self.walks(graph.walks)
        hidden = self.atoms(torch.cat([position, graph.x], dim=1))
        kinds: Tensor = self.kinds_of_bonds  # type: ignore[assignment]
        # A batch has a table of its own where no row of it may serve several molecules.
        bonds = self.bonds(kinds[graph.table] if hasattr(graph, "table") else kinds)
        layers = [hidden]
        residual: Tensor | None = None
        state = None
        for depth, convolution in enumerate(self.convolutions):
            hidden = convolution(hidden, bonds, graph.kind, graph.edge_index)
            if depth < len(self.virtual_nodes):
                # The residual holds the layer before the virtual node speaks.
                residual = hidden if residual is None else hidden + residual
                if state is None:
                    state = residual.new_zeros(graph.num_graphs, residual.shape[1])
                heard, state = self.virtual_nodes[depth](residual, state, graph.batch)
                hidden = residual + heard
            layers.append(hidden)
        return layers


def layer_number(name: str) -> int:
    """Layer that a parameter belongs to: convolutions count from 1; what is before goes with the first."""
    part, *rest = name.split(".")
    return int(rest[0]) + 1 if part in ("convolutions", "virtual_nodes") else 1


class TrainableMiniMol(Trainable):
    """A MiniMol network with its last layer pooled; it is trained without dropout."""

    network: MiniMol

    def __init__(self, network: MiniMol, pooling: str) -> None:
        super().__init__(pooling)
        self.network = network
        self.width = network.width_out

    def encode(self, molecule: Chem.Mol) -> Any:
        """See :func:`molrate.encoders.minimol.graphs.encode`."""
        return encode(molecule)

    def collate(self, encoded: Sequence[Any]) -> Graph:
        """Join molecules into one graph."""
        return collate(encoded)

    def separate(self, encoded: Sequence[Any]) -> SeparateBatch:
        """Linear maps read atoms, and each kind of bond of each molecule."""
        graph = collate(encoded)
        pairs = graph.batch[graph.edge_index[0]] * N_BOND_KINDS + graph.kind
        pairs, kind = torch.unique(pairs, return_inverse=True)
        graph = graph.having(kind=kind, table=pairs % N_BOND_KINDS)
        return SeparateBatch(graph, (graph.batch, pairs // N_BOND_KINDS))

    def forward(self, batch: Graph) -> Tensor:
        """Compute the pooled last layer, shape (n_molecules, width)."""
        return self.pooling(self.network(batch)[-1], batch.batch, batch.num_graphs)
