"""Rows that repeat a molecule, and whether their measurements agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from molrate.data.targets import Target


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
        return f"{self.n} of them with another value of {self.target.name}, by {size} in rows {first} and {second}"


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


def measurement_notes(canonical: Sequence[str], targets: Sequence[Target]) -> list[str]:
    """Sentences on how targets were read, and where equal molecules contradict each other.

    Parameters
    ----------
    canonical, targets
        As for :func:`find_disagreements`.
    """
    notes = [f"{target.name}: {note}" for target in targets for note in target.notes]
    texts = [smiles for smiles in canonical if smiles]
    n_repeated = len(texts) - len(set(texts))
    return notes + [
        f"{n_repeated} rows repeat an earlier molecule, {disagreement.describe()}"
        for disagreement in find_disagreements(canonical, targets)
    ]


def _disagreement(target: Target, pairs: list[tuple[int, int]]) -> Disagreement:
    if target.task == "classification":
        return Disagreement(target, len(pairs), pairs[0])
    gaps = [abs(float(target.values[row] - target.values[earlier])) for earlier, row in pairs]
    return Disagreement(target, len(pairs), pairs[int(np.argmax(gaps))], tuple(gaps))
