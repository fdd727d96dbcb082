"""Input featurisation of MolCLR (Wang et al. 2022): the graphs of pretrain-gnns, with explicit hydrogens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdkit import Chem

from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.pretrain_gnns.graphs import collate
from molrate.encoders.pretrain_gnns.graphs import encode as encode_atoms
from molrate.errors import UnsupportedMoleculeError

N_ATOM_TYPES = 119
"""Atomic numbers 1-118 stand as 0-117; pretraining uses slot 118 to mask an atom."""
N_BOND_TYPES = 5
"""Single, double, triple, aromatic and self-loop."""


def encode(molecule: Chem.Mol) -> Any:
    """Atoms and bonds of a molecule with its hydrogens, as pretrain-gnns reads them.

    Raises
    ------
    UnsupportedMoleculeError
        If an atom, tag or bond is outside the featurisation: of four chiralities in the released code, the
        network has three.
    """
    try:
        return encode_atoms(Chem.AddHs(molecule))
    except UnsupportedMoleculeError as error:
        raise UnsupportedMoleculeError(str(error).replace("pretrain-gnns", "MolCLR")) from error


def batch_molecules(molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
    """Turn molecules into one disconnected graph, as pretrain-gnns does."""
    return MoleculeBatch.of(molecules, encode, collate)
