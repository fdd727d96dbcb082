"""Fine-tuning by several recipes on the same splits: test errors, CPU time, and what is better than what.

    python benchmarks/finetuning.py run ROWS.csv --datasets freesolv,bace --encoders grover-small-chembl \
        --recipes default,rate-1e-3,frozen --seeds 0,1,2
    python benchmarks/finetuning.py table ROWS.csv

A dataset is a name, or a table with the columns smiles and y. Rows are appended as they come, and a row that
is there is not run again. Seconds are CPU seconds of one process on one core, featurisation included.
"""

import argparse
import csv
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from molrate.data.datasets import dataset_name, load_dataset
from molrate.encoders.base import load_encoder
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.tuning import tune
from molrate.models.metrics import MAIN_METRIC

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

RECIPES = {
    "default": ({}, {}),
    "rate-1e-4": ({"learning_rates": (1e-4,)}, {}),
    "rate-3e-4": ({"learning_rates": (3e-4,)}, {}),
    "rate-5e-4": ({"learning_rates": (5e-4,)}, {}),
    "rate-1e-3": ({"learning_rates": (1e-3,)}, {}),
    "rate-3e-4-patient": ({"learning_rates": (3e-4,), "patience": 30}, {}),
    "rate-1e-3-patient": ({"learning_rates": (1e-3,), "patience": 30}, {}),
    "descriptors": ({}, {"descriptors": True}),
    "ensemble-5": ({"ensemble": 5}, {}),
    "frozen": ({}, {"frozen": True}),
    "frozen-descriptors": ({}, {"frozen": True, "descriptors": True}),
}
"""Settings of training and of transfer that differ from the defaults."""


def run(path, datasets, encoders, recipes, seeds):
    """Run what has no row yet."""
    torch.set_num_threads(1)
    done = set()
    if path.is_file():
        rows = pd.read_csv(path)
        done = set(zip(rows["dataset"], rows["encoder"], rows["seed"], rows["recipe"], strict=True))
    for seed, source, encoder, recipe in product(seeds, datasets, encoders, recipes):
        if (dataset_name(source), encoder, seed, recipe) in done:
            continue
        row = fine_tune(source, encoder, seed, recipe)
        new = not path.is_file()
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(*row.values(), flush=True)


def fine_tune(source, name, seed, recipe):
    """One row: metrics of the test part of the model kept and of the encoder as it was."""
    training, transfer = RECIPES[recipe]
    target = None if dataset_name(source) == str(source) else "y"
    started = time.process_time()
    data = TrainingData.of(load_dataset(source, target), "random", seed)
    with tempfile.TemporaryDirectory() as folder:
        tuned = tune(
            data,
            load_encoder(name, seed=seed),
            FinetuningConfig(seed=seed, **training),
            Transfer(**transfer),
            device="cpu",
            folder=Path(folder),
        )
    metric = MAIN_METRIC["regression" if data.task.kind == "regression" else "classification"]
    return {
        "dataset": dataset_name(source),
        "encoder": name,
        "seed": seed,
        "recipe": recipe,
        "metric": metric,
        "frozen": None if tuned.frozen is None else round(tuned.frozen["mean"][metric], 5),
        "validation": round(next(iter(tuned.metrics.values()))["mean"][metric], 5),
        "test": round(tuned.metrics["test"]["mean"][metric], 5),
        "epoch": None if tuned.best is None else tuned.best.best_epoch,
        "seconds": round(time.process_time() - started, 1),
    }


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
    running = commands.add_parser("run")
    for command in (running, commands.add_parser("table")):
        command.add_argument("rows", type=Path)
    running.add_argument("--datasets", required=True)
    running.add_argument("--encoders", required=True)
    running.add_argument("--recipes", default="default,frozen")
    running.add_argument("--seeds", default="0,1,2,3,4")
    given = parser.parse_args()
    if given.command == "table":
        table(given.rows)
        return
    lists = (getattr(given, name).split(",") for name in ("datasets", "encoders", "recipes"))
    run(given.rows, *lists, [int(seed) for seed in given.seeds.split(",")])


if __name__ == "__main__":
    main()
