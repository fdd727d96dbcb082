r"""TransRate in its three published forms.

The paper's equations (``transrate``):

.. math::

    R(Z, \epsilon) &= \tfrac12 \log\det\left(I_d + \tfrac{d}{n\epsilon^2} Z^\top Z\right)
        \quad (2) \\
    R(Z, \epsilon \mid Y) &= \sum_c \tfrac{n_c}{n} R(Z_c, \epsilon) \quad (4) \\
    \mathrm{TrR} &= R(Z, \epsilon) - R(Z, \epsilon \mid Y)

with rows of :math:`Z` (n x d) scaled to unit norm, :math:`\epsilon^2 = 0.1` and natural logarithms.

The listing in the paper's appendix A.6 differs from these equations and is not followed: it forms the
n x n product where its identity is d x d, does not scale the rows, and averages the classes with equal
weights instead of n_c / n. Appendix A.5 prints the sum over bins without weights; eq. 4 is used there too.

The listing of the later conference version (``transrate-icml``) centres the features, takes them at their
own scale and has no factor d. The authors' repository (``transrate-spectral``) computes on spectra of
twice normalised features and divides by the rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import StatisticsMeasure
from molrate.measures.sample import Sample, statistics_of
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.intervals import Spread, Table
from molrate.statistics.moments import Matrix, Moments
from molrate.statistics.rows import unit_rows
from molrate.statistics.threads import map_in_threads

EPSILON_SQUARED = 0.1
DISTORTION = 1e-4
_REFERENCE_DIMENSION = 512
_JACKKNIFED_PERMUTATIONS = 3
# Multiplications that further permutations may cost: the first few of them, and all.
_FEW, _FEW_PRODUCTS, _CHEAP_PRODUCTS = 15, 1e10, 2e9
_MANY_VALUES = 1 << 24
_PAPER = "Huang et al., Frustratingly Easy Transferability Estimation, arXiv:2106.09362"

Coefficient = Callable[[int], float]


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
    n, d = rows.shape
    return _rate(_smaller_gram(rows), d / (n * epsilon_squared))


def _smaller_gram(rows: Matrix) -> Matrix:
    """ZZ' or Z'Z, whichever is smaller."""
    return rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows


def _rate(gram: Matrix, coefficient: float) -> float:
    """Half log det(I + coefficient * gram), from Z'Z or ZZ', which give the same value by Lemma 1."""
    return 0.5 * _log_determinant(_regularised(gram, coefficient))


def _regularised(gram: Matrix, coefficient: float) -> Matrix:
    matrix = gram * coefficient
    matrix.flat[:: len(matrix) + 1] += 1.0
    return matrix


def _log_determinant(matrix: Matrix) -> float:
    # log det = 2 sum log diag of the Cholesky factor; the matrix is positive definite by construction.
    # NumPy's, as SciPy brings a second BLAS whose threads would contend with those of the products.
    factor = np.linalg.cholesky(matrix)
    return 2.0 * float(np.log(np.diagonal(factor)).sum())


def transrate(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    epsilon_squared: float = EPSILON_SQUARED,
    scale_by_dimension: bool = False,
) -> float:
    """TransRate of features for class labels (eqs. 2-4); higher is better, never negative.

    For a regression target pass the bins of :func:`molrate.data.targets.quantile_bins`.

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
    return measure.value(statistics_of(features, labels, unit_rows=True))


def transrate_icml(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    distortion: float = DISTORTION,
    weights: str = "proportion",
) -> float:
    """TransRate as the conference version's listing has it: centred, unscaled, without the factor d.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
    distortion : float
        The listing's eps; epsilon squared over d in the terms of eq. 2.
    weights : {"proportion", "uniform"}
        Weights of the class rates: n_c / n, or 1 / C as in the listing.
    """
    return CentredTransRate(distortion=distortion, weights=weights).value(statistics_of(features, labels))


def transrate_spectral(
    features: npt.ArrayLike, labels: npt.ArrayLike, *, distortion: float = DISTORTION
) -> float:
    """TransRate as the authors' repository computes it from spectra, its default options throughout.

    Rows are scaled to unit norm, centred and scaled again; with eigenvalues l of Z'Z / n,
    R = sum log(1 + l / eps) / (2 rank Z), class rates divided by the same rank and weighted n_c / n.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
    distortion : float
        The repository sets it by hand for each experiment, over four decades.
    """
    measure = SpectralTransRate(distortion=distortion)
    rows = measure.prepare(np.asarray(features, dtype=np.float64))
    return measure.value(statistics_of(rows, labels, unit_rows=True))


class TransRate(StatisticsMeasure):
    """Mutual information of features and labels, estimated by coding rates.

    Parameters
    ----------
    epsilon_squared : float
    scale_by_dimension : bool
    """

    name = "transrate"
    title = "TransRate"
    unit_rows = True
    class_moments = True
    reads_components = True
    reference = f"{_PAPER}, eqs. 2-4"
    about = (
        "Nats needed to code the features up to a distortion, less those needed when the class (or the "
        "range of the target) is known: an estimate of their mutual information. From 0 to the coding rate "
        "of the features. A ranking takes it in a common number of leading components "
        "(--common-dimension auto), where every class has more rows than there are dimensions. These are "
        "centred, so that two classes of about equal size that differ in their means alone are not told "
        "apart there. In full dimension (none), as in the paper, raw values grow with the dimension d for "
        "any labels, and once classes have fewer rows than d they measure little else; it changes there "
        "with the common offset "
        "of the features and with padding by zeros, but not with row scale, rotation or repeated rows. "
        "Read the excess over permuted labels."
    )

    def __init__(self, *, epsilon_squared: float = EPSILON_SQUARED, scale_by_dimension: bool = False) -> None:
        if epsilon_squared <= 0:
            raise InputError(f"the squared distortion must be positive, not {epsilon_squared}")
        self.epsilon_squared = epsilon_squared
        self.scale_by_dimension = scale_by_dimension

    def prepare(self, features: Matrix) -> Matrix:
        """Features as the form takes them, before rows are scaled to unit norm."""
        return features

    def coefficient(self, dimension: int) -> Coefficient:
        """What multiplies the Gram matrix of n rows in the coding rate."""
        return lambda n: dimension / (n * self.epsilon_squared)

    def factor(self, statistics: FeatureStatistics) -> float:
        """What multiplies the difference of rates."""
        return (statistics.dimension / _REFERENCE_DIMENSION) ** 0.5 if self.scale_by_dimension else 1.0

    def value(self, statistics: FeatureStatistics) -> float:
        """TransRate from statistics of rows of unit norm."""
        coefficient = self.coefficient(statistics.dimension)
        _spare_largest(statistics)
        rates = _over_classes(statistics, lambda moments: _rate_of(moments, coefficient))
        shares = statistics.class_counts / statistics.count
        _need_classes(statistics)
        whole = _rate_of(statistics.pooled, coefficient)
        return self.factor(statistics) * (whole - float(shares @ rates))

    def tabulate(self, labellings: Sequence[FeatureStatistics]) -> Table:
        """All labellings and deletions; one inverse serves the deletions of all blocks of a size.

        Three permutations are jackknifed, as each costs as much as the true labels.
        """
        first = labellings[0]
        coefficient = self.coefficient(first.dimension)
        blocks = first.blocks
        left = first.count - _sizes(first.pooled, blocks)
        whole = _deleted_rates(first.pooled, coefficient, blocks)
        table = np.full((len(labellings), 1 + len(blocks)), np.nan)
        for row, statistics in enumerate(labellings):
            if row > _JACKKNIFED_PERMUTATIONS or statistics.blocks != blocks:
                table[row, 0] = self.value(statistics)
                continue
            _spare_largest(statistics)
            conditional = np.zeros(1 + len(blocks))
            for moments in statistics.classes:
                members = moments.count - _sizes(moments, blocks)
                conditional += members / left * _deleted_rates(moments, coefficient, blocks)
            table[row] = self.factor(first) * (whole - conditional)
        return table

    def spread(self, sample: Sample) -> Spread:
        """All further permutations in a common dimension; 15 or fewer where they cost much."""
        resampling = sample.resampling
        rows = unit_rows(self.prepare(sample.features))
        n, dimension = rows.shape
        coefficient = self.coefficient(dimension)
        sizes = np.bincount(resampling.codes)
        products = float(np.sum(sizes * np.minimum(sizes, dimension) * dimension))
        count = max(min(_FEW, int(_FEW_PRODUCTS / products)), int(_CHEAP_PRODUCTS / products))
        orders = resampling.further_permutations[:count]
        count = len(orders)
        statistics = FeatureStatistics(dimension, unit_rows=True, second_moments="pooled").add(rows)
        factor = self.factor(statistics)
        whole = _rate_of(statistics.pooled, coefficient)
        # Where classes are few rows of few, all their kernels lie in one.
        kernel = rows @ rows.T if count and 2 * n < count * dimension and sizes.max() < dimension else None
        values = []
        for order in orders:
            codes = resampling.codes[order]
            rates = []
            for code in range(len(sizes)):
                members = np.flatnonzero(codes == code)
                gram = _smaller_gram(rows[members]) if kernel is None else kernel[np.ix_(members, members)]
                rates.append(_rate(gram, coefficient(len(members))))
            values.append(factor * (whole - float(sizes / n @ np.array(rates))))
        return np.array(values)

    def maximum(self, sample: Sample) -> float:
        """The coding rate of all features: what would be left if the classes told everything."""
        rows = self.prepare(sample.features)
        statistics = FeatureStatistics(rows.shape[1], unit_rows=True, second_moments="pooled").add(rows)
        whole = _rate_of(statistics.pooled, self.coefficient(statistics.dimension))
        return self.factor(statistics) * whole

    def warning(self, sample: Sample) -> str:
        """Classes with fewer rows than dimensions."""
        smallest, dimension = int(np.bincount(sample.resampling.codes).min()), sample.features.shape[1]
        if smallest >= dimension:
            return ""
        part = "range" if sample.resampling.task == "regression" else "class"
        return f"smallest {part} has {smallest} molecules for {dimension} dimensions"


class SpectralTransRate(TransRate):
    """TransRate from the spectra of twice normalised features, divided by their rank.

    Parameters
    ----------
    distortion : float
    """

    name = "transrate-spectral"
    title = "TransRate, authors' repository"
    inputs = "features"
    reads_components = False
    reference = "Huang et al. ICML 2022, the authors' repository (plain mode)"
    about = (
        "The form behind the conference paper's printed tables. Class rates are about the mean of all, so "
        "that two balanced classes that differ in their means alone are not told apart. Rows scaled to "
        "unit norm, centred and scaled again, rates divided by the rank of the features. Its distortion "
        "was set by hand for each experiment there, over four decades; here it is 1e-4 unless given. For "
        "reproduction; the rank in the divisor makes encoders of different dimension look alike where they "
        "are not. In the interval the rank is that of all rows."
    )

    def __init__(self, *, distortion: float = DISTORTION) -> None:
        if distortion <= 0:
            raise InputError(f"the distortion must be positive, not {distortion}")
        self.distortion = distortion

    def prepare(self, features: Matrix) -> Matrix:
        """Rows scaled to unit norm and centred; they are scaled again in the statistics."""
        rows = unit_rows(features)
        return rows - rows.mean(axis=0)

    def coefficient(self, dimension: int) -> Coefficient:
        """The repository's, without the dimension."""
        return lambda n: 1.0 / (n * self.distortion)

    def factor(self, statistics: FeatureStatistics) -> float:
        """One over the rank, counted as :func:`numpy.linalg.matrix_rank` does for Z'Z."""
        moments = statistics.pooled
        values = np.linalg.eigvalsh(moments.kernel if moments.kept else moments.gram)
        rank = int(np.sum(values > values[-1] * statistics.dimension * np.finfo(float).eps))
        return 1.0 / rank


class CentredTransRate(StatisticsMeasure):
    """TransRate of centred features at their own scale.

    Parameters
    ----------
    distortion : float
    weights : {"proportion", "uniform"}
    """

    name = "transrate-icml"
    title = "TransRate, ICML listing"
    class_moments = True
    reference = "Huang et al., Frustratingly Easy Transferability Estimation, ICML 2022, listing"
    about = (
        "TransRate with features centred and taken at their own scale, distortion 1e-4 and no factor d. "
        "Class rates are about the mean of all, so that two balanced classes that differ in their means "
        "alone are not told apart. Unmoved by a common offset, which the paper's equations are not, but "
        "moved by the scale of the features. The listing weights all classes alike, which can make it "
        "negative and lets noise outscore signal on unbalanced classes; here the weights are n_c / n, and "
        "uniform ones are for compatibility. As for TransRate, read the excess."
    )

    def __init__(self, *, distortion: float = DISTORTION, weights: str = "proportion") -> None:
        if distortion <= 0:
            raise InputError(f"the distortion must be positive, not {distortion}")
        if weights not in ("proportion", "uniform"):
            raise InputError(f"unknown class weights {weights!r}; known: proportion, uniform")
        self.distortion = distortion
        self.weights = weights

    def value(self, statistics: FeatureStatistics) -> float:
        """From statistics with class moments."""
        _need_classes(statistics)
        mean = statistics.pooled.mean
        counts = statistics.class_counts
        rates = _over_classes(
            statistics,
            lambda moments: _rate(_about(moments, mean), 1.0 / (moments.count * self.distortion)),
        )
        shares = (
            counts / counts.sum() if self.weights == "proportion" else np.full(len(counts), 1 / len(counts))
        )
        variances = statistics.pooled.spectrum.values / statistics.count
        whole = 0.5 * float(np.log1p(variances / self.distortion).sum())
        return whole - float(shares @ rates)

    warning = TransRate.warning


def _need_classes(statistics: FeatureStatistics) -> None:
    if len(statistics.class_counts) < 2:
        raise InputError("TransRate compares classes; at least two different labels are needed")


def _over_classes(statistics: FeatureStatistics, rate: Callable[[Moments], float]) -> list[float]:
    """A rate of every class; on all cores where there is much to do."""
    if statistics.count * statistics.dimension < _MANY_VALUES:
        return [rate(moments) for moments in statistics.classes]
    return map_in_threads(rate, statistics.classes)


def _about(moments: Moments, centre: Matrix) -> Matrix:
    """Smaller Gram matrix of rows about a centre."""
    if moments.kept:
        along = moments.rows @ centre
        return moments.kernel - along[:, None] - along + centre @ centre
    cross = np.outer(moments.total, centre)
    return moments.gram - cross - cross.T + moments.count * np.outer(centre, centre)


def _rate_of(moments: Moments, coefficient: Coefficient) -> float:
    return _rate(moments.kernel if moments.kept else moments.gram, coefficient(moments.count))


def _spare_largest(statistics: FeatureStatistics) -> None:
    """A class that holds most rows has what the others leave of Z'Z: the costliest product is spared."""
    *others, largest = sorted(statistics.classes, key=lambda moments: moments.count)
    if 2 * largest.count > statistics.count and not largest.kept and "gram" not in largest.__dict__:
        largest.gram = statistics.pooled.gram - sum(
            (moments.gram for moments in others), np.zeros_like(statistics.pooled.gram)
        )


def _sizes(moments: Moments, blocks: Sequence[int]) -> npt.NDArray[np.int64]:
    """Rows taken out: none, then those of each block, shape (1 + B,)."""
    sizes = moments.block_sizes()
    return np.array([0, *(sizes.get(block, 0) for block in blocks)], dtype=np.int64)


def _deleted_rates(moments: Moments, coefficient: Coefficient, blocks: Sequence[int]) -> Matrix:
    """Coding rates of all rows and without each block, shape (1 + B,).

    With A = I + c ZZ', the determinant without a block is det A times that of the block of A's inverse
    (Jacobi); with A = I + c Z'Z it is det A times det(I - c Z_b A^-1 Z_b') (Sylvester).
    """
    sizes = _sizes(moments, blocks)
    # A class of which nothing is left has no rate and no weight.
    rates = np.zeros(len(sizes))
    rates[sizes == 0] = _rate_of(moments, coefficient)
    for size in np.unique(sizes[(sizes > 0) & (sizes < moments.count)]):
        columns = [column for column, taken in enumerate(sizes) if taken == size]
        deleted = [blocks[column - 1] for column in columns]
        rates[columns] = _rates_without(moments, deleted, coefficient(moments.count - size))
    return rates


def _rates_without(moments: Moments, blocks: Sequence[int], coefficient: float) -> Matrix:
    if moments.kept:
        return _rates_by_kernel(moments, blocks, coefficient)
    members = [moments.block_rows(block) for block in blocks]
    if any(rows is None or 2 * len(rows) > moments.dimension for rows in members):
        return np.array([_rate(moments.without(block).gram, coefficient) for block in blocks])
    matrix = _regularised(moments.gram, coefficient)
    whole = _log_determinant(matrix)
    stacked = np.stack([rows for rows in members if rows is not None])
    inner = (stacked @ np.linalg.inv(matrix)) @ stacked.transpose(0, 2, 1)
    return 0.5 * (whole + _log_determinants(np.eye(inner.shape[1]) - coefficient * inner))


def _rates_by_kernel(moments: Moments, blocks: Sequence[int], coefficient: float) -> Matrix:
    matrix = _regularised(moments.kernel, coefficient)
    inverse = np.linalg.inv(matrix)
    sizes = moments.block_sizes()
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
    inner = np.stack(
        [inverse[starts[b] : starts[b] + sizes[b], starts[b] : starts[b] + sizes[b]] for b in blocks]
    )
    return 0.5 * (_log_determinant(matrix) + _log_determinants(inner))


def _log_determinants(matrices: Matrix) -> Matrix:
    """Of symmetric positive definite matrices, shape (B, m, m)."""
    factors = np.linalg.cholesky(matrices)
    return 2.0 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
