"""Fine-tuned models: a folder of safetensors and JSON, and predictions from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from molrate.data.frames import FRAME, is_frame, smiles_of, to_pandas
from molrate.data.molecules import Molecules, standardise
from molrate.embedding.embed import Progress, embed_one
from molrate.encoders.base import Encoder, load_encoder
from molrate.encoders.checkpoints import load_state, load_strictly
from molrate.errors import InputError, UsageError, WeightsError
from molrate.files.columns import find_smiles
from molrate.files.output import file_digest, write_atomically
from molrate.models.applicability import Domain
from molrate.models.calibration import uncertainty_columns
from molrate.models.settings import GivenSettings
from molrate.randomness import seeded

if TYPE_CHECKING:
    from torch import nn

    from molrate.data.datasets import Dataset
    from molrate.models.head import Head, Task

RECORD, ENCODER, HEAD = "model.json", "encoder.safetensors", "head.safetensors"
TRAINING = "training.smi"
_FORMAT = 5


class TunedModel:
    """An encoder with a head that predicts one dataset's targets.

    Parameters
    ----------
    encoder : Encoder
        With its fine-tuned weights.
    head : Head
    record : dict
        All that ``model.json`` holds: encoder, task, settings (standardisation, duplicates, layer, pooling,
        precision, weights, positive class and those of training), split, metrics, versions.
    training : list of str
        Canonical SMILES of the molecules it was trained on.
    folder : pathlib.Path, optional
        Where it was read from.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: Head,
        record: dict[str, Any],
        training: list[str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.encoder, self.head, self.record = encoder, head, record
        self.training, self.folder = training or [], folder

    @property
    def task(self) -> Task:
        """What it predicts."""
        from molrate.models.head import Task

        return Task.read(self.record["task"])

    @property
    def columns(self) -> list[str]:
        """Names of predictions, see :meth:`molrate.models.head.Task.columns`."""
        return list(self.task.columns(np.empty((0, self.task.n_outputs))))

    @classmethod
    def load(cls, folder: str | Path) -> TunedModel:
        """Read a folder that ``molrate finetune`` wrote; nothing in it is run.

        Raises
        ------
        WeightsError
            If files are missing, damaged, or of another format.
        """
        from molrate.models.head import Head

        folder = Path(folder)
        record = _read_record(folder / RECORD)
        _check_files(folder, record["files"])
        weights = folder / ENCODER if record["encoder"]["weights"] else None
        precision = record["settings"]["precision"]
        encoder = load_encoder(record["encoder"]["name"], weights, precision=precision)
        state = load_state(folder / HEAD)
        try:
            width, n_outputs = len(state["feature_mean"]), len(state["target_mean"])
        except KeyError as error:
            raise WeightsError(f"{folder / HEAD}: it is no head of a fine-tuned model") from error
        # What is drawn is replaced by what is read.
        with seeded(0):
            head = Head(width, n_outputs, record["settings"]["n_hidden"], record["settings"]["dropout"])
        load_strictly(head, state, folder / HEAD)
        return cls(encoder, head.eval(), record, _read_training(folder / TRAINING), folder)

    @property
    def settings(self) -> dict[str, Any]:
        """How rows became molecules and molecules vectors, and how it was trained, as plain values."""
        settings: dict[str, Any] = self.record["settings"]
        return settings

    def refuse_others(self, given: GivenSettings) -> None:
        """Make sure that settings that are given again are those the model was made with.

        Parameters
        ----------
        given : GivenSettings

        Raises
        ------
        UsageError
            If one is another; it names both.
        """
        kept = {**self.settings, "encoder": self.encoder.name}
        for name, value in given.record().items():
            named = self.encoder.select_layer(value) if name == "layer" else value
            if named != kept[name]:
                raise UsageError(
                    f"--{name} {value}: the model was made with {kept[name]} and predicts with nothing else; "
                    "leave the option out, or make another model"
                )

    def embed(self, molecules: Molecules, device: str = "auto", progress: Progress | None = None) -> Any:
        """Embeddings the head reads, with errors by row; see :func:`molrate.embedding.embed.embed_one`."""
        layer, pooling = self.settings["layer"], self.settings["pooling"]
        return embed_one(molecules, self.encoder, [layer], pooling, device, progress=progress)

    def values(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Outputs of the head for embeddings (n, d), shape (n, n_outputs); NaN where one is not finite."""
        import torch

        values = np.full((len(features), self.task.n_outputs), np.nan)
        usable = np.isfinite(features).all(axis=1)
        n_threads = torch.get_num_threads()
        # Sums of a few rows differ in their last digit with the number of threads.
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                rows = torch.from_numpy(features[usable])
                values[usable] = self.head.predict(rows, self.record["task"]["kind"]).numpy()
        finally:
            torch.set_num_threads(n_threads)
        return values

    @cached_property
    def domain(self) -> Domain:
        """What the model was trained on, for the similarity of other molecules to it."""
        return Domain(self.training)

    def predict(
        self,
        molecules: Any,
        smiles: str | None = None,
        *,
        coverage: float = 0.9,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Predict molecules.

        Parameters
        ----------
        molecules : data frame, or sequence of str or rdkit.Chem.Mol, length n
            A frame of pandas, polars or another library keeps its own columns.
        smiles : str, optional
            Column of SMILES of a frame, found by its usual names if not given.
        coverage : float
            Share of molecules that bounds and label sets are to cover.
        device : str
        progress : callable, optional

        Returns
        -------
        pandas.DataFrame
            One row per molecule in order: the frame's columns, or ``smiles``; ``canonical_smiles``; a column
            for each of :attr:`columns` (values in the target's unit, or the probability of the class in the
            column's name; NaN where there is none), bounds or label sets, ``similarity`` to the nearest
            training molecule, ``status`` (``ok``, ``invalid`` or ``unsupported``) and ``error``.

        Raises
        ------
        InputError
            If a frame has no column of SMILES, or one of the name of a prediction.
        """
        own, texts = _own_columns(molecules, smiles)
        standardised = standardise(texts, self.settings["standardisation"])
        embedding = self.embed(standardised, device, progress)
        values = np.full((len(standardised), self.task.n_outputs), np.nan)
        layer = self.settings["layer"]
        if layer in embedding.layers:
            values = self.values(embedding.layers[layer])
        errors = standardised.errors.copy()
        status = np.where(standardised.valid, "ok", "invalid").astype(object)
        for row, reason in embedding.errors.items():
            errors[row], status[row] = reason, "unsupported"
        lost = (status == "ok") & ~np.isfinite(values).all(axis=1)
        errors[lost], status[lost] = "its embedding is not finite", "unsupported"
        columns: dict[str, Any] = {"canonical_smiles": standardised.canonical, **self.task.columns(values)}
        columns |= uncertainty_columns(self.task, values, self.record["calibration"], coverage)
        columns |= {"similarity": self.domain.nearest(standardised), "status": status, "error": errors}
        taken = [name for name in columns if name in own]
        if taken:
            raise InputError(f"{FRAME}: it has a column {taken[0]!r} already; rename it")
        return own.assign(**{name: pd.Series(column, own.index) for name, column in columns.items()})


def _own_columns(molecules: Any, smiles: str | None) -> tuple[pd.DataFrame, list[str]]:
    """What a table of predictions begins with, and the SMILES to predict."""
    if is_frame(molecules) and not isinstance(molecules, pd.Series):
        own = to_pandas(molecules)
        place = find_smiles([str(name) for name in own.columns], FRAME, smiles)
        return own, smiles_of(own.iloc[:, place].tolist())
    texts = smiles_of(molecules)
    return pd.DataFrame({"smiles": texts}), texts


def load_model(folder: str | Path) -> TunedModel:
    """Load a model that ``molrate finetune`` or :func:`molrate.finetune` wrote.

    Parameters
    ----------
    folder : str or pathlib.Path

    Returns
    -------
    TunedModel

    Raises
    ------
    WeightsError
        If files are missing, damaged, or of another format.
    """
    return TunedModel.load(folder)


def _read_training(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path.parent}: no finished fine-tuned model ({RECORD} is missing); molrate finetune writes one"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise WeightsError(f"{path}: not a model of format {_FORMAT}, which this version reads")
    return record


def _check_files(folder: Path, digests: dict[str, str]) -> None:
    """Make sure that the files of a model are those it was written with.

    Raises
    ------
    WeightsError
        If one is missing or another.
    """
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"{path}: it is missing; fit the model again")
        if file_digest(path) != digest:
            raise WeightsError(
                f"{path}: it is not the file that {RECORD} was written with (damaged or altered); fit the "
                "model again"
            )


def save_model(
    folder: Path,
    encoder: Encoder,
    network: nn.Module | None,
    head: Head,
    record: dict[str, Any],
    training: Sequence[str],
) -> None:
    """Write the files of a model; ``model.json`` comes last, so that a folder with it is whole.

    Parameters
    ----------
    folder : pathlib.Path
    encoder : Encoder
    network : torch.nn.Module, optional
        Of the encoder, if it has one.
    head : Head
    record : dict
    training : sequence of str
        Canonical SMILES.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if network is not None:
            encoder.write_weights(network, folder / ENCODER)
        state = {name: value.contiguous().cpu() for name, value in head.state_dict().items()}
        save_file(state, folder / HEAD)
        (folder / TRAINING).write_text("".join(f"{smiles}\n" for smiles in training), encoding="utf-8")
        names = (name for name in (ENCODER, HEAD, TRAINING) if (folder / name).is_file())
        record["files"] = {name: file_digest(folder / name) for name in names}
        write_atomically(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder} cannot be written: {error}") from error


def common_record(dataset: Dataset, task: Task, encoder: Encoder, settings: dict[str, Any]) -> dict[str, Any]:
    """What the record of every model holds.

    Parameters
    ----------
    dataset : Dataset
    task : Task
    encoder : Encoder
        As it was given.
    settings : dict
        Those of rows (:class:`molrate.data.policy.RowPolicy`), of the embedding (layer, pooling, precision),
        and of training.
    """
    resolved = {
        "layer": encoder.select_layer(settings["layer"]),
        "weights": encoder.identity().get("weights"),
        "positive": dict(zip(task.targets, task.positives, strict=False)),
    }
    return {
        "format": _FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("molrate", "torch", "rdkit")},
        "dataset": {"name": dataset.name, "source": dataset.source},
        "encoder": {
            "name": encoder.name,
            "before": encoder.identity(),
            "weights": encoder.n_transferable > 0,
        },
        "task": task.record(),
        "settings": {**settings, **resolved},
    }
