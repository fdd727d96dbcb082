"""Running the grid encoder x dataset x split x seed: measures on the training part, and real fine-tuning.

Results are tidy files in a folder. ``finetuning.csv`` gets a row for each finished fine-tuning.
``scores/DATASET-SPLIT-SEED.csv`` holds every measure of every encoder on the molecules that fine-tuning
learned from. ``variants/DATASET-SPLIT-SEED.csv`` holds some measures with fewer molecules and other
distortions. A run that was stopped continues after the last finished row.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed

from molrate.benchmarking.cells import FINETUNING, SCORES, VARIANTS, Cell, Outcome, Rows, settings_text
from molrate.benchmarking.variants import variant_table
from molrate.data.datasets import Dataset, dataset_cards, dataset_name, load_dataset
from molrate.data.duplicates import measurement_notes
from molrate.data.policy import RowPolicy
from molrate.data.splits import SplitError, part_notes
from molrate.embedding.embed import choose_device
from molrate.encoders.base import load_encoder
from molrate.encoders.workers import Carrying
from molrate.errors import InputError, MolrateError, UsageError
from molrate.files.locks import exclusive
from molrate.files.output import write_atomically, write_record
from molrate.files.requests import extend_request, make_request
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.tuning import tune
from molrate.models.metrics import main_metric
from molrate.ranking.candidates import choose_measures
from molrate.ranking.molecules import make_candidates, standardise_dataset, usable_targets
from molrate.ranking.score import score

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_FORMAT = 3


@dataclass(frozen=True)
class Source:
    """A dataset as it is named, and what of it is fine-tuned on; workers read it themselves.

    Attributes
    ----------
    path : str
    target : tuple of str, optional
        All of a dataset with a card if not given, or if it has none of these: tables and datasets with cards
        can then be named together.
    positive, censored : str, optional
        As for :func:`molrate.load_dataset`.
    """

    path: str
    target: tuple[str, ...] | None = None
    positive: str | None = None
    censored: str | None = None

    def load(self) -> Dataset:
        """Read it."""
        return load_dataset(self.path, self._wanted(), positive=self.positive, censored=self.censored)

    def _wanted(self) -> tuple[str, ...] | None:
        """Targets to read; a dataset with a card that has none of those named has all of its own."""
        cards = dataset_cards()
        if self.path not in cards or set(self.target or ()) & set(cards[self.path]["targets"]):
            return self.target
        return None


@dataclass(frozen=True)
class Failure:
    """A target or a split that nothing was fine-tuned on.

    Attributes
    ----------
    dataset : str
    what : str
        ``target y`` or ``scaffold split, seed 0``.
    status : str
        Why.
    """

    dataset: str
    what: str
    status: str

    def describe(self) -> str:
        """One line."""
        return f"{self.dataset} {self.what}: {self.status}"


def run_cell(cell: Cell, source: Source, config: FinetuningConfig, device: str) -> Outcome:
    """Fine-tune one encoder on the cell's dataset, read from its source; a failure is an outcome too."""
    with _own_core(device):
        return _run_cell(cell, source, config, device)


@contextmanager
def _own_core(device: str) -> Iterator[None]:
    """Compute on one core, as other cells may run beside this one; the process may be the user's own."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _run_cell(cell: Cell, source: Source, config: FinetuningConfig, device: str) -> Outcome:
    encoder = load_encoder(cell.encoder, seed=cell.seed)
    frozen = encoder.n_transferable == 0
    settings = replace(config, seed=cell.seed)
    started = time.perf_counter()
    data = _data_of(source, cell.split, cell.seed)
    metric = main_metric(data.task.kind)
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
        "deviation": deviation_of(data),
        "device": device,
        "n_train": len(data.split.train),
        "n_test": len(data.split.test),
    }
    try:
        tuned = tune(data, encoder, settings, Transfer(frozen=frozen), device=device)
    except UsageError:
        raise
    except MolrateError as error:
        known |= dict.fromkeys(("validation", "test", "frozen_validation", "frozen_test"), np.nan)
        known |= dict.fromkeys(("learning_rate", "weight_decay"), np.nan)
        known |= dict.fromkeys(("n_parameters", "dimension", "n_epochs", "best_epoch"), 0)
        return Outcome(**known, curve="", seconds=0.0, status=str(error))
    member, best = tuned.members[0], tuned.best
    parts = ("validation", "test")
    metrics = {part: tuned.metrics[part]["mean"][metric] for part in parts}
    as_it_was = {part: tuned.frozen[part]["mean"][metric] if tuned.frozen else np.nan for part in parts}
    undefined = [part for part, value in metrics.items() if not np.isfinite(value)]
    return Outcome(
        **known,
        validation=metrics["validation"],
        test=metrics["test"],
        frozen_validation=as_it_was["validation"],
        frozen_test=as_it_was["test"],
        best_epoch=0 if best is None else best.best_epoch,
        n_parameters=member.n_parameters,
        dimension=member.width,
        learning_rate=np.nan if best is None else best.learning_rate,
        weight_decay=np.nan if best is None else best.weight_decay,
        n_epochs=sum(trial.n_epochs for trial in tuned.trials),
        curve="" if best is None else json.dumps(best.curve),
        seconds=round(time.perf_counter() - started, 2),
        status=f"no {metric} of the {' and '.join(undefined)} part: it has one class" if undefined else "ok",
    )


@lru_cache(maxsize=4)
def _data_of(source: Source, split: str, seed: int) -> TrainingData:
    """Molecules in their parts, which the cells of one block share."""
    return TrainingData.of(source.load(), split, seed)


def deviation_of(data: TrainingData) -> float:
    """Standard deviation of the values in the test part; NaN for classes.

    Of several targets it is the mean, each divided by its spread in training, as their errors are.
    """
    if data.task.kind != "regression":
        return float("nan")
    scales = 1.0 if data.scales is None else data.scales
    return float((np.nanstd(data.values[data.split.test], axis=0) / scales).mean())


def _with_spreads(frame: pd.DataFrame, data: TrainingData) -> pd.DataFrame:
    """Scores with what fine-tuning divides the errors of each of several numbers by, in ``spread``."""
    if data.scales is None:
        return frame
    spreads = dict(zip(data.task.targets, data.scales.tolist(), strict=True))
    return frame.assign(spread=frame["target"].map(spreads))


def training_part(data: TrainingData) -> Dataset:
    """Dataset of the molecules that fine-tuning learns from and chooses by."""
    return data.take(np.sort(np.concatenate([data.split.train, data.split.validation])))


@dataclass(frozen=True)
class _Block:
    """A dataset with a split and a seed, whose scores have their own files.

    `origin` says which table it is.
    """

    folder: Path
    source: Source
    split: str
    seed: int
    origin: str
    device: str

    def write_scores(self, encoders: Sequence[str], measures: Sequence[str]) -> None:
        """Every measure of every encoder on the training part, unless that is there."""
        names = [measure.name for measure in choose_measures(measures)[0]]
        asked = self._missing(SCORES, {"encoders": set(encoders), "measures": set(names)})
        if asked:
            ranking = score(
                self._dataset(),
                encoders=asked["encoders"],
                measures=asked["measures"],
                seed=self.seed,
                device=self.device,
            )
            data = _data_of(self.source, self.split, self.seed)
            self._write(SCORES, _with_spreads(ranking.frame, data), asked, ranking.run)

    def write_variants(self, encoders: Sequence[str]) -> None:
        """Write scores under other settings of the encoders that are trained as a whole.

        Nothing is written if the file has them all.
        """
        whole = {name for name in encoders if load_encoder(name, seed=self.seed).n_transferable}
        asked = self._missing(VARIANTS, {"encoders": whole})
        if asked.get("encoders"):
            candidates, (target, *_) = make_candidates(
                self._dataset(), asked["encoders"], self.seed, self.device
            )
            self._write(VARIANTS, variant_table(candidates, target, self.seed), asked, {})

    def _path(self, kind: str) -> Path:
        return self.folder / kind / f"{dataset_name(self.source.path)}-{self.split}-{self.seed}.csv"

    def _missing(self, kind: str, asked: dict[str, set[str]]) -> dict[str, list[str]]:
        """Names that the file has to cover, with those it covers already; empty if none is missing."""
        path = self._path(kind)
        noted = path.with_name(f"{path.name}.run.json")
        if path.is_file() and noted.is_file():
            earlier = json.loads(noted.read_text(encoding="utf-8"))
            if all(names <= set(earlier[key]) for key, names in asked.items()):
                return {}
            # Encoders are scored on the molecules that all of them support, so a new encoder changes all.
            asked = {key: names | set(earlier[key]) for key, names in asked.items()}
        return {key: sorted(names) for key, names in asked.items()}

    def _dataset(self) -> Dataset:
        data = _data_of(self.source, self.split, self.seed)
        for note in part_notes(data.targets, data.split):
            logger.warning("%s, %s split, seed %d: %s", data.dataset.name, self.split, self.seed, note)
        return training_part(data)

    def _write(
        self, kind: str, frame: pd.DataFrame, covered: dict[str, list[str]], run: dict[str, Any]
    ) -> None:
        path = self._path(kind)
        named = frame.assign(dataset=dataset_name(self.source.path), split=self.split, seed=self.seed)
        write_atomically(path, named.to_csv(index=False).encode())
        write_record(path, {**covered, "source": self.origin, "run": run})


def _usable_sources(sources: Sequence[Source]) -> tuple[dict[str, tuple[Source, Dataset]], list[Failure]]:
    """Datasets by name, with the targets that can be learned, and what fails.

    Raises
    ------
    InputError
        The first error, if nothing is left.
    """
    usable: dict[str, tuple[Source, Dataset]] = {}
    failures: list[Failure] = []
    errors: list[InputError] = []
    for source in sources:
        name = dataset_name(source.path)
        try:
            dataset = source.load()
            molecules = standardise_dataset(dataset, RowPolicy())
            targets, unusable = usable_targets(dataset, molecules)
        except InputError as error:
            errors.append(error)
            failures.append(Failure(name, "dataset", str(error)))
            continue
        for note in measurement_notes(molecules.canonical.tolist(), dataset.targets):
            logger.warning("%s: %s", name, note)
        failures += [Failure(name, f"target {target.name}", str(reason)) for target, reason in unusable]
        wanted = tuple(target.name for target in targets)
        usable[name] = replace(source, target=wanted), dataset.select(wanted)
    if not usable:
        raise errors[0]
    return usable, failures


def run_benchmark(
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
    device: str = "auto",
    part: str = "all",
    positive: str | None = None,
    censored: str | None = None,
) -> Iterator[Outcome | Failure]:
    """Run what is missing of the grid, yielding each outcome once it is written.

    A target that cannot be learned fails alone where others can, and so does a split.

    Seeds come first, then datasets, so that a run that is stopped leaves whole replicates.

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
        Is in the rows: where a cell was trained may differ from cell to cell.
    part : {"all", "scores", "variants", "finetuning"}
        Only the one, where the others are computed elsewhere or are there.
    positive, censored : str, optional
        As for :func:`molrate.load_dataset`.

    Raises
    ------
    UsageError
        If no encoder is given, a name is unknown, the folder holds cells of the same datasets or encoders
        with other tables, weights or settings, or another process writes it.
    InputError
        If a dataset or the folder cannot be used.
    """
    folder = Path(folder)
    if not encoders:
        raise UsageError("no encoder to benchmark (--encoder)")
    names = [dataset_name(source) for source in datasets]
    if len(set(names)) < len(names):
        raise UsageError(f"two datasets have one name in the results: {', '.join(sorted(names))}")
    device = choose_device(device)
    wanted = None if target is None else tuple(target)
    sources, failures = _usable_sources([Source(path, wanted, positive, censored) for path in datasets])
    request = make_request(
        "benchmark",
        _FORMAT,
        datasets={name: _asked_of(table, config) for name, (_, table) in sources.items()},
        encoders={name: load_encoder(name).identity() for name in encoders},
    )
    with exclusive(folder):
        extend_request(folder, request, ("datasets", "encoders"), [FINETUNING])
        yield from failures
        yield from _run_missing(
            folder, sources, encoders, config, product(seeds, sources, splits), measures, n_jobs, device, part
        )


def _asked_of(table: Dataset, config: FinetuningConfig) -> dict[str, Any]:
    """All that changes the cells of a dataset beside encoder, split and seed, wherever its table lies."""
    values = np.column_stack([target.values for target in table.targets])
    content = "\n".join(table.smiles).encode() + values.tobytes()
    settings = {name: value for name, value in config.record().items() if name != "seed"}
    return {
        "targets": [target.name for target in table.targets],
        "table": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "settings": settings,
    }


def _run_missing(
    folder: Path,
    sources: Mapping[str, tuple[Source, Dataset]],
    encoders: Sequence[str],
    config: FinetuningConfig,
    blocks: Iterable[tuple[int, str, str]],
    measures: Sequence[str],
    n_jobs: int,
    device: str,
    part: str,
) -> Iterator[Outcome | Failure]:
    """Score and fine-tune what has no row yet; `blocks` are of seed, dataset and split."""
    try:
        for kind in (SCORES, VARIANTS):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        rows = Rows(folder / FINETUNING)
    except OSError as error:
        raise InputError(f"-o {folder}: cannot be used: {error}") from error
    finished = rows.finished()
    cells: list[tuple[Cell, Source]] = []
    for seed, dataset, split in blocks:
        source, table = sources[dataset]
        # Without its folder: the same table elsewhere is the same.
        block = _Block(folder, source, split, seed, Path(table.source).name, device)
        try:
            _data_of(source, split, seed)
            if part in ("all", "scores"):
                block.write_scores(encoders, measures)
            if part in ("all", "variants"):
                block.write_variants(encoders)
        except SplitError as error:
            logger.error("%s: %s", dataset, error)
            yield Failure(dataset, f"{split} split, seed {seed}", str(error))
            continue
        cells += [(Cell(dataset, split, seed, name), source) for name in encoders]
    missing = [(cell, source) for cell, source in cells if cell not in finished]
    if part not in ("all", "finetuning"):
        return
    logger.info("%d of %d fine-tunings to do", len(missing), len(cells))
    run = delayed(Carrying(run_cell))
    with Parallel(n_jobs=n_jobs, return_as="generator_unordered") as jobs:
        for outcome in jobs(run(cell, source, config, device) for cell, source in missing):
            rows.append(outcome)
            yield outcome
