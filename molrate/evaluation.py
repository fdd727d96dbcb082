"""How well measures predicted real fine-tuning, from the results of ``molrate benchmark``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import kendalltau, pearsonr, weightedtau

from molrate.errors import InputError
from molrate.finetuning.metrics import HIGHER_IS_BETTER

_Floats = npt.NDArray[np.float64]

BASELINES = {"size": "n_parameters", "depth": "n_layers", "dimension": "dimension"}
"""What needs no data: an encoder's weights, layers, and the width of its embedding."""

_BOOTSTRAPS = 1000
_TOP = 3


@dataclass(frozen=True)
class Trial:
    """One dataset under one split: what fine-tuning gave, and what predicted it.

    Attributes
    ----------
    name : str
        ``DATASET`` or ``DATASET (scaffold)``.
    metric : str
    encoders, families : list of str
        In the order of all arrays.
    truth : ndarray, shape (n_encoders, n_seeds)
        Test metric, higher is better.
    predictors : dict of str to ndarray, shape (n_encoders,)
        Mean score over seeds, higher is better; NaN where a measure failed.
    reference : float
        Mean test metric of fingerprints, higher is better; NaN if they were not in the grid.
    finetuning_seconds, scoring_seconds : float
        Means for one encoder.
    """

    name: str
    metric: str
    encoders: list[str]
    families: list[str]
    truth: _Floats
    predictors: dict[str, _Floats]
    reference: float
    finetuning_seconds: float
    scoring_seconds: float

    @property
    def mean_truth(self) -> _Floats:
        """Mean over seeds, shape (n_encoders,)."""
        return self.truth.mean(axis=1)


def read_results(folder: str | Path) -> list[Trial]:
    """Read what ``molrate benchmark`` wrote.

    Of each dataset the seeds count under which most fine-tunings are finished for the same encoders, and
    the encoders that were fine-tuned under all of these. Those that were not trained as a whole,
    fingerprints and descriptors, are references.

    Raises
    ------
    InputError
        If there is nothing to evaluate.
    """
    from molrate.benchmarking import FINETUNING, SCORES

    folder = Path(folder)
    try:
        rows = pd.read_csv(folder / FINETUNING)
        files = sorted((folder / SCORES).glob("*.csv"))
        scores = pd.concat([pd.read_csv(path) for path in files])
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{folder}: no results of molrate benchmark: {error}") from error
    rows = rows[rows["status"] == "ok"]
    trials = []
    for dataset, split in sorted(set(zip(rows["dataset"], rows["split"], strict=True))):
        group, of_block = (
            frame[(frame["dataset"] == dataset) & (frame["split"] == split)] for frame in (rows, scores)
        )
        trial = _trial(str(dataset) if split == "random" else f"{dataset} ({split})", group, of_block)
        if trial is not None:
            trials.append(trial)
    if not trials:
        raise InputError(f"{folder}: no dataset has {_TOP} encoders that were fine-tuned under every seed")
    return trials


def _trial(name: str, rows: pd.DataFrame, scores: pd.DataFrame) -> Trial | None:
    metric = str(rows["metric"].iloc[0])
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    tested = rows.pivot_table(index="encoder", columns="seed", values="test") * sign
    tested = tested[_finished_seeds(tested)]
    about: pd.DataFrame = rows.groupby("encoder").first()
    whole = tested.dropna().index
    encoders = [str(encoder) for encoder in whole[~about["frozen"].loc[whole].to_numpy(dtype=bool)]]
    if len(encoders) < _TOP:
        return None
    seeds = tested.columns.tolist()
    reference = float(tested.loc[["ecfp4"]].to_numpy().mean()) if "ecfp4" in whole else np.nan
    scores = scores[scores["seed"].isin(seeds)]
    tuned = rows[rows["encoder"].isin(encoders)]
    scored = scores[scores["encoder"].isin(encoders) & (scores["measure"] == "transrate")]
    return Trial(
        name,
        metric,
        encoders,
        about["family"].loc[encoders].tolist(),
        tested.loc[encoders].to_numpy(),
        _predictors(scores, about, encoders),
        reference,
        float(tuned["seconds"].mean()),
        float(scored["seconds"].mean()) if len(scored) else np.nan,
    )


def _finished_seeds(tested: pd.DataFrame) -> list[int]:
    """Columns for which the rows without a gap, times the columns, are most."""
    fullest = tested.notna().sum().sort_values(ascending=False, kind="stable").index.tolist()
    sizes = [len(tested[fullest[:n]].dropna()) * n for n in range(1, len(fullest) + 1)]
    return sorted(fullest[: int(np.argmax(sizes)) + 1])


def _predictors(scores: pd.DataFrame, about: pd.DataFrame, encoders: list[str]) -> dict[str, _Floats]:
    predictors = {}
    for measure, group in scores.groupby("measure", sort=True):
        for column, suffix in (("excess", ""), ("value", " (raw)")):
            means = group.groupby("encoder")[column].mean().reindex(encoders).to_numpy(dtype=float)
            if np.isfinite(means).all():
                predictors[f"{measure}{suffix}"] = means
    for name, column in BASELINES.items():
        predictors[name] = about.loc[encoders, column].to_numpy(dtype=float)
    return predictors


def pearson(scores: _Floats, truth: _Floats) -> float:
    """Pearson's correlation; 0 where either is constant."""
    if np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return 0.0
    return float(pearsonr(scores, truth).statistic)


def kendall(scores: _Floats, truth: _Floats) -> float:
    """Kendall's tau-b; 0 where either is constant."""
    return _defined(kendalltau(scores, truth).statistic)


def weighted(scores: _Floats, truth: _Floats) -> float:
    """Weighted tau, in which exchanges among the best weigh more; 0 where either is constant."""
    return _defined(weightedtau(scores, truth, rank=True).statistic)


def _defined(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0


def top_recall(scores: _Floats, truth: _Floats) -> float:
    """Share of the three best encoders among the three of the highest scores."""
    best, chosen = (set(np.argsort(-values, kind="stable")[:_TOP].tolist()) for values in (truth, scores))
    return len(best & chosen) / _TOP


METRICS: Mapping[str, Callable[[_Floats, _Floats], float]] = {
    "pearson": pearson,
    "tau": kendall,
    "weighted tau": weighted,
    "top-3 recall": top_recall,
}


def regret(scores: _Floats, truth: _Floats) -> float:
    """Relative top-1 regret: what the encoder of the highest score loses to the best one.

    Where several share the highest score it is their mean. In units of the best one's metric: 0.05 is
    5 % of its area under the curve or of its error.
    """
    chosen = truth[scores == scores.max()].mean()
    return float((truth.max() - chosen) / abs(truth.max()))


def noise_ceiling(trial: Trial) -> float:
    """Mean weighted tau between halves of the seeds, above which no measure can be expected; NaN for one."""
    n = trial.truth.shape[1]
    if n < 2:
        return np.nan
    taus = []
    for half in combinations(range(n), n // 2):
        rest = [seed for seed in range(n) if seed not in half]
        one, other = (trial.truth[:, list(seeds)].mean(axis=1) for seeds in (half, rest))
        taus.append(weighted(one, other))
    return float(np.mean(taus))


@dataclass(frozen=True)
class Evaluation:
    """How well each predictor did.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a predictor and dataset, and one for the mean over datasets (``dataset`` is ``mean``), with
        the metrics, ``regret``, and for the mean the bounds ``low`` and ``high`` of the weighted tau's 95 %
        bootstrap interval over encoders and datasets.
    trials : list of Trial
    """

    table: pd.DataFrame
    trials: list[Trial]

    def means(self) -> pd.DataFrame:
        """Means over datasets, the best weighted tau first."""
        means = self.table[self.table["dataset"] == "mean"].drop(columns="dataset")
        return means.sort_values("weighted tau", ascending=False).reset_index(drop=True)

    def markdown(self) -> str:
        """Summary as a table of Markdown."""
        lines = [
            "| predictor | weighted tau | 95 % | tau | Pearson | top-3 recall | regret |",
            "|---" * 7 + "|",
        ]
        for row in self.means().to_dict("records"):
            lines.append(
                f"| {row['predictor']} | {row['weighted tau']:.2f} | {row['low']:.2f} to {row['high']:.2f} | "
                f"{row['tau']:.2f} | {row['pearson']:.2f} | {row['top-3 recall']:.2f} | {row['regret']:.3f} |"
            )
        lines += [
            "",
            "| dataset | encoders | seeds | noise ceiling | random regret | speed-up |",
            "|---" * 6 + "|",
        ]
        for trial in self.trials:
            truth = trial.mean_truth
            random = (truth.max() - truth.mean()) / abs(truth.max())
            speed = trial.finetuning_seconds / trial.scoring_seconds
            lines.append(
                f"| {trial.name} | {len(trial.encoders)} | {trial.truth.shape[1]} | "
                f"{noise_ceiling(trial):.2f} | {random:.3f} | {speed:.0f} |"
            )
        return "\n".join(lines)


def evaluate(trials: Sequence[Trial], seed: int = 0) -> Evaluation:
    """Compare every predictor that all datasets have with what fine-tuning gave.

    Parameters
    ----------
    trials : sequence of Trial
    seed : int
        Draws the bootstrap; all predictors share its draws.
    """
    names = [name for name in trials[0].predictors if all(name in trial.predictors for trial in trials)]
    rows: list[dict[str, Any]] = []
    draws = _draws(trials, seed)
    for name in names:
        of_datasets = [_row(trial, name) for trial in trials]
        rows += of_datasets
        means = {key: np.mean([row[key] for row in of_datasets]) for key in (*METRICS, "regret")}
        low, high = _interval(trials, name, draws)
        rows.append({"predictor": name, "dataset": "mean", **means, "low": low, "high": high})
    return Evaluation(pd.DataFrame(rows), list(trials))


def _row(trial: Trial, name: str) -> dict[str, Any]:
    scores, truth = trial.predictors[name], trial.mean_truth
    metrics = {key: metric(scores, truth) for key, metric in METRICS.items()}
    return {"predictor": name, "dataset": trial.name, **metrics, "regret": regret(scores, truth)}


_Draw = list[tuple[int, npt.NDArray[np.intp]]]


def _draws(trials: Sequence[Trial], seed: int) -> list[_Draw]:
    """Datasets, and encoders of each, drawn with replacement."""
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(_BOOTSTRAPS):
        chosen = generator.integers(0, len(trials), len(trials))
        draws.append([(int(row), _encoders(generator, len(trials[row].encoders))) for row in chosen])
    return draws


def _encoders(generator: np.random.Generator, n: int) -> npt.NDArray[np.intp]:
    return generator.integers(0, n, n).astype(np.intp)


def _interval(trials: Sequence[Trial], name: str, draws: Sequence[_Draw]) -> tuple[float, float]:
    replicates = [
        np.mean(
            [weighted(trials[row].predictors[name][rows], trials[row].mean_truth[rows]) for row, rows in draw]
        )
        for draw in draws
    ]
    low, high = np.quantile(replicates, (0.025, 0.975))
    return float(low), float(high)


def leave_out(trials: Sequence[Trial], name: str, by: str) -> pd.DataFrame:
    """Weighted tau, mean over datasets, without each encoder or family in turn.

    Parameters
    ----------
    trials : sequence of Trial
    name : str
        A predictor.
    by : {"encoders", "families"}
    """
    rows = []
    for left in sorted({group for trial in trials for group in getattr(trial, by)}):
        taus = []
        for trial in trials:
            kept = np.array([group != left for group in getattr(trial, by)])
            if kept.sum() >= _TOP:
                taus.append(weighted(trial.predictors[name][kept], trial.mean_truth[kept]))
        rows.append({"left out": left, "weighted tau": float(np.mean(taus)) if taus else np.nan})
    return pd.DataFrame(rows)
