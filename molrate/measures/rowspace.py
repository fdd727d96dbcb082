"""Coordinates of rows in fewer columns, and distances between rows."""

from __future__ import annotations

import numpy as np

from molrate.errors import InputError
from molrate.statistics.moments import Matrix, positive_eigenpairs

_NO_VARIATION = 1e-10
"""Deviation of a column, in units of the largest, below which it is constant."""
_ROUNDING = 1e-6
"""And in units of its mean: features mostly come in float32."""
_FAR = 10.0
"""Distances of a median molecule from the median of the columns beyond which features are drawn in."""
FEATURE_LIMIT = 10.0
"""Standard deviations beyond which a feature says no more."""
NORM_LIMIT = 2.5
"""Norms of a median molecule beyond which its features say no more."""


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
    centred = rows - rows.mean(axis=0)
    n, d = rows.shape
    if d > n:
        values, vectors = positive_eigenpairs(centred @ centred.T, d)
        scores = vectors[:, :components] * np.sqrt(values[:components])
    else:
        vectors = positive_eigenpairs(centred.T @ centred, n)[1]
        scores = centred @ vectors[:, :components]
    return scores * np.where((scores**3).sum(axis=0) < 0, -1.0, 1.0)


def leading_components(features: Matrix, components: int) -> Matrix:
    """Coordinates of the standardised features along their leading principal components, shape (n, k).

    Free of the scale and offset of each column, of constant columns, and of a repetition of all columns.

    Raises
    ------
    InputError
        If no column varies.
    """
    rows = standardised_columns(features)
    if not rows.shape[1]:
        raise InputError("features are the same for all molecules")
    return principal_components(rows, components)


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
    """Features of equal variance and bounded, mean squared row norm about one, in row-space coordinates."""
    rows = bounded_rows(features)
    return row_space(rows / np.sqrt(max(1, rows.shape[1])))


def bounded_rows(features: Matrix) -> Matrix:
    """Standardised features in which what is far outside the others is bounded, shape (n, k)."""
    rows = np.clip(standardised_columns(features), -FEATURE_LIMIT, FEATURE_LIMIT)
    return _drawn_in(rows, NORM_LIMIT)


def standardised_columns(features: Matrix) -> Matrix:
    """Columns of mean zero and variance one, shape (n, k); without those that vary by rounding alone.

    A molecule unlike all others, as hydrogen sulphide is in some published networks, can have features
    hundreds of times too large; it would alone be what columns are standardised by, and is drawn in before.
    """
    return _standardised(features)[0]


def standardising_factors(features: Matrix) -> Matrix:
    """What :func:`standardised_columns` multiplies columns by, shape (d,); zero where it leaves them out."""
    return _standardised(features)[1]


def _standardised(features: Matrix) -> tuple[Matrix, Matrix]:
    rows, first = _scaled(features)
    rows -= np.median(rows, axis=0)
    rows, second = _scaled(_drawn_in(rows, _FAR))
    factors = first.copy()
    factors[first > 0] *= second
    return rows, factors


def _scaled(features: Matrix) -> tuple[Matrix, Matrix]:
    """Columns that vary, of variance one, and the factor of every column."""
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    used = deviation > np.maximum(deviation.max(initial=0.0) * _NO_VARIATION, np.abs(mean) * _ROUNDING)
    factors = np.zeros_like(deviation)
    factors[used] = 1 / deviation[used]
    return (features[:, used] - mean[used]) / deviation[used], factors


def _drawn_in(rows: Matrix, limit: float) -> Matrix:
    """Rows whose norm is at most so many times the median one."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    largest = limit * float(np.median(norms))
    if largest == 0 or norms.max() <= largest:
        return rows
    return rows * np.where(norms > largest, largest / np.where(norms > 0, norms, 1.0), 1.0)
