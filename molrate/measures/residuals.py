"""What is wrong with predictions for molecules that a model has not seen."""

from __future__ import annotations

from dataclasses import dataclass

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
