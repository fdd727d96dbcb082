"""The networks of MolCLR: GIN and GCN, and the linear map that fine-tuning reads.

Source: Wang et al., Molecular Contrastive Learning of Representations via Graph Neural Networks, Nature
Machine Intelligence 2022, and the checkpoints released with it. Modules have the names of those state dicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from rdkit import Chem
from torch import Tensor, nn
from torch.nn import functional

from molrate.encoders.graph import Graph
from molrate.encoders.molclr.graphs import N_ATOM_TYPES, N_BOND_TYPES, encode
from molrate.encoders.pretrain_gnns.graphs import N_BOND_DIRECTIONS, N_CHIRALITY_TAGS, collate
from molrate.encoders.trainable import SeparateBatch, Trainable


def _sum_at_targets(messages: Tensor, edge_index: Tensor, n_nodes: int) -> Tensor:
    """Sum the messages that arrive at each node, (n_edges, width) to (n_nodes, width)."""
    sums = torch.zeros(n_nodes, messages.shape[1], dtype=messages.dtype, device=messages.device)
    return sums.index_add(0, edge_index[1], messages)


class _BondTables(nn.Module):
    """Embeddings of the types and directions of bonds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge_embedding1 = nn.Embedding(N_BOND_TYPES, width)
        self.edge_embedding2 = nn.Embedding(N_BOND_DIRECTIONS, width)
        nn.init.xavier_uniform_(self.edge_embedding1.weight)
        nn.init.xavier_uniform_(self.edge_embedding2.weight)

    def bonds(self, edges: Tensor) -> Tensor:
        """Embedding of each edge, (n_edges, 2) to (n_edges, width)."""
        return self.edge_embedding1(edges[:, 0]) + self.edge_embedding2(edges[:, 1])


class GINConvolution(_BondTables):
    """Sum of neighbours and bonds, then a two-layer perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, edge_index: Tensor, edges: Tensor) -> Tensor:
        """One convolution: (n_nodes, width) to (n_nodes, width)."""
        return self.mlp(_sum_at_targets(x[edge_index[0]] + self.bonds(edges), edge_index, len(x)))


class GCNConvolution(_BondTables):
    """Linear map, then the sum of neighbours, each plus a number that stands for its bond.

    The released code computes the inverse root degrees of a GCN and does not use them, so the checkpoints
    were trained without.
    """

    def __init__(self, width: int) -> None:
        super().__init__(1)
        self.weight = nn.Parameter(torch.empty(width, width))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, edge_index: Tensor, edges: Tensor) -> Tensor:
        """One convolution: (n_nodes, width) to (n_nodes, width)."""
        messages = functional.linear(x, self.weight.T)[edge_index[0]] + self.bonds(edges)
        return _sum_at_targets(messages, edge_index, len(x)) + self.bias


CONVOLUTIONS: dict[str, type[_BondTables]] = {"gin": GINConvolution, "gcn": GCNConvolution}


class MolCLR(nn.Module):
    """Atom embeddings, a stack of convolutions with batch normalisation, and a linear map.

    Parameters
    ----------
    architecture : {"gin", "gcn"}
    n_layers : int
    width : int
        Dimension of the convolutions.
    n_features : int
        Dimension of the linear map's output.
    """

    def __init__(self, architecture: str, n_layers: int, width: int, n_features: int) -> None:
        super().__init__()
        self.x_embedding1 = nn.Embedding(N_ATOM_TYPES, width)
        self.x_embedding2 = nn.Embedding(N_CHIRALITY_TAGS, width)
        nn.init.xavier_uniform_(self.x_embedding1.weight)
        nn.init.xavier_uniform_(self.x_embedding2.weight)
        convolution = CONVOLUTIONS[architecture]
        self.gnns = nn.ModuleList(convolution(width) for _ in range(n_layers))
        self.batch_norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(n_layers))
        self.feat_lin = nn.Linear(width, n_features)

    def forward(self, graph: Graph) -> list[Tensor]:
        """Compute node embeddings of the input, of each layer and of the linear map behind the last.

        The released code pools before the linear map, which for means is the same.
        """
        hidden = self.x_embedding1(graph.x[:, 0]) + self.x_embedding2(graph.x[:, 1])
        layers = [hidden]
        for depth, (convolution, norm) in enumerate(zip(self.gnns, self.batch_norms, strict=True), 1):
            hidden = norm(convolution(hidden, graph.edge_index, graph.edge_attr))
            if depth < len(self.gnns):
                hidden = functional.relu(hidden)
            layers.append(hidden)
        return [*layers, self.feat_lin(hidden)]

    def layer_number(self, name: str) -> int:
        """Layer of a parameter; atom embeddings go with the first, the linear map with the last."""
        part, *rest = name.split(".")
        if part in ("gnns", "batch_norms"):
            return int(rest[0]) + 1
        return len(self.gnns) if part == "feat_lin" else 1


class TrainableMolCLR(Trainable):
    """A MolCLR network with its linear map pooled."""

    def __init__(self, network: MolCLR, pooling: str) -> None:
        super().__init__(pooling)
        self.network = network
        self.width = network.feat_lin.out_features

    def encode(self, molecule: Chem.Mol) -> Any:
        """See :func:`molrate.encoders.molclr.graphs.encode`."""
        return encode(molecule)

    def collate(self, encoded: Sequence[Any]) -> Graph:
        """Join molecules into one graph."""
        return collate(encoded)

    def separate(self, encoded: Sequence[Any]) -> SeparateBatch:
        """Linear maps read atoms."""
        graph = collate(encoded)
        return SeparateBatch(graph, (graph.batch,))

    def forward(self, batch: Graph) -> Tensor:
        """Compute the pooled last layer, shape (n_molecules, width)."""
        return self.pooling(self.network(batch)[-1], batch.batch, batch.num_graphs)
