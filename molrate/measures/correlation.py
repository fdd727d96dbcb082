r"""Label-feature correlation and its double-centred form, linear CKA.

Both compare the similarities of molecules in the features, :math:`\Theta = F F^\top`, with the similarities
of their labels, and neither needs the n x n matrices.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import StatisticsMeasure
from molrate.measures.labels import label_cross_products
from molrate.measures.sample import Sample, statistics_of
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.moments import Matrix


def lfc(features: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Entrywise correlation of F F' with the matrix of +1 for equal and -1 for unequal labels.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)

    References
    ----------
    Deshpande et al., A linearized framework and a new benchmark for model selection, arXiv:2102.00084.
    """
    return LabelFeatureCorrelation().value(statistics_of(features, labels, second_moments="pooled"))


def cka(features: npt.ArrayLike, targets: npt.ArrayLike, task: str = "classification") -> float:
    """Linear centred kernel alignment of features and labels, from 0 to 1.

    Parameters
    ----------
    features : array_like, shape (n, d)
    targets : array_like, shape (n,) or (n, m)
    task : {"classification", "regression"}

    References
    ----------
    Kornblith et al., Similarity of neural network representations revisited, ICML 2019.
    """
    return LinearCKA().value(statistics_of(features, targets, task, second_moments="pooled"))


class LabelFeatureCorrelation(StatisticsMeasure):
    """Correlation of feature similarity and label equality over all pairs of molecules."""

    name = "lfc"
    title = "LFC"
    reference = "Deshpande et al., arXiv:2102.00084"
    about = (
        "Pearson correlation, over all pairs of molecules, between the product of their features and whether "
        "their labels are equal. From -1 to 1. Free of rotation and scale, but a common offset of the "
        "features, which learned embeddings have, and their largest components dominate it: linear CKA is "
        "the same idea without the offset."
    )

    def value(self, statistics: FeatureStatistics) -> float:
        """Compute the measure from statistics with pooled second moments."""
        n, counts = statistics.count, statistics.class_counts.astype(np.float64)
        sums = statistics.class_sums + counts[:, None] * statistics.shift
        total = sums.sum(axis=0)
        grand = total @ total
        label_grand = 2 * (counts**2).sum() - n**2
        product = 2 * (sums**2).sum() - grand
        norm = _uncentred_square_norm(statistics) - grand**2 / n**2
        label_norm = n**2 - label_grand**2 / n**2
        if not norm > 0 or not label_norm > 0:
            raise InputError("the features, or the labels, are equal for all pairs, so nothing correlates")
        return float((product - grand * label_grand / n**2) / np.sqrt(norm * label_norm))

    def maximum(self, sample: Sample) -> float:
        """Return 1, the value of perfect correlation."""
        return 1.0


class LinearCKA(StatisticsMeasure):
    """Correlation of the double-centred similarity matrices of features and labels."""

    name = "cka"
    title = "Linear CKA (double-centred LFC)"
    reads = "values"
    reference = "Kornblith et al., ICML 2019; Deshpande et al., arXiv:2102.00084"
    about = (
        "Agreement of features and labels in which molecules are alike, both about their means. From 0 to "
        "1. Reads a regression target as it is. Free of rotation, scale and offset. The largest components "
        "of the features weigh most, so that a signal in small ones is missed; noise scores more as d "
        "grows, hence the null."
    )

    def value(self, statistics: FeatureStatistics) -> float:
        """Compute the measure from statistics with pooled second moments."""
        n = statistics.count
        cross, _ = label_cross_products(statistics, centre=True)
        if statistics.n_targets:
            mean = statistics.sums.target_total / n
            labels = statistics.sums.target_gram - n * np.outer(mean, mean)
        else:
            counts = statistics.class_counts.astype(np.float64)
            labels = np.diag(counts) - np.outer(counts, counts) / n
        norm = np.linalg.norm(_scatter(statistics)) * np.linalg.norm(labels)
        if not norm > 0:
            raise InputError("the features, or the targets, are constant, so nothing aligns")
        return float((cross**2).sum() / norm)

    def maximum(self, sample: Sample) -> float:
        """Return 1, the value of perfect alignment."""
        return 1.0


def _scatter(statistics: FeatureStatistics) -> Matrix:
    """Products of the centred features, as the smaller of the n x n and d x d matrices."""
    moments = statistics.pooled
    if moments.kept:
        rows = moments.rows - moments.mean
        return rows @ rows.T
    return moments.centred_gram()


def _uncentred_square_norm(statistics: FeatureStatistics) -> float:
    """Squared Frobenius norm of F F'."""
    moments, shift = statistics.pooled, statistics.shift
    if moments.kept:
        rows = moments.rows + shift
        return float(np.linalg.norm(rows @ rows.T) ** 2)
    cross = np.outer(moments.total, shift)
    gram = moments.gram + cross + cross.T + moments.count * np.outer(shift, shift)
    return float(np.linalg.norm(gram) ** 2)
