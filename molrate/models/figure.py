"""Predictions against measurements as figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from molrate.plotting import equal_line, mark, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Floats = npt.NDArray[np.float64]
_SIDE = 3.2


def draw_parity(pairs: Mapping[str, tuple[_Floats, _Floats]]) -> Figure:
    """Predicted against measured values, a panel for each target.

    Parameters
    ----------
    pairs : mapping of str to (ndarray, shape (n,), ndarray, shape (n,))
        By target: measured, predicted.
    """
    with style():
        figure = new_figure(_SIDE * len(pairs), _SIDE)
        panels = figure.subplots(1, len(pairs), squeeze=False)[0]
        for panel, (name, (measured, predicted)) in zip(panels, pairs.items(), strict=True):
            equal_line(panel, float(np.mean(measured)))
            panel.plot(measured, predicted, linestyle="", alpha=0.7, **mark(0))
            panel.set_aspect("equal", adjustable="datalim")
            root = float(np.sqrt(np.mean((measured - predicted) ** 2)))
            panel.set_title(f"{name}: RMSE {root:.3g}, n {len(measured)}", loc="left")
            panel.set_xlabel("measured")
            panel.set_ylabel("predicted")
    return figure


def draw_classes(pairs: Mapping[str, tuple[npt.NDArray[np.bool_], _Floats]]) -> Figure:
    """ROC and calibration curves, a row for each class that is sought.

    Parameters
    ----------
    pairs : mapping of str to (ndarray of bool, shape (n,), ndarray, shape (n,))
        By ``TARGET=CLASS``: whether a molecule is of the class, and the probability that it is.
    """
    with style():
        figure = new_figure(2 * _SIDE, _SIDE * len(pairs))
        panels = figure.subplots(len(pairs), 2, squeeze=False)
        for row, (name, (positive, probability)) in zip(panels, pairs.items(), strict=True):
            _draw_roc(row[0], name, positive, probability)
            _draw_calibration(row[1], positive, probability)
    return figure


def _draw_roc(panel: Axes, name: str, positive: npt.NDArray[np.bool_], probability: _Floats) -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    false, true, _ = roc_curve(positive, probability)
    equal_line(panel)
    panel.plot(false, true)
    panel.set_title(f"{name}: AUROC {roc_auc_score(positive, probability):.2f}", loc="left")
    panel.set_xlabel("false positives")
    panel.set_ylabel("true positives")


def _draw_calibration(panel: Axes, positive: npt.NDArray[np.bool_], probability: _Floats) -> None:
    shares, means = calibration_points(positive, probability)
    equal_line(panel)
    panel.plot(means, shares, **mark(0))
    panel.set_xlim(-0.03, 1.03)
    panel.set_ylim(-0.03, 1.03)
    panel.set_xlabel("predicted probability")
    panel.set_ylabel("share of the class")


def calibration_points(positive: npt.NDArray[np.bool_], probability: _Floats) -> tuple[_Floats, _Floats]:
    """Share of a class among molecules of about the same probability, and their mean probability.

    Parameters
    ----------
    positive : ndarray of bool, shape (n,)
    probability : ndarray, shape (n,)

    Returns
    -------
    shares, means : ndarray
        In at most ten groups of equally many molecules, ten or more in each.
    """
    from sklearn.calibration import calibration_curve

    groups = int(np.clip(len(positive) // 10, 1, 10))
    shares, means = calibration_curve(positive, probability, n_bins=groups, strategy="quantile")
    return shares, means
