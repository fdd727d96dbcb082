"""Label computations that several measures share: products with features, and source-class probabilities."""

from __future__ import annotations

import numpy as np

from molrate.errors import InputError
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.moments import Matrix
from molrate.statistics.rows import show_rows


def label_cross_products(statistics: FeatureStatistics, *, centre: bool) -> tuple[Matrix, Matrix]:
    """Products of features and labels (d, m), and sums of squared labels (m,).

    Classes count as one-hot columns.
    """
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


NO_SOURCE = (
    "needs source-class probabilities, which a self-supervised encoder does not give; pass those of its "
    "supervised head (--extra-arrays)"
)


def checked_probabilities(probabilities: Matrix) -> Matrix:
    """Check that rows are probabilities, and return them.

    Parameters
    ----------
    probabilities : ndarray, shape (n, C_s) or (n, n_sources, C_s)
        Of one source model, or of several.

    Raises
    ------
    InputError
        If a row has a negative entry or does not sum to one.
    """
    wrong = (probabilities < 0).any(axis=-1) | (np.abs(probabilities.sum(axis=-1) - 1) > 1e-3)
    # A row that is not a number is not below any.
    wrong |= ~np.isfinite(probabilities).all(axis=-1)
    bad = wrong.reshape(len(probabilities), -1).any(axis=1)
    if bad.any():
        raise InputError(f"source probabilities of {show_rows(bad)} are not probabilities that sum to one")
    return probabilities
