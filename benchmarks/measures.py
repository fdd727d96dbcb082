"""Times of measures, compared with peers and with a floor: one Gram matrix and one eigendecomposition.

    pip install transformer-ranker scikit-learn
    python benchmarks/measures.py            # all sizes
    python benchmarks/measures.py 2000x300x2

Everything is in float64 on all cores; steps are interleaved over repeats, and figures are medians. Ratios
are to the step named in each table. Sizes are n x d x C; if n < d, the floor is that of the n x n kernel.
"""

import statistics
import sys
import time

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict
from transformer_ranker.estimators import HScore, LogME, NearestNeighbors

from molrate.measures import h_score, knn, logme, loo, one_pass_values, transrate

SIZES = ("50000x512x100", "5000x512x100", "50000x2048x100", "2000x300x2", "1000x4800x10", "200000x512x2")
SECONDS = 40.0
MOST_REPEATS = 7


def transrate_transcribed(features, labels, epsilon_squared=0.1):
    """Equations 2-4 as printed: a d x d determinant for all rows and for each class."""

    def rate(rows):
        n, d = rows.shape
        return np.linalg.slogdet(np.eye(d) + d / (n * epsilon_squared) * rows.T @ rows)[1] / 2

    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    parts = [rows[labels == label] for label in np.unique(labels)]
    return rate(rows) - sum(len(part) / len(rows) * rate(part) for part in parts)


def h_score_by_scikit_learn(features, labels):
    """Shrinkage H-score from scikit-learn's Ledoit-Wolf covariance."""
    fitted = LedoitWolf().fit(features)
    centred = features - features.mean(axis=0)
    means = np.stack([centred[labels == label].mean(axis=0) for label in np.unique(labels)])
    between = (means.T * np.bincount(labels) / len(labels)) @ means
    return (1 - fitted.shrinkage_) * np.trace(np.linalg.solve(fitted.covariance_, between))


def ridge_by_scikit_learn(features, labels):
    """Out-of-fold R2 of one-hot columns, one penalty."""
    one_hot = np.eye(labels.max() + 1)[labels]
    predicted = cross_val_predict(Ridge(1.0), features, one_hot, cv=KFold(5))
    return 1 - ((one_hot - predicted) ** 2).sum() / ((one_hot - one_hot.mean(axis=0)) ** 2).sum()


def floor(features, _labels):
    """One Gram matrix (BLAS syrk) and its eigendecomposition."""
    n, d = features.shape
    np.linalg.eigh(features @ features.T if n < d else features.T @ features)


def peer(estimator):
    """Turn an estimator of transformer-ranker into a function."""
    return lambda features, labels: estimator().fit(
        embeddings=torch.from_numpy(features), labels=torch.from_numpy(labels)
    )


STEPS = {
    "floor: Gram matrix + eigendecomposition": floor,
    "molrate, all one-pass measures together": one_pass_values,
    "molrate, TransRate": transrate,
    "NumPy transcription of eqs. 2-4, TransRate": transrate_transcribed,
    "molrate, LogME": lambda features, labels: logme(features, labels, centre=False),
    "transformer-ranker, LogME": peer(LogME),
    "molrate, shrinkage H-score": h_score,
    "transformer-ranker, shrinkage H-score": peer(HScore),
    "scikit-learn LedoitWolf, shrinkage H-score": h_score_by_scikit_learn,
    "molrate, loo, leave-one-out, penalty chosen": loo,
    "scikit-learn Ridge, 5 folds, one penalty": ridge_by_scikit_learn,
    "molrate, nearest neighbours": knn,
    "transformer-ranker, nearest neighbours": peer(NearestNeighbors),
}
# All distances of so many rows take minutes, or more memory than there is.
MOST_NEIGHBOURS = 20_000


def data(n, d, n_classes):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, n_classes, n)
    return generator.normal(size=(n, d)) + 0.3 * generator.normal(size=(n_classes, d))[labels], labels


def timed(steps, features, labels):
    """Medians of interleaved repeats, the results of the steps, and the number of repeats."""
    times, results = {name: [] for name in steps}, {}
    started = time.perf_counter()
    while len(times[next(iter(steps))]) < MOST_REPEATS:
        for name, step in steps.items():
            begun = time.perf_counter()
            results[name] = step(features, labels)
            times[name].append(time.perf_counter() - begun)
        if time.perf_counter() - started > SECONDS:
            break
    return {name: statistics.median(values) for name, values in times.items()}, results, len(times[name])


def main(sizes):
    for size in sizes or SIZES:
        n, d, n_classes = map(int, size.split("x"))
        features, labels = data(n, d, n_classes)
        steps = {
            name: step for name, step in STEPS.items() if "neighbours" not in name or n <= MOST_NEIGHBOURS
        }
        medians, results, repeats = timed(steps, features, labels)
        base = medians["floor: Gram matrix + eigendecomposition"]
        print(f"\n(n, d, C) = ({n}, {d}, {n_classes}), n_c ~ {n // n_classes}, medians of {repeats}")
        print(f"{'':45s} {'seconds':>9s} {'x floor':>8s}  value")
        for name, seconds in medians.items():
            value = results[name]
            shown = f"{value:.6g}" if isinstance(value, float | np.floating) else ""
            print(f"{name:45s} {seconds:9.4f} {seconds / base:8.2f}  {shown}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
