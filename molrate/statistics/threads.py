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
    """Outcomes of all items in their order, a thread for each as far as there are cores.

    Matrices of a few hundred dimensions gain little from threads inside BLAS, and much from one thread for
    each item; cores that are left over are for BLAS.

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
    n_threads = min(n_cores, len(items))
    if n_threads < 2:
        return [work(item) for item in items]
    # SciPy brings a BLAS of its own, which is limited only if it is there already.
    import scipy.linalg  # noqa: F401

    of_blas = n_cores // n_threads
    with threadpool_limits(of_blas, user_api="blas"), ThreadPoolExecutor(n_threads) as executor:
        return list(executor.map(work, items))
