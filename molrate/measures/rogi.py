r"""ROGI-XD: how rough the target is over the space of the features.

Molecules are merged into fewer and fewer clusters (complete linkage). If the target is smooth, clusters hold
similar values and the spread of cluster means stays; if it is rough, the spread is lost at once. The score
is the lost spread, :math:`\sigma_0 - \int_0^1 \sigma \, dx` with
:math:`x = 1 - \log N_\text{clusters} / \log N`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import FeaturesMeasure
from molrate.measures.rowspace import squared_distances
from molrate.measures.sample import Sample, make_sample
from molrate.statistics.moments import Matrix

_MAX_ROWS = 5_000
_LEAST_STEP = 0.01


def rogi_xd(features: npt.ArrayLike, values: npt.ArrayLike) -> float:
    """Roughness index of a target over features; lower is better.

    Parameters
    ----------
    features : array_like, shape (n, d)
    values : array_like, shape (n,)
        Regression target, or 0 and 1.

    References
    ----------
    Aldeghi et al., Roughness of molecular property landscapes, 2022; Graff et al., Evaluating the roughness
    of structure-property relationships using pretrained molecular representations, 2023.
    """
    sample = make_sample(features, np.asarray(values, dtype=np.float64), "regression")
    return _roughness(*_merges(sample.features), sample.resampling.values)


class RogiXD(FeaturesMeasure):
    """Roughness of the target over the features, comparable across dimensions."""

    name = "rogi-xd"
    title = "ROGI-XD"
    reads = "values"
    higher_is_better = False
    reference = "Aldeghi et al. 2022; Graff et al. 2023"
    about = (
        "How much of the target's spread is lost when like molecules are merged. Less is better; near 0 "
        "for a smooth target, at most about 1. Free of rotation, scale and offset of the features; made "
        "for regression and runs on two classes as 0 and 1. Needs all distances: above 5,000 molecules, "
        "computed on as many drawn at random. Noise lies lower for unbalanced classes, so read the excess, "
        "whose sign is turned."
    )

    def replicates(self, sample: Sample) -> npt.NDArray[np.float64]:
        """Compute values as for any measure of features; each set of molecules is clustered once."""
        sample = sample.at_most(_MAX_ROWS)
        resampling = sample.resampling
        if resampling.task == "classification" and resampling.n_classes > 2:
            raise InputError("ROGI-XD reads numbers; more than two classes have no order")
        distances = squared_distances(sample.features)
        table = np.full((1 + len(resampling.permutations), 1 + resampling.n_blocks), np.nan)
        merges = _merges_of(distances)
        for row, order in enumerate(resampling.orders()):
            table[row, 0] = _roughness(*merges, resampling.values[order])
        for block in range(resampling.n_blocks):
            keep = np.flatnonzero(resampling.blocks != block)
            table[0, 1 + block] = _roughness(
                *_merges_of(distances[np.ix_(keep, keep)]), resampling.values[keep]
            )
        return table

    def value(self, features: Matrix, labels: Matrix) -> float:
        """Compute ROGI-XD of features for numbers."""
        return _roughness(*_merges(features), labels)


def _merges(features: Matrix) -> tuple[npt.NDArray[np.intp], Matrix]:
    return _merges_of(squared_distances(features))


def _merges_of(squared: Matrix) -> tuple[npt.NDArray[np.intp], Matrix]:
    """Pairs of merged clusters (n - 1, 2), and distances of the merges, scaled so that the largest is 1."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    distances = np.sqrt(squared)
    largest = distances.max()
    if not largest > 0:
        raise InputError("all molecules have the same features, so there is no distance between them")
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances / largest, checks=False), method="complete")
    return tree[:, :2].astype(np.intp), tree[:, 2]


def _roughness(merges: npt.NDArray[np.intp], heights: Matrix, values: Matrix) -> float:
    """Spread that the merges lose, with the target scaled to [0, 1]."""
    n = len(values)
    span = values.max() - values.min()
    if not span > 0:
        raise InputError("the target is constant, so it is neither rough nor smooth")
    scaled = (values - values.min()) / span
    spreads = 2 * np.sqrt(np.maximum(_between_variances(merges, scaled), 0.0))
    # As published, each step in distance has one point, and the last merge below it counts.
    steps = _steps(heights)
    x = np.r_[0.0, 1 - np.log(n - steps) / np.log(n), 1.0]
    y = np.r_[spreads[0], spreads[steps], 0.0]
    return float(spreads[0] - np.trapezoid(y, x))


def _between_variances(merges: npt.NDArray[np.intp], values: Matrix) -> Matrix:
    """Variance of the cluster means, weighted by size, after 0, 1, ... n - 1 merges."""
    n = len(values)
    totals, sizes = np.zeros(2 * n - 1), np.ones(2 * n - 1)
    totals[:n] = values
    lost = np.empty(n - 1)
    for step, (left, right) in enumerate(merges.tolist()):
        merged = n + step
        totals[merged], sizes[merged] = totals[left] + totals[right], sizes[left] + sizes[right]
        before = totals[left] ** 2 / sizes[left] + totals[right] ** 2 / sizes[right]
        lost[step] = before - totals[merged] ** 2 / sizes[merged]
    return values.var() - np.r_[0.0, np.cumsum(lost)] / n


def _steps(heights: Matrix) -> npt.NDArray[np.intp]:
    """Numbers of merges at thresholds that are at least the smallest step apart."""
    chosen, last = [], -np.inf
    for threshold in np.unique(heights):
        if threshold - last >= _LEAST_STEP:
            chosen.append(np.searchsorted(heights, threshold, side="right"))
            last = threshold
    return np.array([step for step in chosen if step < len(heights)], dtype=np.intp)
