"""Every predictor against real fine-tuning, with intervals over encoders and datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from molrate.benchmarking.agreement import EXPECTED_OF_TIES, METRICS, TOP, Floats, weighted, weighted_rows
from molrate.benchmarking.read import DatasetOutcome

RANDOM = "random order"
MEAN = "mean"
NOTHING = "nothing"
DEFAULT_REFERENCE = "transrate"

_REPLICATES = 2000


@dataclass(frozen=True)
class Evaluation:
    """How well each predictor did.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a predictor and dataset, and one for the mean over datasets (``dataset`` is ``mean``), with
        the number of encoders (of the mean, the least) and the metrics; for the mean also ``low`` and
        ``high``, the bounds of the weighted tau's 95 % bootstrap interval over encoders and datasets (of
        ``random order``: within which 95 % of such orders lie), and ``lead`` with ``lead_low`` and
        ``lead_high``, by how much the reference's weighted tau is above the predictor's on the same draws.
    outcomes : list of DatasetOutcome
    reference : str
        The predictor that others are compared with.
    """

    table: pd.DataFrame
    outcomes: list[DatasetOutcome]
    reference: str

    def means(self) -> pd.DataFrame:
        """Means over datasets, the best weighted tau first."""
        means = self.table[self.table["dataset"] == MEAN].drop(columns="dataset")
        return means.sort_values("weighted tau", ascending=False).reset_index(drop=True)

    def by_dataset(self, metric: str) -> pd.DataFrame:
        """One metric, predictors by datasets, in the order of :meth:`means`."""
        wide = self.table.pivot_table(index="predictor", columns="dataset", values=metric, sort=False)
        return wide.loc[self.means()["predictor"]]


def evaluate(
    outcomes: Sequence[DatasetOutcome], reference: str = DEFAULT_REFERENCE, seed: int = 0
) -> Evaluation:
    """Compare every predictor that all datasets have with what fine-tuning gave.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
    reference : str
        The predictor that others are compared with; the first one if it is not among them.
    seed : int
        Draws the bootstrap; all predictors share its draws.
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
            ours = replicates[row["predictor"]]
            row["low"], row["high"] = np.quantile(ours, (0.025, 0.975))
            row["lead_low"], row["lead_high"] = np.quantile(replicates[reference] - ours, (0.025, 0.975))
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
    """What an order drawn at random is expected to reach, and 95 % of the weighted taus of such orders."""
    rows: list[dict[str, Any]] = []
    generator = np.random.default_rng(seed)
    taus = np.zeros(_REPLICATES)
    # One order for all datasets: what tells nothing of the data, such as size, has the same in each.
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
    """For one outcome: which replicates have it how often, and rows of the encoders each of them drew."""

    counts: Floats
    groups: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]


def _resamples(outcomes: Sequence[DatasetOutcome], generator: np.random.Generator) -> Iterator[_Resample]:
    """Datasets, and encoders, drawn with replacement; a replicate has the same encoders in all datasets."""
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
    """Mean weighted tau between halves of the seeds: how far fine-tuning agrees with itself; NaN for one.

    The mean over all seeds, which predictors are compared with, is less noisy than its halves, so that a good
    predictor can agree with it better than these do with each other.
    """
    n = outcome.truth.shape[1]
    if n < 2:
        return float("nan")
    taus = []
    for half in combinations(range(n), n // 2):
        rest = [seed for seed in range(n) if seed not in half]
        one, other = (outcome.truth[:, list(seeds)].mean(axis=1) for seeds in (half, rest))
        taus.append(weighted(one, other))
    return float(np.mean(taus))


def leave_out(outcomes: Sequence[DatasetOutcome], name: str, by: str) -> pd.DataFrame:
    """Weighted tau, mean over datasets, without each encoder or family in turn.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
    name : str
        A predictor.
    by : {"encoders", "families"}

    Returns
    -------
    pandas.DataFrame
        Columns ``left out``, ``encoders`` (how many remain, at least) and ``weighted tau``: first without
        leaving out any, then the smallest first; NaN where fewer than three remain in some dataset.
    """
    everything = np.mean([weighted(outcome.predictors[name], outcome.mean_truth) for outcome in outcomes])
    least = min(len(outcome.encoders) for outcome in outcomes)
    whole = {"left out": NOTHING, "encoders": least, "weighted tau": float(everything)}
    rows = []
    for left in sorted({group for outcome in outcomes for group in getattr(outcome, by)}):
        kept = [np.array([group != left for group in getattr(outcome, by)]) for outcome in outcomes]
        least = min(int(mask.sum()) for mask in kept)
        taus = [
            weighted(outcome.predictors[name][mask], outcome.mean_truth[mask])
            for outcome, mask in zip(outcomes, kept, strict=True)
        ]
        tau = float(np.mean(taus)) if least >= TOP else float("nan")
        rows.append({"left out": left, "encoders": least, "weighted tau": tau})
    ordered = pd.DataFrame(rows).sort_values("weighted tau", kind="stable")
    return pd.concat([pd.DataFrame([whole]), ordered], ignore_index=True)
