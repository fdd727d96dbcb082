"""SMILES to standardised molecules, one result per input row, with the reason for each failure."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdmolops

from molrate.data.cxsmiles import dropped_extension, split_extension, unsupported_extension
from molrate.errors import InputError, UsageError
from molrate.files.columns import SMILES_NAMES

STANDARDISATIONS = ("largest-fragment", "none")
STANDARDISATION = "standardisation/2"
"""Version of :func:`standardise`, raised with every change of what it gives: it is part of the key of cached
embeddings."""


@dataclass(frozen=True)
class Molecules:
    """Parsed molecules in input order; every array has one entry per input row.

    Attributes
    ----------
    smiles : ndarray of str, shape (n,)
        As given.
    canonical : ndarray of str, shape (n,)
        RDKit canonical SMILES after standardisation; empty where the row is invalid. Encoders see
        this form, so that equal molecules get equal embeddings however their SMILES was written.
    errors : ndarray of str, shape (n,)
        Why the row is invalid; empty where it is valid.
    standardisation : str
        The policy applied, one of ``STANDARDISATIONS``.
    dropped : dict of int to str
        SMILES of the counter-ions, solvents and other smaller fragments that valid rows lost, by row.
    parsed : dict of str to rdkit.Chem.Mol, or None
        Molecules kept by canonical SMILES, some 40 kB each, where they were asked for.
    notes : dict of int to str
        What else valid rows lost, by row.
    unsupported : frozenset of int
        Rows that are invalid because they leave open which molecule they are, or are too large.
    """

    smiles: npt.NDArray[np.object_]
    canonical: npt.NDArray[np.object_]
    errors: npt.NDArray[np.object_]
    standardisation: str
    dropped: dict[int, str]
    parsed: dict[str, Chem.Mol] | None = field(default=None, repr=False, compare=False)
    notes: dict[int, str] = field(default_factory=dict)
    unsupported: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.smiles)

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Mask of usable rows, shape (n,)."""
        return np.asarray(self.errors == "", dtype=bool)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical SMILES in order."""
        return hashlib.sha256("\n".join(self.canonical).encode()).hexdigest()

    @property
    def n_stripped(self) -> int:
        """Valid rows that lost a smaller fragment."""
        return len(self.dropped)

    @property
    def n_duplicates(self) -> int:
        """Valid rows whose molecule already stands in an earlier row."""
        valid = self.canonical[self.valid]
        return len(valid) - len(set(valid))

    def left_out(self, quoted: bool = True) -> list[str]:
        """A sentence on rows that are not usable, if there are any.

        Parameters
        ----------
        quoted : bool
            Whether what they hold and why it is invalid are told beside their numbers.
        """
        n_invalid = int(np.sum(~self.valid))
        return (
            [f"{n_invalid} invalid SMILES left out: {self.describe_invalid(quoted=quoted)}"]
            if n_invalid
            else []
        )

    def molecule(self, row: int | np.integer[Any]) -> Chem.Mol:
        """Molecule of a valid row, as its canonical SMILES is read.

        Raises
        ------
        InputError
            As :func:`parse_canonical`.
        """
        canonical = self.canonical[row]
        if self.parsed is None:
            return parse_canonical(canonical)
        if canonical not in self.parsed:
            self.parsed[canonical] = parse_canonical(canonical)
        return self.parsed[canonical]

    def describe_invalid(self, limit: int = 3, *, quoted: bool = True) -> str:
        """The first invalid rows, counted from 1, for messages; with what they hold and why, or not."""
        rows = np.flatnonzero(~self.valid)
        reasons = [f" {self.smiles[row]!r}: {self.errors[row]}" if quoted else "" for row in rows[:limit]]
        shown = [f"row {row + 1}{reason}" for row, reason in zip(rows, reasons, strict=False)]
        more = f"; and {len(rows) - limit} more" if len(rows) > limit else ""
        return "; ".join(shown) + more


def standardise(
    smiles: Sequence[str], standardisation: str = "largest-fragment", keep: bool = False
) -> Molecules:
    """Parse SMILES and bring each molecule into its standard form.

    Parameters
    ----------
    smiles : sequence of str, length n
    standardisation : {"largest-fragment", "none"}
        ``largest-fragment`` keeps the fragment with most heavy atoms (then the heaviest, then the
        first by canonical SMILES, whatever the order they are written in) and so drops counter-ions;
        ``none`` keeps all. Charges, tautomers and stereo marks are left as written under both, and atom
        map numbers are left out.
    keep : bool
        Whether molecules are kept, so that each is parsed once: for no more than some thousands.

    Raises
    ------
    UsageError
        If the standardisation is unknown.
    """
    if standardisation not in STANDARDISATIONS:
        known = ", ".join(STANDARDISATIONS)
        raise UsageError(f"unknown standardisation {standardisation!r}; known: {known}")
    canonical = np.full(len(smiles), "", dtype=object)
    errors = np.full(len(smiles), "", dtype=object)
    parsed: dict[str, Chem.Mol] | None = {} if keep else None
    notes: dict[int, str] = {}
    unsupported: set[int] = set()
    smaller: dict[int, str] = {}
    with rdBase.BlockLogs():
        for row, text in enumerate(smiles):
            molecule = parse_smiles(text)
            if molecule is None:
                errors[row] = explain_failure(text)
                if _is_extended(text) and _explain_text(text) == errors[row]:
                    unsupported.add(row)
                continue
            if _is_extended(text) and (lost := dropped_extension(text)):
                notes[row] = lost
            if _is_mapped(text, molecule):
                molecule = _unmapped(molecule)
                notes[row] = "; ".join(filter(None, [notes.get(row, ""), "atom map numbers left out"]))
            if standardisation == "largest-fragment" and "." in text:
                molecule, dropped = _largest_fragment(molecule)
                if dropped:
                    smaller[row] = dropped
            canonical[row] = Chem.MolToSmiles(molecule)
            # Written differently, atoms have another order and bonds another direction.
            if parsed is not None and canonical[row] == text:
                parsed[text] = molecule
    given = np.array([str(text) for text in smiles], dtype=object)
    return Molecules(
        given,
        canonical,
        errors,
        standardisation,
        smaller,
        parsed,
        notes,
        frozenset(unsupported),
    )


def parse_canonical(canonical: str) -> Chem.Mol:
    """Molecule of a canonical SMILES that :func:`standardise` wrote.

    Raises
    ------
    InputError
        If RDKit cannot read back its own SMILES (seen for rare valence models only).
    """
    with rdBase.BlockLogs():
        molecule = parse_smiles(canonical)
    if molecule is None:
        raise InputError(f"RDKit wrote {canonical!r} but cannot read it: {explain_failure(canonical)}")
    return molecule


def parse_smiles(text: object) -> Chem.Mol | None:
    """Molecule of a SMILES, with an extension or without; None if it is not a usable one."""
    if not isinstance(text, str) or not text:
        return None
    if (not text.isascii() or not text.isprintable() or " " in text) and _explain_text(text):
        return None
    molecule = Chem.MolFromSmiles(text.strip())
    return molecule if molecule is not None and molecule.GetNumAtoms() else None


def explain_failure(text: object) -> str:
    """Say why a SMILES is not a usable molecule, in RDKit's words where it has any."""
    if not isinstance(text, str) or not text.strip():
        return "no SMILES"
    problem = _explain_text(text)
    if problem:
        return problem
    smiles, *block = text.strip().split(None, 1)
    with rdBase.BlockLogs():
        unchecked = Chem.MolFromSmiles(smiles, sanitize=False)
        if unchecked is None:
            return _explain_syntax(smiles)
        if not unchecked.GetNumAtoms():
            return "SMILES has no atoms"
        problems = rdmolops.DetectChemistryProblems(unchecked)
    if not problems and block:
        return "RDKit cannot read the extension of this CXSMILES"
    return problems[0].Message() if problems else "RDKit cannot sanitise this molecule"


def _explain_syntax(smiles: str) -> str:
    """Say what text is that has not the form of a SMILES."""
    if smiles.casefold() in SMILES_NAMES:
        return "the name of a column, not a SMILES (a .smi file has no header line)"
    if smiles[0] in "\"'" and smiles[-1] == smiles[0]:
        return "SMILES in quotation marks, which belong to cells of csv only"
    return "SMILES syntax error"


def _is_mapped(text: str, molecule: Chem.Mol) -> bool:
    """Whether atoms have map numbers, which say nothing of the molecule."""
    return ":" in text and any(atom.GetAtomMapNum() for atom in atoms_of(molecule))


def _unmapped(molecule: Chem.Mol) -> Chem.Mol:
    """The molecule as if read without map numbers, for which RDKit keeps hydrogens and descriptors differ."""
    copy = Chem.Mol(molecule)
    for atom in atoms_of(copy):
        atom.SetAtomMapNum(0)
    plain = Chem.MolFromSmiles(Chem.MolToSmiles(copy))
    return copy if plain is None else plain


def _is_extended(text: object) -> bool:
    return isinstance(text, str) and "|" in text and split_extension(text.strip()) is not None


def _explain_text(text: str) -> str:
    """Why a text is no SMILES before any chemistry: RDKit would read it up to the first blank.

    Empty if it is one, with an extension or without, whatever blanks are around it.
    """
    text = text.strip()
    extended = split_extension(text)
    smiles = text if extended is None else extended[0]
    strange = next((character for character in smiles if not "!" <= character <= "~"), None)
    if strange is not None:
        if strange == "\0":
            return "SMILES contains a NUL character"
        if strange in "\r\n":
            return "SMILES contains a line break; text after it was not read"
        if strange in " \t":
            return "SMILES contains white space; text after it was not read"
        name = unicodedata.name(strange, "control character")
        return (
            f"SMILES contains a character that is not ASCII or not printable: U+{ord(strange):04X} ({name})"
        )
    return "" if extended is None else unsupported_extension(*extended)


def atoms_of(molecule: Chem.Mol) -> list[Chem.Atom]:
    """Atoms in order, in about half the time that RDKit's own sequence of them takes."""
    return list(map(molecule.GetAtomWithIdx, range(molecule.GetNumAtoms())))


def bonds_of(molecule: Chem.Mol) -> list[Chem.Bond]:
    """Bonds in order, see :func:`atoms_of`."""
    return list(map(molecule.GetBondWithIdx, range(molecule.GetNumBonds())))


def _largest_fragment(molecule: Chem.Mol) -> tuple[Chem.Mol, str]:
    """The largest fragment, and SMILES of the others."""
    fragments = rdmolops.GetMolFrags(molecule, asMols=True)
    sizes = [(fragment.GetNumHeavyAtoms(), _mass(fragment)) for fragment in fragments]
    largest = [fragment for fragment, size in zip(fragments, sizes, strict=True) if size == max(sizes)]
    kept = largest[0] if len(largest) == 1 else min(largest, key=Chem.MolToSmiles)
    dropped = [Chem.MolToSmiles(fragment) for fragment in fragments if fragment is not kept]
    return kept, ".".join(sorted(dropped))


def _mass(molecule: Chem.Mol) -> float:
    # Rounded once, so that the order of atoms does not decide between fragments of one composition.
    return math.fsum(atom.GetMass() for atom in atoms_of(molecule))
