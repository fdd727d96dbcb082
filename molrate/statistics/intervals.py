"""What a measure's value means: null, interval, and which encoders differ.

A measure gives a table of *replicates*, shape (1 + P, 1 + B). Row 0 has the true labels, the others P
permutations; column 0 has all rows, the others all but one of B blocks. It may add a *spread*, its values on
all rows under further permutations. Everything here derives from the two.

The delete-a-block jackknife alone gives intervals that are too wide for most measures where features say
little: it is exact for sums over molecules, but values of noise are sums over pairs of molecules and more,
whose variance it overstates by about two. Under permutation the variance is known, as the spread of the
permuted values. The variance of the excess is therefore put together of two parts: that spread, for what
chance alone does; and what the jackknife finds for the true labels above what it finds for permuted ones,
for what the signal adds. Where it finds clearly less (labels that the features determine move less than
chance labels), the first part is reduced in proportion.

What the signal adds is a difference of two jackknife variances, kept where it is positive. It is therefore
too large on average where there is no signal, and most so where the excess happens to be large, so that an
interval of one width would hardly ever leave out 0 by mistake. The interval of one candidate's mean excess is
instead the set of means that the excess does not contradict, as Wilson's is for a proportion: the signal adds
to the variance in proportion to the mean that is looked at, and nothing at 0, where chance alone decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]
Spread = npt.NDArray[np.float64]

LEVEL = 0.95
_FEWEST_JACKKNIFED = 2
_FEWEST_PERMUTATIONS = 5
# Quantile of the normal distribution at 95 %.
_ONE_SIDED = 1.645


@dataclass(frozen=True)
class _Variance:
    """Variance of an excess in its two parts, with the degrees of freedom of the first and of the sum.

    Where the null says nothing of it, all counts as the signal's.
    """

    by_chance: float
    chance_degrees: int
    by_signal: float
    degrees: float
    tilt: float = 0.0
    """By how much chance alone makes the variance grow with the mean."""


@dataclass(frozen=True, eq=False)
class Replicates:
    """What candidates are ordered by, with all that says how far it moves by chance; higher is better.

    Attributes
    ----------
    table : ndarray, shape (1 + P, 1 + B)
        NaN where permutations are not jackknifed.
    spread : ndarray, shape (E,)
        Values on all rows under further permutations.

    Examples
    --------
    The difference of two candidates on the same molecules, blocks and permutations:

    >>> gap = first - second
    >>> gap.excess, gap.interval()
    """

    table: Table
    spread: Spread

    def __sub__(self, other: Replicates) -> Replicates:
        """Paired difference: what both share, by molecules and by labels, cancels."""
        common = min(len(self.spread), len(other.spread))
        return Replicates(self.table - other.table, self.spread[:common] - other.spread[:common])

    def __truediv__(self, unit: float) -> Replicates:
        """In other units."""
        return Replicates(self.table / unit, self.spread / unit)

    def without_null(self) -> Replicates:
        """The value in place of the excess: permutations about their mean, so that they take nothing off."""
        table = self.table.copy()
        mean = self._null.mean() if len(self._null) else 0.0
        table[1:, 0] -= mean
        if len(self._jackknifed):
            table[1:, 1:] -= self._jackknifed[:, 1:].mean(axis=0)
        return Replicates(table, self.spread - mean)

    @cached_property
    def _null(self) -> Table:
        null = self.table[1:, 0]
        return null[np.isfinite(null)]

    @cached_property
    def _jackknifed(self) -> Table:
        """Permutations that were jackknifed, shape (Q, 1 + B)."""
        return self.table[1:][np.isfinite(self.table[1:]).all(axis=1)]

    @cached_property
    def deletions(self) -> npt.NDArray[np.float64]:
        """Excess on all rows and without each block, shape (1 + B,).

        Permutations need not all be jackknifed: those that are say how the null changes without a block.
        If none is, deletions are compared with the null of all rows.
        """
        mean = self._null.mean() if len(self._null) else np.nan
        baseline = np.full(self.table.shape[1], mean)
        if len(self._jackknifed):
            baseline += (self._jackknifed - self._jackknifed[:, :1]).mean(axis=0)
        return self.table[0] - baseline

    @property
    def excess(self) -> float:
        """Value minus null mean, what the labels add to what the features alone give."""
        return float(self.deletions[0])

    @property
    def corrected(self) -> float:
        """Excess less the bias that the jackknife estimates.

        It is the excess itself where the null was not jackknifed: the bias of the value alone is mostly
        what the null takes away already.
        """
        return jackknife(self.deletions)[0] if len(self._jackknifed) else self.excess

    @property
    def usable(self) -> bool:
        """Whether the excess is known on all rows and without each block."""
        return bool(np.isfinite(self.deletions).all())

    @cached_property
    def _variance(self) -> _Variance:
        """Variance of the excess over samples of as many molecules."""
        blocks = len(self.deletions) - 1
        whole = _jackknife_variance(self.deletions)
        values = np.concatenate([self._null, self.spread])
        chance = float(values.var(ddof=1)) if len(values) > 1 else 0.0
        of_mean = chance / max(1, len(self._null))
        deleted = len(self._jackknifed)
        if deleted < _FEWEST_JACKKNIFED or len(values) < _FEWEST_PERMUTATIONS:
            return _Variance(0.0, 0, whole + (0.0 if deleted else of_mean), blocks - 1.0)
        centred = self._jackknifed - self._jackknifed.mean(axis=0)
        of_null = np.array([_jackknife_variance(row) for row in centred]) * deleted / (deleted - 1)
        under_null = float(of_null.mean())
        true = max(whole - under_null / deleted, 0.0)
        by_chance = chance * _reduction(true, of_null, blocks) + of_mean
        by_signal = max(true - under_null, 0.0)
        variance = by_chance + by_signal
        if variance == 0:
            return _Variance(0.0, 0, 0.0, blocks - 1.0)
        # Satterthwaite: both parts are estimated. What the signal adds scatters as all that the jackknife
        # finds, of which it is a difference.
        scatter = by_chance**2 / (len(values) - 1)
        if by_signal > 0:
            scatter += true**2 / (blocks - 1)
        # No less than half of the jackknife's: what both jackknives find may be far more than they differ by.
        degrees = max(variance**2 / scatter, (blocks - 1) / 2)
        return _Variance(by_chance, len(values) - 1, by_signal, degrees, _tilt(values))

    @property
    def error(self) -> float:
        """Standard error of the excess."""
        return float(np.sqrt(self._variance.by_chance + self._variance.by_signal))

    @property
    def degrees(self) -> float:
        """Degrees of freedom of :attr:`error`."""
        return self._variance.degrees

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Interval of a mean difference, or of any mean whose variance does not depend on it."""
        reach = student_quantile(self.degrees, level) * self.error
        return self.excess - reach, self.excess + reach

    def interval_of_excess(self, level: float = LEVEL) -> tuple[float, float]:
        """Interval of the mean excess: what other samples of as many molecules would give on average.

        The means m with (excess - m)^2 <= a + b m: a is what chance may move the excess by, b m what the
        signal adds; nothing at 0. Where the excess is one of chance, the jackknife does not see a signal that
        was missed, and the upper end is no less than that of a sum of squares as skewed as the null. Of one
        candidate alone: a difference of two that are equal has a variance by the signal too.
        """
        variance = self._variance
        if variance.by_chance == 0:
            return self.interval(level)
        chance = student_quantile(variance.chance_degrees, level) ** 2
        a = chance * variance.by_chance
        reach = np.sqrt(a)
        signal = student_quantile(variance.degrees, level) ** 2 * variance.by_signal
        low, high = self.excess - reach, self.excess + reach
        if low > 0:
            low = _root(self.excess, a, signal / self.excess, -1)
        if high > 0:
            # What is found beside an excess that chance explains is mostly scatter, and need not grow.
            high = _root(self.excess, a, signal / max(self.excess, 2 * reach), +1)
        # The root of a sum of squares is about normal, of a variance that does not depend on its mean.
        missed = min(max(1 - self.excess / reach, 0.0), 1.0) * chance * variance.tilt / 4
        high = max(high, self.excess + reach + missed)
        return float(low), float(high)

    @property
    def p_value(self) -> float:
        """Two-sided probability of so large an excess, or difference, where the mean is zero."""
        from scipy.special import stdtr

        if self.error == 0:
            return float(self.excess == 0)
        return float(2 * stdtr(self.degrees, -abs(self.excess) / self.error))

    def deviations(self) -> npt.NDArray[np.float64]:
        """How permutations and blocks move the excess, shape (P + B,); the sum of squares is its variance.

        Those of other candidates and measures of the same molecules are parallel, so that the same random
        weights draw all of them together.
        """
        null = self.table[1:, 0] - self._null.mean() if len(self._null) else np.zeros(len(self.table) - 1)
        moves = np.concatenate([np.where(np.isfinite(null), null, 0.0), self.deletions[1:]])
        moves[len(null) :] -= self.deletions[1:].mean()
        size = float(np.linalg.norm(moves))
        return self.error / size * moves if size > 0 else moves


@dataclass(frozen=True, eq=False)
class Estimate:
    """A measure's value with its null and interval.

    Attributes
    ----------
    value : float
    null_mean, null_sd : float
        Moments over the label permutations of the table.
    replicates : Replicates
        The excess; its sign is turned for measures of which less is better.
    """

    value: float
    null_mean: float
    null_sd: float
    replicates: Replicates

    @property
    def excess(self) -> float:
        """Value minus null mean, what the labels add to what the features alone give; higher is better."""
        return self.replicates.excess

    @property
    def z(self) -> float:
        """Excess in standard deviations of the null.

        A description and no test: the null of many measures is skewed, and five permutations do not tell
        its tail.
        """
        return self.excess / self.null_sd if self.null_sd > 0 else float("nan")

    @property
    def corrected(self) -> float:
        """Excess less the bias that the jackknife estimates."""
        return self.replicates.corrected

    def interval(self, level: float = LEVEL, *, corrected: bool = False) -> tuple[float, float]:
        """Interval of the mean excess, or of the bias-corrected one.

        The first covers what other samples of as many molecules would give on average, which is what
        encoders are compared by. The second is for the limit of many molecules, to which the correction
        extrapolates. It reaches about both centres: where they lie far apart (classes with fewer rows
        than dimensions), the correction is itself uncertain, and alone it would see signals in noise.
        """
        if not corrected:
            return self.replicates.interval_of_excess(level)
        deletions = self.replicates.deletions
        reach = student_quantile(len(deletions) - 2, level) * jackknife(deletions)[1]
        centres = self.excess, self.corrected
        return min(centres) - reach, max(centres) + reach


def estimate(table: Table, spread: Spread | None = None, *, higher_is_better: bool = True) -> Estimate:
    """Read a table of replicates and a spread.

    Parameters
    ----------
    table : ndarray, shape (1 + P, 1 + B)
    spread : ndarray, shape (E,), optional
    higher_is_better : bool
    """
    null = table[1:, 0][np.isfinite(table[1:, 0])]
    mean = float(null.mean()) if len(null) else float("nan")
    deviation = float(null.std(ddof=1)) if len(null) > 1 else float("nan")
    sign = 1.0 if higher_is_better else -1.0
    replicates = Replicates(sign * table, sign * (np.empty(0) if spread is None else spread))
    return Estimate(float(table[0, 0]), mean, deviation, replicates)


def jackknife(replicates: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Bias-corrected value and standard error from the delete-a-block jackknife.

    Parameters
    ----------
    replicates : ndarray, shape (1 + B,)
        On all rows, then without each block.
    """
    whole, deleted = replicates[0], replicates[1:]
    corrected = whole - (len(deleted) - 1) * (deleted.mean() - whole)
    return float(corrected), float(np.sqrt(_jackknife_variance(replicates)))


def _reduction(true: float, of_null: npt.NDArray[np.float64], blocks: int) -> float:
    """Share of the spread under the null that the true labels keep; less than 1 only if clearly so.

    Parameters
    ----------
    true : float
        Jackknife variance for the true labels.
    of_null : ndarray, shape (Q,)
        Those for permuted ones.
    blocks : int
    """
    mean = of_null.mean()
    if mean == 0:
        return 1.0
    # How much jackknife variances scatter: as those of a normal, or more, as they do themselves.
    scatter = np.sqrt(max(2 / (blocks - 1), of_null.var(ddof=1) / mean**2))
    clearly_less = mean * (1 - _ONE_SIDED * scatter)
    return min(true / clearly_less, 1.0) if clearly_less > 0 else 1.0


def _root(excess: float, a: float, b: float, side: int) -> float:
    """Lower (-1) or upper (+1) mean m with (excess - m)^2 = a + b m."""
    return float(excess + b / 2 + side * np.sqrt(b * excess + b**2 / 4 + a))


def _tilt(values: npt.NDArray[np.float64]) -> float:
    """By how much the variance grows with the mean in an exponential family: third over second cumulant."""
    centred = values - values.mean()
    second = float((centred**2).mean())
    return max(float((centred**3).mean()) / second, 0.0) if second > 0 else 0.0


def _jackknife_variance(replicates: npt.NDArray[np.float64]) -> float:
    deleted = replicates[1:]
    return float((len(deleted) - 1) / len(deleted) * np.sum((deleted - deleted.mean()) ** 2))


def student_quantile(degrees: float, level: float) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))


def holm(p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """P-values corrected for all of them together, by Holm's step-down procedure.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def corrected_interval(difference: Replicates, p_value: float, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a difference that leaves out 0 exactly where its corrected p-value is below 1 - level.

    Parameters
    ----------
    difference : Replicates
    p_value : float
        Corrected for all differences it was looked at with.
    level : float
    """
    alone = difference.p_value
    factor = max(1.0, p_value / alone) if alone > 0 else 1.0
    return difference.interval(1 - (1 - level) / factor)


def pairwise_p_values(replicates: Sequence[Replicates]) -> npt.NDArray[np.float64]:
    """Corrected p-values of the paired differences of all candidates, shape (K, K).

    Parameters
    ----------
    replicates : sequence of Replicates
        Of each candidate, on the same molecules, blocks and permutations.
    """
    count = len(replicates)
    pairs = list(combinations(range(count), 2))
    table = np.ones((count, count))
    corrected = holm(np.array([(replicates[i] - replicates[j]).p_value for i, j in pairs]))
    for (i, j), p_value in zip(pairs, corrected, strict=True):
        table[i, j] = table[j, i] = p_value
    return table


def tiers(values: npt.ArrayLike, p_values: npt.NDArray[np.float64], level: float = LEVEL) -> list[int]:
    """Tiers of candidates, 1 the best; monotone in their order.

    Going down the order, a new tier begins where the first of the tier is separable from every one to come.
    The first of a tier is therefore separable from all of the tiers below, and not from the last of its own.
    As the p-values hold for all pairs together, the chance that one is put below its equal that is the first
    of a tier is at most 1 - level.

    Parameters
    ----------
    values : array_like, shape (K,)
        Higher is better.
    p_values : ndarray, shape (K, K)
        Of :func:`pairwise_p_values`.
    level : float

    Returns
    -------
    list of int
    """
    order = np.argsort(-np.asarray(values, dtype=np.float64), kind="stable")
    separable = p_values[np.ix_(order, order)] <= 1 - level
    places = [0] * len(order)
    tier, first = 1, 0
    for place, candidate in enumerate(order):
        if place > first and separable[first, place:].all():
            tier, first = tier + 1, place
        places[int(candidate)] = tier
    return places
