"""Coordinates of rows in fewer columns, and distances between rows."""

from __future__ import annotations

import numpy as np

from molrate.statistics.moments import Matrix, positive_eigenpairs


def row_space(rows: Matrix) -> Matrix:
    """Coordinates (n, k) in the space that the rows span, with k <= min(n, d) and the same products of rows.

    Quantities that do not change under rotation can be computed there at the cost of the smaller dimension.
    """
    n, d = rows.shape
    if d <= n:
        return rows
    values, vectors = positive_eigenpairs(rows @ rows.T, d)
    return vectors * np.sqrt(values)


def principal_components(rows: Matrix, components: int) -> Matrix:
    """Coordinates of the centred rows along their leading principal components, shape (n, k).

    Every component has the sign that makes the sum of its cubes positive, so that the sign does not depend
    on the order of rows or columns.
    """
    centred = row_space(rows - rows.mean(axis=0))
    values, vectors = positive_eigenpairs(centred.T @ centred, max(rows.shape))
    scores = centred @ vectors[:, : min(components, len(values))]
    return scores * np.where((scores**3).sum(axis=0) < 0, -1.0, 1.0)


def squared_distances(rows: Matrix) -> Matrix:
    """Squared Euclidean distances between all rows, shape (n, n)."""
    centred = rows - rows.mean(axis=0)
    norms = np.einsum("ij,ij->i", centred, centred)
    distances = centred @ centred.T
    distances *= -2
    distances += norms
    distances += norms[:, None]
    # Equal rows must be at distance zero; rounding would tell them apart.
    distances[distances < 1e-12 * norms.max()] = 0.0
    return distances


def standardised(features: Matrix) -> Matrix:
    """Features of zero mean and equal variance, mean squared row norm one, in row-space coordinates."""
    deviation = features.std(axis=0)
    used = deviation > deviation.max() * 1e-10
    rows = (features[:, used] - features[:, used].mean(axis=0)) / deviation[used]
    return row_space(rows / np.sqrt(max(1, used.sum())))
