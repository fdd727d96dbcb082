"""How often intervals cover what they should, and how often noise is called a signal.

    python benchmarks/coverage.py noise 200       # claims from pure noise, by dimension
    python benchmarks/coverage.py coverage 300    # coverage of the two intervals
    python benchmarks/coverage.py groups 200      # equal encoders told apart

Nothing here uses molecules: features are drawn, so that the truth is known.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from molrate.measures import MEASURES, Sample
from molrate.ranking.candidates import Candidate, score_candidates
from molrate.statistics.intervals import estimate, separable_groups
from molrate.statistics.resampling import make_resampling

DIMENSIONS = (32, 512, 4096)
ROWS = 200
NOISE_MEASURES = (
    *("transrate", "transrate-icml", "transrate-spectral", "logme", "h-score", "h-score-plain", "lfc", "cka"),
    *("gbc", "ridge", "knn", "sfda", "n-leep", "parc", "rogi-xd"),
)
COVERED = ("transrate", "logme", "h-score", "cka", "gbc", "ridge", "knn")
POPULATION_ROWS = 100_000


def estimates(features, labels, task, names, seed):
    """Estimate of each measure on one sample."""
    resampling = make_resampling(labels, task, seed=seed)
    measures = [MEASURES[name]() for name in names]
    scored = score_candidates(
        [Candidate("drawn", "", features)], np.arange(len(features)), resampling, measures
    )
    return {one.measure.name: one.estimate for one in scored if one.table is not None}


def one_noise(job):
    d, task, n, seed = job
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, d)) + 0.5
    labels = generator.normal(size=n) if task == "regression" else generator.random(n) < 0.3
    found = estimates(features, labels, task, NOISE_MEASURES, seed)
    return {
        name: (
            one.p_value < 0.05,
            one.interval()[0] > 0,
            one.interval(corrected=True)[0] > 0,
        )
        for name, one in found.items()
    }


def noise(repeats, pool):
    print(f"claims in noise, % of {repeats} samples of {ROWS} rows: p < 0.05 | low > 0 | corrected low > 0")
    print(
        "(stated: 5 | 2.5 | 2.5; the binomial 95 % range about 5 is "
        f"{5 - 196 * (0.05 * 0.95 / repeats) ** 0.5:.1f} to {5 + 196 * (0.05 * 0.95 / repeats) ** 0.5:.1f})"
    )
    for task in ("classification", "regression"):
        print(f"\n{task:22s}" + "".join(f"{'d = ' + str(d):>18s}" for d in DIMENSIONS), flush=True)
        claims = {}
        for d in DIMENSIONS:
            jobs = [(d, task, ROWS, seed) for seed in range(repeats)]
            for result in pool.map(one_noise, jobs, chunksize=4):
                for name, flags in result.items():
                    claims.setdefault(name, {}).setdefault(d, []).append(flags)
        for name, by_dimension in claims.items():
            cells = []
            for d in DIMENSIONS:
                rates = 100 * np.mean(by_dimension[d], axis=0)
                cells.append(f"{rates[0]:4.1f} |{rates[1]:4.1f} |{rates[2]:4.1f}")
            print(f"{name:22s}" + "".join(f"{cell:>18s}" for cell in cells), flush=True)


def draw(n, d, n_classes, seed):
    """Features of classes whose means stand apart in eight directions, and the labels."""
    generator = np.random.default_rng(seed)
    centres = np.zeros((n_classes, d))
    centres[:, : min(8, d)] = np.random.default_rng(12345).normal(size=(n_classes, min(8, d)))
    labels = generator.integers(0, n_classes, n)
    return centres[labels] * 0.5 + generator.normal(size=(n, d)) * np.geomspace(1, 0.2, d), labels


def one_coverage(job):
    n, d, n_classes, seed = job
    features, labels = draw(n, d, n_classes, seed)
    return {
        name: (one.excess, *one.interval(), *one.interval(corrected=True))
        for name, one in estimates(features, labels, "classification", COVERED, seed).items()
    }


def population(d, n_classes, name):
    """Excess of very many rows: value alone, as the null has vanished."""
    features, labels = draw(POPULATION_ROWS, d, n_classes, 999)
    measure = MEASURES[name]()
    sample = Sample(features, make_resampling(labels, n_blocks=5, permutations=2))
    return estimate(measure.replicates(sample)).excess


def coverage(repeats, pool):
    print(
        f"coverage in % of {repeats} samples, stated 95: interval of the mean excess at this n; corrected "
        "interval of the excess of many rows"
    )
    for n, d, n_classes in ((400, 16, 2), (400, 64, 4), (400, 300, 4)):
        results = list(
            pool.map(one_coverage, [(n, d, n_classes, seed) for seed in range(repeats)], chunksize=4)
        )
        print(f"\n(n, d, C) = ({n}, {d}, {n_classes})")
        print(f"{'':12s}{'mean excess':>12s}{'covered':>9s}{'many rows':>11s}{'covered':>9s}")
        for name in COVERED:
            values = np.array([result[name] for result in results])
            mean = values[:, 0].mean()
            inside = np.mean((values[:, 1] <= mean) & (mean <= values[:, 2]))
            text = f"{name:12s}{mean:12.4f}{100 * inside:9.1f}"
            if name != "knn":
                truth = population(d, n_classes, name)
                within = np.mean((values[:, 3] <= truth) & (truth <= values[:, 4]))
                text += f"{truth:11.4f}{100 * within:9.1f}"
            print(text, flush=True)


def one_groups(job):
    d, n_encoders, seed = job
    generator = np.random.default_rng(seed)
    n = 300
    signal = generator.normal(size=(n, 4))
    labels = signal[:, 0] + generator.normal(size=n)
    replicates = {name: [] for name in ("transrate", "logme", "h-score", "cka", "ridge")}
    for _ in range(n_encoders):
        # A rotation, as a general matrix would make encoders that the measures rightly tell apart.
        rotation = np.linalg.qr(generator.normal(size=(d, d)))[0]
        features = np.c_[signal, generator.normal(size=(n, d - 4))] @ rotation
        for name, one in estimates(features, labels, "regression", replicates, seed).items():
            replicates[name].append(one.replicates)
    return {name: max(separable_groups(found)) > 1 for name, found in replicates.items()}


def groups(repeats, pool):
    print(f"equal encoders (same signal, other noise) told apart, % of {repeats} samples; stated 5")
    for d in (16, 64, 256):
        results = list(pool.map(one_groups, [(d, 6, seed) for seed in range(repeats)], chunksize=4))
        rates = {name: 100 * np.mean([result[name] for result in results]) for name in results[0]}
        print(
            f"d = {d}, 6 encoders: " + ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items()),
            flush=True,
        )


if __name__ == "__main__":
    with ProcessPoolExecutor(os.cpu_count()) as executor:
        {"noise": noise, "coverage": coverage, "groups": groups}[sys.argv[1]](int(sys.argv[2]), executor)
