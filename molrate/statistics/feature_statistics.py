"""Sufficient statistics of features: what the measures need of millions of rows, from one pass.

Counts, sums and second moments are kept for each class (or bin of a regression target) and each block of
rows, in float64. Blocks add up: statistics of parts merge, and those without a block are the total minus
the block. That is all that folds, jackknife intervals, streaming and distribution take.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.statistics.class_sums import BlockSums
from molrate.statistics.moments import Codes, Matrix, Moments, RowBlock, to_host
from molrate.statistics.rows import check_finite, check_norms, checked_array, row_norms, row_sums

_FORMAT = 2
_READ = ("pooled", "classes", "sums")
_FEW_ROWS = 4096


class FeatureStatistics:
    """Mergeable one-pass statistics of features with class labels and real targets.

    Statistics of equal rows are equal to rounding however the rows were cut into chunks, whichever
    parts were merged, and whatever was read in between: rows that are added later change neither what was
    read nor other statistics that a merge made. Rows of a class within a block are kept while they are
    fewer than dimensions (Lemma 1 of the TransRate paper makes their kernel as good); after that their
    Gram matrix is.

    Parameters
    ----------
    dimension : int
        d.
    n_classes : int
        Class labels are the codes 0 ... n_classes - 1; 1 without classes.
    n_targets : int
        Real target columns, m.
    unit_rows : bool
        Scale every row to unit norm, as TransRate does. Other rows are shifted by the first row seen,
        which costs no digits where features share a large offset; :meth:`moments` undoes the shift where
        a measure is not free of it.
    second_moments : {"classes", "pooled", "none"}
        Keep second moments for each class, as TransRate and GBC need, once for all of them, or not at all.
    shift : array_like, shape (d,), optional
        In place of the first row seen; statistics without second moments merge only if theirs are equal.

    Attributes
    ----------
    derived : dict
        What measures computed from these statistics and share.

    Raises
    ------
    InputError
        If features are not finite, rows that must have unit norm are zero, or lengths differ.
    """

    def __init__(
        self,
        dimension: int,
        n_classes: int = 1,
        n_targets: int = 0,
        *,
        unit_rows: bool = False,
        second_moments: str = "classes",
        shift: npt.ArrayLike | None = None,
    ) -> None:
        self.dimension = dimension
        self.n_classes = n_classes
        self.n_targets = n_targets
        self.unit_rows = unit_rows
        self.second_moments = second_moments
        self._shift_given = shift is not None
        self.shift = np.zeros(dimension) if shift is None else np.asarray(shift, dtype=np.float64)
        self._parts: dict[tuple[int, int], RowBlock] = {}
        self._first_moments: dict[int, BlockSums] = {}
        # Parts and sums that nothing else holds; all others are copied before they grow.
        self._own_parts: set[tuple[int, int]] = set()
        self._own_sums: set[int] = set()
        self.derived: dict[str, Any] = {}

    def add(
        self,
        features: Any,
        labels: npt.ArrayLike | None = None,
        targets: npt.ArrayLike | None = None,
        blocks: npt.ArrayLike | None = None,
    ) -> FeatureStatistics:
        """Add rows.

        Parameters
        ----------
        features : array_like or torch.Tensor, shape (n, d)
            On any device; products of many rows are taken there.
        labels : array_like of int, shape (n,), optional
        targets : array_like of float, shape (n, m), optional
        blocks : array_like of int, shape (n,), optional
            Block of each row; all in block 0 if not given.

        Returns
        -------
        FeatureStatistics
            Itself.
        """
        rows = self._checked(features)
        n = len(rows)
        codes = self._codes(labels, n)
        y = np.zeros((n, 0)) if targets is None else np.asarray(targets, dtype=np.float64)
        y = y[:, None] if y.ndim == 1 else y
        if y.shape[1] != self.n_targets:
            raise InputError(f"{y.shape[1]} target columns where {self.n_targets} were announced")
        if len(y) != n:
            raise InputError(f"{n} rows of features but {len(y)} of targets")
        block = np.zeros(n, dtype=np.intp) if blocks is None else np.asarray(blocks, dtype=np.intp)
        if len(block) != n:
            raise InputError(f"{n} rows of features but {len(block)} block numbers")
        if n:
            self._forget()
        order = np.argsort(block * self.n_classes + codes, kind="stable")
        for of_block in _runs(order, block):
            # A few rows of all classes at once; of many, class by class, so that no second copy of all rows
            # is ever made.
            for members in [of_block] if len(of_block) <= _FEW_ROWS else _runs(of_block, codes):
                self._add_rows(
                    int(block[members[0]]), codes[members], self._prepared(rows[members]), y[members]
                )
        return self

    def _add_rows(self, block: int, codes: Codes, rows: Any, y: Matrix) -> None:
        """Add rows of a block, sorted by class."""
        if block not in self._own_sums:
            sums = self._first_moments.get(block)
            empty = BlockSums(self.dimension, self.n_classes, self.n_targets)
            self._first_moments[block] = empty if sums is None else sums.copy()
            self._own_sums.add(block)
        starts = [0, *(np.flatnonzero(np.diff(codes)) + 1), len(codes)]
        self._first_moments[block].add(codes, starts[:-1], rows, y)
        if self.second_moments == "classes":
            for start, stop in pairwise(starts):
                # A view would keep the rows of the other classes in memory too.
                part = rows[start:stop].copy() if isinstance(rows, np.ndarray) else rows[start:stop]
                self._part(block, int(codes[start])).add(part)
        elif self.second_moments == "pooled":
            self._part(block, 0).add(rows)

    def _part(self, block: int, code: int) -> RowBlock:
        """The rows of a class in a block, which may grow."""
        key = (block, code)
        if key not in self._own_parts:
            part = self._parts.get(key)
            self._parts[key] = RowBlock(self.dimension) if part is None else part.copy()
            self._own_parts.add(key)
        return self._parts[key]

    def _forget(self) -> None:
        """Drop what was computed of fewer rows."""
        self.derived = {}
        for name in _READ:
            self.__dict__.pop(name, None)

    def _hand_out(self) -> None:
        """From now on others hold the parts and sums, which must not change under them."""
        self._own_parts.clear()
        self._own_sums.clear()

    def _checked(self, features: Any) -> Any:
        """Features as an array on their device, every row finite and, for unit norm, not zero."""
        rows = checked_array(features)
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise InputError(f"features must have shape (n, {self.dimension}), not {tuple(rows.shape)}")
        if self.unit_rows:
            check_norms(to_host(row_norms(rows)))
        else:
            check_finite(to_host(row_sums(rows)))
            if not self._shift_given and not self._first_moments and len(rows):
                self.shift = np.array(to_host(rows[0]), dtype=np.float64)
        return rows

    def _prepared(self, rows: Any) -> Any:
        """Rows in float64, of unit norm or shifted; their own copy."""
        if not isinstance(rows, np.ndarray):
            rows = rows.double()
            return rows / row_norms(rows)[:, None] if self.unit_rows else rows - rows.new_tensor(self.shift)
        rows = rows.astype(np.float64, copy=False)
        if self.unit_rows:
            rows /= row_norms(rows)[:, None]
        else:
            rows -= self.shift
        return rows

    def _codes(self, labels: npt.ArrayLike | None, n: int) -> Codes:
        codes = np.zeros(n, dtype=np.intp) if labels is None else np.asarray(labels, dtype=np.intp)
        if len(codes) != n:
            raise InputError(f"{n} rows of features but {len(codes)} labels")
        if n and not 0 <= codes.min() <= codes.max() < self.n_classes:
            raise InputError(f"class codes must lie in 0 ... {self.n_classes - 1}")
        return codes

    @property
    def blocks(self) -> list[int]:
        """Block numbers that have rows, in order."""
        return sorted(self._first_moments)

    @cached_property
    def pooled(self) -> Moments:
        """Moments of all rows, shifted by :attr:`shift`."""
        self._hand_out()
        parts: dict[int, list[RowBlock]] = {}
        for (block, _), part in sorted(self._parts.items()):
            parts.setdefault(block, []).append(part)
        return Moments(parts, self.dimension)

    @cached_property
    def classes(self) -> list[Moments]:
        """Moments of each class that has rows, shifted by :attr:`shift`.

        Raises
        ------
        InputError
            If second moments were not kept for each class.
        """
        if self.second_moments != "classes":
            raise InputError(f"second moments of each class were not kept ({self.second_moments!r})")
        self._hand_out()
        parts: dict[int, dict[int, list[RowBlock]]] = {}
        for (block, code), part in sorted(self._parts.items()):
            parts.setdefault(code, {}).setdefault(block, []).append(part)
        return [Moments(parts[code], self.dimension) for code in sorted(parts)]

    @cached_property
    def sums(self) -> BlockSums:
        """First moments of classes and targets over all blocks."""
        total = BlockSums(self.dimension, self.n_classes, self.n_targets)
        for block in self.blocks:
            total.merge(self._first_moments[block])
        return total

    def block_sums(self, block: int) -> BlockSums:
        """First moments of classes and targets in one block."""
        self._own_sums.discard(block)
        return self._first_moments[block]

    @property
    def count(self) -> int:
        """Number of rows, n."""
        return int(self.sums.counts.sum())

    @property
    def class_counts(self) -> npt.NDArray[np.int64]:
        """Rows of each class that has any, shape (C,)."""
        return self.sums.counts[self.sums.counts > 0]

    @property
    def class_sums(self) -> Matrix:
        """Sum of the rows of each class that has any, shape (C, d), shifted by :attr:`shift`."""
        return self.sums.totals[self.sums.counts > 0]

    def without(self, block: int, pooled: Moments | None = None) -> FeatureStatistics:
        """The statistics of all rows but those of a block.

        Parameters
        ----------
        block : int
        pooled : Moments, optional
            Those of the same rows, where other statistics of these rows have computed them already.
        """
        self._hand_out()
        rest = self._empty()
        rest._parts = {key: part for key, part in self._parts.items() if key[0] != block}
        rest._first_moments = {key: sums for key, sums in self._first_moments.items() if key != block}
        rest.pooled = self.pooled.without(block) if pooled is None else pooled
        own = self._first_moments.get(block)
        # A difference costs no digits where little is taken off.
        if own is not None and 2 * own.counts.sum() < self.count:
            rest.sums = self.sums.less(own)
        if "classes" in self.__dict__:
            kept = [moments.without(block) for moments in self.classes]
            rest.classes = [moments for moments in kept if moments.parts]
        return rest

    def relabelled(self, features: Matrix, labels: Codes, targets: Matrix) -> Iterator[FeatureStatistics]:
        """Statistics of the same rows under other labels, which share what is free of labels.

        They are in one block, and have no second moments of each class.

        Parameters
        ----------
        features : ndarray, shape (n, d)
            As they were added.
        labels : ndarray of int, shape (E, n)
        targets : ndarray, shape (E, n, m)
        """
        rows = self._prepared(self._checked(features).astype(np.float64))
        for codes, y in zip(labels, targets, strict=True):
            other = self._empty()
            other.second_moments = "none"
            other._first_moments = {0: self.sums.relabelled(rows, codes, y)}
            other.share_pooled(self)
            yield other

    def share_pooled(self, other: FeatureStatistics) -> None:
        """Take the label-free moments of other statistics of the same rows, until rows are added.

        Raises
        ------
        InputError
            If the others have more or fewer rows.
        """
        if self.count != other.count:
            raise InputError(f"statistics of {self.count} rows cannot take the moments of {other.count}")
        self.pooled = other.pooled

    def _empty(self) -> FeatureStatistics:
        empty = FeatureStatistics(
            self.dimension,
            self.n_classes,
            self.n_targets,
            unit_rows=self.unit_rows,
            second_moments=self.second_moments,
        )
        empty.shift, empty._shift_given = self.shift, self._shift_given
        return empty

    def __add__(self, other: FeatureStatistics) -> FeatureStatistics:
        """Statistics of the rows of both, which stay as they are; equal block numbers merge.

        Raises
        ------
        InputError
            If they are not statistics of the same kind.
        """
        if self._kind() != other._kind():
            raise InputError(f"statistics of unequal kind cannot be merged: {self._kind()}, {other._kind()}")
        self._hand_out()
        other._hand_out()
        merged = self._empty()
        if not self._first_moments:
            merged.shift = other.shift
        offset = other.shift - merged.shift
        merged._parts = dict(self._parts)
        for key, part in other._parts.items():
            moved = part.moved(offset)
            merged._parts[key] = merged._parts[key] + moved if key in merged._parts else moved
        for block in {*self.blocks, *other.blocks}:
            sums = BlockSums(self.dimension, self.n_classes, self.n_targets)
            if block in self._first_moments:
                sums.merge(self._first_moments[block])
            if block in other._first_moments:
                sums.merge(other._moved_sums(block, offset))
            merged._first_moments[block] = sums
        return merged

    def _moved_sums(self, block: int, offset: Matrix) -> BlockSums:
        parts = [part for key, part in self._parts.items() if key[0] == block]
        if offset.any() and self.second_moments == "none":
            raise InputError("parts without second moments merge only if they have the same shift")
        product = sum((part.times(offset) for part in parts), np.zeros(self.dimension))
        return self._first_moments[block].moved(offset, product)

    def _kind(self) -> dict[str, Any]:
        return {
            "dimension": self.dimension,
            "n_classes": self.n_classes,
            "n_targets": self.n_targets,
            "unit_rows": self.unit_rows,
            "second_moments": self.second_moments,
        }

    def save(self, path: str | Path) -> None:
        """Write to an ``.npz`` file, in one piece or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        from molrate.files.output import write_atomically

        arrays: dict[str, Any] = {"format": np.array(_FORMAT), "shift": self.shift}
        arrays["shift_given"] = np.array(self._shift_given)
        arrays |= {name: np.array(value) for name, value in self._kind().items()}
        for (block, code), part in self._parts.items():
            name = f"part_{block}_{code}"
            arrays[f"{name}_count"], arrays[f"{name}_total"] = np.array(part.count), part.total
            if part.pending:
                arrays[f"{name}_rows"] = np.concatenate(part.pending)
            if part.gram is not None:
                arrays[f"{name}_gram"] = part.gram
        for block, sums in self._first_moments.items():
            arrays |= {f"sums_{block}_{name}": array for name, array in sums.arrays().items()}
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        write_atomically(Path(path), stream.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> FeatureStatistics:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If the file is not one of feature statistics.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = dict(archive)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as feature statistics: {error}") from error
        if "format" not in arrays or int(arrays["format"]) != _FORMAT:
            raise InputError(f"{path}: not a file of feature statistics of format {_FORMAT}")
        statistics = cls(
            int(arrays["dimension"]),
            int(arrays["n_classes"]),
            int(arrays["n_targets"]),
            unit_rows=bool(arrays["unit_rows"]),
            second_moments=str(arrays["second_moments"]),
        )
        statistics.shift, statistics._shift_given = arrays["shift"], bool(arrays["shift_given"])
        for name in arrays:
            if name.startswith("part_") and name.endswith("_count"):
                statistics._restore_part(name.removesuffix("_count"), arrays)
            if name.startswith("sums_") and name.endswith("_counts"):
                block = int(name.split("_")[1])
                statistics._first_moments[block] = BlockSums.from_arrays(
                    {key: arrays[f"sums_{block}_{key}"] for key in BlockSums.NAMES}
                )
        return statistics

    def _restore_part(self, name: str, arrays: dict[str, Any]) -> None:
        block, code = map(int, name.split("_")[1:3])
        part = RowBlock(self.dimension)
        part.count, part.total = int(arrays[f"{name}_count"]), arrays[f"{name}_total"]
        part.pending = [arrays[f"{name}_rows"]] if f"{name}_rows" in arrays else []
        part.gram = arrays.get(f"{name}_gram")
        self._parts[block, code] = part


def _runs(order: npt.NDArray[np.intp], numbers: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """Cut rows, which are sorted by their numbers, where the number changes."""
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if len(order) else []
