"""Baselines without learned weights, which a pretrained encoder has to beat."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.encoders.base import Encoder
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.cards import EncoderCard, encoder_cards
from molrate.errors import UsageError
from molrate.paths import shipped

if TYPE_CHECKING:
    from rdkit import Chem


_MOLECULES_PER_PROCESS = 20


class _MoleculeEncoder(Encoder):
    """An encoder whose only layer has one vector per molecule, which RDKit computes."""

    level = "molecule"

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        if weights is not None:
            raise UsageError(f"{card.name} has no weights; --weights cannot be used with it")
        self.card = card
        self.layers = (card.config["layer"],)
        self.featurisation = f"{card.family}/1"

    @classmethod
    def card_of(
        cls, name: str, source: str, weights: Path | None, options: dict[str, Any]
    ) -> tuple[EncoderCard, Path | None]:
        """Refuse a file, as there are no weights; see :meth:`Encoder.card_of`."""
        family = name.partition(":")[0]
        names = [card.name for card in encoder_cards().values() if card.family == family]
        raise UsageError(
            f"{name}: {family} has no weights and reads no file; its encoder is {', '.join(names)}"
        )

    def identity(self) -> dict[str, str]:
        """Settings of the baseline; RDKit's version is part of every cache key already."""
        return {"weights": "none", "config": json.dumps(self.card.config, sort_keys=True)}

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Return the molecules themselves as the batch."""
        return MoleculeBatch(list(molecules), list(range(len(molecules))), {})


class ECFPEncoder(_MoleculeEncoder):
    """Extended-connectivity fingerprint bits (Rogers & Hahn 2010) from RDKit's Morgan generator."""

    def forward(self, content: list[Chem.Mol], device: str = "cpu") -> dict[str, npt.NDArray[np.float32]]:
        """Compute fingerprints, shape (n_molecules, n_bits), always on the CPU."""
        from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

        config = self.card.config
        generator = GetMorganGenerator(radius=config["radius"], fpSize=config["n_bits"])
        bits = np.zeros((len(content), config["n_bits"]), dtype=np.float32)
        for row, molecule in enumerate(content):
            bits[row] = generator.GetFingerprintAsNumPy(molecule)
        return {self.layers[0]: bits}


class DescriptorEncoder(_MoleculeEncoder):
    """RDKit's 2D descriptors, standardised with fixed means and deviations.

    The file ``normalisation.json`` beside the card lists the descriptors with their means and standard
    deviations over a reference sample of drug-like molecules, so that the vector of a molecule does not
    depend on the dataset it is in. Standardised values are clipped at +-``limit``. Molecules of more than
    ``max_atoms`` heavy atoms are not supported.
    """

    @cached_property
    def _normalisation(self) -> dict[str, list[float]]:
        path = shipped("pretrained") / self.card.name / "normalisation.json"
        normalisation: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8"))
        return normalisation["descriptors"]  # type: ignore[return-value]

    def identity(self) -> dict[str, str]:
        """Settings, descriptors and normalisation."""
        normalisation = json.dumps(self._normalisation, sort_keys=True)
        digest = hashlib.sha256(normalisation.encode()).hexdigest()
        return {**super().identity(), "normalisation": f"sha256:{digest}"}

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Compute raw descriptors, shape (n_described, n_descriptors), of molecules that have all of them.

        Their cost grows with the square of the number of atoms and more, to about a second at the card's
        ``max_atoms``; larger molecules are not described.
        """
        limit = self.card.config["max_atoms"]
        sizes = [molecule.GetNumAtoms() for molecule in molecules]
        small = np.array([row for row, size in enumerate(sizes) if size <= limit], dtype=np.intp)
        raw = descriptors([molecules[row] for row in small], list(self._normalisation))
        described = np.isfinite(raw).all(axis=1)
        errors = {
            row: f"{size} atoms, more than the {limit} that {self.name} describes"
            for row, size in enumerate(sizes)
            if size > limit
        }
        reason = "RDKit leaves some 2D descriptors of this molecule undefined"
        errors |= {int(row): reason for row in small[~described]}
        return MoleculeBatch(raw[described], [int(row) for row in small[described]], errors)

    def forward(
        self, content: npt.NDArray[np.float64], device: str = "cpu"
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Standardise descriptors, shape (n_described, n_descriptors)."""
        mean, deviation = np.array(list(self._normalisation.values())).T
        limit = self.card.config["limit"]
        return {self.layers[0]: np.clip((content - mean) / deviation, -limit, limit).astype(np.float32)}


def descriptors(molecules: Sequence[Chem.Mol], names: list[str]) -> npt.NDArray[np.float64]:
    """RDKit descriptors by name, shape (n_molecules, n_names); NaN where a descriptor is undefined.

    They take milliseconds per molecule, so all cores share the work, but in a process that is one of several
    workers: the cores are busy there, and processes of its own would keep it from ending.
    """
    from joblib import Parallel, cpu_count, delayed

    n_parts = min(cpu_count(), len(molecules) // _MOLECULES_PER_PROCESS)
    if n_parts < 2 or parent_process() is not None:
        return np.array(_descriptor_rows(molecules, names)).reshape(len(molecules), len(names))
    parts = [list(molecules[start::n_parts]) for start in range(n_parts)]
    rows = np.empty((len(molecules), len(names)))
    results = Parallel(n_jobs=n_parts)(delayed(_descriptor_rows)(part, names) for part in parts)
    for start, result in enumerate(results):
        rows[start::n_parts] = result
    return rows


def _descriptor_rows(molecules: Sequence[Chem.Mol], names: list[str]) -> list[list[float]]:
    from rdkit.Chem import Descriptors

    functions = dict(Descriptors.descList)

    def value(name: str, molecule: Chem.Mol) -> float:
        try:
            return float(functions[name](molecule))
        except ZeroDivisionError:
            # RDKit divides by a count of heavy atoms or charges that is zero, as for H2 and bare protons.
            return float("nan")

    return [[value(name, molecule) for name in names] for molecule in molecules]
