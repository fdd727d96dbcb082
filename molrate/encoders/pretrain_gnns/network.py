"""The networks of pretrain-gnns: GIN, GCN, GAT and GraphSAGE with bond features.

Source: Hu et al., Strategies for Pre-training Graph Neural Networks, ICLR 2020, and the checkpoints
released with it. Modules have the names of those state dicts, so that the checkpoints load strictly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from rdkit import Chem
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.utils import scatter, softmax

from molrate.encoders.graph import Graph
from molrate.encoders.pretrain_gnns.graphs import (
    N_ATOM_TYPES,
    N_BOND_DIRECTIONS,
    N_BOND_TYPES,
    N_CHIRALITY_TAGS,
    collate,
    encode,
)
from molrate.encoders.sparse import compressed_rows
from molrate.encoders.trainable import SeparateBatch, Trainable

_N_BONDS = N_BOND_TYPES * N_BOND_DIRECTIONS


def _bond_weights(edge_index: Tensor, bonds: Tensor, weights: Tensor, n_nodes: int) -> Tensor:
    """Sum edge weights by target node and kind of bond, shape (n_nodes, _N_BONDS)."""
    sums = torch.zeros(n_nodes * _N_BONDS, dtype=weights.dtype, device=weights.device)
    sums.index_add_(0, edge_index[1] * _N_BONDS + bonds, weights)
    return sums.view(n_nodes, _N_BONDS)


class _BondConvolution(nn.Module):
    """A convolution whose message along an edge is ``weight * (x_source + bond embedding)``.

    Summing those messages needs no tensor per edge: it is a sparse matrix product with the nodes plus a
    small dense product with the embeddings of bonds, because there are only 18 kinds of bond. Where the
    weights are trained too, messages are formed.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edge_embedding1 = nn.Embedding(N_BOND_TYPES, width)
        self.edge_embedding2 = nn.Embedding(N_BOND_DIRECTIONS, width)
        nn.init.xavier_uniform_(self.edge_embedding1.weight)
        nn.init.xavier_uniform_(self.edge_embedding2.weight)

    def bond_table(self) -> Tensor:
        """Embedding of each kind of bond, shape (_N_BONDS, width), row = 3 * type + direction."""
        table = self.edge_embedding1.weight[:, None] + self.edge_embedding2.weight[None]
        return table.view(_N_BONDS, -1)

    def weighted_sum(self, x: Tensor, edge_index: Tensor, bonds: Tensor, weights: Tensor) -> Tensor:
        """Sum the messages at each node, shape (n_nodes, width)."""
        return self.sum_messages(x, self.bond_table(), edge_index, bonds, weights)

    def sum_messages(
        self, x: Tensor, table: Tensor, edge_index: Tensor, bonds: Tensor, weights: Tensor
    ) -> Tensor:
        """Sum the messages that nodes (n_nodes, width) and a table of bonds (_N_BONDS, width) make."""
        n_nodes = len(x)
        source, target = edge_index
        if weights.requires_grad:
            messages = weights[:, None] * (x[source] + table[bonds])
            return scatter(messages, target, dim_size=n_nodes)
        # Sparse products do not exist in half precision.
        with torch.autocast(x.device.type, enabled=False):
            x, weights = x.to(table.dtype), weights.to(table.dtype)
            sums = compressed_rows(target, source, weights, (n_nodes, n_nodes)) @ x
            return sums.addmm(_bond_weights(edge_index, bonds, weights, n_nodes), table)


class GINConvolution(_BondConvolution):
    """Sum of the messages, then a two-layer perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, edge_index: Tensor, bonds: Tensor) -> Tensor:
        """One convolution: (n_nodes, width) to (n_nodes, width)."""
        return self.mlp(self.weighted_sum(x, edge_index, bonds, x.new_ones(len(bonds))))


class GCNConvolution(_BondConvolution):
    """Linear map, then messages weighted by inverse root degrees; degrees count the self-loop."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor, edge_index: Tensor, bonds: Tensor) -> Tensor:
        """One convolution: (n_nodes, width) to (n_nodes, width)."""
        source, target = edge_index
        inverse_root = torch.bincount(source, minlength=len(x)).to(x.dtype).rsqrt()
        weights = inverse_root[source] * inverse_root[target]
        return self.weighted_sum(self.linear(x), edge_index, bonds, weights)


class GraphSAGEConvolution(_BondConvolution):
    """Linear map, then the mean of the messages scaled to unit norm."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor, edge_index: Tensor, bonds: Tensor) -> Tensor:
        """One convolution: (n_nodes, width) to (n_nodes, width)."""
        target = edge_index[1]
        weights = torch.bincount(target, minlength=len(x)).to(x.dtype).reciprocal()[target]
        return functional.normalize(self.weighted_sum(self.linear(x), edge_index, bonds, weights), dim=-1)


class GATConvolution(_BondConvolution):
    """Attention over the messages a node receives, averaged over heads.

    The released code normalises attention over edges that share the first row of ``edge_index``. In
    PyG 1.0, for which it was written, that row held the receiving node; in later versions it holds the
    sending node, and there the same line normalises over the wrong edges. The checkpoints' own
    batch-norm statistics tell the two apart: on molecules of the pretraining corpora, the variance of
    the first four layers of gat-contextpred and gat-supervised is 0.7 to 1.2 times the stored variance
    for the receiving node, and 5 to 900 times for the sending node. (gat-supervised-contextpred is less
    decisive: 0.4 to 2.9 times against 2.0 to 2.8.)
    """

    n_heads = 2
    negative_slope = 0.2

    def __init__(self, width: int) -> None:
        super().__init__(self.n_heads * width)
        self.width = width
        self.weight_linear = nn.Linear(width, self.n_heads * width)
        self.att = nn.Parameter(torch.empty(1, self.n_heads, 2 * width))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.att)

    def forward(self, x: Tensor, edge_index: Tensor, bonds: Tensor) -> Tensor:
        """One convolution: (n_nodes, width) to (n_nodes, width)."""
        x = self.weight_linear(x)
        attention = self.attention(x, edge_index, bonds)
        heads = [
            self.head_sum(head, x, edge_index, bonds, attention[:, head]) for head in range(self.n_heads)
        ]
        return sum(heads) / self.n_heads + self.bias

    def attention(self, x: Tensor, edge_index: Tensor, bonds: Tensor) -> Tensor:
        """Compute the attention of each edge, shape (n_edges, n_heads).

        The score of an edge is linear in the target, the source and the bond, so each of the three
        is projected once per node or kind of bond and not once per edge.
        """
        table = self.bond_table()
        target_scores, source_scores = self._project(x, 0), self._project(x, 1)
        bond_scores = self._project(table, 1)
        source, target = edge_index
        scores = target_scores[target] + source_scores[source] + bond_scores[bonds]
        scores = functional.leaky_relu(scores, self.negative_slope)
        return softmax(scores, target, num_nodes=len(x))

    def _project(self, x: Tensor, end: int) -> Tensor:
        """Score of vectors as target (0) or source (1) of an edge, shape (len(x), n_heads)."""
        heads = x.view(-1, self.n_heads, self.width)
        attention = self.att[0, :, end * self.width : (end + 1) * self.width]
        return torch.einsum("nhw,hw->nh", heads, attention)

    def head_sum(self, head: int, x: Tensor, edge_index: Tensor, bonds: Tensor, attention: Tensor) -> Tensor:
        """Sum the messages of one head at each node, shape (n_nodes, width)."""
        columns = slice(head * self.width, (head + 1) * self.width)
        return self.sum_messages(x[:, columns], self.bond_table()[:, columns], edge_index, bonds, attention)


CONVOLUTIONS: dict[str, type[_BondConvolution]] = {
    "gin": GINConvolution,
    "gcn": GCNConvolution,
    "gat": GATConvolution,
    "graphsage": GraphSAGEConvolution,
}


class PretrainGNN(nn.Module):
    """Atom embeddings and a stack of convolutions, each followed by batch normalisation.

    Parameters
    ----------
    architecture : {"gin", "gcn", "gat", "graphsage"}
    n_layers : int
    width : int
        Dimension of every layer.
    """

    def __init__(self, architecture: str, n_layers: int, width: int) -> None:
        super().__init__()
        self.x_embedding1 = nn.Embedding(N_ATOM_TYPES, width)
        self.x_embedding2 = nn.Embedding(N_CHIRALITY_TAGS, width)
        nn.init.xavier_uniform_(self.x_embedding1.weight)
        nn.init.xavier_uniform_(self.x_embedding2.weight)
        convolution = CONVOLUTIONS[architecture]
        self.gnns = nn.ModuleList(convolution(width) for _ in range(n_layers))
        self.batch_norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(n_layers))

    def forward(self, graph: Graph) -> list[Tensor]:
        """Compute node embeddings of the input and of each layer, each of shape (n_atoms, width).

        The last layer has no ReLU, as released.
        """
        bonds = graph.edge_attr[:, 0] * N_BOND_DIRECTIONS + graph.edge_attr[:, 1]
        hidden = self.x_embedding1(graph.x[:, 0]) + self.x_embedding2(graph.x[:, 1])
        layers = [hidden]
        for depth, (convolution, norm) in enumerate(zip(self.gnns, self.batch_norms, strict=True), 1):
            hidden = norm(convolution(hidden, graph.edge_index, bonds))
            if depth < len(self.gnns):
                hidden = functional.relu(hidden)
            layers.append(hidden)
        return layers


def layer_number(name: str) -> int:
    """Layer that a parameter belongs to: convolutions count from 1; atom embeddings go with the first."""
    part, *rest = name.split(".")
    return int(rest[0]) + 1 if part in ("gnns", "batch_norms") else 1


class TrainableGNN(Trainable):
    """A pretrain-gnns network with its last layer pooled."""

    def __init__(self, network: nn.Module, pooling: str) -> None:
        super().__init__(pooling)
        self.network = network
        self.width = network.batch_norms[-1].num_features  # type: ignore[index, union-attr]

    def encode(self, molecule: Chem.Mol) -> Any:
        """See :func:`molrate.encoders.pretrain_gnns.graphs.encode`."""
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
