"""Precomputed features as an encoder, named ``features:FILE``: each molecule is found by its SMILES.

So features of other tools stand beside named encoders in one ranking. ``molrate score --features`` ranks
files alone, by the order of their rows, and needs no SMILES.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.data.molecules import standardise
from molrate.encoders.base import Encoder
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.errors import InputError, UsageError
from molrate.files.columns import SMILES_NAMES
from molrate.files.matrices import FeatureFile, find_features

if TYPE_CHECKING:
    from rdkit import Chem

_FAMILY = "features"
_SMILES = ("canonical_smiles", *SMILES_NAMES)

_Floats = npt.NDArray[np.float32]


class FeatureFileEncoder(Encoder):
    """The matrices of a file with a column of SMILES, each of them a layer.

    Parameters
    ----------
    card : EncoderCard
        Of :meth:`card_of`.
    weights : pathlib.Path
        The file, or a folder of tables.
    seed : int
        Nothing is drawn.
    """

    level = "molecule"

    def __init__(self, card: EncoderCard, weights: Path, seed: int = 0) -> None:
        self.card, self.weights = card, weights
        self.layers = tuple(card.layers)
        self.featurisation = f"{_FAMILY}/1 {card.digest}"

    @classmethod
    def card_of(
        cls, name: str, source: str, weights: Path | None, options: dict[str, Any]
    ) -> tuple[EncoderCard, Path]:
        """Card of a file of features; see :meth:`Encoder.card_of`."""
        if weights is not None:
            raise UsageError(f"{name} has no weights; --weights cannot be used with it")
        path = Path(source)
        files = find_features(path)
        if _smiles_of(files[0]) is None:
            raise InputError(
                f"{path}: no column of SMILES, by which the features of a molecule are found; write one "
                "called smiles, or rank the file by the order of its rows with --features"
            )
        card = EncoderCard(
            name=name,
            title=f"features in {path.name}",
            description=f"Precomputed features in {path}, found by the SMILES of each row.",
            family=_FAMILY,
            kind="pretrained",
            weights={"given": str(path), "sha256": _digest(files[0])},
            input="the SMILES of a molecule, to find its row",
            layers={file.layer: file.shape[1] for file in files},
            labels_seen=None,
            trainable=False,
        )
        return card, path

    @classmethod
    def reads_files(cls) -> bool:
        """Features are nothing but files."""
        return True

    def identity(self) -> dict[str, str]:
        """Digest of the file."""
        return {"weights": str(self.card.digest), "config": "none"}

    @cached_property
    def _matrices(self) -> dict[str, _Floats]:
        return {file.layer: file.read().astype(np.float32) for file in find_features(self.weights)}

    @cached_property
    def _rows(self) -> dict[str, int]:
        """First row of each molecule, as it is written and as its largest fragment.

        Raises
        ------
        InputError
            If two rows of one molecule differ.
        """
        texts = _smiles_of(find_features(self.weights)[0]) or []
        whole = standardise(texts, "none").canonical.tolist()
        rows: dict[str, int] = {}
        for row, text in enumerate(whole):
            first = rows.setdefault(text, row) if text else row
            if not self._are_same(first, row):
                raise InputError(
                    f"{self.weights}: rows {first + 1} and {row + 1} are of one molecule, {text}, with other "
                    "features; keep one of them"
                )
        salts = [row for row, text in enumerate(whole) if "." in text]
        largest = standardise([texts[row] for row in salts]).canonical.tolist()
        for row, text in zip(salts, largest, strict=True):
            rows.setdefault(text, row)
        return rows

    def _are_same(self, first: int, second: int) -> bool:
        return first == second or all(
            np.array_equal(matrix[first], matrix[second], equal_nan=True)
            for matrix in self._matrices.values()
        )

    def prepare(self) -> None:
        """Read the file."""
        _ = self._rows

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Find the row of each molecule; those that have none, or no numbers there, are reported."""
        from rdkit import Chem

        found: dict[int, int] = {}
        errors: dict[int, str] = {}
        for place, molecule in enumerate(molecules):
            row = self._rows.get(Chem.MolToSmiles(molecule))
            if row is None:
                errors[place] = f"no row of {self.weights.name} has this molecule"
            elif not all(np.isfinite(matrix[row]).all() for matrix in self._matrices.values()):
                errors[place] = f"row {row + 1} of {self.weights.name} has values that are not finite"
            else:
                found[place] = row
        rows = list(found.values())
        content = {layer: matrix[rows] for layer, matrix in self._matrices.items()}
        return MoleculeBatch(content, list(found), errors)

    def forward(self, content: dict[str, _Floats], device: str = "cpu") -> dict[str, _Floats]:
        """Return the features, each layer of shape (n_found, d)."""
        return content


def _smiles_of(file: FeatureFile) -> list[str] | None:
    """SMILES of the rows, or None if no column has them."""
    keys = file.keys()
    return next((keys[name] for name in _SMILES if any(keys.get(name, ()))), None)


def _digest(file: FeatureFile) -> str:
    """SHA-256 of a file, or of those of a folder one behind the other."""
    digest = hashlib.sha256()
    for part in file.parts or (file,):
        digest.update(part.path.read_bytes())
    return digest.hexdigest()
