"""The GROVER network (Rong et al. 2020), on deduplicated batches.

Parameters have the names and shapes of the released code, so that its checkpoints load as they are. Where
the released code differs from the paper, the network follows the code; ``dense`` is such a case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, softmax

from molrate.encoders.grover.deduplication import BRANCHES, Branch, DeduplicatedBatch, Step, View
from molrate.encoders.grover.graphs import N_ATOM_FEATURES, N_BOND_FEATURES

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "LeakyReLU": partial(nn.LeakyReLU, 0.1),
    "PReLU": nn.PReLU,
    "tanh": nn.Tanh,
    "SELU": nn.SELU,
    "ELU": nn.ELU,
}


class MessageNet(nn.Module):
    """A message passing network with one weight matrix for all steps."""

    def __init__(self, width: int, activation: str, bias: bool, dense: bool, rate: float) -> None:
        super().__init__()
        self.W_h = nn.Linear(width, width, bias=bias)
        self.act_func = ACTIVATIONS[activation]()
        self.dense = dense
        self.rate = rate

    def forward(
        self, rows: Tensor, inputs: Sequence[Tensor], first_sums: Tensor, steps: Sequence[Step]
    ) -> Tensor:
        """Compute the messages after all steps.

        Parameters
        ----------
        rows : Tensor, shape (n_input, width)
        inputs : sequence of Tensor
            Input rows of the rows of each step, which every network of a block adds.
        first_sums : Tensor
            The sums of the first step, the same for every network of a block.
        steps : sequence of Step
        """
        message = rows
        for position, (step, own) in enumerate(zip(steps, inputs, strict=True)):
            total = first_sums if position == 0 else step.bags.sum(message)
            update = self.W_h(total)
            # The released code adds the input unless `dense`, the reverse of its documentation.
            message = self.act_func(update if self.dense else update.add_(own))
            message = dropout(message, self.rate, self.training)
        return message


class Head(nn.Module):
    """Queries, keys and values of one attention head."""

    def __init__(self, width: int, activation: str, bias: bool, dense: bool, rate: float) -> None:
        super().__init__()
        self.mpn_q = MessageNet(width, activation, bias, dense, rate)
        self.mpn_k = MessageNet(width, activation, bias, dense, rate)
        self.mpn_v = MessageNet(width, activation, bias, dense, rate)


class HeadAttention(nn.Module):
    """Attention among the heads of a row, with as many inner heads."""

    def __init__(self, width: int, n_heads: int, bias: bool, rate: float) -> None:
        super().__init__()
        self.linear_layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.output_linear = nn.Linear(width, width, bias=bias)
        self.n_heads = n_heads
        self.inner = (n_heads, width // n_heads)
        self.rate = rate

    def forward(self, *inputs: Tensor) -> Tensor:
        """Attend with queries, keys and values of shape (n, n_heads, width); the output layer comes later.

        The result has shape (n, n_heads, width).
        """
        split = [
            linear(rows).view(len(rows), self.n_heads, *self.inner).transpose(1, 2)
            for linear, rows in zip(self.linear_layers, inputs, strict=True)
        ]
        query, key, value = split
        weights = softmax(query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]), dim=-1)
        return (dropout(weights, self.rate, self.training) @ value).transpose(1, 2).flatten(2)


class Normalisation(nn.Module):
    """Layer normalisation and dropout; the released code adds no residual here."""

    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.rate = rate

    def forward(self, rows: Tensor) -> Tensor:
        """Normalise rows of shape (n, width)."""
        return dropout(self.norm(rows), self.rate, self.training)


class Block(nn.Module):
    """Input projection if the width changes, message networks as heads, and attention among the heads."""

    def __init__(
        self, n_inputs: int, width: int, n_heads: int, activation: str, bias: bool, dense: bool, rate: float
    ) -> None:
        super().__init__()
        self.projects = n_inputs != width
        if self.projects:
            self.act_func = ACTIVATIONS[activation]()
            self.layernorm = nn.LayerNorm(width)
            self.W_i = nn.Linear(n_inputs, width, bias=bias)
        self.rate = rate
        self.attn = HeadAttention(width, n_heads, bias, rate)
        self.W_o = nn.Linear(width * n_heads, width, bias=bias)
        self.sublayer = Normalisation(width, rate)
        self.heads = nn.ModuleList(Head(width, activation, bias, dense, rate) for _ in range(n_heads))

    def project(self, rows: Tensor) -> Tensor:
        """Project features to the block's width; rows of that width pass unchanged, as released."""
        if not self.projects:
            return rows
        return dropout(self.layernorm(self.act_func(self.W_i(rows))), self.rate, self.training)

    def forward(self, rows: Tensor, steps: Sequence[Step]) -> Tensor:
        """Compute output rows from projected rows, shape (n_output, width)."""
        inputs = [rows[step.own] for step in steps]
        first_sums = steps[0].bags.sum(rows) if steps else rows
        stacked = [
            torch.stack([getattr(head, net)(rows, inputs, first_sums, steps) for head in self.heads], dim=1)
            for net in ("mpn_q", "mpn_k", "mpn_v")
        ]
        attended = self.attn.output_linear(self.attn(*stacked))
        return self.sublayer(self.W_o(attended.flatten(1)))

    def fuse_linear(self) -> None:
        """Merge the attention's output layer into the block's, for inference: two products become one."""
        inner, outer = self.attn.output_linear, self.W_o
        blocks = outer.weight.view(len(outer.weight), -1, len(inner.weight))
        with torch.no_grad():
            if inner.bias is not None and outer.bias is not None:
                outer.bias.add_(torch.einsum("osj,j->o", blocks, inner.bias))
            outer.weight.copy_(torch.einsum("osj,jk->osk", blocks, inner.weight).flatten(1))
        self.attn.output_linear = nn.Identity()  # type: ignore[assignment]


class FeedForward(nn.Module):
    """Two layers on the features of a row and the sum of its neighbours."""

    def __init__(self, n_features: int, width: int, activation: str, rate: float) -> None:
        super().__init__()
        self.W_1 = nn.Linear(n_features + width, 4 * width)
        self.W_2 = nn.Linear(4 * width, width)
        self.act_func = ACTIVATIONS[activation]()
        self.rate = rate

    def forward(self, features: Tensor, branch: Branch, total: Tensor) -> Tensor:
        """Compute each row of the branch, shape (n, width)."""
        n_features = features.shape[1]
        feature_weights, total_weights = self.W_1.weight[:, :n_features], self.W_1.weight[:, n_features:]
        projected = nn.functional.linear(features, feature_weights, self.W_1.bias)
        hidden = self.act_func(nn.functional.linear(total, total_weights).add_(projected[branch.own]))
        return self.W_2(dropout(hidden, self.rate, self.training))


class Grover(nn.Module):
    """The GROVER encoder.

    Parameters
    ----------
    width, depth, n_heads, n_blocks : int
        ``hidden_size``, ``depth``, ``num_attn_head`` and ``num_mt_block`` of the released code.
    activation : str
        One of :data:`ACTIVATIONS`.
    bias : bool
        Whether linear layers have a bias; those of the attention's inputs and of outputs always have one.
    dense : bool
        If set, message steps do not add the block's input; the released code reverses the meaning.
    dropout : float
        Dropout rate, in training only.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        n_heads: int,
        n_blocks: int,
        activation: str = "PReLU",
        bias: bool = False,
        dense: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.depth, self.n_blocks = width, depth, n_blocks

        def blocks(n_features: int) -> nn.ModuleList:
            sizes = [n_features] + [width] * (n_blocks - 1)
            return nn.ModuleList(Block(n, width, n_heads, activation, bias, dense, dropout) for n in sizes)

        n_bond_features = N_ATOM_FEATURES + N_BOND_FEATURES
        self.node_blocks, self.edge_blocks = blocks(N_ATOM_FEATURES), blocks(n_bond_features)
        for branch in BRANCHES:
            n_features = N_ATOM_FEATURES if branch.startswith("atom") else n_bond_features
            name = branch.replace("-", "_")
            setattr(self, f"ffn_{name}", FeedForward(n_features, width, activation, dropout))
            setattr(self, f"{name}_sublayer", Normalisation(width, dropout))

    @property
    def _dtype(self) -> torch.dtype:
        """Type of the weights, to which features are converted."""
        return next(self.parameters()).dtype

    def _view(self, view: View, blocks: nn.ModuleList, name: str) -> dict[str, Tensor]:
        first_block = blocks[0]
        assert isinstance(first_block, Block)
        rows = first_block.project(view.features.to(self._dtype))
        layers = {f"{name}-input": rows}
        for number, (block, steps) in enumerate(zip(blocks, view.blocks, strict=True), start=1):
            rows = layers[f"{name}-block-{number}"] = block(rows, steps)
        return layers

    def forward(self, batch: DeduplicatedBatch) -> dict[str, Tensor]:
        """Compute the distinct rows of every layer: both views' inputs and blocks, and the branches."""
        atoms = self._view(batch.atoms, self.node_blocks, "atom")
        bonds = self._view(batch.bonds, self.edge_blocks, "bond")
        layers = {**atoms, **bonds}
        last = {"atom": layers[f"atom-block-{self.n_blocks}"], "bond": layers[f"bond-block-{self.n_blocks}"]}
        for name, branch in batch.branches.items():
            to, _, origin = name.split("-")
            features = (batch.atoms if to == "atom" else batch.bonds).features.to(self._dtype)
            module = name.replace("-", "_")
            total = branch.bags.sum(last[origin])
            rows = getattr(self, f"ffn_{module}")(features, branch, total)
            layers[name] = getattr(self, f"{module}_sublayer")(rows)
        return layers

    def layer_number(self, name: str) -> int:
        """Layer that a parameter belongs to: blocks of both views count from 1, and branches come last."""
        part, *rest = name.split(".")
        return int(rest[0]) + 1 if part in ("node_blocks", "edge_blocks") else self.n_blocks + 1

    def fuse_linears(self) -> None:
        """Merge consecutive linear layers, for inference."""
        for block in [*self.node_blocks, *self.edge_blocks]:
            block.fuse_linear()


def node_folds(batch: DeduplicatedBatch) -> dict[str, Tensor]:
    """For each layer, the distinct row of every atom or directed bond."""
    inverses = {name: branch.inverse for name, branch in batch.branches.items()}
    for kind, view in (("atom", batch.atoms), ("bond", batch.bonds)):
        inverses[f"{kind}-input"] = view.inverses[0]
        for number, inverse in enumerate(view.inverses[1:], start=1):
            inverses[f"{kind}-block-{number}"] = inverse
    return inverses
