"""Fine-tuned models: a folder of safetensors and JSON, and predictions from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from molrate.data.datasets import Dataset, as_dataset
from molrate.data.frames import FRAME, is_frame, smiles_of, to_pandas
from molrate.data.molecules import Molecules, standardise
from molrate.data.structures import MAX_ATOMS, limit_atoms
from molrate.embedding.embed import Progress, embed_one
from molrate.encoders.base import Encoder, load_encoder
from molrate.encoders.checkpoints import TRAINING_MOLECULES, load_state, load_strictly
from molrate.errors import InputError, UsageError, WeightsError
from molrate.files.columns import find_smiles, names_beside
from molrate.files.output import MODEL_RECORD, file_digest, write_atomically
from molrate.models.applicability import Domain
from molrate.models.calibration import coverage_notes, uncertainty_columns
from molrate.models.settings import GivenSettings
from molrate.models.tested import Tested, in_order_of
from molrate.randomness import seeded

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from molrate.models.estimators import EstimatorHead
    from molrate.models.head import Head, Task

logger = logging.getLogger(__name__)

RECORD, TRAINING = MODEL_RECORD, TRAINING_MOLECULES
DESCRIPTORS = "rdkit-descriptors"
"""The encoder whose vectors a head may read beside an embedding."""
ESTIMATOR = ".skops"
"""Ending of the file of an estimator in the place of a head."""
_FORMAT = 5


@dataclass(frozen=True)
class Outputs:
    """What the members of a model say of some molecules.

    Attributes
    ----------
    by_member : ndarray, shape (n_members, n, n_outputs)
        Values or probabilities, NaN where there are none.
    errors : dict of int to str
        Row and reason of valid molecules without.
    """

    by_member: npt.NDArray[np.float64]
    errors: dict[int, str]

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Their mean, shape (n, n_outputs)."""
        return np.asarray(self.by_member.mean(axis=0))


class TunedModel:
    """Encoders with heads that predict one dataset's targets; the mean of their predictions is the model's.

    Parameters
    ----------
    members : sequence of (Encoder, Head or EstimatorHead)
        Encoders with their fine-tuned weights; of encoders that stayed as they were, all are one.
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
        members: Sequence[tuple[Encoder, Head | EstimatorHead]],
        record: dict[str, Any],
        training: list[str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.members, self.record = tuple(members), record
        self.training, self.folder = training or [], folder

    @property
    def encoder(self) -> Encoder:
        """Of the first member."""
        return self.members[0][0]

    @property
    def head(self) -> Head | EstimatorHead:
        """Of the first member."""
        return self.members[0][1]

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
            If files are missing, damaged, or of another format, or an encoder that stayed as it was has other
            weights now.
        """
        folder = Path(folder)
        record = check_model(folder)
        names, encoders = record["members"], {}
        for name in {member["encoder"] for member in names}:
            weights = None if name is None else folder / name
            # Without weights of its own an encoder is as it was, that of an untrained network by its seed.
            seed, precision = record["settings"]["seed"], record["settings"]["precision"]
            encoders[name] = load_encoder(record["encoder"]["name"], weights, seed, precision)
            if name is None:
                _refuse_other_weights(encoders[name], record, folder)
        members = [
            (encoders[member["encoder"]], _read_head(folder / member["head"], record)) for member in names
        ]
        return cls(members, record, _read_training(folder / TRAINING), folder)

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

    def outputs(
        self,
        molecules: Molecules,
        device: str = "auto",
        progress: Progress | None = None,
        cache: bool = True,
    ) -> Outputs:
        """What every member says of molecules.

        Parameters
        ----------
        molecules : Molecules
        device : str
        progress : callable, optional
        cache : bool
            Whether embeddings are kept.
        """
        errors: dict[int, str] = {}
        beside = []
        if self.settings.get("descriptors"):
            described = load_encoder(DESCRIPTORS)
            beside = [self._embed(described, molecules, device, None, cache, errors)]
        features: dict[int, npt.NDArray[np.float32] | None] = {}
        for encoder in {id(encoder): encoder for encoder, _ in self.members}.values():
            parts = [self._embed(encoder, molecules, device, progress, cache, errors), *beside]
            whole = [part for part in parts if part is not None]
            features[id(encoder)] = np.hstack(whole) if len(whole) == len(parts) else None
            progress = None
        by_member = np.full((len(self.members), len(molecules), self.task.n_outputs), np.nan)
        for values, (encoder, head) in zip(by_member, self.members, strict=True):
            rows = features[id(encoder)]
            if rows is not None:
                usable = np.isfinite(rows).all(axis=1)
                values[usable] = head.values(rows[usable], self.task.kind)
        without = molecules.valid & ~np.isfinite(by_member).all(axis=(0, 2))
        for row in np.flatnonzero(without).tolist():
            errors.setdefault(row, "its embedding is not finite")
        return Outputs(by_member, errors)

    def _embed(
        self,
        encoder: Encoder,
        molecules: Molecules,
        device: str,
        progress: Progress | None,
        cache: bool,
        errors: dict[int, str],
    ) -> npt.NDArray[np.float32] | None:
        """Embeddings by the layer that heads read, or None if there are none at all."""
        layer = "last" if encoder.name == DESCRIPTORS else self.settings["layer"]
        name = encoder.select_layer(layer)
        pooling = self.settings["pooling"]
        embedding = embed_one(molecules, encoder, [name], pooling, device, cache=cache, progress=progress)
        errors.update(embedding.errors)
        return embedding.layers.get(name)

    def note_coverage(self, coverage: float) -> None:
        """Warn where too few measurements were held out for a coverage."""
        for note in coverage_notes(self.record["calibration"], coverage):
            logger.warning(note)

    def prediction_columns(self, outputs: Outputs, coverage: float) -> dict[str, Any]:
        """Predictions under their names in tables, spreads of an ensemble, and bounds or label sets.

        Parameters
        ----------
        outputs : Outputs
        coverage : float
            Share of molecules that bounds and label sets are to cover.
        """
        mean = outputs.mean
        columns: dict[str, Any] = dict(self.task.columns(mean))
        if len(self.members) > 1:
            by_member = [self.task.columns(values) for values in outputs.by_member]
            columns |= {
                f"spread_{name.removeprefix('predicted_')}": np.std([one[name] for one in by_member], axis=0)
                for name in by_member[0]
            }
        return columns | uncertainty_columns(self.task, mean, self.record["calibration"], coverage)

    def _read(self, texts: list[str], max_atoms: int) -> Molecules:
        """Molecules in the form that the model was trained on."""
        return limit_atoms(standardise(texts, self.settings["standardisation"]), max_atoms)

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
        max_atoms: int = MAX_ATOMS,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Predict molecules, as ``molrate predict`` does.

        Parameters
        ----------
        molecules : data frame, or sequence of str or rdkit.Chem.Mol, length n
            A frame of pandas, polars or another library keeps its own columns.
        smiles : str, optional
            Column of SMILES of a frame, found by its usual names if not given.
        coverage : float
            Share of molecules that bounds and label sets are to cover.
        max_atoms : int
            Larger molecules, hydrogens aside, are unsupported.
        device : str
        progress : callable, optional

        Returns
        -------
        pandas.DataFrame
            One row per molecule in order: the frame's columns, or ``smiles``; ``canonical_smiles``; a column
            for each of :attr:`columns` (values in the target's unit, or the probability of the class in the
            column's name; NaN where there is none), bounds or label sets, ``similarity`` to the nearest
            training molecule, ``status`` (``ok``, ``invalid`` or ``unsupported``) and ``error``. Where the
            frame has a ``canonical_smiles``, ``similarity``, ``status`` or ``error`` of its own, the model's
            is ``molrate_status`` and so on.

        Raises
        ------
        InputError
            If a frame has no column of SMILES, or one of the name of a prediction.
        """
        self.note_coverage(coverage)
        own, texts = _own_columns(molecules, smiles)
        standardised = self._read(texts, max_atoms)
        outputs = self.outputs(standardised, device, progress)
        errors = standardised.errors.copy()
        status = np.where(standardised.valid, "ok", "invalid").astype(object)
        status[list(standardised.unsupported)] = "unsupported"
        for row, reason in outputs.errors.items():
            errors[row], status[row] = reason, "unsupported"
        columns: dict[str, Any] = {"canonical_smiles": standardised.canonical}
        columns |= self.prediction_columns(outputs, coverage)
        columns |= {"similarity": self.domain.nearest(standardised), "status": status, "error": errors}
        names = names_beside(list(columns), list(own.columns), FRAME)
        return own.assign(**{names[name]: pd.Series(column, own.index) for name, column in columns.items()})

    def test(
        self,
        molecules: Any,
        measured: Any = None,
        smiles: str | None = None,
        *,
        max_atoms: int = MAX_ATOMS,
        device: str = "auto",
    ) -> Tested:
        """What the model says of molecules that were measured; arguments as of :meth:`plot_parity`, and
        `max_atoms` as of :meth:`predict`.

        Raises
        ------
        UsageError, InputError
            If a target was not measured, or has a class that the model does not know.
        """
        task = self.task
        named = list(task.targets) if measured is None else measured
        kind = "regression" if task.kind == "regression" else "classification"
        read = as_dataset(molecules, named, smiles, None if isinstance(molecules, Dataset) else kind)
        for target in read.targets:
            if target.error:
                raise InputError(target.error)
        outputs = self.outputs(self._read(read.smiles.tolist(), max_atoms), device)
        return Tested(task, in_order_of(task, read.targets), outputs.mean)

    def plot_parity(
        self,
        molecules: Any,
        measured: Any = None,
        smiles: str | None = None,
        *,
        device: str = "auto",
    ) -> Figure:
        """Predicted against measured values; of classes their ROC and calibration curves. Needs Matplotlib.

        Parameters
        ----------
        molecules : data frame, Dataset, or sequence of str or rdkit.Chem.Mol, length n
            Molecules that the model was not trained on. A frame has columns of the targets' names.
        measured : array_like, shape (n,), optional
            Measured values of the one target, for a sequence of molecules.
        smiles : str, optional
            Column of SMILES of a frame, found by its usual names if not given.
        device : str

        Returns
        -------
        matplotlib.figure.Figure
            ``savefig`` writes it as SVG, PNG or PDF.

        Raises
        ------
        UsageError, InputError
            If there are no measured values of a target, or no molecule has both a value and a prediction.
        """
        from molrate.models.figure import draw_classes, draw_parity

        tested = self.test(molecules, measured, smiles, device=device)
        numbers = self.task.kind == "regression"
        if not (tested.numbers if numbers else tested.classes):
            raise InputError(
                "no target has measured molecules that can be predicted, of every class; give more"
            )
        return draw_parity(tested.numbers) if numbers else draw_classes(tested.classes)


def _own_columns(molecules: Any, smiles: str | None) -> tuple[pd.DataFrame, list[str]]:
    """What a table of predictions begins with, and the SMILES to predict."""
    if is_frame(molecules):
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


def _refuse_other_weights(encoder: Encoder, record: dict[str, Any], folder: Path) -> None:
    """Refuse an encoder that stayed as it was and whose file is another by now."""
    before, now = record["encoder"]["before"].get("weights"), encoder.identity().get("weights")
    if str(before).startswith("sha256:") and now != before:
        raise WeightsError(
            f"{folder}: {encoder.name} is not what the model was made with: {now} now, {before} then. "
            "Put the file of then in its place, or make the model anew"
        )


def _read_head(path: Path, record: dict[str, Any]) -> Head | EstimatorHead:
    """A head as :func:`save_model` wrote it.

    Raises
    ------
    WeightsError
        If it is none.
    """
    if path.suffix == ESTIMATOR:
        from molrate.models.estimators import EstimatorHead

        return EstimatorHead.read(path)
    from molrate.models.head import Head

    state = load_state(path)
    try:
        width, n_outputs = len(state["feature_mean"]), len(state["target_mean"])
    except KeyError as error:
        raise WeightsError(f"{path}: it is no head of a fine-tuned model") from error
    # What is drawn is replaced by what is read.
    with seeded(0):
        head = Head(width, n_outputs, record["settings"]["n_hidden"], record["settings"]["dropout"])
    load_strictly(head, state, path)
    return head.eval()


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


def check_model(folder: Path) -> dict[str, Any]:
    """The record of a model whose files are those it was written with.

    Raises
    ------
    WeightsError
        If one is missing, damaged or another.
    """
    record = _read_record(folder / RECORD)
    _check_files(folder, record["files"])
    return record


def _check_files(folder: Path, digests: dict[str, str]) -> None:
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"{path}: it is missing; fit the model again, into another folder")
        if file_digest(path) != digest:
            raise WeightsError(
                f"{path}: it is not the file that {RECORD} was written with (damaged or altered); fit the "
                "model again, into another folder"
            )


def save_model(
    folder: Path,
    encoder: Encoder,
    members: Sequence[tuple[nn.Module | None, Head | EstimatorHead]],
    record: dict[str, Any],
    training: Sequence[str],
) -> None:
    """Write the files of a model; ``model.json`` comes last, so that a folder with it is whole.

    Parameters
    ----------
    folder : pathlib.Path
    encoder : Encoder
    members : sequence of (torch.nn.Module, Head or EstimatorHead)
        Network of the encoder, if it has one, and head; members may share a network.
    record : dict
    training : sequence of str
        Canonical SMILES.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    from safetensors import SafetensorError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        written: dict[int, str] = {}
        record["members"] = []
        for number, (network, head) in enumerate(members):
            suffix = f"-{number}" if number else ""
            if network is not None and id(network) not in written:
                written[id(network)] = f"encoder{suffix}.safetensors"
                encoder.write_weights(network, folder / written[id(network)])
            names = {
                "encoder": None if network is None else written[id(network)],
                "head": _write_head(head, folder, f"head{suffix}"),
            }
            record["members"].append(names)
        (folder / TRAINING).write_text("".join(f"{smiles}\n" for smiles in training), encoding="utf-8")
        files = {name for names in record["members"] for name in names.values() if name} | {TRAINING}
        record["files"] = {name: file_digest(folder / name) for name in sorted(files)}
        write_atomically(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder} cannot be written: {error}") from error


def _write_head(head: Head | EstimatorHead, folder: Path, stem: str) -> str:
    """Write a head in its own form; the name of the file."""
    from molrate.models.estimators import EstimatorHead

    if isinstance(head, EstimatorHead):
        head.write(folder / f"{stem}{ESTIMATOR}")
        return f"{stem}{ESTIMATOR}"
    from safetensors.torch import save

    state = {name: value.contiguous().cpu() for name, value in head.state_dict().items()}
    # A file that safetensors writes itself can be read by its owner only.
    (folder / f"{stem}.safetensors").write_bytes(save(state))
    return f"{stem}.safetensors"


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
        },
        "task": task.record(),
        "settings": {**settings, **resolved},
    }
