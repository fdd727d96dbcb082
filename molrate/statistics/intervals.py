"""What a measure's value means: null, jackknife interval, and which encoders differ.

A measure gives a table of *replicates*, shape (1 + P, 1 + B). Row 0 has the true labels, the others P
permutations; column 0 has all rows, the others all but one of B blocks. Everything here derives from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A measure's value with its null and interval.

    Attributes
    ----------
    value : float
    null_mean, null_sd : float
        Moments over label permutations.
    replicates : ndarray, shape (1 + B,)
        Excess on all rows and without each block.
    null_jackknifed : bool
        Whether the null too was computed without each block.
    """

    value: float
    null_mean: float
    null_sd: float
    replicates: npt.NDArray[np.float64]
    null_jackknifed: bool

    @property
    def excess(self) -> float:
        """Value minus null mean, what the labels add to what the features alone give; higher is better.

        Its sign is turned for measures of which less is better.
        """
        return float(self.replicates[0])

    @property
    def z(self) -> float:
        """Excess in standard deviations of the null.

        A description and no test: the null of many measures is skewed, and five permutations do not tell
        its tail.
        """
        return self.excess / self.null_sd if self.null_sd > 0 else float("nan")

    @property
    def p_value(self) -> float:
        """Chance of so high an excess if the labels say nothing, one-sided, by its jackknife error."""
        from scipy.special import stdtr

        error = jackknife(self.replicates)[1]
        return float(stdtr(len(self.replicates) - 2, -self.excess / error)) if error > 0 else float("nan")

    @property
    def corrected(self) -> float:
        """Excess less the bias that the jackknife estimates.

        It is the excess itself where the null was not jackknifed: the bias of the value alone is mostly
        what the null takes away already.
        """
        return jackknife(self.replicates)[0] if self.null_jackknifed else self.excess

    def interval(self, level: float = LEVEL, *, corrected: bool = False) -> tuple[float, float]:
        """Interval of the excess, or of the bias-corrected one.

        The first covers what other samples of as many molecules would give on average, which is what
        encoders are compared by. The second is for the limit of many molecules, to which the correction
        extrapolates. It reaches about both centres: where they lie far apart (classes with fewer rows
        than dimensions), the correction is itself uncertain, and alone it would see signals in noise.
        """
        centres = (self.excess, self.corrected) if corrected else (self.excess,)
        error = jackknife(self.replicates)[1]
        reach = student_quantile(len(self.replicates) - 2, level) * error
        return min(centres) - reach, max(centres) + reach


def estimate(table: Table, *, higher_is_better: bool = True) -> Estimate:
    """Read a table of replicates.

    Permutations need not all be jackknifed (NaN elsewhere): those that are say how the null changes
    without a block. If none is, deletions are compared with the null of all rows.
    """
    null = table[1:, 0][np.isfinite(table[1:, 0])]
    mean = float(null.mean()) if len(null) else float("nan")
    deviation = float(null.std(ddof=1)) if len(null) > 1 else float("nan")
    baseline = np.full(table.shape[1], mean)
    jackknifed = table[1:][np.isfinite(table[1:]).all(axis=1)]
    if len(jackknifed):
        baseline += (jackknifed - jackknifed[:, :1]).mean(axis=0)
    sign = 1.0 if higher_is_better else -1.0
    replicates = sign * (table[0] - baseline)
    return Estimate(float(table[0, 0]), mean, deviation, replicates, len(jackknifed) > 0)


def jackknife(replicates: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Bias-corrected value and standard error from the delete-a-block jackknife.

    Parameters
    ----------
    replicates : ndarray, shape (1 + B,)
        On all rows, then without each block.
    """
    whole, deleted = replicates[0], replicates[1:]
    n_blocks = len(deleted)
    mean = deleted.mean()
    error = np.sqrt((n_blocks - 1) / n_blocks * np.sum((deleted - mean) ** 2))
    return float(whole - (n_blocks - 1) * (mean - whole)), float(error)


def difference(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Difference of two encoders on the same blocks, and its standard error.

    Shared molecules cancel what both encoders have in common, so this error is far smaller than those of
    the two together.
    """
    paired = one - other
    return float(paired[0]), jackknife(paired)[1]


def student_quantile(degrees: int, level: float) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))


def separable_groups(replicates: Sequence[npt.NDArray[np.float64]], level: float = LEVEL) -> list[int]:
    """Groups of candidates that are not separable, 1 the best.

    The best candidate leads group 1, which takes all that are not separable from it; the best of the rest
    leads group 2, and so on. The level holds for all pairs that are left together (Bonferroni): the
    leader is chosen by the same values, so that a comparison with it stands for one of every pair.

    Parameters
    ----------
    replicates : sequence of ndarray, shape (1 + B,)
        Of each candidate, on the same blocks; higher is better.

    Returns
    -------
    list of int
    """
    groups = [0] * len(replicates)
    left = sorted(range(len(replicates)), key=lambda index: -replicates[index][0])
    group = 0
    while left:
        group += 1
        leader = left[0]
        degrees = len(replicates[leader]) - 2
        pairs = max(1, len(left) * (len(left) - 1) // 2)
        each = 1 - (1 - level) / pairs
        reach = student_quantile(degrees, each)
        kept = []
        for index in left:
            gap, error = difference(replicates[leader], replicates[index])
            if index == leader or not gap > reach * error:
                groups[index] = group
            else:
                kept.append(index)
        left = kept
    return groups
