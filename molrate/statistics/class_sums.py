"""Sums of rows by class and block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.statistics.moments import Codes, Matrix, to_host
from molrate.statistics.rows import squared_norms


class BlockSums:
    """First moments of classes and targets in a block, with the norms that shrinkage needs.

    Attributes
    ----------
    counts : ndarray of int, shape (C,)
    totals : ndarray, shape (C, d)
        Sum of the rows of each class.
    cross : ndarray, shape (d, m)
        Features times targets.
    target_total : ndarray, shape (m,)
    target_gram : ndarray, shape (m, m)
    squares, fourths : float
        Sums of the second and fourth powers of the row norms.
    weighted : ndarray, shape (d,)
        Sum of the rows, each times its squared norm.
    """

    NAMES = ("counts", "totals", "cross", "target_total", "target_gram", "squares", "fourths", "weighted")

    def __init__(self, dimension: int, n_classes: int, n_targets: int) -> None:
        self.counts = np.zeros(n_classes, dtype=np.int64)
        self.totals = np.zeros((n_classes, dimension))
        self.cross = np.zeros((dimension, n_targets))
        self.target_total = np.zeros(n_targets)
        self.target_gram = np.zeros((n_targets, n_targets))
        self.squares = np.zeros(())
        self.fourths = np.zeros(())
        self.weighted = np.zeros(dimension)

    def add(self, codes: Codes, starts: Sequence[int], rows: Any, y: Matrix) -> None:
        """Count rows (n, d), whose classes are sorted and begin anew at some of them."""
        norms = squared_norms(rows)
        stops = [*starts[1:], len(codes)]
        self.counts[codes[starts]] += np.subtract(stops, starts)
        if isinstance(rows, np.ndarray):
            self.totals[codes[starts]] += np.add.reduceat(rows, starts, axis=0)
        else:
            for start, stop in zip(starts, stops, strict=True):
                self.totals[codes[start]] += to_host(rows[start:stop].sum(0))
        self.cross += to_host(rows.T @ (y if isinstance(rows, np.ndarray) else rows.new_tensor(y)))
        self.target_total += y.sum(0)
        self.target_gram += y.T @ y
        self.squares = self.squares + float(norms.sum())
        self.fourths = self.fourths + float((norms * norms).sum())
        self.weighted += to_host(norms @ rows)

    def copy(self) -> BlockSums:
        """Equal sums that grow on their own."""
        return BlockSums.from_arrays({name: array.copy() for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All sums by name, for a file."""
        return {name: np.asarray(getattr(self, name)) for name in self.NAMES}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> BlockSums:
        """Sums that :meth:`arrays` gave."""
        n_classes, dimension = arrays["totals"].shape
        sums = cls(dimension, n_classes, arrays["cross"].shape[1])
        for name, array in arrays.items():
            setattr(sums, name, array)
        return sums

    def merge(self, other: BlockSums) -> None:
        """Add the sums of other rows."""
        for name in self.NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def less(self, other: BlockSums) -> BlockSums:
        """The sums without those of some of the rows."""
        return BlockSums.from_arrays(
            {name: array - getattr(other, name) for name, array in self.arrays().items()}
        )

    def relabelled(self, rows: Matrix, codes: Codes, y: Matrix) -> BlockSums:
        """The sums with other classes (n,) and targets (n, m) of the same rows (n, d)."""
        sums = self.copy()
        members = np.zeros((len(self.counts), len(codes)))
        members[codes, np.arange(len(codes))] = 1
        sums.counts = np.bincount(codes, minlength=len(self.counts))
        sums.totals = members @ rows
        sums.cross, sums.target_total, sums.target_gram = rows.T @ y, y.sum(0), y.T @ y
        return sums

    def moved(self, offset: Matrix, product: Matrix) -> BlockSums:
        """The sums with `offset` added to every row; `product` is the rows' Gram matrix times it."""
        moved = BlockSums(len(offset), len(self.counts), len(self.target_total))
        n, total, length = self.counts.sum(), self.totals.sum(0), offset @ offset
        moved.counts = self.counts
        moved.totals = self.totals + self.counts[:, None] * offset
        moved.cross = self.cross + np.outer(offset, self.target_total)
        moved.target_total, moved.target_gram = self.target_total, self.target_gram
        moved.squares = self.squares + 2 * offset @ total + n * length
        # Expansions of |x + o|^4 and |x + o|^2 (x + o).
        moved.fourths = (
            self.fourths
            + 4 * (offset @ product + offset @ self.weighted + length * (offset @ total))
            + 2 * length * self.squares
            + n * length**2
        )
        moved.weighted = self.weighted + 2 * product + length * total + moved.squares * offset
        return moved
