r"""H-score: how far class means stand apart, in units of the features' spread.

:math:`H = \operatorname{tr}(\Sigma^{+} \Sigma_b)`, and with shrinkage
:math:`H_\alpha = (1 - \alpha) \operatorname{tr}(\Sigma_\alpha^{-1} \Sigma_b)`, where
:math:`\Sigma_\alpha = (1 - \alpha) \Sigma + \alpha (\operatorname{tr}\Sigma / d) I` and
:math:`\alpha` is that of Ledoit and Wolf.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import StatisticsMeasure
from molrate.measures.sample import Sample, statistics_of
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.moments import Matrix


def h_score(features: npt.ArrayLike, labels: npt.ArrayLike, *, shrinkage: bool = True) -> float:
    """H-score of features for class labels; higher is better.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
    shrinkage : bool
        Ledoit-Wolf covariance. Without it the score is C - 1 for any features once n <= d.

    References
    ----------
    Bao et al., An information-theoretic approach to transferability, ICIP 2019; Ibrahim et al.,
    Newer is not always better, arXiv:2110.06893 (shrinkage).
    """
    measure = ShrinkageHScore() if shrinkage else HScore()
    return measure.value(statistics_of(features, labels, second_moments="pooled"))


class HScore(StatisticsMeasure):
    """Trace of the between-class covariance in the metric of the features' covariance."""

    name = "h-score-plain"
    title = "H-score"
    reference = "Bao et al., ICIP 2019"
    about = (
        "Variance of the class means relative to that of the features. From 0 to the number of classes "
        "less one, which it reaches for any features, noise too, when there are no more molecules than "
        "dimensions; noise scores about (C - 1) d / (n - 1). Prefer the shrinkage form."
    )

    def value(self, statistics: FeatureStatistics) -> float:
        """From statistics with pooled second moments."""
        return self.values([statistics])[0]

    def values(self, labellings: Sequence[FeatureStatistics]) -> list[float]:
        """All labellings together."""
        if not labellings:
            return []
        return _separations(labellings, labellings[0].pooled.spectrum.values)

    def maximum(self, sample: Sample) -> float:
        """Classes less one, or the rank of the features."""
        return float(min(sample.resampling.n_classes - 1, *sample.features.shape))

    def warning(self, sample: Sample) -> str:
        """No more rows than dimensions."""
        n, d = sample.features.shape
        return (
            f"{n} molecules for {d} dimensions: near its largest value for any features" if n <= d + 1 else ""
        )


class ShrinkageHScore(StatisticsMeasure):
    """H-score with a Ledoit-Wolf covariance."""

    name = "h-score"
    title = "H-score, shrinkage"
    reference = "Bao et al., ICIP 2019; Ibrahim et al., arXiv:2110.06893"
    about = (
        "H-score with the covariance drawn towards a multiple of the identity by as much as Ledoit and Wolf "
        "find best, which undoes most of the plain form's saturation. From 0 to the number of classes less "
        "one. Free of rotation, offset and scale of the features; still rises for noise where molecules are "
        "far fewer than dimensions, so read the excess."
    )

    def value(self, statistics: FeatureStatistics) -> float:
        """From statistics with pooled second moments."""
        return self.values([statistics])[0]

    def values(self, labellings: Sequence[FeatureStatistics]) -> list[float]:
        """All labellings together; the covariance is the same for all."""
        if not labellings:
            return []
        ridge = labellings[0].pooled.ridge
        trace, squares = ridge.eigenvalue_sums()
        n, d = labellings[0].count, labellings[0].dimension
        shrinkage = ledoit_wolf_shrinkage(labellings[0], trace / n, squares / n**2)
        if shrinkage == 0:
            return _separations(labellings, labellings[0].pooled.spectrum.values)
        if shrinkage == 1:
            return [0.0] * len(labellings)
        # What ridge regression explains of one-hot columns, of unit norm before their means are taken off.
        penalty = shrinkage / (1 - shrinkage) * trace / d
        means = [_scaled_means(statistics) for statistics in labellings]
        norms = [1 - statistics.class_counts / n for statistics in labellings]
        errors, _ = ridge.fit(np.vstack(means).T, np.concatenate(norms)).profile(np.array([[penalty]]))
        return _sums(np.concatenate(norms) - errors[0], norms)

    maximum = HScore.maximum


def ledoit_wolf_shrinkage(statistics: FeatureStatistics, trace: float, squares: float) -> float:
    """Weight of the identity in the shrunk covariance, from the sums of one pass.

    Parameters
    ----------
    statistics : FeatureStatistics
    trace, squares : float
        Sum of the eigenvalues of the covariance, and of their squares.

    References
    ----------
    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.
    """
    n, d, sums = statistics.count, statistics.dimension, statistics.sums
    total = sums.totals.sum(axis=0)
    mean = total / n
    length = mean @ mean
    # Sum over rows of |x - mean|^4, expanded in the powers that were summed.
    fourth = (
        sums.fourths
        + 4 * (mean @ statistics.pooled.times(mean))
        + n * length**2
        - 4 * (mean @ sums.weighted)
        + 2 * length * sums.squares
        - 4 * length * (mean @ total)
    )
    noise = (fourth / n - squares) / (d * n)
    spread = (squares - trace**2 / d) / d
    return float(min(max(noise, 0.0), spread) / spread) if spread > 0 else 1.0


def _separations(labellings: Sequence[FeatureStatistics], scatter: Matrix) -> list[float]:
    """Squared distances of class means from the mean, in units of the scatter along each eigenvector."""
    means = [_scaled_means(statistics) for statistics in labellings]
    squares = labellings[0].pooled.spectrum.along(np.vstack(means).T) ** 2
    return _sums((1 / scatter) @ squares, means)


def _sums(values: Matrix, labellings: Sequence[Matrix]) -> list[float]:
    """Sum over the classes of each labelling, whose values follow each other."""
    ends = np.cumsum([len(classes) for classes in labellings])[:-1]
    return [float(part.sum()) for part in np.split(values, ends)]


def _scaled_means(statistics: FeatureStatistics) -> Matrix:
    """Class means about the mean, each times the root of its count, shape (C, d)."""
    counts = statistics.class_counts
    if len(counts) < 2:
        raise InputError("the H-score compares classes; at least two different labels are needed")
    means = statistics.class_sums / counts[:, None] - statistics.pooled.mean
    return means * np.sqrt(counts)[:, None]
