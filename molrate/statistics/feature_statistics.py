"""Sufficient statistics of features: what the measures need of millions of rows, from one pass.

Counts, sums and second moments are kept for each class (or bin of a regression target) and each block of
rows, in float64. Blocks add up: statistics of parts merge, and those without a block are the total minus
the block. That is all that folds, jackknife intervals, streaming and distribution take.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError

Matrix = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_FORMAT = 1
_PRODUCT_ROWS = 4096
_PENDING_ROWS = 256


class Part:
    """Rows of one class in one block: themselves while fewer than dimensions, then their Gram matrix.

    Attributes
    ----------
    count : int
    total : ndarray, shape (d,)
        Sum of the rows.
    pending : list of ndarray, shape (m, d)
        Rows that are not in `gram`.
    gram : ndarray, shape (d, d), or None
    """

    __slots__ = ("count", "gram", "pending", "total")

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.total = np.zeros(dimension)
        self.pending: list[Matrix] = []
        self.gram: Matrix | None = None

    def add(self, rows: Any) -> None:
        """Add rows (m, d), a NumPy array or a torch tensor on any device."""
        self.count += len(rows)
        self.total += _host(rows.sum(0))
        on_device = not isinstance(rows, np.ndarray)
        if self.gram is None and self.count < len(self.total):
            self.pending.append(_host(rows))
        elif on_device:
            # The product is the work; it is done where the rows are.
            self._flush(_host(rows.T @ rows))
        else:
            self.pending.append(rows)
            if self.gram is None or sum(map(len, self.pending)) >= _PENDING_ROWS:
                self._flush()

    def _flush(self, product: Matrix | None = None) -> None:
        gram = gram_of(self.pending, len(self.total))
        self.gram = gram if self.gram is None else self.gram + gram
        if product is not None:
            self.gram += product
        self.pending = []

    def __add__(self, other: Part) -> Part:
        merged = Part(len(self.total))
        merged.count = self.count + other.count
        merged.total = self.total + other.total
        merged.pending = self.pending + other.pending
        grams = [part.gram for part in (self, other) if part.gram is not None]
        merged.gram = sum(grams[1:], grams[0].copy()) if grams else None
        if merged.gram is None and merged.count >= len(merged.total):
            merged._flush()
        return merged

    def times(self, vector: Matrix) -> Matrix:
        """Gram matrix of the rows times a vector, shape (d,)."""
        product = np.zeros_like(vector) if self.gram is None else self.gram @ vector
        return sum((rows.T @ (rows @ vector) for rows in self.pending), product)

    def moved(self, offset: Matrix) -> Part:
        """The part with `offset` added to every row."""
        moved = Part(len(self.total))
        moved.count = self.count
        moved.total = self.total + self.count * offset
        moved.pending = [rows + offset for rows in self.pending]
        if self.gram is not None:
            held = sum(map(len, self.pending))
            total = self.total - sum((rows.sum(0) for rows in self.pending), np.zeros_like(offset))
            cross = np.outer(total, offset)
            moved.gram = self.gram + cross + cross.T + (self.count - held) * np.outer(offset, offset)
        return moved


def gram_of(parts: Iterable[Matrix], dimension: int) -> Matrix:
    """Gram matrix (d, d) of rows that come in parts, by few large products."""
    gram = np.zeros((dimension, dimension))
    # One buffer for all products: fresh memory for each would cost as much as the product.
    buffer = np.empty((0, dimension))
    filled = 0
    for rows in parts:
        if len(rows) >= _PRODUCT_ROWS:
            gram += rows.T @ rows
            continue
        if not len(buffer):
            buffer = np.empty((_PRODUCT_ROWS, dimension))
        if filled + len(rows) > _PRODUCT_ROWS:
            gram += buffer[:filled].T @ buffer[:filled]
            filled = 0
        buffer[filled : filled + len(rows)] = rows
        filled += len(rows)
    if filled:
        gram += buffer[:filled].T @ buffer[:filled]
    return gram


class Moments:
    """Count, sum and second moments of rows that lie in blocks.

    Parameters
    ----------
    parts : dict of int to list of Part
        Parts of each block.
    dimension : int
    """

    def __init__(self, parts: dict[int, list[Part]], dimension: int) -> None:
        self.parts = parts
        self.dimension = dimension
        self._minuend: tuple[Moments, Collection[int]] | None = None
        self._block_grams: dict[int, Matrix] = {}

    def _all(self) -> Iterator[Part]:
        return (part for parts in self.parts.values() for part in parts)

    @cached_property
    def count(self) -> int:
        """Number of rows, n."""
        return sum(part.count for part in self._all())

    @cached_property
    def total(self) -> Matrix:
        """Sum of the rows, shape (d,)."""
        return np.sum([part.total for part in self._all()], axis=0)

    @property
    def mean(self) -> Matrix:
        """Mean of the rows, shape (d,)."""
        return self.total / self.count

    @property
    def kept(self) -> bool:
        """Whether all rows are held and are fewer than dimensions, so that their kernel is the smaller."""
        return self.count < self.dimension and all(part.gram is None for part in self._all())

    @cached_property
    def rows(self) -> Matrix:
        """The rows, block after block, shape (n, d); only where :attr:`kept`."""
        return np.concatenate([rows for part in self._all() for rows in part.pending])

    @cached_property
    def kernel(self) -> Matrix:
        """Products of the rows with each other, shape (n, n); only where :attr:`kept`."""
        return self.rows @ self.rows.T

    @cached_property
    def gram(self) -> Matrix:
        """Sum of the outer products of the rows, shape (d, d), in float64."""
        if self._minuend is not None:
            whole, blocks = self._minuend
            return whole.gram - sum((whole.block_gram(block) for block in blocks), np.zeros_like(whole.gram))
        large = [block for block, size in self.block_sizes().items() if size >= self.dimension]
        few = [part for block, parts in self.parts.items() if block not in large for part in parts]
        gram = gram_of((rows for part in few for rows in part.pending), self.dimension)
        # Blocks of more rows than dimensions keep their Gram matrix: folds and deletions need it again.
        for matrix in [part.gram for part in few] + [self.block_gram(block) for block in large]:
            if matrix is not None:
                gram += matrix
        return gram

    def block_gram(self, block: int) -> Matrix:
        """Gram matrix of a block, kept where the block has more rows than dimensions."""
        if block not in self._block_grams:
            parts = self.parts[block]
            gram = gram_of((rows for part in parts for rows in part.pending), self.dimension)
            for part in parts:
                if part.gram is not None:
                    gram += part.gram
            if sum(part.count for part in parts) < self.dimension:
                return gram
            self._block_grams[block] = gram
        return self._block_grams[block]

    def block_sizes(self) -> dict[int, int]:
        """Number of rows in each block."""
        return {block: sum(part.count for part in parts) for block, parts in self.parts.items()}

    def block_rows(self, block: int) -> Matrix | None:
        """Rows of a block, shape (m, d), or None where only their Gram matrix is kept."""
        parts = self.parts[block]
        if any(part.gram is not None for part in parts):
            return None
        return np.concatenate([np.empty((0, self.dimension)), *(r for part in parts for r in part.pending)])

    def only(self, blocks: Collection[int]) -> Moments:
        """The moments of some blocks."""
        return Moments({key: parts for key, parts in self.parts.items() if key in blocks}, self.dimension)

    def without(self, *blocks: int) -> Moments:
        """The moments of all rows but those of some blocks."""
        left = [block for block in self.parts if block not in blocks]
        rest = self.only(left)
        # The difference of two Gram matrices is one product of few rows; it needs the whole one only once.
        if len(left) < len(self.parts) and not rest.kept:
            rest._minuend = (self, blocks)
        return rest

    def times(self, vector: Matrix) -> Matrix:
        """Gram matrix times a vector, shape (d,)."""
        if "gram" in self.__dict__:
            return self.gram @ vector
        return sum((part.times(vector) for part in self._all()), np.zeros(self.dimension))

    def centred_gram(self) -> Matrix:
        """Scatter matrix about the mean, shape (d, d)."""
        return self.gram - np.outer(self.total, self.mean)

    @cached_property
    def spectrum(self) -> tuple[Matrix, Matrix]:
        """Eigenvalues (k,) and basis (d, k) of the scatter about the mean, largest first, k its rank."""
        if self.kept:
            rows = self.rows - self.mean
            values, vectors = positive_eigenpairs(rows @ rows.T, max(rows.shape))
            return values, rows.T @ vectors / np.sqrt(values)
        return positive_eigenpairs(self.centred_gram(), max(self.count, self.dimension))


def positive_eigenpairs(matrix: Matrix, size: int) -> tuple[Matrix, Matrix]:
    """Eigenvalues above rounding, largest first, with their vectors as columns.

    Parameters
    ----------
    matrix : ndarray, shape (k, k)
        Symmetric, without negative eigenvalues but for rounding.
    size : int
        Larger dimension of the rows it was made of, by which rounding grows.
    """
    values, vectors = np.linalg.eigh(matrix)
    keep = values > max(values[-1], 0.0) * size * 10 * np.finfo(float).eps
    return values[keep][::-1], vectors[:, keep][:, ::-1]


class FeatureStatistics:
    """Mergeable one-pass statistics of features with class labels and real targets.

    Statistics of equal rows are equal to rounding however the rows were cut into chunks and whichever
    parts were merged. Rows of a class within a block are kept while they are fewer than dimensions
    (Lemma 1 of the TransRate paper makes their kernel as good); after that their Gram matrix is.

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
        self._parts: dict[tuple[int, int], Part] = {}
        self._first_moments: dict[int, _BlockSums] = {}
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
        block = np.zeros(n, dtype=np.intp) if blocks is None else np.asarray(blocks, dtype=np.intp)
        if len(block) != n:
            raise InputError(f"{n} rows of features but {len(block)} block numbers")
        key = block * self.n_classes + codes
        order = np.argsort(key, kind="stable")
        bounds = [0, *(np.flatnonzero(np.diff(key[order])) + 1), n] if n else [0]
        for start, stop in pairwise(bounds):
            members = order[start:stop]
            self.derived.clear()
            here, code = divmod(int(key[members[0]]), self.n_classes)
            # Part by part, so that no second copy of all rows is ever made.
            self._add_part(here, code, self._prepared(rows[members]), y[members])
        return self

    def _add_part(self, block: int, code: int, rows: Any, y: Matrix) -> None:
        if block not in self._first_moments:
            self._first_moments[block] = _BlockSums(self.dimension, self.n_classes, self.n_targets)
        self._first_moments[block].add(code, rows, y)
        if self.second_moments != "none":
            key = (block, code if self.second_moments == "classes" else 0)
            if key not in self._parts:
                self._parts[key] = Part(self.dimension)
            self._parts[key].add(rows)

    def _checked(self, features: Any) -> Any:
        """Features as an array on their device, every row finite and, for unit norm, not zero."""
        rows = _array(features)
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise InputError(f"features must have shape (n, {self.dimension}), not {tuple(rows.shape)}")
        if self.unit_rows:
            check_norms(_host(_squared_norms(rows)))
        else:
            check_finite(_host(rows.sum(1)))
            if not self._shift_given and not self._first_moments and len(rows):
                self.shift = np.array(_host(rows[0]), dtype=np.float64)
        return rows

    def _prepared(self, rows: Any) -> Any:
        """Rows in float64, of unit norm or shifted; their own copy."""
        if not isinstance(rows, np.ndarray):
            rows = rows.double()
            return unit_rows(rows) if self.unit_rows else rows - rows.new_tensor(self.shift)
        rows = rows.astype(np.float64, copy=False)
        if self.unit_rows:
            rows /= np.sqrt(_squared_norms(rows))[:, None]
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
        parts: dict[int, list[Part]] = {}
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
        parts: dict[int, dict[int, list[Part]]] = {}
        for (block, code), part in sorted(self._parts.items()):
            parts.setdefault(code, {}).setdefault(block, []).append(part)
        return [Moments(parts[code], self.dimension) for code in sorted(parts)]

    @cached_property
    def sums(self) -> _BlockSums:
        """First moments of classes and targets over all blocks."""
        total = _BlockSums(self.dimension, self.n_classes, self.n_targets)
        for block in self.blocks:
            total.merge(self._first_moments[block])
        return total

    def block_sums(self, block: int) -> _BlockSums:
        """First moments of classes and targets in one block."""
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
        rest = self._empty()
        rest._parts = {key: part for key, part in self._parts.items() if key[0] != block}
        rest._first_moments = {key: sums for key, sums in self._first_moments.items() if key != block}
        rest.pooled = self.pooled.without(block) if pooled is None else pooled
        if "classes" in self.__dict__:
            kept = [moments.without(block) for moments in self.classes]
            rest.classes = [moments for moments in kept if moments.parts]
        return rest

    def share_pooled(self, other: FeatureStatistics) -> None:
        """Take the label-free moments of other statistics of the same rows in the same blocks."""
        self.pooled = other.pooled

    def _empty(self) -> FeatureStatistics:
        empty = FeatureStatistics(
            self.dimension,
            self.n_classes,
            self.n_targets,
            unit_rows=self.unit_rows,
            second_moments=self.second_moments,
        )
        empty.shift = self.shift
        return empty

    def __add__(self, other: FeatureStatistics) -> FeatureStatistics:
        """Statistics of the rows of both; equal block numbers merge.

        Raises
        ------
        InputError
            If they are not statistics of the same kind.
        """
        if self._kind() != other._kind():
            raise InputError(f"statistics of unequal kind cannot be merged: {self._kind()}, {other._kind()}")
        if not self._first_moments:
            return other
        merged = self._empty()
        offset = other.shift - self.shift
        merged._parts = dict(self._parts)
        for key, part in other._parts.items():
            moved = part.moved(offset)
            merged._parts[key] = merged._parts[key] + moved if key in merged._parts else moved
        for block in {*self.blocks, *other.blocks}:
            sums = _BlockSums(self.dimension, self.n_classes, self.n_targets)
            if block in self._first_moments:
                sums.merge(self._first_moments[block])
            if block in other._first_moments:
                sums.merge(other._moved_sums(block, offset))
            merged._first_moments[block] = sums
        return merged

    def _moved_sums(self, block: int, offset: Matrix) -> _BlockSums:
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
        statistics.shift = arrays["shift"]
        for name in arrays:
            if name.startswith("part_") and name.endswith("_count"):
                statistics._restore_part(name.removesuffix("_count"), arrays)
            if name.startswith("sums_") and name.endswith("_counts"):
                block = int(name.split("_")[1])
                statistics._first_moments[block] = _BlockSums.from_arrays(
                    {key: arrays[f"sums_{block}_{key}"] for key in _BlockSums.NAMES}
                )
        return statistics

    def _restore_part(self, name: str, arrays: dict[str, Any]) -> None:
        block, code = map(int, name.split("_")[1:3])
        part = Part(self.dimension)
        part.count, part.total = int(arrays[f"{name}_count"]), arrays[f"{name}_total"]
        part.pending = [arrays[f"{name}_rows"]] if f"{name}_rows" in arrays else []
        part.gram = arrays.get(f"{name}_gram")
        self._parts[block, code] = part


class _BlockSums:
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

    def add(self, code: int, rows: Any, y: Matrix) -> None:
        norms = _squared_norms(rows)
        self.counts[code] += len(rows)
        self.totals[code] += _host(rows.sum(0))
        self.cross += _host(rows.T @ (y if isinstance(rows, np.ndarray) else rows.new_tensor(y)))
        self.target_total += y.sum(0)
        self.target_gram += y.T @ y
        self.squares = self.squares + float(norms.sum())
        self.fourths = self.fourths + float((norms * norms).sum())
        self.weighted += _host(norms @ rows)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {name: np.asarray(getattr(self, name)) for name in self.NAMES}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> _BlockSums:
        n_classes, dimension = arrays["totals"].shape
        sums = cls(dimension, n_classes, arrays["cross"].shape[1])
        for name, array in arrays.items():
            setattr(sums, name, array)
        return sums

    def merge(self, other: _BlockSums) -> None:
        for name in self.NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def moved(self, offset: Matrix, product: Matrix) -> _BlockSums:
        """The sums with `offset` added to every row; `product` is the rows' Gram matrix times it."""
        moved = _BlockSums(len(offset), len(self.counts), len(self.target_total))
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


def unit_rows(rows: Any) -> Any:
    """Rows scaled to unit norm, shape (n, d).

    Raises
    ------
    InputError
        If a row is not finite or is zero, and so has no direction.
    """
    norms = _squared_norms(rows)
    check_norms(_host(norms))
    return rows / norms[:, None] ** 0.5


def check_norms(squares: npt.NDArray[Any]) -> None:
    """Refuse rows that are not finite or have no direction, by their squared norms.

    Raises
    ------
    InputError
        With the first of their numbers.
    """
    check_finite(squares)
    if not squares.all():
        raise InputError(f"features of {show_rows(squares == 0)} are all zero, so they have no unit norm")


def check_finite(sums: npt.NDArray[Any]) -> None:
    """Refuse rows whose sum or norm is not finite.

    Raises
    ------
    InputError
        With the first of their numbers.
    """
    if not np.isfinite(sums).all():
        raise InputError(f"features of {show_rows(~np.isfinite(sums))} are not finite")


def show_rows(mask: npt.NDArray[np.bool_]) -> str:
    """Numbers (from 1) of the first rows of a mask, for messages."""
    rows = np.flatnonzero(mask)
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return "row " + ", ".join(str(row + 1) for row in rows[:3]) + more


def _squared_norms(rows: Any) -> Any:
    return np.einsum("ij,ij->i", rows, rows) if isinstance(rows, np.ndarray) else (rows * rows).sum(1)


def _array(features: Any) -> Any:
    """A NumPy array, or the torch tensor itself if it lies on another device."""
    if type(features).__module__.split(".")[0] != "torch":
        array = np.asarray(features)
        return array if array.dtype.kind == "f" else array.astype(np.float64)
    tensor = features.detach()
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def _host(array: Any) -> Any:
    return array if isinstance(array, np.ndarray | np.generic) else array.cpu().numpy()
