"""Rows of files to SMILES: blocks of an SDF are parsed, what is too large is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from rdkit import Chem, rdBase

from molrate.data.cxsmiles import split_extension
from molrate.data.molecules import Molecules, atoms_of, bonds_of
from molrate.files.library import Row
from molrate.files.text import not_utf_8

MAX_ATOMS = 1000
"""Atoms, hydrogens aside, of the largest molecule that is computed unless told otherwise."""

_FIELDS = Chem.CXSmilesFields
_MARKS = ("V3000", "M  STY", "M  RGP", "M  APO", "M  LIN")
"""What a block says that has more than a SMILES."""

_ANY_ATOM = "AtomNull"
"""Query of ``*``, which a SMILES can say, and of R-groups and AH, which are told by their symbols."""

_ENDS = "_MolFileBondEndPts"
"""Property of bonds that may go to several atoms."""

_V3000_ATOM = re.compile(r'^M  V30 \d+ ("[^"\n]*"|\S+) ', re.MULTILINE)

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
        Unsupported are rows that can only be of too large molecules, or ask for molecules of a kind.
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
        text, why = row.text, NoSmiles("unreadable", row.error) if row.error else None
        if why is None and row.structure:
            text, why = smiles_of_structure(text, max_atoms)
        elif why is None and len(text) > limit and len(text.split(None, 1)[0]) > limit:
            reason = f"SMILES of {len(text)} characters, more than {limit} (--max-atoms {max_atoms})"
            why = NoSmiles("unsupported", reason)
        if why is not None:
            without[position] = why
        texts.append("" if why else text)
    return texts, without


def smiles_of_structure(block: str, max_atoms: int = MAX_ATOMS) -> tuple[str, NoSmiles | None]:
    """SMILES of a structure of an SDF (V2000 or V3000), and why there is none.

    What a SMILES cannot say, such as enhanced stereo, stands behind it between bars as in CXSMILES.
    """
    spoiled = not_utf_8(block)
    if spoiled:
        return "", NoSmiles("unreadable", f"{spoiled} in the structure")
    with rdBase.BlockLogs():
        unchecked = Chem.MolFromMolBlock(block, sanitize=False, removeHs=False)
        unsupported = "" if unchecked is None else _unsupported(unchecked, block, max_atoms)
        if unsupported:
            return "", NoSmiles("unsupported", unsupported)
        molecule = Chem.MolFromMolBlock(block)
    if molecule is None:
        return "", NoSmiles("unreadable", "RDKit cannot read this record")
    if not molecule.GetNumAtoms():
        return "", NoSmiles("unreadable", "record has no atoms")
    smiles = Chem.MolToSmiles(molecule)
    if "*" in smiles or any(mark in block for mark in _MARKS):
        return _extended_smiles(molecule), None
    return smiles, None


def _unsupported(molecule: Chem.Mol, block: str, max_atoms: int) -> str:
    """Why a structure is too large or asks for molecules of a kind; empty if it does not."""
    n_atoms = molecule.GetNumAtoms()
    if n_atoms > _ATOMS_WITH_HYDROGENS * max_atoms:
        return f"{n_atoms} atoms, more than {max_atoms} (--max-atoms)"
    return (_query(molecule) if molecule.HasQuery() else "") or _generic_atom(molecule, block)


def _query(molecule: Chem.Mol) -> str:
    """The first query of a structure, such as a list of atoms, a count of ring bonds, a bond of any order."""
    for number, atom in enumerate(atoms_of(molecule), start=1):
        if atom.HasQuery() and atom.DescribeQuery().strip() != _ANY_ATOM and not _varies(atom):
            what = "query property of" if atom.GetAtomicNum() else "query"
            return f"{what} atom {number} not supported"
    for number, bond in enumerate(bonds_of(molecule), start=1):
        if bond.HasQuery():
            return f"query bond {number} not supported"
    return ""


def _varies(atom: Chem.Atom) -> bool:
    """Whether an atom is the end of a bond that may go to several, whatever its symbol."""
    return not atom.GetAtomicNum() and any(bond.HasProp(_ENDS) for bond in atom.GetBonds())


def _generic_atom(molecule: Chem.Mol, block: str) -> str:
    """The first atom, no ``*`` and no R-group, that RDKit takes for a ``*``: of symbol AH, L or LP."""
    atoms = atoms_of(molecule)
    if all(map(Chem.Atom.GetAtomicNum, atoms)):
        return ""
    for number, (atom, symbol) in enumerate(zip(atoms, _symbols(block), strict=False), start=1):
        if not atom.GetAtomicNum() and symbol != "*" and not _label(atom) and not _varies(atom):
            return f"query atom {number} ({symbol}) not supported"
    return ""


def _symbols(block: str) -> list[str]:
    """Symbols of the atoms of a block, in order."""
    lines = block.split("\n")
    if "V3000" in lines[3]:
        atoms = block.partition("M  V30 BEGIN ATOM")[2].partition("M  V30 END ATOM")[0]
        return [symbol.strip('"') for symbol in _V3000_ATOM.findall(atoms)]
    return [line[31:34].strip() for line in lines[4 : 4 + int(lines[3][:3])]]


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
    labels = [_label(molecule.GetAtomWithIdx(index)) for index in order]
    return f"${';'.join(labels)}$" if any(labels) else ""


def _label(atom: Chem.Atom) -> str:
    """What an atom stands for; empty of ordinary ones and of ``*``."""
    properties = atom.GetPropsAsDict()
    if "_MolFileRLabel" in properties:
        return f"_R{properties['_MolFileRLabel']}"
    if "molAttchpt" in properties:
        return f"_AP{properties['molAttchpt']}"
    if not atom.GetAtomicNum() and "dummyLabel" in properties:
        return f"{properties['dummyLabel']}_p"
    return ""


def _variations(molecule: Chem.Mol, place: Mapping[int, int]) -> Iterator[str]:
    """Bonds that may go to several atoms, which RDKit leaves out."""
    for bond in molecule.GetBonds():
        if bond.HasProp(_ENDS):
            ends = [int(number) - 1 for number in bond.GetProp(_ENDS).strip("()").split()[1:]]
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
