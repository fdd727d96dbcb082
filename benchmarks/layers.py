"""Does the ranking of an encoder's layers predict what transferring the first K of them gives?

The paper's section 4.3: the first K layers are transferred, the rest drawn anew, and all are fine-tuned.
Beside it stand measures of the features of layer K. Splits, seeds and the recipe are those of docs/study.md.

    python benchmarks/layers.py run evidence/layers.csv            # a row for each fine-tuning; goes on
    python benchmarks/layers.py scores evidence/layer-scores.csv   # measures of every layer
    python benchmarks/layers.py table evidence/layers.csv evidence/layer-scores.csv
"""

import argparse
import json
import time
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path

import pandas as pd
from row_file import RowFile

from molrate import score
from molrate.benchmarking.agreement import loss, weighted
from molrate.benchmarking.run import training_part
from molrate.data.datasets import load_dataset
from molrate.encoders.base import load_encoder
from molrate.finetuning.config import DEFAULTS, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.tuning import tune
from molrate.models.metrics import HIGHER_IS_BETTER, main_metric

ENCODERS = ("molclr-gcn", "graphsage-supervised-contextpred", "chemnet")
DATASETS = ("freesolv", "esol", "bace")
SEEDS = (0, 1, 2)
MEASURES = ("transrate", "logme", "h-score", "knn", "loo")
DEEPER = "deeper is better"
KEY = ("dataset", "seed", "encoder", "n_layers")
COLUMNS = (
    *KEY,
    "metric",
    "validation",
    "test",
    "frozen_validation",
    "frozen_test",
    "best_epoch",
    "device",
    "seconds",
    "versions",
)
SCORED = (
    *KEY,
    "layer",
    "measure",
    "value",
    "null_mean",
    "null_sd",
    "excess",
    "low",
    "high",
    "n",
    "dimension",
)


def jobs():
    """Keys of all fine-tunings, whole seeds first."""
    counts = {name: load_encoder(name).n_transferable for name in ENCODERS}
    return [
        (dataset, seed, encoder, n_layers)
        for seed, dataset, encoder in product(SEEDS, DATASETS, ENCODERS)
        for n_layers in range(1, counts[encoder] + 1)
    ]


def fine_tune(dataset, seed, encoder, n_layers, device):
    """One row."""
    started = time.perf_counter()
    data = TrainingData.of(load_dataset(dataset), "random", seed)
    loaded = load_encoder(encoder, seed=seed)
    tuned = tune(data, loaded, replace(DEFAULTS, seed=seed), Transfer(n_layers), device=device)
    metric = main_metric(data.task.kind)
    return {
        **dict(zip(KEY, (dataset, seed, encoder, n_layers), strict=True)),
        "metric": metric,
        **{part: tuned.metrics[part]["mean"][metric] for part in ("validation", "test")},
        **{f"frozen_{part}": tuned.frozen[part]["mean"][metric] for part in ("validation", "test")},
        "best_epoch": tuned.best.best_epoch,
        "device": device,
        "seconds": round(time.perf_counter() - started, 2),
        "versions": json.dumps({name: version(name) for name in ("molrate", "torch", "rdkit")}),
    }


def run(path, device):
    """Append what is missing."""
    file = RowFile(path, COLUMNS, KEY)
    done = file.done()
    for job in jobs():
        if job not in done:
            file.append(fine_tune(*job, device))


def depths(encoder):
    """Numbers of its first layers by the name of the last of them."""
    loaded = load_encoder(encoder)
    first = next(place for place, name in enumerate(loaded.layers) if name.endswith("-1"))
    return {name: k for k, name in enumerate(loaded.layers[first : first + loaded.n_transferable], 1)}


def scores(path):
    """Measures of all layers on the training and validation parts of every split."""
    frames = []
    for dataset, seed in product(DATASETS, SEEDS):
        part = training_part(TrainingData.of(load_dataset(dataset), "random", seed))
        ranking = score(part, encoders=list(ENCODERS), measures=list(MEASURES), layer="all", seed=seed)
        frames.append(ranking.frame.assign(dataset=dataset, seed=seed))
    scored = pd.concat(frames)
    places = {(name, layer): k for name in ENCODERS for layer, k in depths(name).items()}
    scored["n_layers"] = [places.get(pair) for pair in zip(scored["encoder"], scored["layer"], strict=True)]
    # Inputs and what stands behind the last layer are not among what is transferred.
    scored.dropna(subset="n_layers").astype({"n_layers": int})[list(SCORED)].to_csv(path, index=False)


def choices(rows, scored):
    """How each way to choose K agrees with fine-tuning, a row for each dataset, encoder and way."""
    judged, told = pd.read_csv(rows), pd.read_csv(scored)
    for (dataset, encoder), own in judged.groupby(["dataset", "encoder"], sort=False):
        truth = own.groupby("n_layers")["test"].mean()
        truth = truth if HIGHER_IS_BETTER[own["metric"].iloc[0]] else -truth
        about = told[(told["dataset"] == dataset) & (told["encoder"] == encoder)]
        ways = {name: part.groupby("n_layers")["excess"].mean() for name, part in about.groupby("measure")}
        ways[DEEPER] = pd.Series(truth.index, truth.index)
        for name in (*MEASURES, DEEPER):
            chosen = ways[name].reindex(truth.index)
            yield {
                "dataset": dataset,
                "encoder": encoder,
                "way": name,
                "tau": weighted(chosen.to_numpy(float), truth.to_numpy()),
                "taken": chosen.idxmax(),
                "best": truth.idxmax(),
                "loss": loss(truth[chosen.idxmax()], truth),
            }


def main():
    """Run what the command line asks for."""
    kept = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kept)
    parser.add_argument("what", choices=("run", "scores", "table"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.what == "run":
        run(given.paths[0], given.device)
    elif given.what == "scores":
        scores(given.paths[0])
    else:
        print(pd.DataFrame(choices(*given.paths)).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
