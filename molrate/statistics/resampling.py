"""What one target asks of every encoder alike: labels, their permutations, and blocks of molecules.

Encoders are compared on the same blocks and the same permutations, so that differences between them are
paired.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from molrate.data.targets import quantile_bins
from molrate.errors import InputError

Codes = npt.NDArray[np.intp]

BLOCKS = 20
PERMUTATIONS = 5
FURTHER_PERMUTATIONS = 94
"""Permutations beside those of the null mean, for the spread of the null where they are cheap."""
_FURTHER_VALUES = 1 << 23
BINS = 10
FEW_MOLECULES = 10
"""Molecules below which a class leaves any ranking to chance."""
_ROWS_PER_BIN = 20
_ROWS_PER_BLOCK = 10
_FEWEST_BLOCKS = 5


@dataclass(frozen=True)
class Resampling:
    """Labels of n rows with their permutations and blocks.

    Attributes
    ----------
    task : {"classification", "regression"}
    values : ndarray of float, shape (n,)
        Regression values, or class codes.
    codes : ndarray of int, shape (n,)
        Class codes 0 ... C-1; the bins of a regression target.
    permutations : ndarray of int, shape (P, n)
        Row numbers whose labels the rows take under the null.
    blocks : ndarray of int, shape (n,)
        Block of each row, 0 ... B-1; rows of a group share theirs.
    groups : ndarray of int, shape (n,)
        Rows of equal molecules; they never serve to predict each other.
    seed : int
        What the permutations were drawn from.
    """

    task: str
    values: npt.NDArray[np.float64]
    codes: Codes
    permutations: npt.NDArray[np.intp]
    blocks: Codes
    groups: Codes
    seed: int = 0

    @cached_property
    def further_permutations(self) -> npt.NDArray[np.intp]:
        """More permutations, shape (E, n): 94, fewer of very many rows.

        The null mean stays that of :attr:`permutations`; these say how far values spread under the null.
        """
        n = len(self.codes)
        count = min(FURTHER_PERMUTATIONS, _FURTHER_VALUES // n)
        strata = _strata(self.blocks, self.groups)
        generator = np.random.default_rng([self.seed, 1])
        orders = [_permutation(strata, n, generator) for _ in range(count)]
        return np.array(orders, dtype=np.intp).reshape(count, n)

    @property
    def n_classes(self) -> int:
        """Number of classes or bins, C."""
        return int(self.codes.max()) + 1

    @property
    def n_blocks(self) -> int:
        """Number of blocks, B."""
        return int(self.blocks.max()) + 1

    @property
    def has_groups(self) -> bool:
        """Whether any molecule stands in several rows."""
        return int(self.groups.max()) + 1 < len(self.groups)

    def orders(self) -> Iterator[npt.NDArray[np.intp]]:
        """Row orders of the labels: the true one, then the permutations."""
        yield np.arange(len(self.codes))
        yield from self.permutations


def label_codes(labels: npt.ArrayLike) -> Codes:
    """Labels of any kind as codes 0 ... C-1."""
    return np.unique(np.asarray(labels), return_inverse=True)[1]


def make_resampling(
    labels: npt.ArrayLike,
    task: str = "classification",
    *,
    bins: int | None = None,
    groups: npt.ArrayLike | None = None,
    n_blocks: int = BLOCKS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Resampling:
    """Permutations and blocks for labels.

    Blocks are random, of equal size in all and in each class. Permutations exchange labels within a
    block, so that blocks have the same classes under the null, and between groups of equal size, so that
    what repeated molecules share they share under the null too.

    Parameters
    ----------
    labels : array_like, shape (n,)
        Class labels of any kind, or numbers.
    task : {"classification", "regression"}
    bins : int, optional
        Ranges a regression target is cut into; 10, but no fewer than 20 rows each, if not given.
    groups : array_like, shape (n,), optional
        What repeated molecules share; every row alone if not given.
    n_blocks, permutations : int
    seed : int

    Raises
    ------
    InputError
        If labels are not a vector, are NaN, or are all equal.
    """
    array = np.asarray(labels)
    _check_labels(array)
    if task == "classification":
        codes = label_codes(array)
        values = codes.astype(np.float64)
    else:
        values = array.astype(np.float64)
        codes = quantile_bins(values, bins or default_bins(len(values)))
    if codes.max() < 1:
        raise InputError("at least two different labels are needed; there is nothing to predict")
    n = len(codes)
    group = np.arange(n) if groups is None else label_codes(groups)
    generator = np.random.default_rng(seed)
    blocks = _blocks(codes, group, min(n_blocks, max(_FEWEST_BLOCKS, n // _ROWS_PER_BLOCK)), generator)
    strata = _strata(blocks, group)
    orders = [_permutation(strata, n, generator) for _ in range(permutations)]
    return Resampling(
        task, values, codes, np.array(orders, dtype=np.intp).reshape(permutations, n), blocks, group, seed
    )


def default_bins(n: int) -> int:
    """Ranges for a regression target of n rows: the paper's ten, fewer where they would be small."""
    return max(2, min(BINS, n // _ROWS_PER_BIN))


def _strata(blocks: Codes, group: Codes) -> list[npt.NDArray[np.intp]]:
    """Rows whose labels may be exchanged: a matrix for each block and group size, one group a line."""
    sizes = np.bincount(group)
    by_group = np.argsort(group, kind="stable")
    starts = np.cumsum(sizes) - sizes
    # Blocks never divide a group.
    block_of = blocks[by_group[starts]]
    key = block_of * (sizes.max() + 1) + sizes
    order = np.argsort(key, kind="stable")
    cuts = np.flatnonzero(np.diff(key[order])) + 1
    return [by_group[starts[part][:, None] + np.arange(sizes[part[0]])] for part in np.split(order, cuts)]


def _permutation(
    strata: list[npt.NDArray[np.intp]], n: int, generator: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Row order that exchanges the lines of each stratum."""
    order = np.empty(n, dtype=np.intp)
    for rows in strata:
        order[rows] = rows[generator.permutation(len(rows))]
    return order


def _blocks(codes: Codes, group: Codes, n_blocks: int, generator: np.random.Generator) -> Codes:
    """Blocks dealt out to groups in random order, class after class."""
    first = np.unique(group, return_index=True)[1]
    shuffled = generator.permutation(len(first))
    dealt = shuffled[np.argsort(codes[first][shuffled], kind="stable")]
    block = np.empty(len(first), dtype=np.intp)
    block[dealt] = np.arange(len(first)) % n_blocks
    return label_codes(block[group])


def _check_labels(labels: npt.NDArray[np.generic]) -> None:
    from molrate.statistics.rows import show_rows

    if labels.ndim != 1:
        raise InputError(f"labels must be a vector (n,), not of shape {labels.shape}")
    if np.issubdtype(labels.dtype, np.floating) and np.isnan(labels).any():
        raise InputError(f"labels of {show_rows(np.isnan(labels))} are NaN; leave these rows out")
    if len(np.unique(labels)) < 2:
        raise InputError("at least two different labels are needed; there is nothing to predict")
