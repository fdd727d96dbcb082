"""The leaderboard: a row for each model that competed, the best first, and what it says in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from molrate.finetuning.comparison import BASELINES, LEAST_MOLECULES, describe_lead
from molrate.models.head import Task
from molrate.selection.candidates import FINE_TUNED, Candidate, Entry
from molrate.selection.jobs import Job, Result
from molrate.selection.race import Race, Standing

COLUMNS = (
    "rank",
    "tier",
    "model",
    "fitted",
    "state",
    "folds",
    "metric",
    "mean",
    "sd",
    "frozen_mean",
    "frozen_sd",
    "fine_tuned_mean",
    "fine_tuned_sd",
    "difference",
    "low",
    "high",
    "seconds",
    "mebibytes",
    "licence",
    "score_tier",
    "note",
)
BEST, TIED, NOT_RUN, FAILED = "best", "not told apart", "not run", "failed"
_KINDS = {"rdkit-descriptors": "descriptors", "ecfp4": "a fingerprint"}


def make_leaderboard(race: Race, standing: Standing, shortlist: Mapping[str, Entry]) -> pd.DataFrame:
    """Every model that competes, by its better way of being fitted.

    Parameters
    ----------
    race : Race
    standing : Standing
        Of the race now.
    shortlist : mapping of str to Entry
        By encoder.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`COLUMNS`, rows in the order of the standing, then what failed or was not run: ``tier``
        is 1 for the best and all that are not told apart from it, else 2; ``difference`` is how much worse
        than the best, on the folds that both have.
    """
    everyone = [*race.candidates, *standing.alive, *standing.dropped, *standing.failed]
    models: dict[str, list[Candidate]] = {}
    for candidate in dict.fromkeys(everyone):
        models.setdefault(candidate.model, []).append(candidate)
    ways = [sorted(own, key=lambda one: _precedence(race, standing, one)) for own in models.values()]
    ways.sort(key=lambda own: _precedence(race, standing, own[0]))
    rows = [_row(race, standing, own, shortlist) for own in ways]
    for rank, row in enumerate(rows, start=1):
        row["rank"] = rank if row["folds"] else None
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"rank": "Int64", "tier": "Int64", "score_tier": "Int64"})


def _row(
    race: Race,
    standing: Standing,
    candidates: list[Candidate],
    shortlist: Mapping[str, Entry],
) -> dict[str, object]:
    """The row of a model, whose ways of being fitted are given, the one that stands for it first."""
    shown = candidates[0]
    folds = race.folds_of(shown)
    values = race.values(shown, folds)
    leader = standing.ranked[0] if standing.ranked else None
    is_leader = shown == leader
    gap = (np.nan,) * 3
    if leader is not None and folds and not is_leader:
        found = race.difference(shown, leader, standing.n_others)
        gap = found.mean, found.low, found.high
    by_mode = {one.mode == FINE_TUNED: _moments(race, one) for one in candidates}
    frozen, fine_tuned = by_mode.get(False, (np.nan, np.nan)), by_mode.get(True, (np.nan, np.nan))
    entry = shortlist[shown.encoder]
    mean, sd = _moments(race, shown)
    is_behind = not is_leader and (shown in standing.dropped or gap[1] > 0)
    tier = None if not folds else 2 if is_behind else 1
    return {
        "rank": None,
        "tier": tier,
        "model": shown.model,
        "fitted": shown.mode,
        "state": BEST if is_leader else _state(standing, shown, tier),
        "folds": len(values),
        "metric": race.metric,
        "mean": mean,
        "sd": sd,
        "frozen_mean": frozen[0],
        "frozen_sd": frozen[1],
        "fine_tuned_mean": fine_tuned[0],
        "fine_tuned_sd": fine_tuned[1],
        "difference": 0.0 if is_leader else gap[0],
        "low": 0.0 if is_leader else gap[1],
        "high": 0.0 if is_leader else gap[2],
        "seconds": round(sum(result.seconds for result in _results(race, candidates)), 1),
        "mebibytes": max(
            (result.mebibytes or np.nan for result in _results(race, candidates)), default=np.nan
        ),
        "licence": entry.licence,
        "score_tier": entry.tier,
        "note": "; ".join(
            f"{one.mode}: {standing.failed[one]}" for one in candidates if one in standing.failed
        ),
    }


def _precedence(race: Race, standing: Standing, candidate: Candidate) -> tuple[int, int, float]:
    """The way that stands for a model: the one furthest in the race, then the better one."""
    folds = race.folds_of(candidate)
    place = standing.ranked.index(candidate) if candidate in standing.ranked else len(standing.ranked)
    return place, -len(folds), race.sign * float(race.values(candidate, folds).mean()) if folds else 0.0


def _moments(race: Race, candidate: Candidate) -> tuple[float, float]:
    """Mean and standard deviation over folds; NaN where there are too few."""
    values = race.values(candidate, race.folds_of(candidate))
    return (
        float(values.mean()) if len(values) else np.nan,
        float(values.std(ddof=1)) if len(values) > 1 else np.nan,
    )


def _results(race: Race, candidates: list[Candidate]) -> list[Result]:
    """Of all jobs of a model."""
    results = [race.lookup(Job(one, fold)) for one in candidates for fold in range(len(race.folds))]
    return [result for result in results if result is not None]


def _state(standing: Standing, candidate: Candidate, tier: int | None) -> str:
    if candidate in standing.failed:
        return FAILED
    if candidate in standing.dropped:
        drop = standing.dropped[candidate]
        return f"dropped after {n_folds(drop.n_folds)}, behind {drop.behind.name}"
    return NOT_RUN if tier is None else TIED if tier == 1 else "behind"


def n_folds(number: int) -> str:
    """So many folds, in words.

    >>> n_folds(1), n_folds(2)
    ('1 fold', '2 folds')
    """
    return f"{number} fold" if number == 1 else f"{number} folds"


def describe_doubt(comparison: Mapping[str, Any], task: Task) -> str:
    """Why the model may be no better than a guess, as the end of a sentence; empty where it is shown to be.

    It is shown where the interval of its paired difference to the mean of the training values, or to the
    shares of classes, leaves out zero on :data:`LEAST_MOLECULES` test molecules or more.

    Parameters
    ----------
    comparison : mapping
        Of :func:`molrate.finetuning.comparison.comparison_table`.
    task : Task

    Examples
    --------
    >>> task = Task("regression", ("y",))
    >>> mean = {"what": "the mean", "value": 1.14, "ahead": -0.01, "ahead_low": -0.1, "ahead_high": 0.08}
    >>> rows = [{"what": "ecfp4", "value": 1.13}, mean]
    >>> describe_doubt({"metric": "rmse", "n": 30, "rows": rows}, task)
    'to predict y better than its mean: test rmse 1.13 against 1.14, on 30 molecules'
    >>> describe_doubt({"metric": "rmse", "n": 6, "rows": rows}, task)
    'to predict y better than its mean, for which 6 test molecules are too few'
    """
    model = comparison["rows"][0]
    guess = next(row for row in comparison["rows"] if row["what"] == "the mean")
    names = f"{', '.join(task.targets[:-1])} and {task.targets[-1]}".removeprefix(" and ")
    its_mean = "its mean" if len(task.targets) == 1 else "their means"
    claim = f"to predict {names} better than {its_mean if task.kind == 'regression' else 'a guess'}"
    if comparison["n"] < LEAST_MOLECULES:
        return f"{claim}, for which {comparison['n']} test molecules are too few"
    values = model["value"], guess["value"]
    if not all(np.isfinite(values)):
        return f"{claim}: test {comparison['metric']} is undefined, on {comparison['n']} molecules"
    if guess["ahead_high"] < 0:
        return ""
    measured = " against ".join(f"{value:.3g}" for value in values)
    return f"{claim}: test {comparison['metric']} {measured}, on {comparison['n']} molecules"


def describe_ahead(comparison: Mapping[str, Any]) -> str:
    """What is clearly better than the model on the test part, as a sentence; empty where nothing is.

    The model stays the best by the folds: chosen by the test part it would have no error left to quote. What
    is no better than the mean is told by :func:`describe_doubt`.

    Parameters
    ----------
    comparison : mapping
        Of :func:`molrate.finetuning.comparison.comparison_table`.

    Examples
    --------
    >>> forest = {"what": "rdkit-descriptors", "ahead": 0.42, "ahead_low": 0.02, "ahead_high": 0.79}
    >>> describe_ahead({"rows": [{"what": "minimol"}, forest]})
    'On the test part, which chose nothing, rdkit-descriptors is clearly better: by 0.42 [0.02, 0.79].'
    >>> describe_ahead({"rows": [{"what": "minimol"}, {**forest, "ahead_low": -0.1}]})
    ''
    """
    others = [row for row in comparison["rows"][1:] if row["what"] != "the mean"]
    better = [row for row in others if row.get("ahead_low") is not None and row["ahead_low"] > 0]
    if not better:
        return ""
    best = max(better, key=lambda row: float(row["ahead"]))
    by = describe_lead(best, comparison)
    return f"On the test part, which chose nothing, {best['what']} is clearly better: by {by}."


def describe_winner(board: pd.DataFrame, kinds: str = "", doubt: str = "") -> str:
    """The answer in a sentence or two.

    Parameters
    ----------
    board : pandas.DataFrame
        Of :func:`make_leaderboard`.
    kinds : str
        Estimators of a baseline that won, of the folds one each, such as ``boosting or a forest``.
    doubt : str
        Of :func:`describe_doubt`: it is said first, and nothing is advised.

    Examples
    --------
    >>> row = {"model": "ecfp4", "fitted": "estimated", "state": "best", "folds": 5, "metric": "rmse"}
    >>> board = pd.DataFrame([{**row, "mean": 1.2, "tier": 1}])
    >>> describe_winner(board)
    'Use a fingerprint: ecfp4 predicts these molecules best (rmse 1.2, mean of 5 folds).'
    >>> describe_winner(board, doubt="to predict y better than its mean").split(". ")[0]
    'The best of what was tried is not shown to predict y better than its mean'
    """
    best = board.iloc[0]
    measured = f"({best['metric']} {best['mean']:.3g}, mean of {n_folds(best['folds'])})"
    others = board.iloc[1:]
    tried = others[others["folds"] > 0]
    tied = tried[tried["tier"] == 1]["model"].tolist()
    apart = f" Not told apart from it: {', '.join(tied)}." if tied else ""
    name = f"{best['model']}, {best['fitted']}"
    if best["model"] in BASELINES:
        name = f"{best['model']} with {kinds}" if kinds else best["model"]
    if doubt:
        return f"The best of what was tried is not shown {doubt}. It is {name} {measured}.{apart}"
    if best["model"] not in BASELINES:
        return f"Best is {name} {measured}.{apart}"
    networks = tried[~tried["model"].isin(BASELINES)]
    none_better = ""
    if len(networks):
        # One with fewer folds may look better on them, and is not told apart.
        shown = "shown to be " if (networks["difference"] < 0).any() else ""
        none_better = f", and no encoder that was tried is {shown}better"
    kind = _KINDS[best["model"]]
    return f"Use {kind}: {name} predicts these molecules best {measured}{none_better}.{apart}"
