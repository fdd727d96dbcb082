r"""GBC: overlap of the classes, each taken as a Gaussian.

:math:`-\sum_{i \ne j} \exp(-D_B(i, j))`, over ordered pairs of classes, with the Bhattacharyya distance of
Gaussians of diagonal covariance in the leading principal components of the features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import StatisticsMeasure
from molrate.measures.sample import Sample, statistics_of
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.moments import Matrix, Moments

COMPONENTS = 64
# Variances below this share of the mean variance are rounding noise of constant directions.
_VARIANCE_FLOOR = 1e-6


def gbc(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    components: int = COMPONENTS,
    covariance: str = "diagonal",
) -> float:
    """Gaussian Bhattacharyya coefficient of the classes, negated; at most 0, higher is better.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
    components : int
        Number of principal components kept, so that encoders of different dimension can be compared.
    covariance : {"diagonal", "spherical"}

    References
    ----------
    Pandy et al., Transferability estimation using Bhattacharyya class separability, CVPR 2022.
    """
    measure = GaussianBhattacharyya(components=components, covariance=covariance)
    return measure.value(statistics_of(features, labels))


class GaussianBhattacharyya(StatisticsMeasure):
    """Negated overlap of the classes, each taken as a Gaussian in the leading principal components.

    Parameters
    ----------
    components : int
    covariance : {"diagonal", "spherical"}
    """

    name = "gbc"
    title = "GBC"
    class_moments = True
    reference = "Pandy et al., CVPR 2022"
    about = (
        "How much the classes, taken as Gaussians, overlap, summed over pairs and negated: from -C(C - 1) "
        "(all alike) to 0 (apart). Computed in 64 principal components with a covariance of one variance "
        "for each. Class means of noise stand apart by chance, the more the fewer molecules a class has; "
        "read the excess. Sees only what lies in the leading components."
    )

    def __init__(self, *, components: int = COMPONENTS, covariance: str = "diagonal") -> None:
        if covariance not in ("diagonal", "spherical"):
            raise InputError(f"unknown covariance {covariance!r}; known: diagonal, spherical")
        self.components = components
        self.covariance = covariance

    def value(self, statistics: FeatureStatistics) -> float:
        """Compute GBC from statistics with class moments."""
        if len(statistics.classes) < 2:
            raise InputError("GBC compares classes; at least two different labels are needed")
        spectrum = statistics.pooled.spectrum
        basis = spectrum.leading(self.components)
        floor = _VARIANCE_FLOOR * spectrum.values[: self.components].mean() / statistics.count
        means = np.stack([moments.mean @ basis for moments in statistics.classes])
        variances = np.stack([_variances(moments, basis) for moments in statistics.classes])
        if self.covariance == "spherical":
            variances = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape)
        return -_overlap(means, np.maximum(variances, floor))

    def maximum(self, sample: Sample) -> float:
        """Return 0, the value of classes that do not overlap."""
        return 0.0

    def warning(self, sample: Sample) -> str:
        """Warn if the smallest class has no more rows than components."""
        smallest = int(np.bincount(sample.resampling.codes).min())
        components = min(self.components, sample.features.shape[1])
        return (
            f"smallest class has {smallest} molecules for {components} variances"
            if smallest <= components
            else ""
        )


def _variances(moments: Moments, basis: Matrix) -> Matrix:
    """Variance of a class along each component, shape (k,)."""
    if moments.kept:
        projected = (moments.rows - moments.mean) @ basis
        return (projected**2).mean(axis=0)
    second = np.einsum("dk,dk->k", basis, moments.gram @ basis) / moments.count
    return second - (moments.mean @ basis) ** 2


def _overlap(means: Matrix, variances: Matrix) -> float:
    """Sum of Bhattacharyya coefficients over ordered pairs of classes."""
    total = 0.0
    for index in range(len(means) - 1):
        between = (variances[index] + variances[index + 1 :]) / 2
        apart = (means[index] - means[index + 1 :]) ** 2
        roots = 0.5 * (np.log(variances[index]) + np.log(variances[index + 1 :]))
        distance = (apart / between / 8 + 0.5 * (np.log(between) - roots)).sum(axis=1)
        total += 2 * float(np.exp(-distance).sum())
    return total
