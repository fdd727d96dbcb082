"""Whether the interval that `molrate select` states of its error covers the error on fresh molecules.

    python benchmarks/select_coverage.py run TABLE.csv rows.csv --target y --repeats 20
    python benchmarks/select_coverage.py table rows.csv

In every repeat some molecules are drawn from a large table as a user's own, `select` finds a model for them,
and that model predicts all the others, which are many, so that their error is hardly a matter of chance. The
interval is the 95 % interval of the test part in the model's folder. Every repeat is a row of the file, so
that runs go on where they were stopped.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from row_file import RowFile

import molrate
from molrate.models.metrics import main_value

COLUMNS = ("table", "seed", "n", "model", "metric", "stated", "low", "high", "fresh", "n_fresh", "seconds")


def repeat(dataset, seed, options):
    """A row of one repeat."""
    started = time.perf_counter()
    order = np.random.default_rng(seed).permutation(len(dataset))
    own, fresh = dataset.take(order[: options.molecules]), dataset.take(order[options.molecules :])
    with tempfile.TemporaryDirectory() as folder:
        selection = molrate.select(
            own, output=Path(folder) / "model", max_jobs=options.max_jobs, encoders=options.encoder, seed=seed
        )
        stated, comparison = selection.record["comparison"]["rows"][0], selection.record["comparison"]
        tested = selection.model.test(fresh)
    fresh_error = main_value(tested.targets, tested.task.kind, tested.predicted)
    return (
        *(dataset.name, seed, options.molecules, selection.record["model"], comparison["metric"]),
        *(stated["value"], stated["low"], stated["high"], fresh_error, len(fresh)),
        round(time.perf_counter() - started),
    )


def run(options):
    """Append the repeats that are missing."""
    dataset = molrate.load_dataset(options.table, options.target)
    file = RowFile(options.rows, COLUMNS, ["seed"])
    done = file.done()
    for seed in range(options.repeats):
        if (seed,) not in done:
            file.append(dict(zip(COLUMNS, repeat(dataset, seed, options), strict=True)))


def table(path):
    """Print every repeat, and how many are covered."""
    rows = pd.read_csv(path)
    rows["covered"] = (rows["low"] <= rows["fresh"]) & (rows["fresh"] <= rows["high"])
    print(rows.drop(columns=["table", "metric", "n", "n_fresh"]).round(3).to_string(index=False))
    print(f"covered: {rows['covered'].sum()} of {len(rows)}; stated 95 %")


def main():
    """Read the command line."""
    kept = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kept)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("table")
    runs.add_argument("rows", type=Path)
    runs.add_argument("--target", required=True)
    runs.add_argument("--repeats", type=int, default=20)
    runs.add_argument("--molecules", type=int, default=500, help="that a user has")
    runs.add_argument("--max-jobs", type=int, default=8)
    runs.add_argument("--encoder", action="append", help="of the shortlist; by default those ranked first")
    tables = commands.add_parser("table")
    tables.add_argument("rows", type=Path)
    options = parser.parse_args()
    if options.command == "run":
        run(options)
    table(options.rows)


if __name__ == "__main__":
    main()
