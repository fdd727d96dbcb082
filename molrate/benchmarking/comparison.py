"""Comparison of every predictor with real fine-tuning, with intervals over encoders and datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from molrate.benchmarking.agreement import EXPECTED_OF_TIES, METRICS, RANDOM, Floats, weighted, weighted_rows
from molrate.benchmarking.read import DatasetOutcome
from molrate.benchmarking.shortlists import kept_regret
from molrate.benchmarking.truth import REPLICATES, attainable_tau
from molrate.measures.base import DEFAULT_MEASURE

MEAN = "mean"
KEPT = "regret of kept of 3"
DEFAULT_REFERENCE = DEFAULT_MEASURE

_ORDERS_TUNED = 200


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
        is above the predictor's on the same draws. ``share`` is the weighted tau as a share of the attainable
        one, over the datasets with several seeds. ``regret of best of 3`` is that of the best in truth;
        ``regret of kept of 3`` that of the one which validation keeps.
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
    attainable = np.array([attainable_tau(outcome) for outcome in outcomes])
    rows = [row for name in names for row in _rows(outcomes, name, attainable)]
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


def _rows(outcomes: Sequence[DatasetOutcome], name: str, attainable: Floats) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"predictor": name, "dataset": outcome.name, "encoders": len(outcome.encoders)}
        | {key: metric(outcome.predictors[name], outcome.mean_truth) for key, metric in METRICS.items()}
        | {KEPT: kept_regret(outcome, outcome.predictors[name])}
        for outcome in outcomes
    ]
    means = {key: float(np.mean([row[key] for row in rows])) for key in (*METRICS, KEPT)}
    means["share"] = _share_of_attainable(np.array([row["weighted tau"] for row in rows]), attainable)
    least = min(len(outcome.encoders) for outcome in outcomes)
    return [*rows, {"predictor": name, "dataset": MEAN, "encoders": least, **means}]


def _share_of_attainable(taus: Floats, attainable: Floats) -> float:
    """NaN where no dataset has several seeds."""
    known = np.isfinite(attainable)
    return float(taus[known].mean() / attainable[known].mean()) if known.any() else float("nan")


def _random_rows(outcomes: Sequence[DatasetOutcome], seed: int) -> list[dict[str, Any]]:
    """Metrics that a random order is expected to reach, and bounds of 95 % of its weighted taus."""
    rows: list[dict[str, Any]] = []
    generator = np.random.default_rng(seed)
    taus = np.zeros(REPLICATES)
    # All datasets share an order: a predictor that knows nothing of the data, such as size, has the same
    # order in each.
    encoders = _all_encoders(outcomes)
    orders = generator.permuted(np.tile(np.arange(float(len(encoders))), (REPLICATES, 1)), axis=1)
    for outcome in outcomes:
        truth = outcome.mean_truth
        n = len(truth)
        columns = [encoders.index(name) for name in outcome.encoders]
        taus += weighted_rows(orders[:, columns], np.tile(truth, (REPLICATES, 1))) / len(outcomes)
        expected = dict.fromkeys(METRICS, 0.0)
        expected |= {key: METRICS[key](np.zeros(n), truth) for key in EXPECTED_OF_TIES}
        drawn = orders[:_ORDERS_TUNED, columns]
        expected[KEPT] = float(np.mean([kept_regret(outcome, order) for order in drawn]))
        rows.append({"predictor": RANDOM, "dataset": outcome.name, "encoders": n, **expected})
    means = {key: float(np.mean([row[key] for row in rows])) for key in (*METRICS, KEPT)}
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
    drawn = generator.integers(0, len(encoders), (REPLICATES, len(encoders)))
    datasets = generator.integers(0, len(outcomes), (REPLICATES, len(outcomes)))
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
    total = np.zeros(REPLICATES)
    for outcome, resample in zip(outcomes, resamples, strict=True):
        total += _taus(outcome.predictors[name], outcome.mean_truth, resample) * resample.counts
    return total / len(outcomes)


def _taus(scores: Floats, truth: Floats, resample: _Resample) -> Floats:
    """Weighted tau of a dataset's encoders as each replicate drew them."""
    taus = np.zeros(REPLICATES)
    for chosen, rows in resample.groups:
        taus[chosen] = weighted_rows(scores[rows], truth[rows])
    return taus


def lead_over_one_finetuning(
    outcomes: Sequence[DatasetOutcome], name: str, seed: int = 0
) -> tuple[float, float, float]:
    """How far a predictor's weighted tau is above that of fine-tuning every encoder once.

    Both are compared with the mean test metric of the seeds that the one fine-tuning did not have.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
        Those with several seeds count.
    name : str
        Of a predictor.
    seed : int
        Draws the bootstrap over encoders and datasets.

    Returns
    -------
    difference, low, high : float
        Mean over datasets and seeds, and its 95 % interval. NaN where no dataset has several seeds.
    """
    outcomes = [one for one in outcomes if len(one.seeds) > 1 and np.isfinite(one.validation).all()]
    if not outcomes:
        return float("nan"), float("nan"), float("nan")
    drawn = np.zeros(REPLICATES)
    whole = []
    for outcome, resample in zip(outcomes, _resamples(outcomes, np.random.default_rng(seed)), strict=True):
        scores = outcome.predictors[name]
        for one in range(len(outcome.seeds)):
            rest = np.delete(outcome.truth, one, axis=1).mean(axis=1)
            once = outcome.validation[:, one]
            whole.append((weighted(scores, rest) - weighted(once, rest)) / len(outcome.seeds))
            ahead = _taus(scores, rest, resample) - _taus(once, rest, resample)
            drawn += ahead * resample.counts / len(outcome.seeds)
    low, high = np.quantile(drawn / len(outcomes), (0.025, 0.975))
    return float(np.sum(whole) / len(outcomes)), float(low), float(high)
