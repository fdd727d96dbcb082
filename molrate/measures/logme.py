r"""LogME: the evidence of the labels under a Bayesian linear model of the features.

With prior precision :math:`\alpha` of the weights, noise precision :math:`\beta`, eigenvalues
:math:`\lambda_i` of :math:`F^\top F` (k of them not zero) and :math:`t = \alpha / \beta`,

.. math::

    \mathrm{LogME} = \tfrac1n \left[\tfrac k2 \log\alpha + \tfrac n2 \log\beta
        - \tfrac12 \sum_{i \le k} \log(\alpha + \beta\lambda_i)
        - \tfrac{\beta r^2}{2} - \tfrac{\alpha m^2}{2} - \tfrac n2 \log 2\pi \right]

at the :math:`\alpha, \beta` that maximise it. The first term has k, the rank. The published code has the
dimension there and sums k logarithms, which adds (d - k) / (2n) log alpha where n < d.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import StatisticsMeasure, statistics_of
from molrate.statistics import FeatureStatistics, Matrix, positive_eigenpairs

_MAX_ITERATIONS = 500
_TOLERANCE = 1e-8
# Beyond this many times the largest eigenvalue the weights are as good as shrunk to nothing.
_FAR = 1e3
_INFINITE = 1e14


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
    """Logarithm of the maximum evidence of a linear model, by fixed point.

    Parameters
    ----------
    centre : bool
        See :func:`logme`.
    """

    name = "logme"
    title = "LogME"
    uses = "values"
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
        # An intercept of flat prior leaves the evidence of n - 1 contrasts. Counting n would put a direction
        # without labels or features among them, whose evidence has no maximum where features fit all.
        n = statistics.count - self.centre
        eigenvalues, basis = statistics.pooled.spectrum if self.centre else _uncentred_spectrum(statistics)
        cross, squares = label_cross_products(statistics, centre=self.centre)
        if not np.all(squares > 0):
            raise InputError("a target is constant, so there is no evidence to maximise")
        projections = (basis.T @ cross) ** 2 / eigenvalues[:, None]
        return float(np.mean(_evidence(eigenvalues[:, None], projections, squares, n)))


def label_cross_products(statistics: FeatureStatistics, *, centre: bool) -> tuple[Matrix, Matrix]:
    """Features times labels (d, m), and sums of squared labels (m,); classes as one-hot columns."""
    sums, shift = statistics.sums, statistics.shift
    if statistics.n_targets:
        cross, totals = sums.cross, sums.target_total
        squares = np.diagonal(sums.target_gram).copy()
    else:
        totals = statistics.class_counts.astype(np.float64)
        cross, squares = statistics.class_sums.T, totals.copy()
    if centre:
        mean = totals / statistics.count
        return cross - np.outer(statistics.pooled.total, mean), squares - totals * mean
    return cross + np.outer(shift, totals), squares


def _uncentred_spectrum(statistics: FeatureStatistics) -> tuple[Matrix, Matrix]:
    moments, shift = statistics.pooled, statistics.shift
    if moments.kept:
        rows = moments.rows + shift
        values, vectors = positive_eigenpairs(rows @ rows.T, max(rows.shape))
        return values, rows.T @ vectors / np.sqrt(values)
    cross = np.outer(moments.total, shift)
    gram = moments.gram + cross + cross.T + moments.count * np.outer(shift, shift)
    return positive_eigenpairs(gram, max(moments.count, moments.dimension))


def _evidence(eigenvalues: Matrix, projections: Matrix, squares: Matrix, n: int) -> Matrix:
    """Maximum evidence per row for each label column.

    Parameters
    ----------
    eigenvalues : ndarray, shape (k, 1)
    projections : ndarray, shape (k, m)
        Squared products of label columns with the left singular vectors of the features.
    squares : ndarray, shape (m,)
        Squared norms of the label columns.
    """
    k = len(eigenvalues)
    residual = np.maximum(squares - projections.sum(axis=0), 0.0)
    # At a residual of zero the evidence has no maximum: rounding decides, so it is held above it.
    residual = np.maximum(residual, squares * k * np.finfo(float).eps)
    # The scales of labels and features set those of the precisions; so begun, the path is free of both.
    beta = n / squares
    alpha = eigenvalues.mean() * beta
    # Without any weights the evidence still rises with them only where this holds (its slope in 1 / t).
    hopeless = n * (eigenvalues * projections).sum(axis=0) <= eigenvalues.sum() * squares
    for _ in range(_MAX_ITERATIONS):
        ratio = alpha / beta
        effective = (eigenvalues / (eigenvalues + ratio)).sum(axis=0)
        weights = (eigenvalues * projections / (ratio + eigenvalues) ** 2).sum(axis=0)
        errors = (projections / (1 + eigenvalues / ratio) ** 2).sum(axis=0) + residual
        beta = np.maximum(n - effective, n * np.finfo(float).eps) / errors
        alpha = effective / np.maximum(weights, np.finfo(float).tiny)
        # On features without signal the weights shrink to nothing, ever more slowly: go to the limit at once.
        lost = hopeless & (alpha / beta > _FAR * eigenvalues[0])
        alpha = np.where(lost, _INFINITE * eigenvalues[0] * beta, alpha)
        if np.all(np.abs(alpha / beta - ratio) <= _TOLERANCE * ratio):
            break
    ratio = alpha / beta
    weights = (eigenvalues * projections / (ratio + eigenvalues) ** 2).sum(axis=0)
    errors = (projections / (1 + eigenvalues / ratio) ** 2).sum(axis=0) + residual
    # k/2 log alpha less half the sum of logs, as one sum: alpha may be huge.
    shrinkage = -0.5 * np.log1p(eigenvalues / ratio).sum(axis=0)
    fit = -0.5 * beta * errors - 0.5 * alpha * weights
    return (shrinkage + 0.5 * n * np.log(beta) + fit - 0.5 * n * np.log(2 * np.pi)) / n
