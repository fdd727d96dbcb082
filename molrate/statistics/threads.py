"""Numerical work shared out over the cores of this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


def count_cores() -> int:
    """Cores this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(work: Callable[[_Item], _Outcome], items: Sequence[_Item]) -> list[_Outcome]:
    """Outcomes of all items in their order, a thread for each core where there are as many items.

    Matrices of a few hundred dimensions gain little from threads inside BLAS, and much from one thread for
    each item. Fewer items than cores are left to the threads of BLAS, and so are all on a single core.

    Parameters
    ----------
    work : callable
        Of an item.
    items : sequence

    Returns
    -------
    list

    Raises
    ------
    Exception
        Whatever `work` raises first.

    Examples
    --------
    >>> map_in_threads(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    n_cores = count_cores()
    if n_cores == 1 or len(items) < n_cores:
        return [work(item) for item in items]
    # SciPy brings a BLAS of its own, which is limited only if it is there already.
    import scipy.linalg  # noqa: F401

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_cores) as executor:
        return list(executor.map(work, items))
