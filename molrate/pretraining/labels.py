"""Labels of GROVER's self-supervised pretraining: contexts of atoms and bonds, and functional groups."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rdkit import Chem, RDConfig
from rdkit.Chem import rdMolDescriptors, rdPartialCharges

from molrate.data.molecules import atoms_of, bonds_of
from molrate.files.output import write_atomically

_UNDERSCORES = str.maketrans("=-", "__")

OTHER = 1
"""Index of contexts outside the vocabulary; index 0 is kept free for what has no label."""


def atom_contexts(molecule: Chem.Mol) -> list[str]:
    """Name each atom by its element and the number of neighbours of each element and bond type.

    The ``=O`` of a ketone is ``O_C-DOUBLE1``, its carbon ``C_C-SINGLE2_O-DOUBLE1``.
    """
    symbols = [atom.GetSymbol() for atom in atoms_of(molecule)]
    around: list[Counter[str]] = [Counter() for _ in symbols]
    for bond in bonds_of(molecule):
        begin, end, kind = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondType().name
        around[begin][f"{symbols[end]}-{kind}"] += 1
        around[end][f"{symbols[begin]}-{kind}"] += 1
    return [_context(symbol, counts) for symbol, counts in zip(symbols, around, strict=True)]


def bond_contexts(molecule: Chem.Mol) -> list[str]:
    """Name each bond by itself and the bonds at its two ends, in the order of the graph's bonds.

    As released, an adjacent bond is named by the element of the end that it shares with this bond.
    Directions depend on how the SMILES was written.
    """
    symbols = [atom.GetSymbol() for atom in atoms_of(molecule)]
    ends, names = [], []
    at: list[Counter[str]] = [Counter() for _ in symbols]
    for bond in bonds_of(molecule):
        name = f"({bond.GetBondType().name}-{bond.GetStereo().name}-{bond.GetBondDir().name})"
        names.append(name)
        ends.append(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())))
        for atom in ends[-1]:
            at[atom][f"{symbols[atom]}-{name}"] += 1
    contexts = []
    for (low, high), name in sorted(zip(ends, names, strict=True)):
        counts = at[low] + at[high]
        counts[f"{symbols[low]}-{name}"] -= 1
        counts[f"{symbols[high]}-{name}"] -= 1
        contexts.append(_context(name, +counts))
    return contexts


def _context(name: str, counts: Counter[str]) -> str:
    return "_".join([name, *(f"{neighbour}{count}" for neighbour, count in sorted(counts.items()))])


@cache
def _functional_groups() -> dict[str, Chem.Mol]:
    path = Path(RDConfig.RDDataDir) / "FragmentDescriptors.csv"
    groups = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("fr_"):
            name, _, smarts, *_ = line.split("\t")
            groups[name.strip().translate(_UNDERSCORES)] = Chem.MolFromSmarts(smarts)
    return dict(sorted(groups.items()))


def functional_group_names() -> list[str]:
    """Names of the 85 fragments that RDKit counts, in the order of :func:`functional_groups`."""
    return list(_functional_groups())


def functional_groups(molecule: Chem.Mol) -> npt.NDArray[np.float32]:
    """Whether the molecule has each of the 85 fragments."""
    matches = (molecule.HasSubstructMatch(pattern) for pattern in _functional_groups().values())
    return np.fromiter(matches, dtype=np.float32)


ATOM_PROPERTIES = ("logP", "molar refractivity", "polar surface", "surface", "charge")
"""Contributions of atoms, after Wildman and Crippen, Ertl, Labute, and Gasteiger."""

# Rough spread of each property over drug-like molecules, so that all have equal weight.
_PROPERTY_SCALES = np.array([0.4, 1.5, 8.0, 2.5, 0.2], dtype=np.float32)


def atom_properties(molecule: Chem.Mol) -> npt.NDArray[np.float32]:
    """Scaled :data:`ATOM_PROPERTIES` of every atom, shape (n_atoms, 5).

    If Gasteiger's method has no parameters for an atom, its charge is the formal charge.
    """
    crippen = np.array(rdMolDescriptors._CalcCrippenContribs(molecule))
    polar = rdMolDescriptors._CalcTPSAContribs(molecule)
    surface, _ = rdMolDescriptors._CalcLabuteASAContribs(molecule)
    rdPartialCharges.ComputeGasteigerCharges(molecule)
    atoms = atoms_of(molecule)
    charges = np.array([atom.GetDoubleProp("_GasteigerCharge") for atom in atoms])
    formal = np.array([atom.GetFormalCharge() for atom in atoms])
    charges = np.where(np.isfinite(charges), charges, formal)
    return (np.column_stack([crippen, polar, list(surface), charges]) / _PROPERTY_SCALES).astype(np.float32)


@dataclass(frozen=True)
class Vocabulary:
    """Contexts that have an index of their own: 2, 3, ..., the most frequent first, ties by name."""

    contexts: tuple[str, ...]

    @classmethod
    def count(cls, contexts: Iterable[str], min_count: int) -> Vocabulary:
        """Build from all contexts of a sample, or their counts; leave out those rarer than `min_count`."""
        counts = Counter(contexts)
        kept = [context for context, count in counts.items() if count >= min_count]
        return cls(tuple(sorted(kept, key=lambda context: (-counts[context], context))))

    def __len__(self) -> int:
        return len(self.contexts) + 2

    def index(self, contexts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Indices of contexts; unknown contexts have :data:`OTHER`."""
        return np.array([self._places.get(context, OTHER) for context in contexts], dtype=np.int64)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {context: place for place, context in enumerate(self.contexts, start=2)}


@dataclass(frozen=True)
class Vocabularies:
    """The atom and the bond vocabulary of one corpus."""

    atoms: Vocabulary
    bonds: Vocabulary

    @classmethod
    def of(cls, molecules: Iterable[Chem.Mol], min_count: int) -> Vocabularies:
        """Count the contexts of a sample of molecules."""
        atoms: Counter[str] = Counter()
        bonds: Counter[str] = Counter()
        for molecule in molecules:
            atoms.update(atom_contexts(molecule))
            bonds.update(bond_contexts(molecule))
        return cls(Vocabulary.count(atoms, min_count), Vocabulary.count(bonds, min_count))

    def write(self, path: Path) -> None:
        """Write the vocabularies as JSON."""
        record = {"atoms": self.atoms.contexts, "bonds": self.bonds.contexts}
        write_atomically(path, json.dumps(record, indent=1).encode())

    @classmethod
    def read(cls, path: Path) -> Vocabularies:
        """Read a file that :meth:`write` wrote."""
        record = json.loads(path.read_text(encoding="utf-8"))
        return cls(Vocabulary(tuple(record["atoms"])), Vocabulary(tuple(record["bonds"])))
