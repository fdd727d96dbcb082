"""How many held-out molecules the bounds of fitted models hold, and how wide the bounds are.

    python benchmarks/bounds.py ROWS.csv --datasets freesolv,esol --encoders gcn-untrained,rdkit-descriptors
    python benchmarks/bounds.py ROWS.csv --datasets bbbp --encoders gcn-supervised --models 1 --train

For each dataset, encoder, seed and number of models: the share of test molecules within the 90 % bounds (or
whose class is in the label set), and the mean width of bounds in standard deviations of the target (or the
mean number of labels). Encoders are frozen, so that one core makes many rows, or trained (`--train`). A
dataset is a name, or a table with the columns smiles and y.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from row_file import RowFile

from molrate.data.datasets import dataset_name, load_dataset
from molrate.encoders.base import load_encoder
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.tuning import tune
from molrate.models.calibration import uncertainty_columns

COVERAGE = 0.9
KEY = ["dataset", "encoder", "seed", "models", "trained"]
COLUMNS = [*KEY, "task", "n_test", "held", "width"]


def measure(source, name, seed, models, trained):
    """One row."""
    target = None if dataset_name(source) == str(source) else "y"
    data = TrainingData.of(load_dataset(source, target), "random", seed)
    encoder = load_encoder(name, seed=seed)
    config = FinetuningConfig(seed=seed, ensemble=models, estimators=("forest", "linear"))
    tuned = tune(data, encoder, config, Transfer(frozen=not trained), device="cpu")
    columns = uncertainty_columns(data.task, tuned.predicted, tuned.calibration, COVERAGE)
    target = data.targets[0]
    truth = target.values[tuned.test]
    if data.task.kind == "regression":
        low, high = columns[f"low_{target.name}"], columns[f"high_{target.name}"]
        held = (low <= truth) & (truth <= high)
        width = float(np.mean(high - low)) / float(np.nanstd(target.values))
    else:
        sets = [set(text.split("|")) - {""} for text in columns[f"classes_{target.name}"]]
        held = np.array(
            [target.classes[int(code)] in labels for code, labels in zip(truth, sets, strict=True)]
        )
        width = float(np.mean([len(labels) for labels in sets]))
    return {
        "dataset": dataset_name(source),
        "encoder": name,
        "seed": seed,
        "models": models,
        "trained": trained,
        "task": data.task.kind,
        "n_test": len(truth),
        "held": round(float(held.mean()), 4),
        "width": round(width, 3),
    }


def main():
    """Parse the command line, run what has no row, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path)
    parser.add_argument("--datasets", required=True)
    parser.add_argument("--encoders", required=True)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--models", default="1,5")
    parser.add_argument("--train", action="store_true", help="train encoders, not their heads alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = RowFile(given.rows, COLUMNS, KEY)
    done = file.done()
    lists = (getattr(given, name).split(",") for name in ("datasets", "encoders", "seeds", "models"))
    for source, name, seed, models in product(*lists):
        if (dataset_name(source), name, int(seed), int(models), given.train) not in done:
            file.append(measure(source, name, int(seed), int(models), given.train))
    rows = pd.read_csv(given.rows)
    rows["molecules_held"] = rows["held"] * rows["n_test"]
    grouped = rows.groupby(["task", "trained", "models", "encoder"])
    table = grouped[["held", "width"]].mean()
    table["pooled"] = grouped["molecules_held"].sum() / grouped["n_test"].sum()
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
