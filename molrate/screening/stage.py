"""What is done with a chunk of a library: a table with one row for each of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molrate.data.molecules import Molecules, standardise
from molrate.data.structures import MAX_ATOMS
from molrate.embedding.embed import embed_one
from molrate.embedding.table import RowMolecules, failures
from molrate.encoders.base import Encoder, load_encoder
from molrate.encoders.workers import pack_registered, rebuild
from molrate.errors import UsageError
from molrate.files.library import Chunk, Row
from molrate.files.output import file_digest
from molrate.models.head import RankingColumn
from molrate.models.model import RECORD, TunedModel
from molrate.models.prediction import Columns, Predictor

_BLOCK = 1000
"""Rows whose molecules are in memory together, at some 40 kB each."""


class Stage(ABC):
    """A step of a pipeline, sent to workers as its settings and made ready there.

    Attributes
    ----------
    max_atoms : int
        Larger molecules are reported and not computed.
    """

    max_atoms: int

    def __reduce__(self) -> tuple[Any, ...]:
        """Settings only: workers read weights themselves. Encoders registered from Python go along."""
        return rebuild, (type(self), astuple(self), pack_registered())  # type: ignore[call-overload]

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
            See :meth:`molrate.embedding.table.RowMolecules.table`.
        """
        rows = chunk.rows
        # A library without rows is a table of a header.
        blocks = [rows[start : start + _BLOCK] for start in range(0, len(rows) or 1, _BLOCK)]
        return pd.concat([self._table(block, chunk.labelled) for block in blocks], ignore_index=True)

    def _table(self, rows: Sequence[Row], labelled: bool) -> pd.DataFrame:
        entries = RowMolecules.read(rows, self.standardisation, self.max_atoms, keep=True)
        return entries.table(*self.columns(entries.molecules), labelled)


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
        embedding = embed_one(
            standardise(["C"]), self._encoder, [self._layer], self.pooling, self.device, False
        )
        return embedding.layers[self._layer].shape[1]

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
        embedding = embed_one(molecules, self._encoder, [self._layer], self.pooling, self.device, cache=False)
        missing = np.full((len(molecules), self._width), np.nan, dtype=np.float32)
        vectors = embedding.layers.get(self._layer, missing)
        columns = {f"x{dimension}": vectors[:, dimension] for dimension in range(vectors.shape[1])}
        return columns, failures(molecules, embedding)


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
    def _predictor(self) -> Predictor:
        return Predictor(TunedModel.load(self.folder), self.level, self.device)

    @property
    def model(self) -> TunedModel:
        """The model that predicts."""
        return self._predictor.model

    @property
    def predicted(self) -> list[str]:
        """Columns of predictions, the first target's first."""
        return self._predictor.model.columns

    def order_by(self, positive: str | None = None) -> RankingColumn:
        """The column that molecules are ranked by, see :meth:`molrate.models.head.Task.order_by`."""
        return self._predictor.model.task.order_by(positive)

    @property
    def standardisation(self) -> str:
        """The model's."""
        return self._predictor.standardisation

    def prepare(self) -> None:
        """Read the model and the fingerprints of its training molecules."""
        self._predictor.prepare()

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
        return {name: Path(self.folder) / name for name in (RECORD, *self.model.record["files"])}

    def columns(self, molecules: Molecules) -> tuple[Columns, dict[int, str]]:
        """Predictions, their bounds or label sets, and ``similarity``."""
        return self._predictor.columns(molecules)
