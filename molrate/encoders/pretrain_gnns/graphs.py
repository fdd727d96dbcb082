"""Input featurisation of pretrain-gnns (Hu et al. 2020) for RDKit molecules."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from rdkit import Chem

from molrate.data.molecules import atoms_of, bonds_of
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.graph import Graph
from molrate.errors import UnsupportedMoleculeError

N_ATOM_TYPES = 120
"""Atomic numbers 1-118 stand as 0-117; pretraining uses slot 119 to mask an atom and never used 118."""
N_CHIRALITY_TAGS = 3
N_BOND_TYPES = 6
"""Single, double, triple, aromatic, self-loop, and the mask of pretraining."""
N_BOND_DIRECTIONS = 3

SELF_LOOP = 4

_CHIRALITY = {
    Chem.ChiralType.CHI_UNSPECIFIED: 0,
    Chem.ChiralType.CHI_TETRAHEDRAL_CW: 1,
    Chem.ChiralType.CHI_TETRAHEDRAL_CCW: 2,
}
_BOND_TYPE = {
    Chem.BondType.SINGLE: 0,
    Chem.BondType.DOUBLE: 1,
    Chem.BondType.TRIPLE: 2,
    Chem.BondType.AROMATIC: 3,
}
_BOND_DIRECTION = {
    Chem.BondDir.NONE: 0,
    Chem.BondDir.ENDUPRIGHT: 1,
    Chem.BondDir.ENDDOWNRIGHT: 2,
}

_Columns = tuple[list[int], list[int], list[int], list[int], list[int], list[int]]


def encode(molecule: Chem.Mol) -> _Columns:
    """Read types and chiralities of atoms, and begins, ends, types and directions of bonds.

    Reading RDKit's objects attribute by attribute is nearly all of the cost, and mapping a method over
    them is the fastest way to read them.

    Raises
    ------
    UnsupportedMoleculeError
        If an atom, tag or bond is outside the featurisation; the released code fails on these as well.
    """
    atoms = atoms_of(molecule)
    bonds = bonds_of(molecule)
    numbers = list(map(Chem.Atom.GetAtomicNum, atoms))
    if 0 in numbers:
        raise UnsupportedMoleculeError("pretrain-gnns does not support a dummy atom (*)")
    try:
        return (
            numbers,
            [_CHIRALITY[tag] for tag in map(Chem.Atom.GetChiralTag, atoms)],
            list(map(Chem.Bond.GetBeginAtomIdx, bonds)),
            list(map(Chem.Bond.GetEndAtomIdx, bonds)),
            [_BOND_TYPE[kind] for kind in map(Chem.Bond.GetBondType, bonds)],
            [_BOND_DIRECTION[direction] for direction in map(Chem.Bond.GetBondDir, bonds)],
        )
    except KeyError as error:
        raise UnsupportedMoleculeError(f"pretrain-gnns does not support {error.args[0]}") from error


def batch_molecules(molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
    """Turn molecules into one disconnected graph.

    Each bond gives an edge in both directions, and each atom gives a self-loop of bond type 4, which the
    released convolutions add. Edges are sorted by target, then source.

    Parameters
    ----------
    molecules : sequence of rdkit.Chem.Mol

    Returns
    -------
    MoleculeBatch
        Its content has atom type and chirality, ``x`` (n_atoms, 2); source and target,
        ``edge_index`` (2, n_edges); bond type and direction, ``edge_attr`` (n_edges, 2); the molecule of
        each atom, ``batch`` (n_atoms,); and ``num_graphs``.
    """
    return MoleculeBatch.of(molecules, encode, collate)


def collate(encoded: Sequence[_Columns]) -> Graph:
    """Join the columns that :func:`encode` read from each molecule; see :func:`batch_molecules`."""
    number, chirality, begin, end, kind, direction = (
        np.fromiter(chain.from_iterable(columns[position] for columns in encoded), dtype=np.int64)
        for position in range(6)
    )
    n_atoms = np.array([len(columns[0]) for columns in encoded], dtype=np.int64)
    n_bonds = np.array([len(columns[2]) for columns in encoded], dtype=np.int64)
    shift = np.repeat(np.cumsum(n_atoms) - n_atoms, n_bonds)
    begin, end = begin + shift, end + shift
    loops = np.arange(len(number))
    source = np.concatenate([begin, end, loops])
    target = np.concatenate([end, begin, loops])
    kinds = np.concatenate([kind, kind, np.full_like(loops, SELF_LOOP)])
    directions = np.concatenate([direction, direction, np.zeros_like(loops)])
    order = np.lexsort((source, target))
    return Graph(
        x=torch.from_numpy(np.stack([number - 1, chirality], axis=1)),
        edge_index=torch.from_numpy(np.stack([source, target])[:, order]),
        edge_attr=torch.from_numpy(np.stack([kinds, directions], axis=1)[order]),
        batch=torch.from_numpy(np.repeat(np.arange(len(encoded)), n_atoms)),
        num_graphs=len(encoded),
    )
