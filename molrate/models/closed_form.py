"""The linear map of a head, fitted to embeddings that stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV

from molrate.errors import InputError
from molrate.models.head import Head, Task

_Floats = npt.NDArray[np.float64]

PENALTIES = np.logspace(-2, 5, 15)
"""Of ridge regression, among which errors of molecules left out choose."""
MAX_STEPS = 2000
"""Of logistic regression."""


def fit_linear(
    head: Head,
    task: Task,
    features: npt.NDArray[np.float32],
    values: _Floats,
    balanced: bool = False,
    *,
    least: float = 0.0,
    molecules: Sequence[str] | None = None,
) -> None:
    """Scale a head by training molecules, and fit its linear map by ridge or logistic regression.

    The penalty is that of the smallest error of ridge regression for molecules left out one at a time with
    all their rows (:func:`fit_ridge`), which has a closed form; for
    classes it is the ridge on +1 and -1 whose quadratic loss touches the logistic loss at zero.

    Parameters
    ----------
    head : Head
        Is changed in place.
    task : Task
    features : ndarray, shape (n, d)
        Finite embeddings of the training molecules.
    values : ndarray, shape (n, n_targets)
        Values or class codes, NaN where not measured.
    balanced : bool
        Whether every class, and not every molecule, counts alike.
    least : float
        Smallest penalty, as a share of the number of rows.
    molecules : sequence of str, length n, optional
        What rows of one molecule have in common; all are different if not given.

    Raises
    ------
    InputError
        If a class has no molecule.

    Examples
    --------
    >>> head = Head(2, 1, 0, 0.0)
    >>> features = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    >>> fit_linear(head, Task("regression", ("y",)), features, 3 * features[:, :1].astype(float))
    >>> bool(abs(head.predict(torch.tensor([[1.0, 0.0]]), "regression") - 3) < 0.1)
    True
    """
    names = np.arange(len(features)) if molecules is None else np.array(molecules, dtype=str)
    head.scale_features(features)
    least_penalty = min(least * len(features), PENALTIES[-1])
    penalties = PENALTIES[least_penalty <= PENALTIES]
    if task.kind == "regression":
        head.scale_targets(values)
    with torch.no_grad():
        scaled = head.scaled(torch.from_numpy(features)).double().numpy()
        fits = [
            _fit_target(task, scaled, values[:, column], names, column, head, balanced, penalties)
            for column in range(len(task.targets))
        ]
        head.linear.weight.copy_(torch.from_numpy(np.vstack([weight for weight, _ in fits])))
        head.linear.bias.copy_(torch.from_numpy(np.concatenate([bias for _, bias in fits])))


def _fit_target(
    task: Task,
    scaled: _Floats,
    values: _Floats,
    molecules: npt.NDArray[Any],
    column: int,
    head: Head,
    balanced: bool,
    penalties: _Floats,
) -> tuple[_Floats, _Floats]:
    """Weights (n_outputs of the target, d) and biases of one target."""
    measured = ~np.isnan(values)
    features, known, molecules = scaled[measured], values[measured], molecules[measured]
    if task.kind == "regression":
        mean, scale = float(head.target_mean[column]), float(head.target_scale[column])
        ridge = fit_ridge(features, (known - mean) / scale, molecules, penalties)
        return ridge.coef_[None], np.array([ridge.intercept_])
    n_classes = len(task.classes[column])
    if len(np.unique(known)) < n_classes:
        raise InputError(f"target {task.targets[column]!r}: a class has no molecule to fit a model on")
    model = LogisticRegression(
        C=logistic_strength(features, known, molecules, penalties),
        max_iter=MAX_STEPS,
        class_weight="balanced" if balanced else None,
    )
    model.fit(features, known)
    return model.coef_, model.intercept_


def fit_ridge(
    features: _Floats, values: _Floats, molecules: npt.NDArray[Any], penalties: _Floats = PENALTIES
) -> RidgeCV:
    """Ridge regression with the penalty that predicts left-out molecules best.

    Rows of one molecule have equal features. A fit to all of them is a fit to their mean with their number
    as its weight, and leaving that out leaves all of them out: were rows left out one at a time, the others
    of their molecule would vouch for whatever the fit has learned by heart.

    Parameters
    ----------
    features : ndarray, shape (n, d)
        Standardised.
    values : ndarray, shape (n,) or (n, n_outputs)
    molecules : ndarray, shape (n,)
        What rows of one molecule have in common.
    penalties : ndarray
        To choose among.

    Returns
    -------
    sklearn.linear_model.RidgeCV
        Fitted to all rows.
    """
    _, first, own, counts = np.unique(molecules, return_index=True, return_inverse=True, return_counts=True)
    if len(first) == len(molecules):
        return RidgeCV(penalties).fit(features, values)
    means = np.zeros((len(first), *values.shape[1:]))
    np.add.at(means, own, values)
    means = (means.T / counts).T
    return RidgeCV(penalties).fit(features[first], means, sample_weight=counts)


def logistic_strength(
    features: _Floats, codes: _Floats, molecules: npt.NDArray[Any], penalties: _Floats = PENALTIES
) -> float:
    """Inverse penalty of logistic regression, from the ridge that predicts left-out molecules best.

    Near zero, the logistic loss of f is (f - 2 y)^2 / 8 and a constant for y = +1 or -1, so that a ridge
    penalty a on squared errors is one of 4 / a as scikit-learn counts.

    Parameters
    ----------
    features : ndarray, shape (n, d)
        Standardised.
    codes : ndarray, shape (n,)
        Of classes.
    molecules : ndarray, shape (n,)
        What rows of one molecule have in common.
    penalties : ndarray
        Of the ridge, to choose among.
    """
    classes = np.unique(codes)
    signs = 2.0 * (codes[:, None] == classes) - 1
    ridge = fit_ridge(features, signs if len(classes) > 2 else signs[:, 1], molecules, penalties)
    return float(4 / ridge.alpha_)
