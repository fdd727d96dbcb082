"""Running the grid encoder x dataset x split x seed: measures on the training part, and real fine-tuning.

Results are tidy files in a folder. ``finetuning.csv`` gets a row for each finished fine-tuning.
``scores/DATASET-SPLIT-SEED.csv`` holds every measure of every encoder on the molecules that fine-tuning
learned from. ``variants/DATASET-SPLIT-SEED.csv`` holds some measures with fewer molecules and other
distortions. A run that was stopped continues after the last finished row.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed

from molrate.benchmarking.cells import FINETUNING, SCORES, VARIANTS, Cell, Outcome, Rows, settings_text
from molrate.benchmarking.variants import variant_table
from molrate.data.datasets import Dataset, dataset_name, load_dataset
from molrate.embedding.embed import choose_device
from molrate.encoders.base import load_encoder
from molrate.errors import InputError, MolrateError, UsageError
from molrate.files.output import write_atomically, write_record
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.tuning import TrainingData, tune
from molrate.models.metrics import MAIN_METRIC
from molrate.ranking.candidates import choose_measures
from molrate.ranking.molecules import make_candidates
from molrate.ranking.score import score

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


def run_cell(
    cell: Cell, source: str, target: Sequence[str] | None, config: FinetuningConfig, device: str
) -> Outcome:
    """Fine-tune an encoder on the cell's dataset, read from its source; a failure is an outcome too."""
    import torch

    if device == "cpu":
        torch.set_num_threads(1)
    encoder = load_encoder(cell.encoder, seed=cell.seed)
    frozen = encoder.n_transferable == 0
    settings = replace(config, seed=cell.seed)
    started = time.perf_counter()
    data = TrainingData.of(load_dataset(source, target), cell.split, cell.seed)
    metric = MAIN_METRIC["regression" if data.task.kind == "regression" else "classification"]
    known: dict[str, Any] = {
        **asdict(cell),
        "target": ",".join(data.task.targets),
        "task": data.task.kind,
        "kind": encoder.card.kind,
        "family": encoder.card.family,
        "frozen": frozen,
        "n_layers": encoder.n_transferable,
        "metric": metric,
        "weights": encoder.identity()["weights"],
        "settings": settings_text(config, cell.seed),
        "versions": json.dumps({name: version(name) for name in ("molrate", "torch", "rdkit", "lightning")}),
        "deviation": _deviation(data),
        "n_train": len(data.split.train),
        "n_test": len(data.split.test),
    }
    try:
        tuned = tune(data, encoder, settings, Transfer(frozen=frozen), device=device)
    except UsageError:
        raise
    except MolrateError as error:
        known |= dict.fromkeys(("validation", "test", "learning_rate", "weight_decay"), np.nan)
        known |= dict.fromkeys(("n_parameters", "dimension", "n_epochs"), 0)
        return Outcome(**known, seconds=0.0, status=str(error))
    run = tuned.run
    metrics = {part: tuned.metrics[part]["mean"][metric] for part in ("validation", "test")}
    undefined = [part for part, value in metrics.items() if not np.isfinite(value)]
    return Outcome(
        **known,
        validation=metrics["validation"],
        test=metrics["test"],
        n_parameters=sum(value.numel() for value in run.encoder.parameters()),
        dimension=len(run.head.feature_mean),
        learning_rate=tuned.best.learning_rate,
        weight_decay=tuned.best.weight_decay,
        n_epochs=sum(trial.n_epochs for trial in tuned.trials),
        seconds=round(time.perf_counter() - started, 2),
        status=f"no {metric} of the {' and '.join(undefined)} part: it has one class" if undefined else "ok",
    )


def _deviation(data: TrainingData) -> float:
    """Standard deviation of the values in the test part, mean over targets; NaN for classes."""
    if data.task.kind != "regression":
        return float("nan")
    return float(np.nanstd(data.values[data.split.test], axis=0).mean())


def training_part(data: TrainingData) -> Dataset:
    """Dataset of the molecules that fine-tuning learns from and chooses by."""
    rows = np.sort(np.concatenate([data.split.train, data.split.validation]))
    dataset = data.dataset
    return Dataset(
        dataset.name,
        dataset.smiles[rows],
        tuple(target.take(rows) for target in dataset.targets),
        dataset.ids[rows],
        dataset.source,
    )


@dataclass(frozen=True)
class _Block:
    """A dataset with a split and a seed, whose scores have their own files.

    `origin` names its table and target.
    """

    folder: Path
    source: str
    target: Sequence[str] | None
    split: str
    seed: int
    origin: str

    def write_scores(self, encoders: Sequence[str], measures: Sequence[str]) -> None:
        """Write every measure of every encoder on the training part, unless the file has them all."""
        names = [measure.name for measure in choose_measures(measures)[0]]
        asked = self._missing(SCORES, {"encoders": set(encoders), "measures": set(names)})
        if asked:
            ranking = score(
                self._dataset(), encoders=asked["encoders"], measures=asked["measures"], seed=self.seed
            )
            self._write(SCORES, ranking.frame, asked, ranking.run)

    def write_variants(self, encoders: Sequence[str]) -> None:
        """Write scores under other settings of the encoders that are trained as a whole.

        Nothing is written if the file has them all.
        """
        whole = {name for name in encoders if load_encoder(name, seed=self.seed).n_transferable}
        asked = self._missing(VARIANTS, {"encoders": whole})
        if asked.get("encoders"):
            candidates, (target, *_) = make_candidates(self._dataset(), asked["encoders"], self.seed)
            self._write(VARIANTS, variant_table(candidates, target, self.seed), asked, {})

    def _path(self, kind: str) -> Path:
        return self.folder / kind / f"{dataset_name(self.source)}-{self.split}-{self.seed}.csv"

    def _missing(self, kind: str, asked: dict[str, set[str]]) -> dict[str, list[str]]:
        """Names that the file has to cover, with those it covers already; empty if none is missing."""
        path = self._path(kind)
        record_path = path.with_name(f"{path.name}.run.json")
        if path.is_file() and record_path.is_file():
            earlier = json.loads(record_path.read_text(encoding="utf-8"))
            if earlier.get("source", self.origin) != self.origin:
                raise UsageError(
                    f"{path}: it is of another table or target ({earlier['source']}); name another folder"
                )
            if all(names <= set(earlier[key]) for key, names in asked.items()):
                return {}
            # Encoders are scored on the molecules that all of them support, so a new encoder changes all.
            asked = {key: names | set(earlier[key]) for key, names in asked.items()}
        return {key: sorted(names) for key, names in asked.items()}

    def _dataset(self) -> Dataset:
        return training_part(TrainingData.of(load_dataset(self.source, self.target), self.split, self.seed))

    def _write(
        self, kind: str, frame: pd.DataFrame, covered: dict[str, list[str]], run: dict[str, Any]
    ) -> None:
        path = self._path(kind)
        named = frame.assign(dataset=dataset_name(self.source), split=self.split, seed=self.seed)
        write_atomically(path, named.to_csv(index=False).encode())
        write_record(path, {**covered, "source": self.origin, "run": run})


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
    """Run the missing cells of the grid, and yield each outcome once it is written.

    The outer loop is over seeds, then datasets, so that a run that is stopped leaves whole replicates.

    Parameters
    ----------
    datasets, encoders : sequence of str
    folder : str or pathlib.Path
    config : FinetuningConfig
        Settings for every encoder; each cell replaces their seed by its own.
    target : sequence of str, optional
        Names of the columns of tables to predict.
    splits : sequence of str
    seeds : iterable of int
    measures : sequence of str
    n_jobs : int
        Number of fine-tunings that run at the same time, each on one core.
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
    choose_device(device)
    tables = [load_dataset(source, target) for source in datasets]
    targets = {
        name: ",".join(column.name for column in table.targets)
        for name, table in zip(names, tables, strict=True)
    }
    # Leave out the folder: a table stays the same when it moves.
    origins = [
        f"{Path(table.source).name}: {targets[name]}" for name, table in zip(names, tables, strict=True)
    ]
    loaded = [load_encoder(name) for name in encoders]
    weights = {
        encoder.name: encoder.identity()["weights"] for encoder in loaded if encoder.card.kind == "pretrained"
    }
    try:
        for kind in (SCORES, VARIANTS):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        rows = Rows(folder / FINETUNING)
    except OSError as error:
        raise InputError(f"-o {folder}: cannot be used: {error}") from error
    rows.check(targets, weights, config)
    finished = rows.finished()
    with Parallel(n_jobs=n_jobs, return_as="generator_unordered") as jobs:
        for seed, (source, dataset, origin), split in product(
            seeds, zip(datasets, names, origins, strict=True), splits
        ):
            block = _Block(folder, source, target, split, seed, origin)
            block.write_scores(encoders, measures)
            block.write_variants(encoders)
            cells = [Cell(dataset, split, seed, name) for name in encoders]
            missing = [cell for cell in cells if cell not in finished]
            logger.info("%s %s %d: %d of %d to do", dataset, split, seed, len(missing), len(cells))
            for outcome in jobs(delayed(run_cell)(cell, source, target, config, device) for cell in missing):
                rows.append(outcome)
                yield outcome
