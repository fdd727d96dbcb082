"""Sums, Gram matrices and cross products of rows, exact and mergeable."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.statistics.ridge import AllRows, Ridge, RowsLeft
from molrate.statistics.spectrum import Spectrum, above_rounding

Matrix = npt.NDArray[np.float64]

Codes = npt.NDArray[np.intp]

_PRODUCT_ROWS = 4096

_PENDING_ROWS = 256

# A hundred matrices of the size of the deleted rows are cheaper than a decomposition if they are smaller.
_DELETED_SHARE = 0.1


class RowBlock:
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
        self.total += to_host(rows.sum(0))
        on_device = not isinstance(rows, np.ndarray)
        if self.gram is None and self.count < len(self.total):
            self.pending.append(to_host(rows))
        elif on_device:
            # The product is the work; it is done where the rows are.
            self._flush(to_host(rows.T @ rows))
        else:
            self.pending.append(rows)
            if self.gram is None or sum(map(len, self.pending)) >= _PENDING_ROWS:
                self._flush()

    def copy(self) -> RowBlock:
        """An equal part that grows on its own; rows and Gram matrix are never changed in place."""
        part = RowBlock(len(self.total))
        part.count, part.total = self.count, self.total.copy()
        part.pending, part.gram = list(self.pending), self.gram
        return part

    def _flush(self, product: Matrix | None = None) -> None:
        gram = gram_of(self.pending, len(self.total))
        for more in (self.gram, product):
            if more is not None:
                gram += more
        self.gram = gram
        self.pending = []

    def __add__(self, other: RowBlock) -> RowBlock:
        merged = RowBlock(len(self.total))
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

    def moved(self, offset: Matrix) -> RowBlock:
        """The part with `offset` added to every row."""
        moved = RowBlock(len(self.total))
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
    parts : dict of int to list of RowBlock
        Parts of each block.
    dimension : int
    """

    def __init__(self, parts: dict[int, list[RowBlock]], dimension: int) -> None:
        self.parts = parts
        self.dimension = dimension
        self._minuend: tuple[Moments, Collection[int]] | None = None
        self._block_grams: dict[int, Matrix] = {}

    def _all(self) -> Iterator[RowBlock]:
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
        # The kernel of fewer rows is a part of the whole one, and fits follow from the whole's.
        if len(left) < len(self.parts):
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
    def centred_kernel(self) -> Matrix:
        """Products of the rows about the mean with each other, shape (n, n); only where :attr:`kept`."""
        if self._minuend is None or not self._minuend[0].kept:
            rows = self.rows - self.mean
            return rows @ rows.T
        whole, blocks = self._minuend
        left = ~whole._lies_in(blocks)
        kernel = whole.centred_kernel[np.ix_(left, left)]
        means = kernel.mean(axis=0)
        return kernel - means - means[:, None] + means.mean()

    @cached_property
    def spectrum(self) -> Spectrum:
        """Eigenvalues of the scatter about the mean with their eigenvectors."""
        size = max(self.count, self.dimension)
        if self.kept:
            return Spectrum(self.centred_kernel, size, self.rows - self.mean)
        return Spectrum(self.centred_gram(), size)

    @cached_property
    def ridge(self) -> Ridge:
        """Fits of label columns: without few of many rows, from the decomposition of all."""
        if self._minuend is not None:
            whole, blocks = self._minuend
            few = whole.count - self.count < _DELETED_SHARE * min(whole.count, whole.dimension)
            deleted = whole._singular_rows(blocks) if few else None
            if deleted is not None:
                return RowsLeft(whole.spectrum, deleted, whole.count)
        return AllRows(self.spectrum)

    def _singular_rows(self, blocks: Collection[int]) -> Matrix | None:
        """Left singular vectors in the rows of some blocks, (m, k); None where those are not held."""
        if self.kept:
            return self._singular_vectors[self._lies_in(blocks)]
        rows = [self.block_rows(block) for block in self.parts if block in blocks]
        held = [of_block for of_block in rows if of_block is not None]
        if len(held) < len(rows):
            return None
        return (np.concatenate(held) - self.mean) @ self._singular_vectors

    @cached_property
    def _singular_vectors(self) -> Matrix:
        """Of the rows where they are kept, (n, k), else what takes a row to its line of these, (d, k)."""
        spectrum = self.spectrum
        if self.kept:
            return spectrum.left
        return spectrum.leading(len(spectrum.values)) / np.sqrt(spectrum.values)

    def _lies_in(self, blocks: Collection[int]) -> npt.NDArray[np.bool_]:
        """Which of the rows, block after block, are of some blocks."""
        return np.repeat([block in blocks for block in self.parts], list(self.block_sizes().values()))


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
    keep = above_rounding(values, size)
    return values[keep][::-1], vectors[:, keep][:, ::-1]


def to_host(array: Any) -> Any:
    """An array of any device as NumPy's."""
    return array if isinstance(array, np.ndarray | np.generic) else array.cpu().numpy()
