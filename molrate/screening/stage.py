"""What is done with a chunk of a library: a table with one row for each of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem, rdBase

from molrate.data.molecules import Molecules, standardise
from molrate.embedding.embed import embed_one
from molrate.encoders.base import Encoder, load_encoder
from molrate.errors import UsageError
from molrate.files.library import Chunk, Row
from molrate.files.output import file_digest
from molrate.models.applicability import Domain
from molrate.models.calibration import uncertainty_columns
from molrate.models.head import RankingColumn
from molrate.models.model import ENCODER, HEAD, RECORD, TRAINING, TunedModel

MAX_ATOMS = 1000
_CHARACTERS_PER_ATOM = 5
_BLOCK = 1000
"""Rows whose molecules are in memory together, at some 40 kB each."""
_ATOMS_WITH_HYDROGENS = 3
"""Atoms of a record, hydrogens with them, for each heavy atom; more are not worth the time to count."""

Columns = dict[str, npt.NDArray[Any]]


class Stage(ABC):
    """A step of a pipeline, sent to workers as its settings and made ready there.

    Attributes
    ----------
    max_atoms : int
        Larger molecules are reported and not computed.
    """

    max_atoms: int

    def __reduce__(self) -> tuple[type[Stage], tuple[Any, ...]]:
        """Settings only: workers read weights themselves."""
        return type(self), astuple(self)  # type: ignore[call-overload]

    @abstractmethod
    def prepare(self) -> None:
        """Read all that it needs.

        Raises
        ------
        MolrateError
            If something is missing or damaged.
        """

    @property
    @abstractmethod
    def standardisation(self) -> str:
        """Form that molecules are brought into."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """All that changes its numbers, as plain values."""

    @abstractmethod
    def columns(self, molecules: Molecules) -> tuple[Columns, dict[int, str]]:
        """Columns with a value for each molecule, and the reason where there is none, by row."""

    def table(self, chunk: Chunk) -> pd.DataFrame:
        """Rows of a chunk, in order, with what the stage gives for them.

        Returns
        -------
        pandas.DataFrame
            Columns source, row, id, label (where the library has them), smiles (as given; of an SDF record
            as RDKit reads it), canonical_smiles, those of the stage, status (``ok``, ``unreadable``,
            ``invalid`` or ``unsupported``) and error.
        """
        rows = chunk.rows
        blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]
        return pd.concat([self._table(block, chunk.labelled) for block in blocks], ignore_index=True)

    def _table(self, rows: Sequence[Row], labelled: bool) -> pd.DataFrame:
        texts, unreadable = _read(rows, self.max_atoms)
        molecules = _limit_atoms(standardise(texts, self.standardisation, keep=True), self.max_atoms)
        columns, failed = self.columns(molecules)
        status = np.where(molecules.valid, "ok", "invalid").astype(object)
        errors = molecules.errors.copy()
        for row, reason in failed.items():
            status[row], errors[row] = "unsupported", reason
        for row, reason in unreadable.items():
            status[row], errors[row] = "unreadable", reason
        about = {
            "source": [row.source for row in rows],
            "row": np.array([row.number for row in rows], dtype=np.int64),
            "id": [row.id for row in rows],
            **({"label": [row.label for row in rows]} if labelled else {}),
            "smiles": [text or _one_line(row.text) for text, row in zip(texts, rows, strict=True)],
            "canonical_smiles": molecules.canonical,
        }
        return pd.DataFrame({**about, **columns, "status": status, "error": errors})


def _read(rows: Sequence[Row], max_atoms: int) -> tuple[list[str], dict[int, str]]:
    """SMILES of rows, empty where a row cannot be read, and the reasons."""
    texts, unreadable = [], {}
    limit = _CHARACTERS_PER_ATOM * max_atoms
    for position, row in enumerate(rows):
        text, error = row.text, row.error
        if not error and "\n" in text:
            text, error = _smiles_of_block(text, max_atoms)
        elif not error and len(text) > limit:
            error = f"SMILES of {len(text)} characters, more than {limit} (--max-atoms {max_atoms})"
        if error:
            unreadable[position] = error
        texts.append("" if error else text)
    return texts, unreadable


def _smiles_of_block(block: str, max_atoms: int) -> tuple[str, str]:
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
    return Chem.MolToSmiles(molecule), ""


def _one_line(text: str) -> str:
    """What stands for a row that cannot be read; of a record its name."""
    return text.split("\n", 1)[0][:200]


def _limit_atoms(molecules: Molecules, max_atoms: int) -> Molecules:
    """Molecules without those of more atoms, which are said to be too large."""
    errors, canonical = molecules.errors.copy(), molecules.canonical.copy()
    for row in np.flatnonzero(molecules.valid):
        # There are no fewer characters than atoms.
        if len(canonical[row]) > max_atoms:
            n_atoms = Chem.MolFromSmiles(canonical[row], sanitize=False).GetNumAtoms()
            if n_atoms > max_atoms:
                errors[row], canonical[row] = f"{n_atoms} atoms, more than {max_atoms} (--max-atoms)", ""
    return replace(molecules, canonical=canonical, errors=errors)


@dataclass(frozen=True)
class EmbeddingStage(Stage):
    """Embeddings of one layer of an encoder, a column for each dimension."""

    encoder: str
    weights: str | None = None
    layer: str = "last"
    pooling: str = "mean"
    policy: str = "largest-fragment"
    seed: int = 0
    precision: str = "fp32"
    device: str = "cpu"
    max_atoms: int = MAX_ATOMS

    @cached_property
    def _encoder(self) -> Encoder:
        return load_encoder(self.encoder, self.weights, self.seed, self.precision)

    @cached_property
    def _width(self) -> int:
        vector, _ = _embed(self._encoder, self._layer, self.pooling, standardise(["C"]), self.device)
        return vector.shape[1]

    @property
    def _layer(self) -> str:
        layers = self._encoder.select_layers(self.layer)
        if len(layers) > 1:
            raise UsageError(
                f"--layer {self.layer}: a library is embedded by one layer; {self._encoder.name} has "
                f"{', '.join(layers)}"
            )
        return layers[0]

    @property
    def standardisation(self) -> str:
        """As asked for."""
        return self.policy

    def prepare(self) -> None:
        """Read the weights and see how wide the layer is."""
        self._encoder.prepare()
        assert self._width

    def identity(self) -> dict[str, Any]:
        """The settings, and the digest of the weights."""
        settings = {name: value for name, value in asdict(self).items() if name != "weights"}
        return {"stage": "embed", **settings, "layer": self._layer, "encoder": self._encoder.identity()}

    def columns(self, molecules: Molecules) -> tuple[Columns, dict[int, str]]:
        """``x0``, ``x1``, ..."""
        vectors, failed = _embed(
            self._encoder, self._layer, self.pooling, molecules, self.device, self._width
        )
        return {f"x{dimension}": vectors[:, dimension] for dimension in range(vectors.shape[1])}, failed


@dataclass(frozen=True)
class ScreeningStage(Stage):
    """Predictions of a model with their uncertainty and the nearest molecule it was trained on.

    Attributes
    ----------
    folder : str
        Of a model.
    level : float
        Share of values to lie within the bounds.
    """

    folder: str
    level: float = 0.9
    device: str = "cpu"
    max_atoms: int = MAX_ATOMS

    @cached_property
    def _model(self) -> TunedModel:
        return TunedModel.load(self.folder)

    @cached_property
    def _domain(self) -> Domain:
        return Domain(self._model.training)

    @property
    def predicted(self) -> list[str]:
        """Columns of predictions, the first target's first."""
        return self._model.columns

    def order_by(self, positive: str | None = None) -> RankingColumn:
        """The column that molecules are ranked by, see :meth:`molrate.models.head.Task.order_by`."""
        return self._model.task.order_by(positive)

    @property
    def standardisation(self) -> str:
        """The model's."""
        return str(self._model.record["standardisation"])

    def prepare(self) -> None:
        """Read the model and the fingerprints of its training molecules."""
        self._model.encoder.prepare()
        assert self._domain

    def identity(self) -> dict[str, Any]:
        """The settings, and the digest of the model's files."""
        return {
            "stage": "screen",
            "level": self.level,
            "device": self.device,
            "max_atoms": self.max_atoms,
            "model": {name: file_digest(path) for name, path in self._model_files().items()},
        }

    def _model_files(self) -> dict[str, Path]:
        paths = (Path(self.folder) / name for name in (RECORD, ENCODER, HEAD, TRAINING))
        return {path.name: path for path in paths if path.is_file()}

    def columns(self, molecules: Molecules) -> tuple[Columns, dict[int, str]]:
        """Predictions, their bounds or label sets, and ``similarity``."""
        model, record = self._model, self._model.record
        layer, pooling = record["encoder"]["layer"], record["encoder"]["pooling"]
        vectors, failed = _embed(model.encoder, layer, pooling, molecules, self.device)
        values = np.full((len(molecules), model.task.n_outputs), np.nan)
        if vectors.size:
            values = model.values(vectors)
        columns: Columns = dict(model.task.columns(values))
        columns |= uncertainty_columns(model.task, values, record["calibration"], self.level)
        columns["similarity"] = self._domain.nearest(molecules)
        return columns, failed


def _embed(
    encoder: Encoder, layer: str, pooling: str, molecules: Molecules, device: str, width: int = 0
) -> tuple[npt.NDArray[np.float32], dict[int, str]]:
    """Embeddings of one layer with the reason for every molecule that has none.

    Raises
    ------
    MolrateError
        If the encoder cannot run.
    """
    embedding = embed_one(molecules, encoder, [layer], pooling, device, cache=False)
    vectors = embedding.layers.get(layer, np.full((len(molecules), width), np.nan, dtype=np.float32))
    failed = dict(embedding.errors)
    infinite = molecules.valid & ~np.isfinite(vectors).all(axis=1)
    for row in np.flatnonzero(infinite):
        failed.setdefault(int(row), "its embedding is not finite")
    return vectors, failed
