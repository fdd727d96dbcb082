r"""What ridge regression leaves of label columns, at any penalty, from all rows or without a few of them.

With rows X about their mean, the kernel :math:`K = X X^\top` and the penalty t, a column y about its mean has

.. math::

    e(t) = t\, y^\top (K + t I)^{-1} y, \qquad s(t) = \log \det (I + K / t)

over the contrasts of the rows. Both follow from the eigenvalues of K and what y has along its eigenvectors.

Without a block b of m rows no new decomposition is needed. With the left singular vectors U of all rows, W
those of its lines that are in b, and
:math:`A = t (K + t I)^{-1} = I - U \Lambda (\Lambda + t I)^{-1} U^\top`, the inverse and the determinant of
a partitioned matrix give for the rows r that are left

.. math::

    t\, (K_{rr} + t I)^{-1} = A_{rr} - A_{rb} A_{bb}^{-1} A_{br}, \qquad
    \det(I + K_{rr} / t) = \det(I + K / t) \det A_{bb}

over the contrasts of the rows, so that it does not matter that K is about the mean of all rows and not of
those left; the determinant is larger by n / (n - m). A jackknife by blocks so takes one decomposition and
matrices of the size of a block.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.statistics.spectrum import Spectrum

Matrix = npt.NDArray[np.float64]

_ELEMENTS = 1 << 22
"""Numbers of an array of several penalties."""
_LEAST_PIVOT = 1e-12


class Fit(Protocol):
    """Label columns about their means, fitted at any penalty."""

    def profile(self, penalties: Matrix) -> tuple[Matrix, Matrix]:
        """What is left of each column, and the logarithm of the determinant.

        Parameters
        ----------
        penalties : ndarray, shape (T, 1) or (T, m)
            Each for all columns, or for one.

        Returns
        -------
        tuple of ndarray
            e, shape (T, m), and s in the shape of the penalties.
        """


class Ridge(Protocol):
    """Rows that label columns are fitted to.

    Attributes
    ----------
    spectrum : Spectrum
        Its eigenvalues bound those of the rows, but for what is zero.
    """

    spectrum: Spectrum

    def eigenvalue_sums(self) -> tuple[float, float]:
        """Sum of the eigenvalues, and of their squares."""

    def fit(self, cross: Matrix, squares: Matrix) -> Fit:
        """Columns of which the products with the rows (d, m) and the squares (m,) are known."""


class AllRows:
    """Fits from a decomposition of the rows.

    Parameters
    ----------
    spectrum : Spectrum

    Raises
    ------
    InputError
        If all rows are equal.
    """

    def __init__(self, spectrum: Spectrum) -> None:
        if not len(spectrum.values):
            raise InputError("features are the same for all molecules")
        self.spectrum = spectrum

    def eigenvalue_sums(self) -> tuple[float, float]:
        """Sum of the eigenvalues, and of their squares."""
        values = self.spectrum.values
        return float(values.sum()), float(values @ values)

    def fit(self, cross: Matrix, squares: Matrix) -> Fit:
        """Project the columns."""
        return _FitOfAll(self, _coordinates(self.spectrum, cross), squares)


class _FitOfAll:
    def __init__(self, rows: AllRows, coordinates: Matrix, squares: Matrix) -> None:
        self._values = rows.spectrum.values[:, None]
        self._projections = coordinates**2
        self._outside, self._floor = squares - self._projections.sum(axis=0), _floor(rows.spectrum, squares)

    def profile(self, penalties: Matrix) -> tuple[Matrix, Matrix]:
        ratio = penalties[:, None]
        shrunk = ratio / (ratio + self._values)
        if penalties.shape[1] == 1:
            within = shrunk[..., 0] @ self._projections
        else:
            within = (shrunk * self._projections).sum(axis=1)
        return np.maximum(self._outside, self._floor) + within, np.log1p(self._values / ratio).sum(axis=1)


class RowsLeft:
    """Fits without a few rows, from the decomposition of all.

    Parameters
    ----------
    spectrum : Spectrum
        Of all n rows about their mean.
    deleted : ndarray, shape (m, k)
        W.
    count : int
        n.
    """

    def __init__(self, spectrum: Spectrum, deleted: Matrix, count: int) -> None:
        self.spectrum, self.deleted, self.count = spectrum, deleted, count

    @property
    def left(self) -> int:
        """Number of rows that are left."""
        return self.count - len(self.deleted)

    @property
    def is_full(self) -> bool:
        """Whether singular vectors span all contrasts, so that outside of them lies the mean alone."""
        return len(self.spectrum.values) == self.count - 1

    def eigenvalue_sums(self) -> tuple[float, float]:
        """Trace and squared norm of the kernel of the rows left about their mean."""
        values, of_ones = self.spectrum.values, self.deleted.sum(axis=0)
        weighted = self.deleted * values
        block = weighted @ self.deleted.T
        trace = values.sum() - np.trace(block)
        squares = values @ values - 2 * (weighted**2).sum() + (block**2).sum()
        # The kernel takes ones of the rows left to the negative of what it takes those of the others to.
        along_mean = (values * of_ones**2).sum() / self.left
        image = ((values * of_ones) ** 2).sum() - ((weighted @ of_ones) ** 2).sum()
        return float(trace - along_mean), float(squares - 2 * image / self.left + along_mean**2)

    def fit(self, cross: Matrix, squares: Matrix) -> Fit:
        """Project the columns, which are zero in the rows left out."""
        return _FitOfRest(self, _coordinates(self.spectrum, cross), squares)


class _FitOfRest:
    """Fits of columns that are zero in the deleted rows, over the contrasts of those left."""

    def __init__(self, rows: RowsLeft, coordinates: Matrix, squares: Matrix) -> None:
        self._rows, self._floor = rows, _floor(rows.spectrum, squares)
        self._values, deleted = rows.spectrum.values, rows.deleted
        self._coordinates = coordinates
        # Outside of singular vectors and mean: squares of columns, what they have in deleted rows, and these.
        self._squares, self._columns = np.zeros(len(squares)), np.zeros((len(deleted), len(squares)))
        self._identity = np.zeros((len(deleted), len(deleted)))
        if not rows.is_full:
            self._squares = squares - (coordinates**2).sum(axis=0)
            self._columns = -deleted @ coordinates
            self._identity = np.eye(len(deleted)) - deleted @ deleted.T - 1 / rows.count

    def profile(self, penalties: Matrix) -> tuple[Matrix, Matrix]:
        count, shared = len(self._floor), penalties.shape[1] == 1
        # Columns of each penalty: all of them, or its own.
        every = np.arange(count)
        taken = np.tile(every[None] if shared else every[:, None], (len(penalties), 1))
        together = max(1, _ELEMENTS // self._rows.deleted.size)
        parts = [
            self._at(penalties.ravel()[start : start + together], taken[start : start + together])
            for start in range(0, penalties.size, together)
        ]
        errors, determinants = (np.concatenate(part) for part in zip(*parts, strict=True))
        # So small a penalty that rounding leaves no inverse: nothing is explained, which nobody chooses.
        errors, determinants = (np.where(np.isnan(part), np.inf, part) for part in (errors, determinants))
        return np.maximum(errors.reshape(-1, count), self._floor), determinants.reshape(penalties.shape)

    def _at(self, penalties: Matrix, taken: npt.NDArray[np.intp]) -> tuple[Matrix, Matrix]:
        """At penalties (R,), with columns for each, (R, c)."""
        deleted = self._rows.deleted
        shrunk = penalties[:, None] / (self._values + penalties[:, None])
        own = self._coordinates.T[taken]
        weighted = own * shrunk[:, None]
        # The inverse of all rows leaves the mean as it is; without it the blocks are those of contrasts.
        triangles = _triangles(self._identity + (deleted * shrunk[:, None]) @ deleted.T)
        if not self._rows.is_full:
            # The identity less almost all of it is rounding.
            pivots = np.diagonal(triangles, axis1=1, axis2=2).min(axis=1) ** 2
            triangles[pivots < _LEAST_PIVOT] = np.nan
        columns = np.swapaxes(self._columns.T[taken] + weighted @ deleted.T, 1, 2)
        from_deleted = np.linalg.solve(triangles, columns)
        squares = self._squares[taken] + (own * weighted).sum(axis=2)
        whole = np.log1p(self._values / penalties[:, None]).sum(axis=1)
        of_block = 2 * np.log(np.diagonal(triangles, axis1=1, axis2=2)).sum(axis=1)
        of_mean = np.log(self._rows.count / self._rows.left)
        return squares - (from_deleted**2).sum(axis=1), whole + of_block + of_mean


def _triangles(matrices: Matrix) -> Matrix:
    """Cholesky factors, NaN for matrices that rounding has made indefinite."""
    try:
        return np.asarray(np.linalg.cholesky(matrices), dtype=np.float64)
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full_like(matrices, np.nan)
        return np.concatenate([_triangles(half) for half in np.array_split(matrices, 2)])


def _coordinates(spectrum: Spectrum, cross: Matrix) -> Matrix:
    """What columns have along the left singular vectors, shape (k, m), from their products with the rows."""
    return spectrum.along(cross) / np.sqrt(spectrum.values)[:, None]


def _floor(spectrum: Spectrum, squares: Matrix) -> Matrix:
    """Least that can be left of columns: at nothing the evidence has no maximum, rounding would decide."""
    return squares * len(spectrum.values) * np.finfo(float).eps
