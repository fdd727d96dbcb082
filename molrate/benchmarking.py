"""The grid encoder x dataset x split x seed: measures on the training part, and real fine-tuning beside them.

Results are tidy files in a folder: ``finetuning.csv`` gets a row for each finished fine-tuning, and
``scores/DATASET-SPLIT-SEED.csv`` holds every measure of every encoder on the molecules that fine-tuning
learned from. A run that was stopped goes on after the last finished row.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from molrate import __version__
from molrate.datasets import Dataset, dataset_name
from molrate.encoders.base import load_encoder
from molrate.errors import InputError, MolrateError, UsageError
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.metrics import MAIN_METRIC
from molrate.finetuning.tuning import Material, tune
from molrate.io import write_atomically, write_record
from molrate.ranking import choose_measures
from molrate.scoring import score

logger = logging.getLogger(__name__)

FINETUNING, SCORES = "finetuning.csv", "scores"


@dataclass(frozen=True)
class Cell:
    """One fine-tuning of the grid."""

    dataset: str
    split: str
    seed: int
    encoder: str


@dataclass(frozen=True)
class Outcome:
    """What one fine-tuning gave; a row of ``finetuning.csv``.

    Attributes
    ----------
    dataset, split, seed, encoder
        The cell.
    target, task, kind, family : str
        ``kind`` is pretrained or control.
    frozen : bool
        Whether the head alone was trained, as of fingerprints and descriptors.
    n_parameters, n_layers, dimension : int
        Of the encoder: its weights, the layers it can transfer, and the width of its embedding.
    metric : str
        Whose values follow: ``auroc`` (higher is better) or ``rmse``.
    validation, test : float
    learning_rate, weight_decay : float
        Chosen on validation.
    n_epochs : int
        Of all trials together.
    seconds : float
        Of all trials together, on one core or one GPU.
    n_train, n_test : int
    weights : str
        Digest of the encoder's weights before.
    settings, versions : str
        JSON.
    status : str
        ``ok``, or why the cell failed.
    """

    dataset: str
    split: str
    seed: int
    encoder: str
    target: str
    task: str
    kind: str
    family: str
    frozen: bool
    n_parameters: int
    n_layers: int
    dimension: int
    metric: str
    validation: float
    test: float
    learning_rate: float
    weight_decay: float
    n_epochs: int
    seconds: float
    n_train: int
    n_test: int
    weights: str
    settings: str
    versions: str
    status: str


def run_cell(
    cell: Cell, source: str, target: Sequence[str] | None, config: FinetuningConfig, device: str
) -> Outcome:
    """Fine-tune one encoder on the cell's dataset, read from its source; a failure is an outcome too."""
    import torch

    if device == "cpu":
        torch.set_num_threads(1)
    encoder = load_encoder(cell.encoder, seed=cell.seed)
    frozen = encoder.n_transferable == 0
    settings = replace(config, seed=cell.seed)
    started = time.perf_counter()
    material = Material.load(source, target, cell.split, cell.seed)
    metric = MAIN_METRIC["regression" if material.task.kind == "regression" else "classification"]
    known: dict[str, Any] = {
        **asdict(cell),
        "target": ",".join(material.task.targets),
        "task": material.task.kind,
        "kind": encoder.card.kind,
        "family": encoder.card.family,
        "frozen": frozen,
        "n_layers": encoder.n_transferable,
        "metric": metric,
        "weights": encoder.identity()["weights"],
        "settings": _settings(config, cell.seed),
        "versions": json.dumps(
            {"molrate": __version__, **{name: version(name) for name in ("torch", "rdkit", "lightning")}}
        ),
        "n_train": len(material.split.train),
        "n_test": len(material.split.test),
    }
    try:
        tuned = tune(material, encoder, settings, frozen=frozen, device=device)
    except MolrateError as error:
        known |= dict.fromkeys(("validation", "test", "learning_rate", "weight_decay"), np.nan)
        known |= dict.fromkeys(("n_parameters", "dimension", "n_epochs"), 0)
        return Outcome(**known, seconds=0.0, status=str(error))
    run = tuned.run
    return Outcome(
        **known,
        n_parameters=sum(value.numel() for value in run.encoder.parameters()),
        dimension=len(run.head.feature_mean),
        validation=tuned.metrics["validation"]["mean"][metric],
        test=tuned.metrics["test"]["mean"][metric],
        learning_rate=tuned.best.learning_rate,
        weight_decay=tuned.best.weight_decay,
        n_epochs=sum(trial.n_epochs for trial in tuned.trials),
        seconds=round(time.perf_counter() - started, 2),
        status="ok",
    )


def _settings(config: FinetuningConfig, seed: int) -> str:
    return json.dumps(config.record() | {"seed": seed})


class _Rows:
    """``finetuning.csv``, to which a whole row at a time is appended.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    InputError
        If the file is of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns = list(Outcome.__dataclass_fields__)
        if path.is_file():
            self._mend()
        else:
            write_atomically(path, (",".join(self.columns) + "\n").encode())

    def _mend(self) -> None:
        """Drop a last row that a killed run left half written."""
        content = self.path.read_bytes()
        if not content.startswith((",".join(self.columns) + "\n").encode()):
            raise InputError(f"{self.path}: its columns are not those of a benchmark; name another folder")
        if not content.endswith(b"\n"):
            write_atomically(self.path, content[: content.rfind(b"\n") + 1])

    def check(self, datasets: Sequence[str], config: FinetuningConfig) -> None:
        """Refuse to mix fine-tunings of a dataset under different settings.

        Raises
        ------
        UsageError
            If the settings of a row of one of the datasets are others.
        """
        expected = json.loads(_settings(config, 0))
        frame = pd.read_csv(self.path)
        for row, (dataset, text) in enumerate(zip(frame["dataset"], frame["settings"], strict=True), start=1):
            earlier = json.loads(text) | {"seed": 0}
            differing = [name for name in expected if earlier.get(name) != expected[name]]
            if dataset in datasets and differing:
                raise UsageError(
                    f"{self.path}: row {row}, {dataset}, was fine-tuned with another {', '.join(differing)}; "
                    "name another folder, or give the same settings"
                )

    def finished(self) -> set[Cell]:
        """Cells that have a row, those that failed apart: they are tried again."""
        frame = pd.read_csv(self.path)
        frame = frame[frame["status"] == "ok"]
        names = ["dataset", "split", "seed", "encoder"]
        return {Cell(*row) for row in frame[names].itertuples(index=False, name=None)}

    def append(self, outcome: Outcome) -> None:
        """Write a row at once."""
        line = io.StringIO()
        csv.DictWriter(line, self.columns, lineterminator="\n").writerow(asdict(outcome))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line.getvalue())
            file.flush()


def training_part(material: Material) -> Dataset:
    """The molecules fine-tuning learns from and chooses by, as a dataset of their own."""
    rows = np.sort(np.concatenate([material.split.train, material.split.validation]))
    dataset = material.dataset
    return Dataset(
        dataset.name,
        dataset.smiles[rows],
        tuple(target.take(rows) for target in dataset.targets),
        dataset.ids[rows],
        dataset.source,
    )


def _score_block(
    folder: Path,
    source: str,
    target: Sequence[str] | None,
    split: str,
    seed: int,
    encoders: Sequence[str],
    measures: Sequence[str],
) -> None:
    """Write every measure of every encoder on one training part, unless that is there."""
    path = folder / SCORES / f"{dataset_name(source)}-{split}-{seed}.csv"
    asked = {"encoders": set(encoders), "measures": {one.name for one in choose_measures(measures)[0]}}
    noted = path.with_name(f"{path.name}.run.json")
    if path.is_file() and noted.is_file():
        earlier = json.loads(noted.read_text(encoding="utf-8"))
        if all(names <= set(earlier[key]) for key, names in asked.items()):
            return
        # Encoders are scored on the molecules that all have code for, and so anew when one is added.
        asked = {key: names | set(earlier[key]) for key, names in asked.items()}
    material = Material.load(source, target, split, seed)
    encoders, measures = sorted(asked["encoders"]), sorted(asked["measures"])
    ranking = score(training_part(material), encoders=encoders, measures=measures, seed=seed)
    frame = ranking.frame.assign(split=split, seed=seed)
    write_atomically(path, frame.to_csv(index=False).encode())
    write_record(path, {"encoders": encoders, "measures": measures})


def benchmark(
    datasets: Sequence[str],
    encoders: Sequence[str],
    folder: str | Path,
    config: FinetuningConfig,
    *,
    target: Sequence[str] | None = None,
    splits: Sequence[str] = ("random",),
    seeds: Iterable[int] = (0, 1, 2),
    measures: Sequence[str] = ("all",),
    n_jobs: int = 1,
    device: str = "cpu",
) -> Iterator[Outcome]:
    """Run what is missing of the grid, yielding each outcome once it is written.

    Seeds come first, then datasets, so that a run that is stopped leaves whole replicates.

    Parameters
    ----------
    datasets, encoders : sequence of str
    folder : str or pathlib.Path
    config : FinetuningConfig
        The same for every encoder of a dataset; its seed is the cell's.
    target : sequence of str, optional
        Columns of tables to predict.
    splits : sequence of str
    seeds : iterable of int
    measures : sequence of str
    n_jobs : int
        Fine-tunings at a time, each on one core.
    device : str

    Raises
    ------
    UsageError
        If no encoder is given, or a name is unknown.
    InputError
        If a dataset or the folder cannot be used.
    """
    folder = Path(folder)
    if not encoders:
        raise UsageError("no encoder to benchmark (--encoder)")
    names = [dataset_name(source) for source in datasets]
    if len(set(names)) < len(names):
        raise UsageError(f"two datasets have one name in the results: {', '.join(sorted(names))}")
    for name in encoders:
        load_encoder(name)
    try:
        (folder / SCORES).mkdir(parents=True, exist_ok=True)
        rows = _Rows(folder / FINETUNING)
    except OSError as error:
        raise InputError(f"-o {folder}: cannot be used: {error}") from error
    rows.check(names, config)
    finished = rows.finished()
    with Parallel(n_jobs=n_jobs, return_as="generator_unordered") as jobs:
        for seed, (source, dataset), split in product(seeds, zip(datasets, names, strict=True), splits):
            _score_block(folder, source, target, split, seed, encoders, measures)
            cells = [Cell(dataset, split, seed, name) for name in encoders]
            missing = [cell for cell in cells if cell not in finished]
            logger.info("%s %s %d: %d of %d to do", dataset, split, seed, len(missing), len(cells))
            for outcome in jobs(delayed(run_cell)(cell, source, target, config, device) for cell in missing):
                rows.append(outcome)
                yield outcome
