"""A fine-tuned model beside what it has to beat, on the same test molecules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.splits import rows_by_molecule
from molrate.encoders.base import load_encoder
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.tuning import FinetuneResult, tune
from molrate.models.estimators import EstimatorHead
from molrate.models.metrics import HIGHER_IS_BETTER, SPREADS, main_metric, main_value

_Floats = npt.NDArray[np.float64]

BASELINES = ("rdkit-descriptors", "ecfp4")
LEAST_MOLECULES = 10
"""Of a bootstrap: the interval of fewer is too narrow, and that of one molecule has no width."""
_RESAMPLES = 200
_INTERVAL = (2.5, 97.5)


def compare(
    data: TrainingData, encoder: str, tuned: FinetuneResult, config: FinetuningConfig, transfer: Transfer
) -> dict[str, Any]:
    """Test errors of a model and of what it has to beat, with bootstrap intervals over test molecules.

    Of fewer than :data:`LEAST_MOLECULES` molecules there are no intervals.

    Parameters
    ----------
    data : TrainingData
    encoder : str
        Its name.
    tuned : FinetuneResult
    config : FinetuningConfig
    transfer : Transfer

    Returns
    -------
    dict
        ``metric``, its ``unit`` in words (empty where it has none), the number of molecules ``n`` that all
        can predict, ``n_rows`` of them, and ``rows``: for each contender its name, value, the bounds of a
        95 % interval, and ``ahead``: how much better than the model it is on the same molecules, with
        ``ahead_low`` and ``ahead_high``.
    """
    contenders = {encoder: (tuned.test, tuned.predicted)}
    if tuned.frozen_predicted is not None:
        # Beside a frozen encoder stands what its head began as, fitted in closed form.
        before = "its linear head alone" if transfer.frozen else "the same frozen"
        contenders[before] = (tuned.test, tuned.frozen_predicted)
    forests = replace(config, ensemble=1, metric=None, estimators=("forest",))
    for name in BASELINES:
        if not (name == encoder and _is_forest(tuned, transfer)):
            forest = tune(data, load_encoder(name), forests, device="cpu")
            contenders[f"forest on {name}"] = (forest.test, forest.predicted)
    contenders["the mean"] = (tuned.test, constant_predictions(data, len(tuned.test)))
    return comparison_table(data, contenders)


def _is_forest(tuned: FinetuneResult, transfer: Transfer) -> bool:
    """Whether a model is a forest on its encoder's vectors, and nothing else."""
    heads = [member.head for member in tuned.members]
    forests = (isinstance(head, EstimatorHead) and set(head.kinds) == {"forest"} for head in heads)
    return not transfer.descriptors and all(forests)


def constant_predictions(data: TrainingData, n: int) -> _Floats:
    """The mean of the training values, or the shares of classes, for each of n molecules.

    Parameters
    ----------
    data : TrainingData
    n : int

    Returns
    -------
    ndarray, shape (n, n_outputs)
    """
    known = data.values[data.split.train]
    if data.task.kind == "multiclass":
        codes = known[~np.isnan(known)].astype(int)
        return np.tile(np.bincount(codes, minlength=data.task.n_outputs) / len(codes), (n, 1))
    return np.tile(np.nanmean(known, axis=0), (n, 1))


def comparison_table(
    data: TrainingData, contenders: Mapping[str, tuple[npt.NDArray[np.intp], _Floats]]
) -> dict[str, Any]:
    """Errors of contenders on the molecules that all of them predict; see :func:`compare`.

    Parameters
    ----------
    data : TrainingData
    contenders : mapping of str to (ndarray of int, shape (n,), ndarray, shape (n, n_outputs))
        Rows of each, and what it predicts of them.
    """
    rows = np.array(sorted(set.intersection(*(set(rows.tolist()) for rows, _ in contenders.values()))))
    metric = main_metric(data.task.kind)
    aligned = {name: predicted[np.searchsorted(own, rows)] for name, (own, predicted) in _sorted(contenders)}
    canonical, scales = data.molecules.canonical[rows].tolist(), data.scales
    n = len(set(canonical))
    draws = draw_molecules(canonical, _RESAMPLES, seed=0) if n >= LEAST_MOLECULES else []

    def value(predicted: _Floats, drawn: npt.NDArray[np.intp]) -> float:
        targets = [target.take(rows[drawn]) for target in data.targets]
        return main_value(targets, data.task.kind, predicted[drawn], scales)

    wholes = {name: value(predicted, np.arange(len(rows))) for name, predicted in aligned.items()}
    resampled = {
        name: np.array([value(predicted, drawn) for drawn in draws]) for name, predicted in aligned.items()
    }
    model = next(iter(aligned))
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    table = []
    for name in aligned:
        low, high = _percentiles(resampled[name])
        row = {"what": name, "value": wholes[name], "low": low, "high": high}
        if name != model:
            ahead_low, ahead_high = _percentiles(sign * (resampled[name] - resampled[model]))
            ahead = sign * (wholes[name] - wholes[model])
            row |= {"ahead": ahead, "ahead_low": ahead_low, "ahead_high": ahead_high}
        table.append(row)
    return {"metric": metric, "unit": _unit(data), "n": n, "n_rows": len(rows), "rows": table}


def draw_molecules(canonical: Sequence[str], n_draws: int, seed: int) -> list[npt.NDArray[np.intp]]:
    """Rows of bootstrap samples of molecules.

    Rows of one molecule are drawn together: they have one prediction, and err alike.

    Parameters
    ----------
    canonical : sequence of str, length n
    n_draws, seed : int

    Returns
    -------
    list of ndarray of int
    """
    of_molecules = rows_by_molecule(canonical)
    n = len(of_molecules)
    drawn = np.random.default_rng(seed).integers(0, n, (n_draws, n))
    return [np.concatenate([of_molecules[one] for one in sample]) for sample in drawn]


def _unit(data: TrainingData) -> str:
    if data.task.kind != "regression":
        return ""
    return data.targets[0].unit if len(data.targets) == 1 else SPREADS


def describe_size(comparison: Mapping[str, Any]) -> str:
    """How many molecules a comparison is of, and how many rows where these are more.

    Examples
    --------
    >>> describe_size({"n": 40, "n_rows": 120})
    '40 molecules in 120 rows'
    """
    n, n_rows = comparison["n"], comparison.get("n_rows", comparison["n"])
    molecules = f"{n} molecule{'' if n == 1 else 's'}"
    return molecules if n_rows == n else f"{molecules} in {n_rows} rows"


def _percentiles(resampled: _Floats) -> tuple[float, float]:
    """Bounds of a 95 % interval; NaN where nothing is defined."""
    known = resampled[np.isfinite(resampled)]
    low, high = np.percentile(known, _INTERVAL) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def _sorted(
    contenders: Mapping[str, tuple[npt.NDArray[np.intp], _Floats]],
) -> list[tuple[str, tuple[npt.NDArray[np.intp], _Floats]]]:
    """Contenders with their rows in ascending order."""
    ordered = []
    for name, (rows, predicted) in contenders.items():
        order = np.argsort(rows)
        ordered.append((name, (rows[order], predicted[order])))
    return ordered


def describe_few(comparison: Mapping[str, Any]) -> str:
    """Why a comparison has no intervals; empty where it has them.

    Examples
    --------
    >>> describe_few({"n": 2})
    'too few for intervals or advice; 10 are the least'
    """
    if comparison["n"] >= LEAST_MOLECULES:
        return ""
    return f"too few for intervals or advice; {LEAST_MOLECULES} are the least"


def describe_best(comparison: Mapping[str, Any]) -> str:
    """What is better than the model, as a sentence; empty where nothing is, or molecules are too few.

    Examples
    --------
    >>> forest = {"what": "forest on ecfp4", "ahead": 0.04, "ahead_low": 0.01, "ahead_high": 0.07}
    >>> describe_best({"n": 40, "rows": [{"what": "minimol"}, forest]})
    'Take forest on ecfp4 instead: it is better on the same molecules, by 0.04 [0.01, 0.07].'
    """
    if describe_few(comparison):
        return ""
    keys = ("ahead", "ahead_low", "ahead_high")
    others = [row for row in comparison["rows"][1:] if all(row.get(key) is not None for key in keys)]
    best = max(others, key=lambda row: row["ahead"], default=None)
    if best is None or not best["ahead"] > 0:
        return ""
    by = f"by {describe_lead(best, comparison)}"
    if best["ahead_low"] > 0:
        return f"Take {best['what']} instead: it is better on the same molecules, {by}."
    return f"Not clearly better than {best['what']}, which is ahead on the same molecules {by}."


def describe_lead(row: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """By how much a row is ahead of the model: ``0.04 [0.01, 0.07] kcal/mol``."""
    return f"{row['ahead']:.2g} [{row['ahead_low']:.2g}, {row['ahead_high']:.2g}]{unit_of(comparison)}"


def describe_comparison(comparison: Mapping[str, Any]) -> str:
    """One line: ``test rmse 1.05 [0.93, 1.21], beside the same frozen 1.08 [...]; ...``."""
    first, *others = comparison["rows"]
    shown = "; ".join(f"{row['what']} {_bounded(row)}" for row in others)
    size, few = describe_size(comparison), describe_few(comparison)
    told = f"{size}, {few}" if few else f"95 %, {size}"
    unit = unit_of(comparison)
    return f"test {comparison['metric']} {_bounded(first)}{unit}, beside {shown} ({told})"


def unit_of(comparison: Mapping[str, Any]) -> str:
    """The unit of a comparison's errors behind a space, if they have one."""
    return f" {comparison['unit']}" if comparison.get("unit") else ""


def _bounded(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "undefined"
    if row["low"] is None:
        return f"{row['value']:.3g}"
    return f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
