import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from molrate.statistics.threads import count_cores, map_in_threads

pinning = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process")


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr("molrate.statistics.threads.count_cores", lambda: 2)


@pinning
def test_a_pinned_process_has_the_cores_that_it_is_pinned_to():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from molrate.statistics.threads import count_cores; print(count_cores())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout == "1\n"
    assert 1 <= count_cores() <= os.cpu_count()


def test_outcomes_are_in_the_order_of_items(two_cores):
    assert map_in_threads(lambda number: number**2, range(50)) == [number**2 for number in range(50)]


@pytest.mark.parametrize(("cores", "n_items", "of_blas"), [(2, 2, 1), (4, 2, 2), (8, 3, 2), (2, 5, 1)])
def test_items_have_a_thread_each_and_blas_the_cores_left_over(monkeypatch, cores, n_items, of_blas):
    monkeypatch.setattr("molrate.statistics.threads.count_cores", lambda: cores)
    meet = threading.Barrier(min(cores, n_items), timeout=30)

    def work(number):
        if number < meet.parties:
            meet.wait()
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    before = [pool["num_threads"] for pool in threadpool_info()]
    assert map_in_threads(work, range(n_items)) == [{of_blas}] * n_items
    # SciPy's BLAS may have been loaded meanwhile.
    assert [pool["num_threads"] for pool in threadpool_info()][: len(before)] == before


@pytest.mark.parametrize(("cores", "n_items"), [(1, 5), (4, 1), (4, 0)])
def test_a_single_core_and_a_single_item_take_no_thread(monkeypatch, cores, n_items):
    monkeypatch.setattr("molrate.statistics.threads.count_cores", lambda: cores)
    own = threading.get_ident()
    assert map_in_threads(lambda _: threading.get_ident(), range(n_items)) == [own] * n_items


def test_what_work_raises_is_raised(two_cores):
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        map_in_threads(np.linalg.inv, [np.eye(2), np.zeros((2, 2))])
