"""What is wrong with predictions for molecules that a model has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Codes


@dataclass(frozen=True)
class Residuals:
    """Predictions for molecules that were left out of the fit, against what was measured.

    Attributes
    ----------
    errors : ndarray, shape (n, m)
        Measured less predicted, in the target's unit; of one-hot columns of classes.
    deviations : ndarray, shape (n, m)
        Measured less the mean of the other molecules, the error of knowing nothing of the molecule.
    groups : ndarray of int, shape (n,)
        Rows of equal molecules, left out together.
    codes : ndarray of int, shape (n,), optional
        Classes; None for numbers.
    scores : ndarray, shape (n, C), optional
        What the order of molecules by each class is taken from; None for numbers.
    """

    errors: Matrix
    deviations: Matrix
    groups: Codes
    codes: Codes | None = None
    scores: Matrix | None = None


def residuals_of(errors: Matrix, labels: Matrix, groups: Codes, codes: Codes | None) -> Residuals:
    """Residuals from errors of left-out predictions, for labels (n, m); other arguments as of the class."""
    deviations = labels - mean_of_others(labels, groups)
    # A fit lies the lower, the higher the label that was left out of it: that says nothing of a molecule.
    scores = None if codes is None else both_sides(deviations - errors)
    return Residuals(errors, deviations, groups, codes, scores)


def both_sides(scores: Matrix) -> Matrix:
    """Scores of every class, of two from those of the second, shape (n, C)."""
    return np.hstack([-scores, scores]) if scores.shape[1] == 1 else scores


def mean_of_others(labels: Matrix, groups: Codes) -> Matrix:
    """Mean of the labels of all rows that are not of the row's group, shape (n, m)."""
    sums = sums_of_groups(labels, groups)
    left = len(labels) - np.bincount(groups)[groups]
    return (labels.sum(axis=0) - sums[groups]) / left[:, None]


def sums_of_groups(labels: Matrix, groups: Codes) -> Matrix:
    """Sum of the labels of each group, shape (G, m)."""
    sums = np.zeros((int(groups.max()) + 1, labels.shape[1]))
    np.add.at(sums, groups, labels)
    return sums
