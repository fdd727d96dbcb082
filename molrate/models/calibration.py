"""How far predictions can be off: conformal intervals and label sets from molecules not trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from molrate.errors import UsageError
from molrate.models.head import Task

_Floats = npt.NDArray[np.float64]

COVERAGE = 0.9
"""Share of molecules that bounds hold where no other is asked for."""
Calibration = dict[str, list[float]]
"""For each target the nonconformity of molecules whose value is known, ascending."""


def calibrate(task: Task, values: _Floats, predicted: _Floats) -> Calibration:
    """Nonconformity of predictions for molecules that training did not see.

    Parameters
    ----------
    task : Task
    values : ndarray, shape (n, n_targets)
        NaN where not measured.
    predicted : ndarray, shape (n, n_outputs)
        Values, or probabilities.

    Returns
    -------
    dict of str to list of float
        The error's size, or one less the probability of the true class.
    """
    calibration = {}
    for column, target in enumerate(task.targets):
        measured = np.flatnonzero(~np.isnan(values[:, column]))
        truth = values[measured, column]
        if task.kind == "regression":
            scores = np.abs(truth - predicted[measured, column])
        else:
            classes = task.probabilities(predicted[measured], column)
            scores = 1 - classes[np.arange(len(measured)), truth.astype(int)]
        calibration[target] = sorted(float(score) for score in scores)
    return calibration


def conformal_quantile(scores: Sequence[float], level: float) -> float:
    """Nonconformity that a new molecule stays below with probability `level`, if it is like those known.

    The ceil((n + 1) level)-th smallest of n scores (Vovk et al. 2005; Lei et al. 2018, split conformal);
    infinite where that is more than n.

    Raises
    ------
    UsageError
        If `level` is no share.
    """
    if not 0 < level < 1:
        raise UsageError(f"a share between 0 and 1 is expected, not {level} (--coverage)")
    rank = math.ceil((len(scores) + 1) * level)
    return scores[rank - 1] if rank <= len(scores) else math.inf


def coverage_notes(calibration: Mapping[str, Sequence[float]], level: float) -> list[str]:
    """Sentences on targets with too few held-out measurements for a coverage.

    Parameters
    ----------
    calibration : dict
        Of :func:`calibrate`.
    level : float
        Share of molecules whose value is to lie within.

    Examples
    --------
    >>> coverage_notes({"y": [0.1] * 20}, 0.99)[0][:66]
    'y: 20 held-out measurements can bound 95.2 % of molecules at most,'
    """
    notes = []
    for target, scores in calibration.items():
        if math.isinf(conformal_quantile(scores, level)):
            n = len(scores)
            most = math.floor(1000 * n / (n + 1)) / 10
            notes.append(
                f"{target}: {n} held-out measurements can bound {most:g} % of molecules at most, not "
                f"{100 * level:g} %: bounds are infinite, and label sets hold all classes"
            )
    return notes


def uncertainty_columns(
    task: Task, predicted: _Floats, calibration: Mapping[str, Sequence[float]], level: float
) -> dict[str, npt.NDArray[np.object_] | _Floats]:
    """Columns beside predictions: bounds of regression targets, or the classes that cannot be excluded.

    Parameters
    ----------
    task : Task
    predicted : ndarray, shape (n, n_outputs)
        NaN where there is no prediction.
    calibration : dict
        Of :func:`calibrate`.
    level : float
        Share of molecules whose value is to lie within.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``low_TARGET`` and ``high_TARGET``, or ``classes_TARGET`` with labels joined by ``|``.
    """
    columns: dict[str, npt.NDArray[np.object_] | _Floats] = {}
    for column, target in enumerate(task.targets):
        reach = conformal_quantile(calibration[target], level)
        if task.kind == "regression":
            columns[f"low_{target}"] = predicted[:, column] - reach
            columns[f"high_{target}"] = predicted[:, column] + reach
        else:
            probabilities = task.probabilities(predicted, column)
            labels = np.array(task.classes[column], dtype=object)
            columns[f"classes_{target}"] = np.array(
                ["|".join(labels[1 - row <= reach]) for row in probabilities], dtype=object
            )
    return columns
