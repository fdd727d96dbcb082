"""Deduplication of the rooted neighbourhoods of a batch by colour refinement, so that each is computed once.

After t message steps a row (an atom or a directed bond) depends only on its neighbourhood of radius t.
Rows with equal neighbourhoods share one row of every array until a later step tells them apart. The
result is exact up to the order of summation.

The *distinct rows* of an array are its rows without repetition. As in ``numpy.unique``, an *inverse* holds,
for each atom or bond, the distinct row that stands for it.
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

    from molrate.encoders.graph import Graph

_Integers = npt.NDArray[np.int64]
_Colours = npt.NDArray[np.uint64]

_OWN, _NEIGHBOUR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)

PADDING = -1
"""Code of the padding row, and of atoms and bonds that pretraining masks; their features are all zero."""


class Movable:
    """A record of tensors that all move to a device together."""

    def to(self, device: str | torch.device) -> Any:
        """Copy the record to a device."""
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
        Rows to sum, list after list.
    offsets : Tensor of int64, shape (n_lists,)
        Position at which each list begins.
    weights : Tensor of float32, shape (n_entries,), or None
        Weights of the rows; None if all are 1.
    """

    index: Tensor
    offsets: Tensor
    weights: Tensor | None

    def sum(self, rows: Tensor) -> Tensor:
        """Sum the rows of each list, shape (n_lists, d)."""
        weights = None if self.weights is None else self.weights.to(rows.dtype)
        return embedding_bag(self.index, rows, self.offsets, mode="sum", per_sample_weights=weights)


@dataclass(frozen=True)
class Step(Movable):
    """One message step: each new row has a row in the block's input, `own`, and neighbours to sum, `bags`."""

    own: Tensor
    bags: Bags


@dataclass(frozen=True)
class View(Movable):
    """The atoms or the directed bonds of a batch.

    Attributes
    ----------
    features : Tensor of float32, shape (n_distinct, 151 or 165)
    blocks : list of list of Step
    inverses : list of Tensor of int64, shape (n,)
        Distinct row of each atom or bond, first in the input and then in the output of each block.
    """

    features: Tensor
    blocks: list[list[Step]]
    inverses: list[Tensor]


@dataclass(frozen=True)
class Branch(Movable):
    """Rule by which the last rows of a view become the output of a branch.

    Attributes
    ----------
    own : Tensor of int64, shape (n_distinct,)
        Feature row of each distinct row.
    bags : Bags
        Neighbours to sum for each distinct row.
    inverse : Tensor of int64, shape (n,)
        Distinct row of each atom or bond.
    """

    own: Tensor
    bags: Bags
    inverse: Tensor


@dataclass(frozen=True)
class DeduplicatedBatch(Movable):
    """Everything that an encoder of given depth and number of blocks needs from a batch."""

    atoms: View
    bonds: View
    branches: dict[str, Branch]


@dataclass(frozen=True)
class _Lists:
    """Rows to sum for each row, as one array with pointers, and their weights."""

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
        """Colour of each row, from its own colour and the multiset of colours of the rows it sums."""
        terms = _mix(neighbours ^ _NEIGHBOUR)[self.index] * self.weights.astype(np.uint64)
        total = np.zeros(len(terms) + 1, dtype=np.uint64)
        np.cumsum(terms, out=total[1:])
        return _mix(_mix(own ^ _OWN) + total[self.pointers[1:]] - total[self.pointers[:-1]])

    def entries(self, rows: _Integers) -> tuple[_Integers, _Integers, _Integers]:
        """Lengths of some rows' lists, the start of each list when they are joined, and their entries."""
        lengths = self.pointers[rows + 1] - self.pointers[rows]
        offsets = np.cumsum(lengths) - lengths
        return lengths, offsets, np.arange(lengths.sum()) + np.repeat(self.pointers[rows] - offsets, lengths)

    def bags(self, rows: _Integers, inverse: _Integers) -> Bags:
        """The lists of some rows; their entries are distinct rows."""
        _, offsets, entries = self.entries(rows)
        weights = self.weights[entries]
        return Bags(
            torch.from_numpy(inverse[self.index[entries]]),
            torch.from_numpy(offsets),
            None if (weights == 1).all() else torch.from_numpy(weights.astype(np.float32)),
        )


def _mix(values: _Colours) -> _Colours:
    """Spread integers over 64 bits (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _distinct(colours: _Colours) -> tuple[_Integers, _Integers]:
    """The first row of each colour, in order, and the inverse: the place of each row's colour among them."""
    _, representatives, inverse = np.unique(colours, return_index=True, return_inverse=True)
    order = np.argsort(representatives)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return representatives[order], place[inverse]


class _Rows:
    """Atoms or directed bonds, with padding rows last, and their colours, which each step refines."""

    def __init__(self, lists: _Lists, colours: _Colours, n: int) -> None:
        self.lists = lists
        self.colours = colours
        self.n = n
        self.representatives, self.inverse = _distinct(colours)
        self.input_inverse = self.inverse

    def block(self, n_steps: int) -> list[Step]:
        """Steps of one block; afterwards, colours and inverse are those of its output."""
        own_colours, own_inverse = self.colours, self.inverse
        steps = []
        for _ in range(n_steps):
            self.colours = self.lists.colours(own_colours, self.colours)
            previous = self.inverse
            representatives, self.inverse = _distinct(self.colours)
            own = torch.from_numpy(own_inverse[representatives])
            steps.append(Step(own, self.lists.bags(representatives, previous)))
        return steps

    def view(self, features: npt.NDArray[np.float32], n_blocks: int, n_steps: int) -> View:
        inverses = [torch.from_numpy(self.inverse[: self.n])]
        blocks = []
        for _ in range(n_blocks):
            blocks.append(self.block(n_steps))
            inverses.append(torch.from_numpy(self.inverse[: self.n]))
        return View(torch.from_numpy(features), blocks, inverses)


def padded_neighbours(graph: Graph, padding: int | str | None) -> _Integers:
    """Number of neighbour slots, k, that the released code has for each molecule.

    Its neighbour tables have as many columns as the batch's largest degree, and every empty slot adds the
    state of a padding row.

    Parameters
    ----------
    graph : Graph
    padding : int, "batch" or None
        A number gives each molecule at least this many slots, and more if one of its atoms has more
        neighbours. ``batch`` gives the batch's largest degree, as released. None gives no slots, k = 0.
    """
    if padding is None:
        return np.zeros(graph.num_graphs, dtype=np.int64)
    degree = np.bincount(graph.edge_index[1].numpy(), minlength=len(graph.atoms))
    if padding == "batch":
        return np.full(graph.num_graphs, max(1, degree.max(initial=0)), dtype=np.int64)
    slots = np.full(graph.num_graphs, padding, dtype=np.int64)
    np.maximum.at(slots, graph.batch.numpy(), degree)
    return slots


class _Neighbours:
    """Rows that each row sums, including padding rows.

    There is one padding row for each different k, or for each molecule where molecules are kept apart.
    """

    def __init__(self, graph: Graph, slots: _Integers, apart: bool) -> None:
        self.source, self.target = graph.edge_index.numpy()
        self.n_atoms, self.n_bonds = len(graph.atoms), len(self.source)
        self.k = slots[slots > 0] if apart else np.unique(slots[slots > 0])
        pad = np.arange(len(slots)) if apart else np.searchsorted(self.k, slots)
        degree = np.bincount(self.target, minlength=self.n_atoms)
        atom_slots = slots[graph.batch.numpy()]
        padded = atom_slots > 0
        self.pad = np.where(padded, pad[graph.batch.numpy()], 0)
        self.empty = np.where(padded, atom_slots - degree, 0)
        bonds = np.arange(self.n_bonds)
        self.into = _Lists.of(self.target, bonds, np.ones_like(self.target), self.n_atoms)

    def _pairs(self) -> tuple[_Integers, _Integers]:
        """Pairs of a bond and a bond that enters its source, without the reverse of the bond itself."""
        lengths, _, entries = self.into.entries(self.source)
        bonds = np.repeat(np.arange(self.n_bonds), lengths)
        incoming = self.into.index[entries]
        kept = incoming != (bonds ^ 1)
        return bonds[kept], incoming[kept]

    def _lists(self, rows: _Integers, index: _Integers, of_bonds: bool, from_bonds: bool, own: int) -> _Lists:
        """Add the entries of empty slots, and the padding rows themselves, to the real entries.

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
        """Lists that each branch sums; message steps use those of atom-from-atom and bond-from-bond."""
        bonds, incoming = self._pairs()
        every_bond = np.arange(self.n_bonds)
        return {
            "atom-from-atom": self._lists(self.target, self.source, False, False, 0),
            "atom-from-bond": self._lists(self.target, every_bond, False, True, 0),
            # The start atom and its neighbours, except the end atom.
            "bond-from-atom": self._lists(
                np.concatenate([every_bond, bonds]),
                np.concatenate([self.source, self.source[incoming]]),
                True,
                False,
                0,
            ),
            "bond-from-bond": self._lists(bonds, incoming, True, True, -1),
        }


BRANCHES = ("atom-from-atom", "atom-from-bond", "bond-from-atom", "bond-from-bond")


def deduplicate_batch(
    graph: Graph,
    depth: int,
    n_blocks: int,
    padding: int | str | None = None,
    branches: Sequence[str] = BRANCHES,
    apart: bool = False,
) -> DeduplicatedBatch:
    """Find the distinct neighbourhoods of a batch for every step of an encoder.

    Parameters
    ----------
    graph : Graph
        Content of the batch from :func:`molrate.encoders.grover.graphs.batch_molecules`.
    depth, n_blocks : int
        Depth and number of blocks of the encoder; a block has ``depth - 1`` message steps.
    padding : int, "batch" or None
        See :func:`padded_neighbours`.
    branches : sequence of str
        Names of the outputs to compute, from :data:`BRANCHES`.
    apart : bool
        Let molecules share no rows, not even those of padding, which then come last in the order of the
        molecules.

    Returns
    -------
    DeduplicatedBatch
    """
    neighbours = _Neighbours(graph, padded_neighbours(graph, padding), apart)
    lists = neighbours.lists()
    pads = np.full(len(neighbours.k), PADDING)
    atom_codes = np.concatenate([graph.atoms.numpy(), pads])
    bond_codes = np.concatenate([graph.bonds.numpy(), pads])
    source_codes = np.concatenate([graph.atoms.numpy()[neighbours.source], pads])
    atom_colours = _mix(atom_codes.astype(np.uint64))
    bond_colours = _mix(_mix(source_codes.astype(np.uint64)) + bond_codes.astype(np.uint64))
    if apart:
        of_pads = np.arange(len(neighbours.k))
        atom_colours = _mix(atom_colours + _numbers(graph.batch, of_pads))
        bond_colours = _mix(bond_colours + _numbers(graph.bond_batch, of_pads))
    atoms = _Rows(lists["atom-from-atom"], atom_colours, neighbours.n_atoms)
    bonds = _Rows(lists["bond-from-bond"], bond_colours, neighbours.n_bonds)
    chosen = bonds.representatives
    bond_rows = [atom_features(source_codes[chosen]), bond_features(bond_codes[chosen])]
    input_colours = {"atom": atoms.colours, "bond": bonds.colours}
    atom_view = atoms.view(atom_features(atom_codes[atoms.representatives]), n_blocks, depth - 1)
    bond_view = bonds.view(np.concatenate(bond_rows, axis=1), n_blocks, depth - 1)
    rows = {"atom": atoms, "bond": bonds}
    outputs = {}
    for branch in branches:
        to, _, origin = branch.split("-")
        n = rows[to].n
        colours = lists[branch].colours(input_colours[to], rows[origin].colours)[:n]
        representatives, inverse = _distinct(colours)
        own = torch.from_numpy(rows[to].input_inverse[representatives])
        bags = lists[branch].bags(representatives, rows[origin].inverse)
        outputs[branch] = Branch(own, bags, torch.from_numpy(inverse))
    return DeduplicatedBatch(atom_view, bond_view, outputs)


def _numbers(molecules: Tensor, of_pads: _Integers) -> _Colours:
    """Molecules of rows and, behind them, of padding rows, as colours take them."""
    return np.concatenate([molecules.numpy(), of_pads]).astype(np.uint64)


def owners(batch: DeduplicatedBatch, atom_molecule: Tensor, bond_molecule: Tensor) -> tuple[Tensor, ...]:
    """Molecule of each row that linear maps read, for a batch whose molecules were kept apart.

    Parameters
    ----------
    batch : DeduplicatedBatch
    atom_molecule, bond_molecule : Tensor of int64, shape (n,)
    """
    of_inputs = {
        "atom": _input_owners(batch.atoms, atom_molecule),
        "bond": _input_owners(batch.bonds, bond_molecule),
    }
    found = list(of_inputs.values())
    for name, view in (("atom", batch.atoms), ("bond", batch.bonds)):
        rows = of_inputs[name]
        for steps in view.blocks:
            of_steps = [rows[step.own] for step in steps]
            found += of_steps
            rows = of_steps[-1] if of_steps else rows
    found += [of_inputs[name.split("-")[0]][branch.own] for name, branch in batch.branches.items()]
    return tuple(found)


def _input_owners(view: View, molecule: Tensor) -> Tensor:
    """Molecule of each row of features; rows that are of no atom or bond are padding, one a molecule."""
    inverse = view.inverses[0]
    n_real = int(inverse.max()) + 1 if len(inverse) else 0
    rows = torch.empty(n_real, dtype=torch.long)
    rows[inverse] = molecule
    return torch.cat([rows, torch.arange(len(view.features) - n_real)])
