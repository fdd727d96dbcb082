"""Rows of files to SMILES: blocks of an SDF are parsed, what is too large is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from rdkit import Chem, rdBase

from molrate.data.cxsmiles import split_extension
from molrate.data.molecules import Molecules
from molrate.files.library import Row

MAX_ATOMS = 1000
"""Atoms, hydrogens aside, of the largest molecule that is computed unless told otherwise."""

_FIELDS = Chem.CXSmilesFields
_MARKS = ("V3000", "M  STY", "M  RGP", "M  APO")
"""What a block says that has more than a SMILES."""

_TOO_LARGE = "(--max-atoms"
_CHARACTERS_PER_ATOM = 5
_ATOMS_WITH_HYDROGENS = 3
"""Atoms of a record, hydrogens with them, for each heavy atom; more are not worth the time to count."""


def is_too_large(reason: str) -> bool:
    """Whether a row was left out for the size of its molecule."""
    return _TOO_LARGE in reason


class NoSmiles(NamedTuple):
    """Why a row has no SMILES.

    Attributes
    ----------
    status : {"unreadable", "unsupported"}
        Unsupported are rows that can only be of too large molecules.
    reason : str
    """

    status: str
    reason: str


def smiles_of_rows(rows: Sequence[Row], max_atoms: int = MAX_ATOMS) -> tuple[list[str], dict[int, NoSmiles]]:
    """SMILES of rows, empty where there is none, and why by position.

    Parameters
    ----------
    rows : sequence of Row
    max_atoms : int
        Texts that can only be of larger molecules are not parsed.

    Returns
    -------
    list of str, dict of int to NoSmiles
    """
    texts, without = [], {}
    limit = _CHARACTERS_PER_ATOM * max_atoms
    for position, row in enumerate(rows):
        text, error = row.text, row.error
        if not error and row.structure:
            text, error = smiles_of_structure(text, max_atoms)
        elif not error and len(text) > limit and len(text.split(None, 1)[0]) > limit:
            error = f"SMILES of {len(text)} characters, more than {limit} (--max-atoms {max_atoms})"
        if error:
            too_large = not row.error and is_too_large(error)
            without[position] = NoSmiles("unsupported" if too_large else "unreadable", error)
        texts.append("" if error else text)
    return texts, without


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
    if "*" in smiles or any(mark in block for mark in _MARKS):
        return _extended_smiles(molecule), ""
    return smiles, ""


def _extended_smiles(molecule: Chem.Mol) -> str:
    """SMILES with those extensions that leave open which molecule it is."""
    wanted = _FIELDS.CX_ENHANCEDSTEREO | _FIELDS.CX_LINKNODES | _FIELDS.CX_POLYMER
    text = str(Chem.MolToCXSmiles(molecule, Chem.SmilesWriteParams(), int(wanted)))
    smiles, block = split_extension(text) or (text, "")
    order = molecule.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"]
    place = {atom: position for position, atom in enumerate(order)}
    blocks = [block, _labels(molecule, list(order)), *_variations(molecule, place)]
    extension = ",".join(filter(None, blocks))
    return f"{smiles} |{extension}|" if extension else smiles


def _labels(molecule: Chem.Mol, order: Sequence[int]) -> str:
    """Labels of R-groups, attachment points and other generic atoms, which RDKit leaves out."""
    labels = []
    for atom in (molecule.GetAtomWithIdx(index) for index in order):
        properties = atom.GetPropsAsDict()
        if "_MolFileRLabel" in properties:
            labels.append(f"_R{properties['_MolFileRLabel']}")
        elif "molAttchpt" in properties:
            labels.append(f"_AP{properties['molAttchpt']}")
        elif not atom.GetAtomicNum() and "dummyLabel" in properties:
            labels.append(f"{properties['dummyLabel']}_p")
        else:
            labels.append("")
    return f"${';'.join(labels)}$" if any(labels) else ""


def _variations(molecule: Chem.Mol, place: Mapping[int, int]) -> Iterator[str]:
    """Bonds that may go to several atoms, which RDKit leaves out."""
    for bond in molecule.GetBonds():
        if bond.HasProp("_MolFileBondEndPts"):
            ends = [int(number) - 1 for number in bond.GetProp("_MolFileBondEndPts").strip("()").split()[1:]]
            atoms = (bond.GetBeginAtom(), bond.GetEndAtom())
            generic = next((atom for atom in atoms if not atom.GetAtomicNum()), atoms[0])
            yield f"m:{place[generic.GetIdx()]}:" + ".".join(str(place[end]) for end in ends)


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
