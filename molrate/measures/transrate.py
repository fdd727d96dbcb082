r"""TransRate, exactly as the paper's equations define it.

.. math::

    R(Z, \epsilon) &= \tfrac12 \log\det\left(I_d + \tfrac{d}{n\epsilon^2} Z^\top Z\right)
        \quad (2) \\
    R(Z, \epsilon \mid Y) &= \sum_c \tfrac{n_c}{n} R(Z_c, \epsilon) \quad (4) \\
    \mathrm{TrR} &= R(Z, \epsilon) - R(Z, \epsilon \mid Y)

with rows of :math:`Z` (n x d) scaled to unit norm, :math:`\epsilon^2 = 0.1` and natural logarithms.

The listing in the paper's appendix A.6 differs from these equations and is not followed: it forms the
n x n product where its identity is d x d, does not scale the rows, and averages the classes with equal
weights instead of n_c / n. Appendix A.5 prints the sum over bins without weights; eq. 4 is used there too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import Measure, Score, label_codes

EPSILON_SQUARED = 0.1
_REFERENCE_DIMENSION = 512

_Matrix = npt.NDArray[np.float64]


def coding_rate(features: npt.ArrayLike, *, epsilon_squared: float = EPSILON_SQUARED) -> float:
    """Rate distortion of the rows of a matrix (eq. 2), rows taken as they are.

    Parameters
    ----------
    features : array_like, shape (n, d)
    epsilon_squared : float
        Squared distortion.

    Returns
    -------
    float
        In nats.

    References
    ----------
    Frustratingly Easy Transferability Estimation, eq. 2; Lemma 1 for n < d.
    """
    rows = np.asarray(features, dtype=np.float64)
    gram = rows @ rows.T if rows.shape[0] < rows.shape[1] else rows.T @ rows
    n, d = rows.shape
    return _rate(gram, n, d, epsilon_squared)


def _rate(gram: _Matrix, n: int, d: int, epsilon_squared: float) -> float:
    """Coding rate from Z'Z (d x d) or ZZ' (n x n), which give the same value by Lemma 1."""
    matrix = gram * (d / (n * epsilon_squared))
    matrix.flat[:: len(matrix) + 1] += 1.0
    # log det = 2 sum log diag of the Cholesky factor; the matrix is positive definite by construction.
    # NumPy's, as SciPy brings a second BLAS whose threads would contend with those of the products.
    factor = np.linalg.cholesky(matrix)
    return float(np.log(np.diagonal(factor)).sum())


def transrate(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    epsilon_squared: float = EPSILON_SQUARED,
    scale_by_dimension: bool = False,
) -> float:
    """TransRate of features for class labels (eqs. 2-4); higher is better, never negative.

    For a regression target pass the bins of :func:`molrate.targets.quantile_bins`.

    Raw values grow with the dimension, most where classes have fewer rows than dimensions; compare
    encoders of unequal dimension by their excess over permuted labels (:class:`TransRate`).

    Parameters
    ----------
    features : array_like, shape (n, d)
        Rows are scaled to unit norm here.
    labels : array_like, shape (n,)
        Of any kind; only which rows share a label matters.
    epsilon_squared : float
        Squared distortion; the paper takes 0.1.
    scale_by_dimension : bool
        Multiply by sqrt(d / 512), as the paper does to compare layers (section 4.3).

    Returns
    -------
    float
        In nats.

    Raises
    ------
    InputError
        If there are fewer than two classes, or rows that are not finite or are zero.
    """
    measure = TransRate(epsilon_squared=epsilon_squared, scale_by_dimension=scale_by_dimension)
    return measure.score(features, labels, permutations=0, seed=0).value


class TransRate(Measure):
    """Mutual information of features and labels, estimated by coding rates.

    Parameters
    ----------
    epsilon_squared : float
    scale_by_dimension : bool
    """

    name = "transrate"
    tasks = ("classification", "regression")
    needs = "features"
    higher_is_better = True
    reference = "Huang et al., Frustratingly Easy Transferability Estimation, arXiv:2106.09362, eqs. 2-4"

    def __init__(self, *, epsilon_squared: float = EPSILON_SQUARED, scale_by_dimension: bool = False) -> None:
        if epsilon_squared <= 0:
            raise InputError(f"the squared distortion must be positive, not {epsilon_squared}")
        self.epsilon_squared = epsilon_squared
        self.scale_by_dimension = scale_by_dimension

    def score(
        self, features: npt.ArrayLike, labels: npt.ArrayLike, *, permutations: int = 0, seed: int = 0
    ) -> Score:
        """TransRate with its permuted-label null; see :func:`transrate`.

        Parameters
        ----------
        features : array_like, shape (n, d)
        labels : array_like, shape (n,)
        permutations : int
            Label permutations drawn for the null; without any its moments are NaN.
        seed : int
            Draws the permutations.

        Raises
        ------
        InputError
            If there are fewer than two classes, labels do not fit, or rows are not finite or zero.
        """
        rows = unit_rows(features)
        _check(rows, np.asarray(labels))
        codes = label_codes(labels)
        n, d = rows.shape
        # Permuting labels leaves R(Z) as it is, so one Gram matrix serves the value and its null.
        gram = rows @ rows.T if n < d else rows.T @ rows
        whole = _rate(gram, n, d, self.epsilon_squared)
        generator = np.random.default_rng(seed)
        factor = (d / _REFERENCE_DIMENSION) ** 0.5 if self.scale_by_dimension else 1.0
        value = factor * (whole - self._conditional(rows, codes, gram))
        null = [
            factor * (whole - self._conditional(rows, generator.permutation(codes), gram))
            for _ in range(permutations)
        ]
        mean = float(np.mean(null)) if null else float("nan")
        deviation = float(np.std(null, ddof=1)) if len(null) > 1 else float("nan")
        return Score(value, mean, deviation)

    def _conditional(self, rows: _Matrix, codes: npt.NDArray[np.intp], gram: _Matrix) -> float:
        """R(Z | Y) of eq. 4; `gram` is ZZ' where n < d, else Z'Z."""
        n, d = rows.shape
        *others, largest = sorted(_members(codes), key=len)
        # A class that holds most rows has what the others leave of Z'Z: the costliest product is spared.
        rest = gram.copy() if n >= d and 2 * len(largest) > n else None
        total = 0.0
        for members in others:
            part = rows[members]
            class_gram = _class_gram(part, members, gram)
            if rest is not None:
                rest -= class_gram if len(part) >= d else part.T @ part
            total += len(part) / n * _rate(class_gram, len(part), d, self.epsilon_squared)
        if rest is None:
            rest = _class_gram(rows[largest], largest, gram)
        return total + len(largest) / n * _rate(rest, len(largest), d, self.epsilon_squared)


def _members(codes: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """Rows of each class."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def _class_gram(part: _Matrix, members: npt.NDArray[np.intp], gram: _Matrix) -> _Matrix:
    """Smaller Gram matrix of a class with rows `part`, a block of `gram` where that is ZZ'."""
    n_c, d = part.shape
    if len(gram) < d:
        return gram[np.ix_(members, members)]
    return part @ part.T if n_c < d else part.T @ part


def unit_rows(features: npt.ArrayLike) -> _Matrix:
    """Features in float64 with every row scaled to unit norm, shape (n, d).

    Raises
    ------
    InputError
        If a row is not finite or is zero, and so has no direction.
    """
    rows = np.array(features, dtype=np.float64)
    if rows.ndim != 2:
        raise InputError(f"features must be a matrix (n, d), not of shape {rows.shape}")
    norms = np.linalg.norm(rows, axis=1)
    if not np.isfinite(norms).all():
        raise InputError(f"features of {_show(~np.isfinite(norms))} are not finite")
    if not norms.all():
        raise InputError(f"features of {_show(norms == 0)} are all zero, so they have no unit norm")
    return rows / norms[:, None]


def _show(mask: npt.NDArray[np.bool_]) -> str:
    rows = np.flatnonzero(mask)
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return "row " + ", ".join(str(row + 1) for row in rows[:3]) + more


def _check(rows: _Matrix, labels: npt.NDArray[np.generic]) -> None:
    if labels.ndim != 1:
        raise InputError(f"labels must be a vector (n,), not of shape {labels.shape}")
    if len(rows) != len(labels):
        raise InputError(f"{len(rows)} rows of features but {len(labels)} labels")
    if np.issubdtype(labels.dtype, np.floating) and np.isnan(labels).any():
        raise InputError(f"labels of {_show(np.isnan(labels))} are NaN; leave these rows out")
    if len(np.unique(labels)) < 2:
        raise InputError("TransRate compares classes; at least two different labels are needed")
