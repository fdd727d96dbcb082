"""Rows that repeat a molecule: whether their measurements agree, and how they become one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from molrate.data.targets import Target

DONE = {
    "keep": "all are kept",
    "merge": "merged: the mean of their values, or their class where all agree",
}
"""What becomes of rows of equal molecules, by policy."""


@dataclass(frozen=True)
class Disagreement:
    """Rows of one target that repeat an earlier molecule with another measurement.

    Attributes
    ----------
    target : Target
    n : int
        Rows whose class or value is not that of the first measured row of their molecule.
    rows : tuple of int
        Two rows, from 0, that disagree: of a regression those of the largest difference.
    differences : tuple of float
        Of each such row from the first one of its molecule; empty for classes.
    """

    target: Target
    n: int
    rows: tuple[int, int]
    differences: tuple[float, ...] = ()

    def describe(self) -> str:
        """What follows on "20 rows repeat an earlier molecule,"."""
        first, second = (row + 1 for row in self.rows)
        if self.target.task == "classification":
            return (
                f"{self.n} of them with another class of {self.target.name}, e.g. rows {first} and {second}"
            )
        largest, median = max(self.differences), float(np.median(self.differences))
        size = f"{median:.3g} in the median and at most {largest:.3g}," if self.n > 1 else f"{largest:.3g}"
        name = self.target.name
        return f"{self.n} of them with another value of {name}, by {size} in rows {first} and {second}"


def find_disagreements(canonical: Sequence[str], targets: Sequence[Target]) -> list[Disagreement]:
    """Targets of which equal molecules have different measurements.

    Parameters
    ----------
    canonical : sequence of str, length n
        Canonical SMILES, empty where a row is invalid.
    targets : sequence of Target
        Of the n rows.

    Examples
    --------
    >>> from molrate.data.targets import parse_target
    >>> target = parse_target("y", ["yes", "no", "no"])
    >>> [found.describe() for found in find_disagreements(["C", "CC", "C"], [target])]
    ['1 of them with another class of y, e.g. rows 1 and 3']
    """
    disagreements = []
    for target in targets:
        first: dict[str, int] = {}
        pairs = []
        for row in np.flatnonzero(target.labelled).tolist():
            if not canonical[row]:
                continue
            earlier = first.setdefault(canonical[row], row)
            if target.values[row] != target.values[earlier]:
                pairs.append((earlier, row))
        if pairs:
            disagreements.append(_disagreement(target, pairs))
    return disagreements


def measurement_notes(
    canonical: Sequence[str], targets: Sequence[Target], duplicates: str = "keep"
) -> list[str]:
    """Sentences on how targets were read, and where equal molecules contradict each other.

    Parameters
    ----------
    canonical, targets
        As for :func:`find_disagreements`; targets as they were read.
    duplicates : {"keep", "merge"}
        What becomes of such rows.
    """
    notes = [f"{target.name}: {note}" for target in targets for note in target.notes]
    texts = [smiles for smiles in canonical if smiles]
    n_repeated = len(texts) - len(set(texts))
    return notes + [
        f"{repeats(n_repeated)}, {disagreement.describe()}; {DONE[duplicates]}"
        for disagreement in find_disagreements(canonical, targets)
    ]


def merge_measurements(canonical: Sequence[str], targets: Sequence[Target]) -> tuple[Target, ...]:
    """Targets in which the first row of each molecule has what all of its rows say.

    That is the mean of a regression, and the class if all agree; a molecule whose classes differ, and every
    row that repeats a molecule, is not measured.

    Parameters
    ----------
    canonical : sequence of str, length n
        Canonical SMILES; rows where it is empty stay as they are.
    targets : sequence of Target
        Of the n rows.

    Examples
    --------
    >>> from molrate.data.targets import parse_target
    >>> target = parse_target("y", [1.0, 4.0, 3.0], "regression")
    >>> [merged.values.tolist() for merged in merge_measurements(["C", "CC", "C"], [target])]
    [[2.0, 4.0, nan]]
    """
    rows = np.array([row for row, smiles in enumerate(canonical) if smiles], dtype=np.intp)
    texts = np.array([canonical[row] for row in rows], dtype=str)
    _, first, group = np.unique(texts, return_index=True, return_inverse=True)
    merged = []
    for target in targets:
        values = target.values.copy()
        measurements = values[rows]
        values[rows] = np.nan
        values[rows[first]] = _merged(measurements, group, target.task == "classification")
        merged.append(replace(target, values=values))
    return tuple(merged)


def _merged(
    values: npt.NDArray[np.float64], group: npt.NDArray[np.intp], classes: bool
) -> npt.NDArray[np.float64]:
    """One value for each group, from those that are not NaN."""
    measured = ~np.isnan(values)
    values, group, n_groups = values[measured], group[measured], group.max(initial=-1) + 1
    counts = np.bincount(group, minlength=n_groups)
    mean = np.full(n_groups, np.nan)
    np.divide(np.bincount(group, weights=values, minlength=n_groups), counts, out=mean, where=counts > 0)
    if classes:
        mean[group[values != mean[group]]] = np.nan
    return mean


def _disagreement(target: Target, pairs: list[tuple[int, int]]) -> Disagreement:
    if target.task == "classification":
        return Disagreement(target, len(pairs), pairs[0])
    gaps = [abs(float(target.values[row] - target.values[earlier])) for earlier, row in pairs]
    return Disagreement(target, len(pairs), pairs[int(np.argmax(gaps))], tuple(gaps))


def repeats(n_rows: int) -> str:
    """That so many rows repeat a molecule, in words.

    Examples
    --------
    >>> repeats(1)
    '1 row repeats an earlier molecule'
    """
    return f"{n_rows} row{'s repeat' if n_rows > 1 else ' repeats'} an earlier molecule"
