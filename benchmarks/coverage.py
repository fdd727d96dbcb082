"""Whether the 95 % interval of a ranking holds the mean excess in 95 % of samples.

    python benchmarks/coverage.py run coverage.csv                       # all cells, the cheap ones first
    python benchmarks/coverage.py run coverage.csv --cells 100x16 400x16
    python benchmarks/coverage.py table coverage.csv

What is covered is the mean excess at this n: the expectation, over draws of data sets of n molecules and over
the label permutations, of a measure's value minus the mean of its value under permuted labels. It is what the
interval of a ranking speaks of, and not the excess of very many molecules. Its true value is taken to be the
mean over all simulations of a cell.

In every cell, features are drawn n x d. Of `noise`, labels are drawn apart from them; of `signal`, features
tell a part of the labels by up to eight directions. Even simulations have three classes, odd ones a real
target. A coverage below 92 means that intervals are too narrow, above 98 that they are too wide; `width` is
their mean half-width over 1.96 standard deviations of the excess, which a perfect interval of a known normal
distribution has at 1.

TransRate is run twice: in the common dimension of a ranking (`transrate`) and in full dimension
(`transrate-full`). The other measures read all features.

Every simulation is a line of the file, so that runs go on where they were stopped.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from row_file import RowFile

from molrate.measures import MEASURES
from molrate.ranking.candidates import Candidate, score_candidates
from molrate.statistics.resampling import make_resampling

CELLS = {f"{n}x{d}": 400 for d in (16, 256, 2048) for n in (100, 400, 1600)} | {"5000x256": 100}
KINDS = ("noise", "signal")
COVERED = ("transrate", "transrate-full", "logme", "h-score", "knn", "loo")
FULL = "transrate-full"
# The form of the intervals was chosen by looking at simulations of lower seeds.
FIRST_SEED = 10_000
COLUMNS = ("n", "d", "kind", "task", "seed", "measure", "excess", "low", "high")
CLASSES = 3


def draw(n, d, kind, task, seed):
    """Features (n, d) and labels (n,)."""
    generator = np.random.default_rng([seed, n, d])
    directions = min(8, d)
    scales = np.geomspace(1, 0.2, d)
    features = generator.normal(size=(n, d)) * scales
    fixed = np.random.default_rng(12345)
    if task == "classification":
        labels = generator.integers(0, CLASSES, n)
        if kind == "signal":
            features[:, :directions] += fixed.normal(size=(CLASSES, directions))[labels] * 0.6
        return features + 0.5, labels
    weights = fixed.normal(size=directions)
    weights /= np.linalg.norm(weights * scales[:directions])
    share = 0.5 if kind == "signal" else 0.0
    told = features[:, :directions] @ weights
    return features + 0.5, np.sqrt(share) * told + np.sqrt(1 - share) * generator.normal(size=n)


def simulate(n, d, kind, seed):
    """Lines of one simulation."""
    task = ("classification", "regression")[seed % 2]
    features, labels = draw(n, d, kind, task, seed)
    resampling = make_resampling(labels, task, seed=seed)
    candidates = [Candidate("drawn", "", features)]
    rows = np.arange(n)
    scored = [
        (outcome.measure.name, outcome)
        for outcome in score_candidates(
            candidates, rows, resampling, [MEASURES[name]() for name in COVERED if name != FULL]
        )
    ]
    (full,) = score_candidates(candidates, rows, resampling, [MEASURES["transrate"]()], None)
    for name, outcome in [*scored, (FULL, full)]:
        estimate = outcome.estimate
        yield n, d, kind, task, seed, name, estimate.excess, *estimate.interval()


def run(path, cells, simulations, first_seed):
    """Append what is missing of the cells, cheap cells first."""
    file = RowFile(path, COLUMNS, ["n", "d", "kind", "seed"])
    done = file.done()
    for cell in sorted(cells, key=lambda cell: np.prod([int(size) for size in cell.split("x")])):
        n, d = (int(size) for size in cell.split("x"))
        started = time.perf_counter()
        for seed in range(first_seed, first_seed + (simulations or CELLS.get(cell, 400))):
            for kind in KINDS:
                if (n, d, kind, seed) not in done:
                    rows = (dict(zip(COLUMNS, row, strict=True)) for row in simulate(n, d, kind, seed))
                    file.append(*rows)
        print(f"{cell}: {time.perf_counter() - started:.0f} s", flush=True)


def summary(path):
    """Coverage of every cell and measure, as a frame."""
    frame = pd.read_csv(path)
    own = frame.groupby(["n", "d", "kind", "task", "measure"])["excess"]
    frame["mean"], frame["sd"] = own.transform("mean"), own.transform("std")
    frame["covered"] = (frame["low"] <= frame["mean"]) & (frame["mean"] <= frame["high"])
    frame["width"] = (frame["high"] - frame["low"]) / 2 / (1.96 * frame["sd"])
    rows = []
    for keys, cell in frame.groupby(["n", "d", "kind", "measure"]):
        by_task = 100 * cell.groupby("task")["covered"].mean()
        rate = cell["covered"].mean()
        rows.append(
            dict(zip(("n", "d", "kind", "measure"), keys, strict=True))
            | {
                "simulations": len(cell),
                "coverage": 100 * rate,
                "error": 100 * np.sqrt(rate * (1 - rate) / len(cell)),
                "classes": by_task.get("classification", np.nan),
                "values": by_task.get("regression", np.nan),
                "width": cell["width"].mean(),
                "within": 0.92 <= rate <= 0.98,
            }
        )
    return pd.DataFrame(rows)


def table(path):
    """Print the coverage in %, a line for each cell; those outside 92 to 98 are marked."""
    cells = summary(path)
    print("coverage in %, stated 95; (of it in classes / values; mean width over that of a known normal)")
    print(f"{'n':>5}{'d':>6} {'kind':8}{'sims':>5}" + "".join(f"{name:>25}" for name in COVERED))
    for (d, n, kind), cell in cells.groupby(["d", "n", "kind"]):
        by_measure = cell.set_index("measure")
        parts = []
        for _, row in by_measure.loc[list(COVERED)].iterrows():
            mark = " " if row["within"] else "!"
            by_task = f"({row['classes']:.0f}/{row['values']:.0f}; {row['width']:.2f})"
            parts.append(f"{row['coverage']:.1f}{mark} {by_task}")
        sims = int(cell["simulations"].iloc[0])
        print(f"{n:5d}{d:6d} {kind:8}{sims:5d}" + "".join(f"{part:>25}" for part in parts))


def main():
    """Read the command line."""
    kept = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kept)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), metavar="NxD")
    parser.add_argument("--simulations", type=int, help="of each cell; 400, and 100 at 5000x256")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    options = parser.parse_args()
    if options.what == "run":
        run(options.file, options.cells, options.simulations, options.first_seed)
    table(options.file)


if __name__ == "__main__":
    main()
