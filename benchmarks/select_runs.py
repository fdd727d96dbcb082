"""Real runs of `molrate select` beside what each candidate, chemprop and a forest make of the same split.

    molrate select freesolv --budget 10m -o runs/freesolv -e minimol -e chemnet ...
    python benchmarks/select_runs.py collect rows.csv runs/freesolv runs/bbbp ...
    python benchmarks/select_runs.py table rows.csv --peers benchmarks/rows/finetuning-peers.csv

A run of a random split with seed s has the test molecules of the study's seed s, so that its model and the
rows of the study were measured on the same ones. Loss is that of the run's model against the candidate of the
best mean over the study's seeds, a network fine-tuned once on that split or a baseline: a share of its
metric, negative where the run, an ensemble of folds, is better. The cost is the seconds of the run's jobs, as
a share of those that all candidates would have taken on all five folds by their rows, of one core both.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from row_file import RowFile

from molrate.benchmarking.cells import FINETUNING
from molrate.benchmarking.summary import markdown_table
from molrate.models.metrics import HIGHER_IS_BETTER
from molrate.paths import EVIDENCE, shipped
from molrate.ranking.contamination import are_suspect
from molrate.selection.run import FOLDS

COLUMNS = (
    "dataset",
    "seed",
    "model",
    "folds",
    "tied",
    "metric",
    "test",
    "low",
    "high",
    "n_test",
    "jobs",
    "seconds",
)
PEERS = ("chemprop", "chemprop-descriptors", "forest", "boosting")


def row_of(folder):
    """What a folder of `molrate select` says of its run."""
    record = json.loads((folder / "selection.json").read_text())
    model = json.loads((folder / "model.json").read_text())
    board = pd.read_csv(folder / "leaderboard.csv")
    if model["split"]["method"] != "random":
        raise SystemExit(f"{folder}: a {model['split']['method']} split, which the study's rows are not of")
    first = record["comparison"]["rows"][0]
    tied = board[(board["tier"] == 1) & (board["state"] != "best")]["model"]
    return dict(
        zip(
            COLUMNS,
            (
                *(model["dataset"]["name"], model["settings"]["seed"], record["model"], len(record["folds"])),
                *(len(tied), record["comparison"]["metric"], first["value"], first["low"], first["high"]),
                *(record["comparison"]["n"], len(record["jobs"]), board["seconds"].sum().round()),
            ),
            strict=True,
        )
    )


def beside(run, rows, peers):
    """What candidates and peers have on the run's split, and what all candidates cost."""
    own = rows[(rows["dataset"] == run["dataset"]) & ~are_suspect(rows["encoder"], rows["dataset"])]
    sign = 1 if HIGHER_IS_BETTER[run["metric"]] else -1
    here = own[own["seed"] == run["seed"]].set_index("encoder")
    if here.empty:
        raise SystemExit(f"{run['dataset']}: no rows of seed {run['seed']}")
    # Of the seeds that most candidates have, so that a lucky split makes none the best.
    per_seed = own.groupby("seed")["encoder"].transform("nunique")
    by_seed = own[per_seed == per_seed.max()].pivot_table(index="encoder", columns="seed", values="test")
    best = (sign * by_seed.dropna().mean(axis=1)).idxmax()
    loss = sign * (here.at[best, "test"] - run["test"]) / here.at[best, "test"]
    of_peers = peers[(peers["dataset"] == run["dataset"]) & (peers["seed"] == run["seed"])].set_index(
        "recipe"
    )
    cost = run["seconds"] / (FOLDS * own.groupby("encoder")["seconds"].median().sum())
    return {
        "candidates": len(here),
        "best": best,
        "best_test": here.at[best, "test"],
        "luckiest": (sign * here["test"]).max() * sign,
        **{name: of_peers["test"].get(name, np.nan) for name in PEERS},
        "loss": loss,
        "cost": cost,
    }


def table(options):
    """Print a row for each run."""
    rows = pd.read_csv(Path(options.results) / FINETUNING)
    rows = rows[(rows["status"] == "ok") & (rows["split"] == "random")]
    peers = pd.read_csv(options.peers)
    runs = pd.read_csv(options.rows)
    found = pd.DataFrame([{**run, **beside(run, rows, peers)} for run in runs.to_dict("records")])
    lines = [
        [
            run["dataset"],
            f"{run['model']} ({run['folds']} folds)",
            f"{run['test']:.3g} [{run['low']:.3g}, {run['high']:.3g}]",
            f"{run['best']} {run['best_test']:.3g}",
            f"{run['luckiest']:.3g} of {run['candidates']}",
            *(f"{run[name]:.3g}" for name in PEERS),
            f"{100 * run['loss']:.1f} %",
            f"{100 * run['cost']:.0f} %",
            str(run["jobs"]),
        ]
        for run in found.to_dict("records")
    ]
    heads = ["dataset", "model", "test", "best candidate", "luckiest", *PEERS, "loss", "cost", "jobs"]
    print(markdown_table(heads, lines))
    print(f"mean loss {100 * found['loss'].mean():.1f} %")


def main():
    """Read the command line."""
    kept = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kept)
    commands = parser.add_subparsers(dest="command", required=True)
    collect = commands.add_parser("collect")
    collect.add_argument("rows", type=Path)
    collect.add_argument("folders", nargs="+", type=Path)
    shown = commands.add_parser("table")
    shown.add_argument("rows", type=Path)
    shown.add_argument("--results", default=shipped(EVIDENCE))
    shown.add_argument("--peers", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "table":
        table(options)
        return
    file = RowFile(options.rows, COLUMNS, ["dataset", "seed"])
    done = file.done()
    found = [row_of(folder) for folder in options.folders]
    file.append(*(row for row in found if (row["dataset"], row["seed"]) not in done))


if __name__ == "__main__":
    main()
