"""Values so far from the others that a squared error is theirs alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molrate.statistics.resampling import Codes

HALF = 0.5
"""Share of the squared deviations that few molecules must hold to rule a target."""
FEW = 0.01
"""Share of the molecules that counts as few; one always does."""


@dataclass(frozen=True)
class Outliers:
    """Molecules that rule a target.

    Attributes
    ----------
    molecules : int
        The fewest that hold half of all squared deviations from the mean.
    row : int
        Where the largest deviation is, from 0.
    value : float
        Of that row.
    spread : bool
        Whether they are the end of values that lie evenly by their logarithms, and not slips.
    """

    molecules: int
    row: int
    value: float
    spread: bool


def find_outliers(values: npt.ArrayLike, groups: Codes | None = None) -> Outliers | None:
    """Molecules that rule a target, None where no few do.

    Parameters
    ----------
    values : array_like, shape (n,)
        Of a regression target, no NaN.
    groups : ndarray of int, shape (n,), optional
        Number of the molecule of each row; each row is one if not given.

    Examples
    --------
    >>> find_outliers([*range(100), 10_000]).value
    10000.0
    >>> find_outliers(range(100)) is None
    True
    """
    numbers = np.asarray(values, dtype=np.float64)
    molecules = np.arange(len(numbers)) if groups is None else groups
    count = _fewest(numbers, molecules)
    if count > max(1, int(FEW * len(np.unique(molecules)))):
        return None
    row = int(np.abs(numbers - numbers.mean()).argmax())
    spread = bool((numbers > 0).all()) and find_outliers(np.log(numbers), molecules) is None
    return Outliers(count, row, float(numbers[row]), spread)


def _fewest(values: npt.NDArray[np.float64], molecules: Codes) -> int:
    """Fewest molecules that hold half of the squared deviations from the mean."""
    deviations = np.abs(values - values.mean())
    largest = deviations.max()
    if not largest > 0:
        return len(values)
    # As shares of the largest, which cannot overflow.
    held = np.sort(np.bincount(molecules, weights=(deviations / largest) ** 2))[::-1]
    return int(np.searchsorted(held.cumsum(), HALF * held.sum())) + 1
