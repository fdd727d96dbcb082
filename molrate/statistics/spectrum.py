"""Eigenvalues of a scatter matrix, and what lies along its eigenvectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    r"""A symmetric matrix as :math:`Q T Q^\top`, T tridiagonal and Q a product of reflections.

    Its eigenvectors are Q times those of T. Measures need what a few columns have along all of them, or a
    few of them; reflecting those columns costs a small part of what forming all eigenvectors does.
    """

    diagonal: Matrix
    off_diagonal: Matrix
    reflectors: Matrix
    scales: Matrix

    @classmethod
    def of(cls, matrix: Matrix) -> Tridiagonal:
        """Of a symmetric matrix, shape (k, k)."""
        from scipy.linalg import lapack

        work = int(lapack.dsytrd_lwork(len(matrix), lower=1)[0])
        # A symmetric matrix is its transpose, which has the order of memory that LAPACK reads uncopied.
        reduced, diagonal, off_diagonal, scales, _ = lapack.dsytrd(matrix.T, lwork=work, lower=1)
        return cls(diagonal, off_diagonal, reduced, scales)

    def eigenpairs(self) -> tuple[Matrix, Matrix]:
        """Eigenvalues, smallest first, and the eigenvectors of T as columns."""
        from scipy.linalg import eigh_tridiagonal

        return eigh_tridiagonal(self.diagonal, self.off_diagonal, check_finite=False)

    def reflect(self, columns: Matrix, *, back: bool = False) -> Matrix:
        r""":math:`Q^\top` times columns (k, m), or Q times them."""
        from scipy.linalg import lapack

        reflected = np.array(columns, order="F")
        if len(reflected) > 1:
            # The first coordinate is in no reflection.
            operands = "L", "N" if back else "T", self.reflectors[1:, :-1], self.scales, reflected[1:]
            work = int(lapack.dormqr(*operands, -1)[1][0])
            reflected[1:] = lapack.dormqr(*operands, work)[0]
        return reflected


def above_rounding(values: Matrix, size: int) -> npt.NDArray[np.bool_]:
    """Which eigenvalues, smallest first, are more than rounding; `size` as of :class:`Spectrum`."""
    return values > max(values[-1], 0.0) * size * 10 * np.finfo(float).eps


class Spectrum:
    r"""Eigenvalues of :math:`X^\top X` that are not zero, and products with their eigenvectors.

    Parameters
    ----------
    matrix : ndarray, shape (d, d) or (n, n)
        :math:`X^\top X`, or :math:`X X^\top` where the rows are given.
    size : int
        Larger dimension of X, by which rounding grows.
    rows : ndarray, shape (n, d), optional
        X, where its kernel is the smaller matrix.

    Attributes
    ----------
    values : ndarray, shape (k,)
        Eigenvalues above rounding, largest first.
    """

    def __init__(self, matrix: Matrix, size: int, rows: Matrix | None = None) -> None:
        self._rows = rows
        self._reduced = Tridiagonal.of(matrix)
        values, vectors = self._reduced.eigenpairs()
        keep = above_rounding(values, size)
        self.values: Matrix = values[keep][::-1]
        self._vectors = vectors[:, keep][:, ::-1]

    def along(self, columns: Matrix) -> Matrix:
        """What columns (d, m) have along each eigenvector, shape (k, m)."""
        if self._rows is None:
            return self._vectors.T @ self._reduced.reflect(columns)
        return self._vectors.T @ self._reduced.reflect(self._rows @ columns) / np.sqrt(self.values)[:, None]

    @property
    def left(self) -> Matrix:
        """Left singular vectors of the rows, shape (n, k); only where rows were given."""
        return self._reduced.reflect(self._vectors, back=True)

    def leading(self, count: int) -> Matrix:
        """The first eigenvectors as columns, shape (d, count), fewer if there are fewer."""
        vectors = self._reduced.reflect(self._vectors[:, :count], back=True)
        return vectors if self._rows is None else self._rows.T @ vectors / np.sqrt(self.values[:count])
