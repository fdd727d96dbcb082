"""Comparison of every predictor with real fine-tuning, with intervals over encoders and datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from molrate.benchmarking.agreement import (
    EXPECTED_OF_TIES,
    METRICS,
    TOP,
    Floats,
    regret,
    weighted,
    weighted_rows,
)
from molrate.benchmarking.read import DatasetOutcome

RANDOM = "random order"
MEAN = "mean"
NOTHING = "nothing"
DEFAULT_REFERENCE = "transrate"

_REPLICATES = 2000


@dataclass(frozen=True)
class Evaluation:
    """How well each predictor agrees with fine-tuning.

    Attributes
    ----------
    table : pandas.DataFrame
        One row for each predictor and dataset, and one for the mean over datasets (``dataset`` is
        ``mean``), with the metrics and the number of encoders (the smallest number in the row of the mean).
        The row of the mean also has ``low`` and ``high``, the bounds of the weighted tau's 95 % bootstrap
        interval over encoders and datasets (for ``random order``, the bounds within which 95 % of such
        orders lie), and ``lead`` with ``lead_low`` and ``lead_high``: how far the reference's weighted tau
        is above the predictor's on the same draws.
    outcomes : list of DatasetOutcome
    reference : str
        Predictor with which the others are compared.
    """

    table: pd.DataFrame
    outcomes: list[DatasetOutcome]
    reference: str

    def means(self) -> pd.DataFrame:
        """Means over datasets, with the best weighted tau first."""
        means = self.table[self.table["dataset"] == MEAN].drop(columns="dataset")
        return means.sort_values("weighted tau", ascending=False).reset_index(drop=True)

    def by_dataset(self, metric: str) -> pd.DataFrame:
        """Table of a metric: predictors in the order of :meth:`means`, by datasets."""
        wide = self.table.pivot_table(index="predictor", columns="dataset", values=metric, sort=False)
        return wide.loc[self.means()["predictor"]]


def evaluate(
    outcomes: Sequence[DatasetOutcome], reference: str = DEFAULT_REFERENCE, seed: int = 0
) -> Evaluation:
    """Compare every predictor that all datasets have with the results of fine-tuning.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
    reference : str
        Predictor with which the others are compared; the first predictor if it is not among them.
    seed : int
        Seed of the bootstrap; all predictors share its draws.
    """
    names = [
        name for name in outcomes[0].predictors if all(name in outcome.predictors for outcome in outcomes)
    ]
    reference = reference if reference in names else names[0]
    resamples = list(_resamples(outcomes, np.random.default_rng(seed)))
    replicates = {name: _replicates(outcomes, name, resamples) for name in names}
    rows = [row for name in names for row in _rows(outcomes, name)]
    for row in rows:
        if row["dataset"] == MEAN:
            taus = replicates[row["predictor"]]
            row["low"], row["high"] = np.quantile(taus, (0.025, 0.975))
            row["lead_low"], row["lead_high"] = np.quantile(replicates[reference] - taus, (0.025, 0.975))
    table = pd.DataFrame([*rows, *_random_rows(outcomes, seed)])
    mean = table["dataset"] == MEAN
    best = float(table.loc[mean & (table["predictor"] == reference), "weighted tau"].iloc[0])
    table.loc[mean, "lead"] = best - table.loc[mean, "weighted tau"]
    return Evaluation(table, list(outcomes), reference)


def _all_encoders(outcomes: Sequence[DatasetOutcome]) -> list[str]:
    return sorted({name for outcome in outcomes for name in outcome.encoders})


def _rows(outcomes: Sequence[DatasetOutcome], name: str) -> list[dict[str, Any]]:
    rows = [
        {"predictor": name, "dataset": outcome.name, "encoders": len(outcome.encoders)}
        | {key: metric(outcome.predictors[name], outcome.mean_truth) for key, metric in METRICS.items()}
        for outcome in outcomes
    ]
    means = {key: float(np.mean([row[key] for row in rows])) for key in METRICS}
    least = min(len(outcome.encoders) for outcome in outcomes)
    return [*rows, {"predictor": name, "dataset": MEAN, "encoders": least, **means}]


def _random_rows(outcomes: Sequence[DatasetOutcome], seed: int) -> list[dict[str, Any]]:
    """Metrics that a random order is expected to reach, and bounds of 95 % of its weighted taus."""
    rows: list[dict[str, Any]] = []
    generator = np.random.default_rng(seed)
    taus = np.zeros(_REPLICATES)
    # All datasets share an order: a predictor that knows nothing of the data, such as size, has the same
    # order in each.
    encoders = _all_encoders(outcomes)
    orders = generator.permuted(np.tile(np.arange(float(len(encoders))), (_REPLICATES, 1)), axis=1)
    for outcome in outcomes:
        truth = outcome.mean_truth
        n = len(truth)
        columns = [encoders.index(name) for name in outcome.encoders]
        taus += weighted_rows(orders[:, columns], np.tile(truth, (_REPLICATES, 1))) / len(outcomes)
        expected = dict.fromkeys(METRICS, 0.0)
        expected |= {key: METRICS[key](np.zeros(n), truth) for key in EXPECTED_OF_TIES}
        rows.append({"predictor": RANDOM, "dataset": outcome.name, "encoders": n, **expected})
    means = {key: float(np.mean([row[key] for row in rows])) for key in METRICS}
    means["encoders"] = min(row["encoders"] for row in rows)
    low, high = np.quantile(taus, (0.025, 0.975))
    return [*rows, {"predictor": RANDOM, "dataset": MEAN, **means, "low": low, "high": high}]


@dataclass(frozen=True)
class _Resample:
    """Bootstrap draws for one outcome.

    `counts` says how often each replicate has the outcome. `groups` holds pairs: replicates that drew the
    same number of its encoders, and the rows of those encoders.
    """

    counts: Floats
    groups: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]


def _resamples(outcomes: Sequence[DatasetOutcome], generator: np.random.Generator) -> Iterator[_Resample]:
    """Draw datasets and encoders with replacement; a replicate has the same encoders in all datasets."""
    encoders = _all_encoders(outcomes)
    drawn = generator.integers(0, len(encoders), (_REPLICATES, len(encoders)))
    datasets = generator.integers(0, len(outcomes), (_REPLICATES, len(outcomes)))
    for index, outcome in enumerate(outcomes):
        row_of = {name: row for row, name in enumerate(outcome.encoders)}
        rows = np.array([row_of.get(name, -1) for name in encoders])[drawn]
        present = rows >= 0
        groups = []
        for count in np.unique(present.sum(axis=1)):
            chosen = np.flatnonzero(present.sum(axis=1) == count)
            groups.append((chosen, rows[chosen][present[chosen]].reshape(len(chosen), count)))
        yield _Resample((datasets == index).sum(axis=1).astype(float), groups)


def _replicates(outcomes: Sequence[DatasetOutcome], name: str, resamples: Sequence[_Resample]) -> Floats:
    """Mean weighted tau of each replicate, shape (n_replicates,)."""
    total = np.zeros(_REPLICATES)
    for outcome, resample in zip(outcomes, resamples, strict=True):
        taus = np.zeros(_REPLICATES)
        for chosen, rows in resample.groups:
            taus[chosen] = weighted_rows(outcome.predictors[name][rows], outcome.mean_truth[rows])
        total += taus * resample.counts
    return total / len(outcomes)


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
    truth = np.tile(outcome.mean_truth, (_REPLICATES, 1))
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

    0 if it is the best; NaN for a single seed.
    """
    chosen, best = int(scores.argmax()), int(outcome.mean_truth.argmax())
    differences = outcome.truth[best] - outcome.truth[chosen]
    if chosen == best:
        return 0.0
    if len(differences) < 2:
        return float("nan")
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean() / error) if error > 0 else float("inf")


def leave_out(outcomes: Sequence[DatasetOutcome], name: str, by: str) -> pd.DataFrame:
    """Mean weighted tau over datasets, without each encoder or family in turn.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
    name : str
        Name of a predictor.
    by : {"encoders", "families"}

    Returns
    -------
    pandas.DataFrame
        Columns ``left out``, ``encoders`` (the smallest number that remains in a dataset) and ``weighted
        tau``. The first row leaves nothing out; the rows after it begin with the smallest tau. NaN where
        fewer than three encoders remain in some dataset.
    """
    everything = np.mean([weighted(outcome.predictors[name], outcome.mean_truth) for outcome in outcomes])
    least = min(len(outcome.encoders) for outcome in outcomes)
    whole = {"left out": NOTHING, "encoders": least, "weighted tau": float(everything)}
    rows = []
    for left_out in sorted({group for outcome in outcomes for group in getattr(outcome, by)}):
        kept = [np.array([group != left_out for group in getattr(outcome, by)]) for outcome in outcomes]
        least = min(int(mask.sum()) for mask in kept)
        taus = [
            weighted(outcome.predictors[name][mask], outcome.mean_truth[mask])
            for outcome, mask in zip(outcomes, kept, strict=True)
        ]
        tau = float(np.mean(taus)) if least >= TOP else float("nan")
        rows.append({"left out": left_out, "encoders": least, "weighted tau": tau})
    ordered = pd.DataFrame(rows).sort_values("weighted tau", kind="stable")
    return pd.concat([pd.DataFrame([whole]), ordered], ignore_index=True)
