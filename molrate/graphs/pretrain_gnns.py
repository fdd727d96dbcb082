"""RDKit molecules in the input convention of pretrain-gnns (Hu et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from rdkit import Chem
from torch_geometric.data import Data

from molrate.errors import UnsupportedMoleculeError
from molrate.graphs.batch import MoleculeBatch

N_ATOM_TYPES = 120
"""Atomic numbers 1-118 as 0-117; slot 119 masks an atom in pretraining and 118 was never used."""
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

_Codes = tuple[list[int], list[int]]


def _encode(molecule: Chem.Mol) -> _Codes:
    """Atoms as flat (type, chirality) pairs, bonds as flat (begin, end, type, direction).

    Raises
    ------
    UnsupportedMoleculeError
        If an atom, tag or bond is outside the convention; the released code fails on these as well.
    """
    try:
        atoms = [
            code
            for atom in molecule.GetAtoms()
            for code in (atom.GetAtomicNum() - 1, _CHIRALITY[atom.GetChiralTag()])
        ]
        bonds = [
            code
            for bond in molecule.GetBonds()
            for code in (
                bond.GetBeginAtomIdx(),
                bond.GetEndAtomIdx(),
                _BOND_TYPE[bond.GetBondType()],
                _BOND_DIRECTION[bond.GetBondDir()],
            )
        ]
    except KeyError as error:
        raise UnsupportedMoleculeError(f"pretrain-gnns has no code for {error.args[0]}") from error
    if min(atoms[::2]) < 0:
        raise UnsupportedMoleculeError("pretrain-gnns has no code for a dummy atom (*)")
    return atoms, bonds


def batch_molecules(molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
    """Turn molecules into one disconnected graph.

    Each bond gives an edge in both directions and each atom a self-loop of bond type 4, as the
    released convolutions add. Edges are sorted by target, then source.

    Parameters
    ----------
    molecules : sequence of rdkit.Chem.Mol

    Returns
    -------
    MoleculeBatch
        Its content is a PyG ``Data`` with ``x`` (n_atoms, 2) atom type and chirality, ``edge_index``
        (2, n_edges) source and target, ``edge_attr`` (n_edges, 2) bond type and direction, ``batch``
        (n_atoms,) and ``num_graphs``.
    """
    encoded: list[_Codes] = []
    rows: list[int] = []
    errors: dict[int, str] = {}
    for row, molecule in enumerate(molecules):
        try:
            encoded.append(_encode(molecule))
        except UnsupportedMoleculeError as error:
            errors[row] = str(error)
        else:
            rows.append(row)
    return MoleculeBatch(_collate(encoded), rows, errors)


def _collate(encoded: Sequence[_Codes]) -> Data:
    atoms = _flat([codes for codes, _ in encoded]).reshape(-1, 2)
    bonds = _flat([codes for _, codes in encoded]).reshape(-1, 4)
    n_atoms = np.array([len(codes) // 2 for codes, _ in encoded], dtype=np.int64)
    n_bonds = np.array([len(codes) // 4 for _, codes in encoded], dtype=np.int64)
    first_atom = np.cumsum(n_atoms) - n_atoms
    ends = bonds[:, :2] + np.repeat(first_atom, n_bonds)[:, None]
    loops = np.arange(len(atoms), dtype=np.int64)
    source = np.concatenate([ends[:, 0], ends[:, 1], loops])
    target = np.concatenate([ends[:, 1], ends[:, 0], loops])
    loop_attributes = np.tile(np.array([SELF_LOOP, 0], dtype=np.int64), (len(atoms), 1))
    attributes = np.concatenate([bonds[:, 2:], bonds[:, 2:], loop_attributes])
    order = np.lexsort((source, target))
    return Data(
        x=torch.from_numpy(atoms),
        edge_index=torch.from_numpy(np.stack([source[order], target[order]])),
        edge_attr=torch.from_numpy(attributes[order]),
        batch=torch.from_numpy(np.repeat(np.arange(len(encoded)), n_atoms)),
        num_graphs=len(encoded),
    )


def _flat(codes: list[list[int]]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(codes), dtype=np.int64)
