"""Equal rooted neighbourhoods of a batch, found by colour refinement, so that each is computed once.

After t message steps a row (an atom or a directed bond) depends on its neighbourhood of radius t alone.
Rows whose neighbourhoods are equal share one row of every array until a later step tells them apart. The
result is exact up to the order of summation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import embedding_bag

from molrate.encoders.grover.graphs import atom_features, bond_features

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Data

_Integers = npt.NDArray[np.int64]
_Colours = npt.NDArray[np.uint64]

_OWN, _NEIGHBOUR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)

PADDING = -1
"""Packed features of the padding row and of what pretraining masks: all zero."""


class Movable:
    """A record of tensors that moves to a device as one."""

    def to(self, device: str | torch.device) -> Any:
        """The same record on a device."""
        moved = {field.name: _move(getattr(self, field.name), device) for field in fields(self)}  # type: ignore[arg-type]
        return type(self)(**moved)


def _move(value: Any, device: str | torch.device) -> Any:
    if isinstance(value, (torch.Tensor, Movable)):
        return value.to(device)
    if isinstance(value, (list, tuple)):
        return type(value)(_move(item, device) for item in value)
    if isinstance(value, dict):
        return {key: _move(item, device) for key, item in value.items()}
    return value


@dataclass(frozen=True)
class Bags(Movable):
    """Weighted sums over lists of rows.

    Attributes
    ----------
    index : Tensor of int64, shape (n_entries,)
        Rows to be summed, list after list.
    offsets : Tensor of int64, shape (n_lists,)
        Where each list begins.
    weights : Tensor of float32, shape (n_entries,), or None
        None where all are one.
    """

    index: Tensor
    offsets: Tensor
    weights: Tensor | None

    def sum(self, rows: Tensor) -> Tensor:
        """Sum of each list's rows, shape (n_lists, d)."""
        weights = None if self.weights is None else self.weights.to(rows.dtype)
        return embedding_bag(self.index, rows, self.offsets, mode="sum", per_sample_weights=weights)


@dataclass(frozen=True)
class Step(Movable):
    """One message step: for each new row its row in the block's input, and the neighbours to sum."""

    own: Tensor
    bags: Bags


@dataclass(frozen=True)
class View(Movable):
    """The atoms or the directed bonds of a batch.

    Attributes
    ----------
    features : Tensor of float32, shape (n_different, 151 or 165)
    blocks : list of list of Step
    folds : list of Tensor of int64, shape (n,)
        Row of each atom or bond in the input and in the output of each block.
    """

    features: Tensor
    blocks: list[list[Step]]
    folds: list[Tensor]


@dataclass(frozen=True)
class Branch(Movable):
    """How one view's last rows become outputs of a view: feature row, neighbours to sum, and the fold."""

    own: Tensor
    bags: Bags
    fold: Tensor


@dataclass(frozen=True)
class DeduplicatedBatch(Movable):
    """All an encoder of given depth and blocks needs of a batch."""

    atoms: View
    bonds: View
    branches: dict[str, Branch]


@dataclass(frozen=True)
class _Lists:
    """Rows to be summed for each row, as one array with pointers, and their weights."""

    pointers: _Integers
    index: _Integers
    weights: _Integers

    @classmethod
    def of(cls, rows: _Integers, index: _Integers, weights: _Integers, n_rows: int) -> _Lists:
        kept = weights != 0
        rows, index, weights = rows[kept], index[kept], weights[kept]
        order = np.argsort(rows, kind="stable")
        pointers = np.zeros(n_rows + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=n_rows), out=pointers[1:])
        return cls(pointers, index[order], weights[order])

    def colours(self, own: _Colours, neighbours: _Colours) -> _Colours:
        """Colour of each row from its own and the multiset of those it sums."""
        terms = _mix(neighbours ^ _NEIGHBOUR)[self.index] * self.weights.astype(np.uint64)
        total = np.zeros(len(terms) + 1, dtype=np.uint64)
        np.cumsum(terms, out=total[1:])
        return _mix(_mix(own ^ _OWN) + total[self.pointers[1:]] - total[self.pointers[:-1]])

    def entries(self, rows: _Integers) -> tuple[_Integers, _Integers, _Integers]:
        """Lengths of some rows' lists, where each begins when they are joined, and their entries."""
        lengths = self.pointers[rows + 1] - self.pointers[rows]
        offsets = np.cumsum(lengths) - lengths
        return lengths, offsets, np.arange(lengths.sum()) + np.repeat(self.pointers[rows] - offsets, lengths)

    def bags(self, rows: _Integers, fold: _Integers) -> Bags:
        """The lists of some rows, pointing to folded rows."""
        _, offsets, entries = self.entries(rows)
        weights = self.weights[entries]
        return Bags(
            torch.from_numpy(fold[self.index[entries]]),
            torch.from_numpy(offsets),
            None if (weights == 1).all() else torch.from_numpy(weights.astype(np.float32)),
        )


def _mix(values: _Colours) -> _Colours:
    """Spread integers over 64 bits (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _fold(colours: _Colours) -> tuple[_Integers, _Integers]:
    """A representative of each colour, and the place of each row's colour among them."""
    _, first, fold = np.unique(colours, return_index=True, return_inverse=True)
    return first, fold


class _Rows:
    """Atoms or directed bonds, their padding rows last, with colours as they are refined."""

    def __init__(self, lists: _Lists, colours: _Colours, n: int) -> None:
        self.lists = lists
        self.colours = colours
        self.n = n
        self.first, self.fold = _fold(colours)
        self.input_fold = self.fold

    def block(self, n_steps: int) -> list[Step]:
        """Steps of one block; colours and folds are those of its output afterwards."""
        own_colours, own_fold = self.colours, self.fold
        steps = []
        for _ in range(n_steps):
            self.colours = self.lists.colours(own_colours, self.colours)
            previous = self.fold
            first, self.fold = _fold(self.colours)
            steps.append(Step(torch.from_numpy(own_fold[first]), self.lists.bags(first, previous)))
        return steps

    def view(self, features: npt.NDArray[np.float32], n_blocks: int, n_steps: int) -> View:
        folds = [torch.from_numpy(self.fold[: self.n])]
        blocks = []
        for _ in range(n_blocks):
            blocks.append(self.block(n_steps))
            folds.append(torch.from_numpy(self.fold[: self.n]))
        return View(torch.from_numpy(features), blocks, folds)


def padded_neighbours(graph: Data, padding: int | str | None) -> _Integers:
    """The released code's number of neighbour slots, k, for each molecule.

    Its neighbour tables have as many columns as the batch's largest degree, and every empty slot adds the
    state of a padding row.

    Parameters
    ----------
    graph : Data
    padding : int, "batch" or None
        At least this many slots, more where an atom of the molecule has more neighbours; or the batch's
        largest degree, as released; or none, 0.
    """
    if padding is None:
        return np.zeros(graph.num_graphs, dtype=np.int64)
    degree = np.bincount(graph.edge_index[1].numpy(), minlength=graph.num_nodes)
    if padding == "batch":
        return np.full(graph.num_graphs, max(1, degree.max(initial=0)), dtype=np.int64)
    slots = np.full(graph.num_graphs, padding, dtype=np.int64)
    np.maximum.at(slots, graph.batch.numpy(), degree)
    return slots


class _Neighbours:
    """Who sums whom, padding rows included; one padding row for each different k."""

    def __init__(self, graph: Data, slots: _Integers) -> None:
        self.source, self.target = graph.edge_index.numpy()
        self.n_atoms, self.n_bonds = graph.num_nodes, len(self.source)
        self.k = np.unique(slots[slots > 0])
        pad = np.searchsorted(self.k, slots)
        degree = np.bincount(self.target, minlength=self.n_atoms)
        atom_slots = slots[graph.batch.numpy()]
        padded = atom_slots > 0
        self.pad = np.where(padded, pad[graph.batch.numpy()], 0)
        self.empty = np.where(padded, atom_slots - degree, 0)
        every = np.arange(self.n_bonds)
        self.into = _Lists.of(self.target, every, np.ones_like(self.target), self.n_atoms)

    def _pairs(self) -> tuple[_Integers, _Integers]:
        """Each bond with the bonds into its source, except its reverse."""
        lengths, _, entries = self.into.entries(self.source)
        bonds = np.repeat(np.arange(self.n_bonds), lengths)
        others = self.into.index[entries]
        kept = others != (bonds ^ 1)
        return bonds[kept], others[kept]

    def _lists(self, rows: _Integers, index: _Integers, of_bonds: bool, from_bonds: bool, own: int) -> _Lists:
        """Add to real entries those of empty slots, and the padding rows themselves.

        `own` counts how often a padding row sums itself, relative to k.
        """
        n_rows = self.n_bonds if of_bonds else self.n_atoms
        first_pad = self.n_bonds if from_bonds else self.n_atoms
        atoms = self.source if of_bonds else np.arange(self.n_atoms)
        pads = np.arange(len(self.k))
        return _Lists.of(
            np.concatenate([rows, np.arange(n_rows), n_rows + pads]),
            np.concatenate([index, first_pad + self.pad[atoms], first_pad + pads]),
            np.concatenate([np.ones_like(rows), self.empty[atoms], self.k + own]),
            n_rows + len(pads),
        )

    def lists(self) -> dict[str, _Lists]:
        """What each branch sums; the views' message steps sum as atom-from-atom and bond-from-bond."""
        bonds, others = self._pairs()
        every = np.arange(self.n_bonds)
        return {
            "atom-from-atom": self._lists(self.target, self.source, False, False, 0),
            "atom-from-bond": self._lists(self.target, every, False, True, 0),
            # The start atom and its neighbours, except the end atom.
            "bond-from-atom": self._lists(
                np.concatenate([every, bonds]),
                np.concatenate([self.source, self.source[others]]),
                True,
                False,
                0,
            ),
            "bond-from-bond": self._lists(bonds, others, True, True, -1),
        }


BRANCHES = ("atom-from-atom", "atom-from-bond", "bond-from-atom", "bond-from-bond")


def deduplicate_batch(
    graph: Data,
    depth: int,
    n_blocks: int,
    padding: int | str | None = None,
    branches: Sequence[str] = BRANCHES,
) -> DeduplicatedBatch:
    """Find a batch's different neighbourhoods for every step of an encoder.

    Parameters
    ----------
    graph : Data
        Of :func:`molrate.encoders.grover.graphs.batch_molecules`.
    depth, n_blocks : int
        Of the encoder; a block has ``depth - 1`` message steps.
    padding : int, "batch" or None
        See :func:`padded_neighbours`.
    branches : sequence of str
        Outputs that are wanted, of :data:`BRANCHES`.

    Returns
    -------
    DeduplicatedBatch
    """
    neighbours = _Neighbours(graph, padded_neighbours(graph, padding))
    lists = neighbours.lists()
    pads = np.full(len(neighbours.k), PADDING)
    atom_codes = np.concatenate([graph.atoms.numpy(), pads])
    bond_codes = np.concatenate([graph.bonds.numpy(), pads])
    source_codes = np.concatenate([graph.atoms.numpy()[neighbours.source], pads])
    atoms = _Rows(lists["atom-from-atom"], _mix(atom_codes.astype(np.uint64)), neighbours.n_atoms)
    bond_colours = _mix(_mix(source_codes.astype(np.uint64)) + bond_codes.astype(np.uint64))
    bonds = _Rows(lists["bond-from-bond"], bond_colours, neighbours.n_bonds)
    bond_rows = [atom_features(source_codes[bonds.first]), bond_features(bond_codes[bonds.first])]
    input_colours = {"atom": atoms.colours, "bond": bonds.colours}
    atom_view = atoms.view(atom_features(atom_codes[atoms.first]), n_blocks, depth - 1)
    bond_view = bonds.view(np.concatenate(bond_rows, axis=1), n_blocks, depth - 1)
    rows = {"atom": atoms, "bond": bonds}
    outputs = {}
    for branch in branches:
        to, _, origin = branch.split("-")
        n = rows[to].n
        colours = lists[branch].colours(input_colours[to], rows[origin].colours)[:n]
        first, fold = _fold(colours)
        own = torch.from_numpy(rows[to].input_fold[first])
        outputs[branch] = Branch(own, lists[branch].bags(first, rows[origin].fold), torch.from_numpy(fold))
    return DeduplicatedBatch(atom_view, bond_view, outputs)
