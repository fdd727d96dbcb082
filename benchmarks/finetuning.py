"""Fine-tuning by several recipes on the same splits: test errors, CPU time, and what is better than what.

    python benchmarks/finetuning.py run ROWS.csv --datasets freesolv,bace --encoders grover-small-chembl \
        --recipes default,rate-1e-3,frozen --seeds 0,1,2
    python benchmarks/finetuning.py peer ROWS.csv --chemprop VENV/bin/chemprop --datasets freesolv --seeds 0,1
    python benchmarks/finetuning.py table ROWS.csv

`peer` runs chemprop, in an environment of its own, with its defaults on the same splits. A dataset is a name,
or a table with the columns smiles and y. Rows are appended as they come, and one that is there is not run
again. Seconds are CPU seconds of one process on one core, featurisation included.
"""

import argparse
import os
import subprocess
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from row_file import RowFile

from molrate.data.datasets import dataset_name, load_dataset
from molrate.data.splits import Split, fold_molecules
from molrate.encoders.base import load_encoder
from molrate.finetuning import tuning
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.training import FinetuningRun
from molrate.finetuning.tuning import metrics_of
from molrate.models.metrics import main_metric
from molrate.randomness import seeded

COLUMNS = [
    "dataset",
    "encoder",
    "seed",
    "recipe",
    "metric",
    "frozen",
    "validation",
    "test",
    "epoch",
    "seconds",
]
KEY = ["dataset", "encoder", "seed", "recipe"]

RECIPES = {
    "default": ({}, {}),
    "rate-1e-4": ({"learning_rates": (1e-4,)}, {}),
    "rate-3e-4": ({"learning_rates": (3e-4,)}, {}),
    "rate-5e-4": ({"learning_rates": (5e-4,)}, {}),
    "rate-1e-3": ({"learning_rates": (1e-3,)}, {}),
    "patience-10": ({"patience": 10}, {}),
    "passes-20": ({"n_epochs": 20}, {}),
    "passes-30": ({"n_epochs": 30}, {}),
    "descriptors": ({}, {"descriptors": True}),
    "ensemble-5": ({"ensemble": 5}, {}),
    "frozen": ({}, {"frozen": True}),
    "frozen-descriptors": ({}, {"frozen": True, "descriptors": True}),
    "forest": ({"estimators": ("forest",)}, {}),
    "boosting": ({"estimators": ("boosting",)}, {}),
    "frozen-head": ({}, {}),
    "penalty-0.03": ({}, {}),
    "drawn-head": ({}, {}),
    "batch-statistics": ({}, {}),
}
"""Settings of training and of transfer that differ from the defaults."""


class DrawnHeadTuning(tuning._Tuning):
    """Fine-tuning that begins with a head as it was drawn, scaled by the training molecules."""

    @property
    def start(self):
        """The fitted head without its linear map."""
        head = self._fitted_head()
        with seeded(self.config.seed):
            head.linear.reset_parameters()
        return head


class BatchStatisticsRun(FinetuningRun):
    """Fine-tuning in which batch norms go by the statistics of each batch and learn from them."""

    def __init__(self, *settings):
        super().__init__(*settings)
        self._norms = []


REPLACED = {
    "frozen-head": {"_START_PENALTY": 0.0},
    "penalty-0.03": {"_START_PENALTY": 0.03},
    "drawn-head": {"_Tuning": DrawnHeadTuning},
    "batch-statistics": {"FinetuningRun": BatchStatisticsRun},
}
"""Parts of fine-tuning for which there is no setting, and what takes their place to see what they bring."""


def by_tenths(data, seed):
    """The same molecules, of which eight tenths are trained on, one is validated and one tested on."""
    used = np.sort(np.concatenate([data.split.train, data.split.validation, data.split.test]))
    targets = [target.take(used) for target in data.targets]
    tenths = fold_molecules(data.molecules.canonical[used].tolist(), 10, seed, targets)
    test, validation = used[tenths[0]], used[tenths[1]]
    train = np.setdiff1d(used, np.concatenate([test, validation]))
    return replace(data, split=Split(train, np.sort(validation), np.sort(test)), method="tenths")


def run(path, datasets, encoders, recipes, seeds, tenths):
    """Run what has no row yet."""
    torch.set_num_threads(1)
    file = RowFile(path, COLUMNS, KEY)
    done = file.done()
    for seed, source, encoder, recipe in product(seeds, datasets, encoders, recipes):
        if (dataset_name(source), encoder, seed, recipe) not in done:
            append(file, fine_tune(source, encoder, seed, recipe, tenths))


def fine_tune(source, name, seed, recipe, tenths):
    """One row: metrics of the test part of the model kept and of the encoder as it was."""
    training, transfer = RECIPES[recipe]
    target = None if dataset_name(source) == str(source) else "y"
    started = time.process_time()
    data = TrainingData.of(load_dataset(source, target), "random", seed)
    if tenths:
        data = by_tenths(data, seed)
    replaced = mock.patch.dict(vars(tuning), REPLACED.get(recipe, {}))
    with tempfile.TemporaryDirectory() as folder, replaced:
        tuned = tuning.tune(
            data,
            load_encoder(name, seed=seed),
            FinetuningConfig(seed=seed, **training),
            Transfer(**transfer),
            device="cpu",
            folder=Path(folder),
        )
    metric = main_metric(data.task.kind)
    return {
        "dataset": dataset_name(source),
        "encoder": name,
        "seed": seed,
        "recipe": recipe,
        "metric": metric,
        "frozen": None if tuned.frozen is None else round(tuned.frozen["test"]["mean"][metric], 5),
        "validation": round(next(iter(tuned.metrics.values()))["mean"][metric], 5),
        "test": round(tuned.metrics["test"]["mean"][metric], 5),
        "epoch": None if tuned.best is None else tuned.best.best_epoch,
        "seconds": round(time.process_time() - started, 1),
    }


def peer(path, chemprop, datasets, seeds, descriptors):
    """Run chemprop with its defaults on the splits of :func:`run`."""
    recipe = "chemprop-descriptors" if descriptors else "chemprop"
    file = RowFile(path, COLUMNS, KEY)
    done = file.done()
    for seed, source in product(seeds, datasets):
        if (dataset_name(source), "chemprop", seed, recipe) not in done:
            append(file, train_chemprop(chemprop, source, seed, recipe))


def train_chemprop(chemprop, source, seed, recipe):
    """One row."""
    target = None if dataset_name(source) == str(source) else "y"
    data = TrainingData.of(load_dataset(source, target), "random", seed)
    words = np.full(len(data.molecules), "", dtype=object)
    for word, rows in (
        ("train", data.split.train),
        ("val", data.split.validation),
        ("test", data.split.test),
    ):
        words[rows] = word
    used = words != ""
    frame = pd.DataFrame({"smiles": data.molecules.canonical, "y": data.values[:, 0], "split": words})[used]
    regression = data.task.kind == "regression"
    with tempfile.TemporaryDirectory() as folder:
        frame.to_csv(Path(folder) / "table.csv", index=False)
        command = [chemprop, "train", "--data-path", "table.csv", "--splits-column", "split", "-o", "out"]
        command += ["--task-type", "regression" if regression else "classification", "--num-workers", "0"]
        command += ["--target-columns", "y", "--data-seed", str(seed), "--pytorch-seed", str(seed)]
        if recipe == "chemprop-descriptors":
            command += ["--molecule-featurizers", "v1_rdkit_2d_normalized", "--no-descriptor-scaling"]
        before = os.times()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        after = os.times()
        predicted = pd.read_csv(Path(folder) / "out/model_0/test_predictions.csv")
    metric = main_metric(data.task.kind)
    values = predicted["y"].to_numpy(dtype=float)[:, None]
    return {
        "dataset": dataset_name(source),
        "encoder": "chemprop",
        "seed": seed,
        "recipe": recipe,
        "metric": metric,
        "test": round(metrics_of(data, np.sort(data.split.test), values)["mean"][metric], 5),
        "seconds": round(after.children_user - before.children_user, 1),
    }


def append(file, row):
    """Write a row behind the others, and print it."""
    file.append(row)
    print(*row.values(), flush=True)


def table(path):
    """Means over seeds, gains over the frozen encoder with their standard errors, and seconds."""
    rows = pd.read_csv(path)
    sign = np.where(rows["metric"] == "rmse", 1, -1)
    rows["gain"] = sign * (rows["frozen"] - rows["test"])
    grouped = rows.groupby(["dataset", "recipe", "encoder"])
    shown = grouped[["frozen", "test", "gain", "seconds"]].mean()
    shown["error"] = grouped["gain"].sem()
    shown["seeds"] = grouped.size()
    print(shown.round(3).to_string())
    print()
    print(
        rows.groupby(["dataset", "recipe"])[["frozen", "test", "gain", "seconds"]].mean().round(3).to_string()
    )


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    running, peering = commands.add_parser("run"), commands.add_parser("peer")
    for command in (running, peering, commands.add_parser("table")):
        command.add_argument("rows", type=Path)
    for command in (running, peering):
        command.add_argument("--datasets", required=True)
        command.add_argument("--seeds", default="0,1,2,3,4")
    running.add_argument("--encoders", required=True)
    running.add_argument("--recipes", default="default,frozen")
    running.add_argument("--tenths", action="store_true", help="split 80 : 10 : 10, not 70 : 10 : 20")
    peering.add_argument("--chemprop", required=True)
    peering.add_argument("--descriptors", action="store_true")
    given = parser.parse_args()
    if given.command == "table":
        table(given.rows)
        return
    datasets, seeds = given.datasets.split(","), [int(seed) for seed in given.seeds.split(",")]
    if given.command == "peer":
        peer(given.rows, given.chemprop, datasets, seeds, given.descriptors)
    else:
        run(given.rows, datasets, given.encoders.split(","), given.recipes.split(","), seeds, given.tenths)


if __name__ == "__main__":
    main()
