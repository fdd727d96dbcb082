"""Molecular graphs as Chemprop reads them: what its features are made from, and bonds in both directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from rdkit import Chem

from molrate.data.molecules import atoms_of, bonds_of
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.graph import Graph

LARGEST_CHARGE = 8
N_VALUES = (120, 16, 2 * LARGEST_CHARGE + 1, 16, 16, 16)
"""Atomic numbers, degrees, charges, chirality tags, hydrogens and hybridisations that are told apart; beyond
them all are one value, which no feature knows."""

_Columns = tuple[list[int] | list[float], ...]

_ATOM_READERS: tuple[Callable[[Chem.Atom], Any], ...] = (
    Chem.Atom.GetAtomicNum,
    Chem.Atom.GetTotalDegree,
    Chem.Atom.GetFormalCharge,
    Chem.Atom.GetChiralTag,
    Chem.Atom.GetTotalNumHs,
    Chem.Atom.GetHybridization,
    Chem.Atom.GetIsAromatic,
)
_BOND_READERS: tuple[Callable[[Chem.Bond], Any], ...] = (
    Chem.Bond.GetBeginAtomIdx,
    Chem.Bond.GetEndAtomIdx,
    Chem.Bond.GetBondType,
    Chem.Bond.GetIsConjugated,
    Chem.Bond.IsInRing,
    Chem.Bond.GetStereo,
)


def encode(molecule: Chem.Mol) -> _Columns:
    """Read the columns of atoms and bonds that features are made from.

    Every molecule is supported: for what Chemprop does not know (a dummy atom, another kind of bond) it has a
    feature, or none is set.
    """
    atoms, bonds = atoms_of(molecule), bonds_of(molecule)
    return (
        *([int(value) for value in map(read, atoms)] for read in _ATOM_READERS),
        list(map(Chem.Atom.GetMass, atoms)),
        *([int(value) for value in map(read, bonds)] for read in _BOND_READERS),
    )


def batch_molecules(molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
    """Turn molecules into one disconnected graph whose bonds are edges in both directions.

    Parameters
    ----------
    molecules : sequence of rdkit.Chem.Mol

    Returns
    -------
    MoleculeBatch
        Its content has ``x`` (n_atoms, 7), the values of :data:`N_VALUES` and whether the atom is aromatic;
        ``mass`` (n_atoms,); ``edge_index`` (2, n_edges), source and target, sorted by target, then source;
        ``reverse`` (n_edges,), the edge of the other direction; ``edge_attr`` (n_edges, 4), RDKit's bond
        type, conjugated, in a ring, and stereo; ``batch`` (n_atoms,); ``num_graphs``.
    """
    return MoleculeBatch.of(molecules, encode, collate)


def collate(encoded: Sequence[_Columns]) -> Graph:
    """Join the columns that :func:`encode` read from each molecule; see :func:`batch_molecules`."""
    n_atom_columns = len(_ATOM_READERS)
    columns = [
        np.fromiter(chain.from_iterable(parts[position] for parts in encoded), dtype=dtype)
        for position, dtype in enumerate(
            [np.int64] * n_atom_columns + [np.float32] + [np.int64] * len(_BOND_READERS)
        )
    ]
    n_atoms = np.array([len(parts[0]) for parts in encoded], dtype=np.int64)
    n_bonds = np.array([len(parts[-1]) for parts in encoded], dtype=np.int64)
    begin, end, *bond = columns[n_atom_columns + 1 :]
    shift = np.repeat(np.cumsum(n_atoms) - n_atoms, n_bonds)
    source = np.concatenate([begin + shift, end + shift])
    target = np.concatenate([end + shift, begin + shift])
    order = np.lexsort((source, target))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    # Before they are sorted, a bond's two directions stand half of all edges apart.
    reverse = place[(order + len(begin)) % max(len(order), 1)]
    return Graph(
        x=torch.from_numpy(np.stack([*_told_apart(columns), columns[n_atom_columns - 1]], axis=1)),
        mass=torch.from_numpy(columns[n_atom_columns]),
        edge_index=torch.from_numpy(np.stack([source, target])[:, order]),
        reverse=torch.from_numpy(reverse),
        edge_attr=torch.from_numpy(np.tile(np.stack(bond, axis=1), (2, 1))[order]),
        batch=torch.from_numpy(np.repeat(np.arange(len(encoded)), n_atoms)),
        num_graphs=len(encoded),
    )


def _told_apart(columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The columns of :data:`N_VALUES` as indices from 0."""
    number, degree, charge, *others = columns[: len(N_VALUES)]
    shifted = [number, degree, charge + LARGEST_CHARGE, *others]
    return [np.clip(values, 0, n - 1) for values, n in zip(shifted, N_VALUES, strict=True)]
