"""Wrong results of other public code, compared with molrate's.

    pip install transformer-ranker
    python benchmarks/other_implementations.py

Each case gives the right answer and the reason for it, so that it can be checked without either program.
"""

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.covariance import LedoitWolf
from transformer_ranker.estimators import HScore, LogME, NearestNeighbors

from molrate.measures import h_score, knn, logme

PEER, OURS, TRUTH = "transformer-ranker", "molrate", "by definition"


def theirs(estimator, features, labels):
    return estimator.fit(embeddings=torch.from_numpy(features), labels=torch.from_numpy(labels))


def evidence_by_definition(features, labels):
    """Largest log N(y; 0, I / beta + F F' / alpha) per row, averaged over one-hot classes."""
    n = len(features)
    values, vectors = np.linalg.eigh(features @ features.T)
    values = np.maximum(values, 0)

    def evidence(y):
        along = (vectors.T @ y) ** 2

        def negative(p):
            variances = np.exp(-p[1]) + values * np.exp(-p[0])
            return 0.5 * np.sum(np.log(2 * np.pi * variances) + along / variances)

        starts = [(a, b) for a in (-3, 0, 4, 10) for b in (-1, 1, 4)]
        options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20_000}
        return -min(minimize(negative, s, method="Nelder-Mead", options=options).fun for s in starts) / n

    return np.mean([evidence((labels == label).astype(float)) for label in np.unique(labels)])


def show(title, rows):
    print(f"\n{title}")
    for row in rows:
        print("  " + row)


def fewer_rows_than_dimensions():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 500)
    signal = generator.normal(size=(500, 64)) + 0.3 * labels[:, None]
    noise = generator.normal(size=(500, 2048))
    rows = []
    for name, features in (("informative, d = 64", signal), ("pure noise, d = 2048", noise)):
        rows.append(
            f"{name:22s} {PEER} {theirs(LogME(), features, labels):8.4f}   {OURS} "
            f"{logme(features, labels, centre=False):8.4f}   "
            f"{TRUTH} {evidence_by_definition(features, labels):8.4f}"
        )
    show("1. LogME at n < d: (D/2) log alpha beside k logarithms, k the rank; noise comes first", rows)


def order_of_classes():
    generator = np.random.default_rng(1)
    labels = generator.choice(3, 300, p=[0.9, 0.07, 0.03])
    features = generator.normal(size=(300, 40)) * 1e-2 + 2e-3 * labels[:, None]
    renamed = 2 - labels
    rows = [
        f"{name:22s} {PEER} {theirs(LogME(), features, y):9.6f}   {OURS} "
        f"{logme(features, y, centre=False):9.6f}   {TRUTH} {evidence_by_definition(features, y):9.6f}"
        for name, y in (("classes 0, 1, 2", labels), ("the same, renamed 2, 1, 0", renamed))
    ]
    show("2. LogME and the names of classes: precisions carried from one class to the next, 11 steps", rows)


def scale_of_features():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 2, 400)
    features = generator.normal(size=(400, 50)) + 0.15 * labels[:, None]
    rows = [
        f"features x {scale:<10g}  {PEER} {theirs(LogME(), features * scale, labels):9.6f}   "
        f"{OURS} "
        f"{logme(features * scale, labels, centre=False):9.6f}"
        for scale in (1e-3, 1.0, 1e3)
    ]
    show(
        "3. LogME and the scale of features: 1e-5 added to denominators; the evidence is free of scale", rows
    )


def unequal_denominators():
    generator = np.random.default_rng(3)
    labels = np.arange(40) % 2
    features = generator.normal(size=(40, 10)) + 2.0 * labels[:, None]
    fitted = LedoitWolf().fit(features)
    centred = features - features.mean(axis=0)
    means = np.stack([centred[labels == c].mean(axis=0) for c in labels])
    right = (1 - fitted.shrinkage_) * np.trace(np.linalg.solve(fitted.covariance_, means.T @ means / 40))
    rows = [
        f"{PEER} {theirs(HScore(), features, labels):.6f}   "
        f"{OURS} {h_score(features, labels):.6f}   "
        f"from scikit-learn's LedoitWolf {right:.6f}"
    ]
    show("4. H-score: covariance over n, but covariance of class means over n - 1", rows)


def repeated_rows():
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 2, 300)
    features = generator.normal(size=(300, 16))
    twice, labels_twice = np.tile(features, (4, 1)), np.tile(labels, 4)
    groups = np.tile(np.arange(300), 4)
    rows = [
        f"each once          {PEER} {theirs(NearestNeighbors(), features, labels):.3f}   "
        f"{OURS} {knn(features, labels):.3f}",
        f"each four times    {PEER} {theirs(NearestNeighbors(), twice, labels_twice):.3f}   "
        f"{OURS} {knn(twice, labels_twice, groups=groups):.3f} (told which rows are one molecule)",
    ]
    show("5. Nearest neighbours of pure noise with repeated molecules; right is chance, 0.5", rows)


if __name__ == "__main__":
    fewer_rows_than_dimensions()
    order_of_classes()
    scale_of_features()
    unequal_denominators()
    repeated_rows()
