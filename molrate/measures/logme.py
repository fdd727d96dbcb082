r"""LogME: the evidence of the labels under a Bayesian linear model of the features.

With prior precision :math:`\alpha` of the weights, noise precision :math:`\beta`, eigenvalues
:math:`\lambda_i` of :math:`F^\top F` (k of them not zero) and :math:`t = \alpha / \beta`,

.. math::

    \mathrm{LogME} = \tfrac1n \left[\tfrac k2 \log\alpha + \tfrac n2 \log\beta
        - \tfrac12 \sum_{i \le k} \log(\alpha + \beta\lambda_i)
        - \tfrac{\beta r^2}{2} - \tfrac{\alpha m^2}{2} - \tfrac n2 \log 2\pi \right]

at the :math:`\alpha, \beta` that maximise it: the fixed point of :math:`\alpha = \gamma / m^2`,
:math:`\beta = (n - \gamma) / r^2`. For a given t the best :math:`\beta` is known, which leaves one unknown;
the best of a grid is refined by parabolas, so that the highest of several fixed points is found, whatever the
scales. The first term has k, the rank. The published code has the
dimension there and sums k logarithms, which adds (d - k) / (2n) log alpha where n < d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import StatisticsMeasure
from molrate.measures.labels import label_cross_products
from molrate.measures.sample import statistics_of
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.moments import Matrix
from molrate.statistics.ridge import AllRows, Fit
from molrate.statistics.spectrum import Spectrum

# The grid on which the maximum is bracketed, in units of the smallest and largest eigenvalue.
_BELOW, _ABOVE, _GRID = 1e-6, 1e10, 40
# Spacings of the points of parabolas, in steps of the grid.
_REACHES = np.array([0.5, 0.2, 0.05, 0.005])
# Label columns that are worked on together.
_COLUMNS = 64


def logme(
    features: npt.ArrayLike, targets: npt.ArrayLike, task: str = "classification", *, centre: bool = True
) -> float:
    """Logarithm of maximum evidence per molecule; higher is better.

    Parameters
    ----------
    features : array_like, shape (n, d)
    targets : array_like, shape (n,) or (n, m)
        Class labels, or regression targets, whose evidences are averaged.
    task : {"classification", "regression"}
    centre : bool
        Give the model an intercept: features and targets are taken about their means, n - 1 contrasts
        count, and no offset of either matters. Without, the value is that of the paper's definition on
        the arrays as they are.

    Raises
    ------
    InputError
        If a target is constant.

    References
    ----------
    You et al., LogME, ICML 2021; Ranking and Tuning Pre-trained Models, JMLR 2022 (fixed point).
    """
    return LogME(centre=centre).value(statistics_of(features, targets, task, second_moments="pooled"))


class LogME(StatisticsMeasure):
    """Logarithm of the maximum evidence of a linear model.

    Parameters
    ----------
    centre : bool
        See :func:`logme`.
    """

    name = "logme"
    title = "LogME"
    reads = "values"
    reference = "You et al., LogME, ICML 2021, and JMLR 2022 (fixed point)"
    about = (
        "How probable a Bayesian linear model of the features makes the labels, per molecule, averaged over "
        "one-hot classes or target columns. Any real number; a larger one is better. Reads a regression "
        "target as it is, without bins. Free of the scale of the features, of rotation, and (with centring, "
        "the default) of offsets; the scale of the target moves it by the same amount for all encoders. "
        "Values of different targets do not compare. It judges linear readouts of frozen features, which "
        "full fine-tuning need not follow."
    )

    def __init__(self, *, centre: bool = True) -> None:
        self.centre = centre

    def value(self, statistics: FeatureStatistics) -> float:
        """From statistics with pooled second moments."""
        return self.values([statistics])[0]

    def values(self, labellings: Sequence[FeatureStatistics]) -> list[float]:
        """All labellings together, as columns of labels."""
        parts = [label_cross_products(statistics, centre=self.centre) for statistics in labellings]
        values: list[float] = []
        together = max(1, _COLUMNS // parts[0][0].shape[1]) if parts else 1
        for start in range(0, len(parts), together):
            crosses, squares = zip(*parts[start : start + together], strict=True)
            evidences = self._evidences(labellings[0], np.hstack(crosses), np.concatenate(squares))
            values += list(evidences.reshape(len(crosses), -1).mean(axis=1))
        return values

    def _evidences(self, statistics: FeatureStatistics, cross: Matrix, squares: Matrix) -> Matrix:
        """Maximum evidence per row of label columns: their products with features, and their squares."""
        if not np.all(squares > 0):
            raise InputError(
                "a target is constant, or varies by no more than rounding beside its mean: there is no "
                "evidence to maximise"
            )
        # An intercept of flat prior leaves the evidence of n - 1 contrasts. Counting n would put a direction
        # without labels or features among them, whose evidence has no maximum where features fit all.
        n = statistics.count - self.centre
        ridge = statistics.pooled.ridge if self.centre else AllRows(_uncentred_spectrum(statistics))
        eigenvalues = ridge.spectrum.values
        low, high = np.log([eigenvalues[-1] * _BELOW, eigenvalues[0] * _ABOVE])
        return _maximum(_Evidence(ridge.fit(cross, squares), n), low, high)


def _uncentred_spectrum(statistics: FeatureStatistics) -> Spectrum:
    moments, shift = statistics.pooled, statistics.shift
    size = max(moments.count, moments.dimension)
    if moments.kept:
        rows = moments.rows + shift
        return Spectrum(rows @ rows.T, size, rows)
    cross = np.outer(moments.total, shift)
    gram = moments.gram + cross + cross.T + moments.count * np.outer(shift, shift)
    return Spectrum(gram, size)


@dataclass(frozen=True)
class _Evidence:
    """Evidence per row of each label column at ratios t = alpha / beta, at the beta that is best for each."""

    fit: Fit
    n: int

    def __call__(self, logarithms: Matrix) -> Matrix:
        """At log t, shape (T, 1) or (T, m); returned is (T, m)."""
        errors, shrinkage = self.fit.profile(np.exp(logarithms))
        return 0.5 * (np.log(self.n) - np.log(errors) - 1 - np.log(2 * np.pi) - shrinkage / self.n)


def _maximum(evidence: _Evidence, low: float, high: float) -> Matrix:
    """Maximum evidence of each label column between bounds of log t: the best of a grid, then parabolas."""
    grid, step = np.linspace(low, high, _GRID, retstep=True)
    over_grid = evidence(grid[:, None])
    place, columns = over_grid.argmax(axis=0), np.arange(over_grid.shape[1])
    # Beyond its ends the grid is flat.
    beside = np.clip(place + np.array([[-1], [0], [1]]), 0, _GRID - 1)
    best = grid[place] + step * _vertex(over_grid[beside, columns])
    highest = over_grid.max(axis=0)
    for reach in step * _REACHES:
        around = evidence(best + reach * np.array([[-1.0], [0.0], [1.0]]))
        highest = np.maximum(highest, around.max(axis=0))
        best = best + reach * _vertex(around)
    return np.maximum(highest, evidence(best[None])[0])


def _vertex(values: Matrix) -> Matrix:
    """Where parabolas through equally spaced points (3, m) are highest, in spacings from the second, (m,).

    No further than the points; the higher end where no parabola has a highest point.
    """
    below, middle, above = values
    with np.errstate(divide="ignore", invalid="ignore"):
        curvature = below - 2 * middle + above
        offset = np.clip((below - above) / (2 * curvature), -1, 1)
        end = np.sign(above - below)
    return np.where(np.isfinite(offset) & (curvature < 0), offset, np.nan_to_num(end))
