"""How often the tiers of a ranking part encoders that are equal.

    python benchmarks/tiers.py 200                 # 8 and 12 encoders, 200 samples each
    python benchmarks/tiers.py 200 --encoders 8 --csv tiers.csv

Encoders are drawn that are equal by construction: of the same signal, with noise of the same kind turned at
random (independent), or with most of that noise in common (correlated). All are equal, or half are and the
others tell less, each less than the one before. A sample counts as false if any two equal encoders lie in
different tiers; the rate of that in the whole tiering is stated to be at most 5 %. `parted` is how often, of
half equal encoders, the best and the last of all lie in different tiers, which they should.
"""

import argparse
import csv
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from molrate.measures import MEASURES
from molrate.ranking.candidates import Candidate, score_candidates
from molrate.ranking.consensus import consensus_table
from molrate.ranking.ranking import ranking_frame, ranking_rows
from molrate.statistics.resampling import make_resampling

MEASURED = ("transrate", "logme", "h-score", "knn", "loo")
SIGNALS = 4
SHAPES = ((200, 16), (200, 64))


def rotation(generator, d):
    """A random rotation; a general matrix would make encoders that measures rightly tell apart."""
    return np.linalg.qr(generator.normal(size=(d, d)))[0]


def draw(n, d, n_encoders, equal, correlated, seed):
    """Features of every encoder, regression labels, and which encoders are equal."""
    generator = np.random.default_rng(seed)
    signal = generator.normal(size=(n, SIGNALS))
    labels = signal @ np.full(SIGNALS, 0.5) + 0.7 * generator.normal(size=n)
    common = generator.normal(size=(n, d - SIGNALS))
    features = []
    for number in range(n_encoders):
        told = 1.0 if number < equal else 0.8 * (n_encoders - number) / (n_encoders - equal + 1)
        own = generator.normal(size=(n, d - SIGNALS))
        noise = np.sqrt(0.8) * common + np.sqrt(0.2) * own if correlated else own
        blurred = told * signal + np.sqrt(1 - told**2) * generator.normal(size=(n, SIGNALS))
        blurred = 0.9 * blurred + np.sqrt(1 - 0.81) * generator.normal(size=(n, SIGNALS))
        features.append(np.hstack([blurred, noise]) @ rotation(generator, d))
    return features, labels, equal


def simulate(job):
    """Whether each measure, and their consensus, parts equal encoders, and the best from the last."""
    (n, d), n_encoders, half, correlated, seed = job
    equal = n_encoders // 2 if half else n_encoders
    features, labels, equal = draw(n, d, n_encoders, equal, correlated, seed)
    resampling = make_resampling(labels, "regression", seed=seed)
    candidates = [Candidate(f"{number:02}", "last", rows) for number, rows in enumerate(features)]
    scored = score_candidates(candidates, np.arange(n), resampling, [MEASURES[name]() for name in MEASURED])
    rows, replicates = ranking_rows("y", resampling, scored)
    frame = ranking_frame("drawn", rows)
    tables = dict(iter(frame.groupby("measure")))
    tables["consensus"] = consensus_table(frame, replicates)
    outcome = {}
    for name, table in tables.items():
        tiers = table.set_index("encoder")["tier"].sort_index().to_numpy()
        outcome[name] = (len(set(tiers[:equal])) > 1, tiers.max() > 1)
    return outcome


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("samples", type=int)
    parser.add_argument("--encoders", type=int, nargs="+", default=[8, 12])
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--csv", help="write the table here too")
    options = parser.parse_args()
    lines = []
    print(f"samples with a false separation, % of {options.samples} (parted, %); stated 5", flush=True)
    names = (*MEASURED, "consensus")
    print(f"{'n':>4}{'d':>4}{'K':>4} {'equal':6}{'noise':12}" + "".join(f"{name:>14}" for name in names))
    with ProcessPoolExecutor(options.processes) as pool:
        for shape, count, half, correlated in product(SHAPES, options.encoders, (False, True), (False, True)):
            jobs = [(shape, count, half, correlated, seed) for seed in range(options.samples)]
            outcomes = list(pool.map(simulate, jobs, chunksize=4))
            cells = []
            settings = [
                *shape,
                count,
                "half" if half else "all",
                "correlated" if correlated else "independent",
            ]
            for name in names:
                false, parted = 100 * np.mean([outcome[name] for outcome in outcomes], axis=0)
                cells.append(f"{false:.1f} ({parted:.0f})")
                lines.append([*settings, name, options.samples, false, parted])
            n, d, k, equal, noise = settings
            print(
                f"{n:4}{d:4}{k:4} {equal:6}{noise:12}" + "".join(f"{cell:>14}" for cell in cells), flush=True
            )
    if options.csv:
        with Path(options.csv).open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["n", "d", "encoders", "equal", "noise", "measure", "samples", "false", "parted"])
            writer.writerows(lines)


if __name__ == "__main__":
    main()
