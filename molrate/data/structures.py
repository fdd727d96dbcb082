"""Rows of files to SMILES: blocks of an SDF are parsed, what is too large is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from rdkit import Chem, rdBase

from molrate.data.molecules import Molecules
from molrate.files.library import Row

MAX_ATOMS = 1000
"""Atoms, hydrogens aside, of the largest molecule that is computed unless told otherwise."""

_CHARACTERS_PER_ATOM = 5
_ATOMS_WITH_HYDROGENS = 3
"""Atoms of a record, hydrogens with them, for each heavy atom; more are not worth the time to count."""


def smiles_of_rows(rows: Sequence[Row], max_atoms: int = MAX_ATOMS) -> tuple[list[str], dict[int, str]]:
    """SMILES of rows, empty where a row cannot be read, and the reasons by position.

    Parameters
    ----------
    rows : sequence of Row
    max_atoms : int
        Texts that can only be of larger molecules are not parsed.

    Returns
    -------
    list of str, dict of int to str
    """
    texts, unreadable = [], {}
    limit = _CHARACTERS_PER_ATOM * max_atoms
    for position, row in enumerate(rows):
        text, error = row.text, row.error
        if not error and row.structure:
            text, error = smiles_of_structure(text, max_atoms)
        elif not error and len(text) > limit and "|" not in text:
            error = f"SMILES of {len(text)} characters, more than {limit} (--max-atoms {max_atoms})"
        if error:
            unreadable[position] = error
        texts.append("" if error else text)
    return texts, unreadable


def smiles_of_structure(block: str, max_atoms: int = MAX_ATOMS) -> tuple[str, str]:
    """SMILES of a structure of an SDF (V2000 or V3000), and why there is none.

    What a SMILES cannot say, such as enhanced stereo, stands behind it between bars as in CXSMILES.
    """
    with rdBase.BlockLogs():
        unchecked = Chem.MolFromMolBlock(block, sanitize=False, removeHs=False)
        n_atoms = 0 if unchecked is None else unchecked.GetNumAtoms()
        if n_atoms > _ATOMS_WITH_HYDROGENS * max_atoms:
            return "", f"{n_atoms} atoms, more than {max_atoms} (--max-atoms)"
        molecule = Chem.MolFromMolBlock(block)
    if molecule is None:
        return "", "RDKit cannot read this record"
    if not molecule.GetNumAtoms():
        return "", "record has no atoms"
    smiles = Chem.MolToSmiles(molecule)
    if "*" in smiles or "V3000" in block or "M  STY" in block:
        return _extended_smiles(molecule), ""
    return smiles, ""


def _extended_smiles(molecule: Chem.Mol) -> str:
    """SMILES with those extensions that leave open which molecule it is."""
    fields = Chem.CXSmilesFields
    wanted = (
        fields.CX_ATOM_LABELS
        | fields.CX_ENHANCEDSTEREO
        | fields.CX_LINKNODES
        | fields.CX_POLYMER
        | fields.CX_BOND_CFG
    )
    return str(Chem.MolToCXSmiles(molecule, Chem.SmilesWriteParams(), int(wanted)))


def limit_atoms(molecules: Molecules, max_atoms: int = MAX_ATOMS) -> Molecules:
    """Molecules without those of more atoms, which are said to be too large."""
    errors, canonical = molecules.errors.copy(), molecules.canonical.copy()
    too_large = set()
    for row in np.flatnonzero(molecules.valid):
        # There are no fewer characters than atoms.
        if len(canonical[row]) > max_atoms:
            n_atoms = Chem.MolFromSmiles(canonical[row], sanitize=False).GetNumAtoms()
            if n_atoms > max_atoms:
                errors[row], canonical[row] = f"{n_atoms} atoms, more than {max_atoms} (--max-atoms)", ""
                too_large.add(int(row))
    return replace(
        molecules, canonical=canonical, errors=errors, unsupported=molecules.unsupported | too_large
    )
