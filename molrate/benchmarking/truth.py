"""How far fine-tuning agrees with itself: what a score can reach, and what it competes with."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from molrate.benchmarking.agreement import Floats, regret, weighted, weighted_rows
from molrate.benchmarking.read import DatasetOutcome

REPLICATES = 2000
"""Samples of a simulation."""


def agreement_of_halves(outcome: DatasetOutcome) -> float:
    """Mean weighted tau between halves of the seeds, the agreement of fine-tuning with itself.

    It is NaN for a single seed. The mean over all seeds, with which predictors are compared, is less noisy
    than its halves, so that a good predictor can agree with it better than the halves agree with each other.
    """
    n = outcome.truth.shape[1]
    if n < 2:
        return float("nan")
    taus = []
    for half in combinations(range(n), n // 2):
        rest = [seed for seed in range(n) if seed not in half]
        half_mean, rest_mean = (outcome.truth[:, list(seeds)].mean(axis=1) for seeds in (half, rest))
        taus.append(weighted(half_mean, rest_mean))
    return float(np.mean(taus))


def attainable_tau(outcome: DatasetOutcome, seed: int = 0) -> float:
    """Mean weighted tau of the truth with itself: the most that a score can be expected to reach.

    The means over seeds, with normal noise of their standard errors added, are compared with the means. One
    variance is pooled over encoders, as each has few seeds. NaN for a single seed.
    """
    n_seeds = outcome.truth.shape[1]
    if n_seeds < 2:
        return float("nan")
    error = np.sqrt(outcome.truth.var(axis=1, ddof=1).mean() / n_seeds)
    truth = np.tile(outcome.mean_truth, (REPLICATES, 1))
    noisy = truth + error * np.random.default_rng(seed).standard_normal(truth.shape)
    return float(weighted_rows(noisy, truth).mean())


def one_finetuning(outcome: DatasetOutcome) -> tuple[float, float]:
    """Weighted tau and regret of what a cheap score competes with: every encoder fine-tuned once.

    The validation metric of each seed is compared with the mean test metric of the others; means over seeds.
    NaN for a single seed, and where rows have no validation metric.
    """
    n_seeds = outcome.truth.shape[1]
    if n_seeds < 2 or not np.isfinite(outcome.validation).all():
        return float("nan"), float("nan")
    found = []
    for seed in range(n_seeds):
        rest = np.delete(outcome.truth, seed, axis=1).mean(axis=1)
        scores = outcome.validation[:, seed]
        found.append((weighted(scores, rest), regret(scores, rest)))
    tau, lost = np.mean(found, axis=0)
    return float(tau), float(lost)


def standard_errors_behind(scores: Floats, outcome: DatasetOutcome) -> float:
    """Standard errors by which the first choice of a score is behind the best encoder, paired over seeds.

    0 if it is the best; NaN for a single seed. If several encoders share the highest score, it is their mean.
    """
    first = np.flatnonzero(scores == scores.max())
    return float(np.mean([_standard_errors_behind(int(chosen), outcome) for chosen in first]))


def _standard_errors_behind(chosen: int, outcome: DatasetOutcome) -> float:
    best = int(outcome.mean_truth.argmax())
    differences = outcome.truth[best] - outcome.truth[chosen]
    if chosen == best:
        return 0.0
    if len(differences) < 2:
        return float("nan")
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean() / error) if error > 0 else float("inf")
