"""Jobs on a Ray cluster: the same result as in one process, whatever is lost on the way."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from selection.test_select import assert_same, select_quickly, table  # noqa: F401

from molrate.errors import UsageError

ray = pytest.importorskip("ray")
N_JOBS = 4


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def kill_first_worker(folder, killed):
    """Kill the process that is at a job of a folder, once one is."""
    while not killed:
        for lock in Path(folder).glob("jobs/.*.lock"):
            result = lock.with_name(lock.name.removeprefix(".").removesuffix(".lock"))
            holders = [] if result.exists() else holders_of(lock)
            if holders:
                os.kill(holders[0], signal.SIGKILL)
                killed.append(holders[0])
                return
        time.sleep(0.01)


def holders_of(lock):
    """Other processes that have a file open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = [str(one.readlink()) for one in (process / "fd").iterdir()]
        except OSError:
            continue
        if str(lock) in opened and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="processes are looked up in /proc")
def test_a_cluster_gives_the_result_of_one_process_also_when_a_worker_is_lost(
    table,  # noqa: F811
    tmp_path,
):
    one_process = select_quickly(table, tmp_path / "local", max_jobs=N_JOBS)
    killed = []
    killer = threading.Thread(target=kill_first_worker, args=(tmp_path / "m", killed), daemon=True)
    killer.start()
    found = select_quickly(table, tmp_path / "m", max_jobs=N_JOBS, engine="ray")
    killer.join(timeout=1)
    assert killed
    assert len(list((tmp_path / "m" / "jobs").glob("*.json"))) == N_JOBS
    assert_same(found, one_process, table)


def test_an_engine_is_one_of_two_and_an_address_is_for_a_cluster(table, tmp_path):  # noqa: F811
    with pytest.raises(UsageError, match="unknown engine 'slurm'"):
        select_quickly(table, tmp_path / "m", engine="slurm")
    with pytest.raises(UsageError, match="address is for engine ray"):
        select_quickly(table, tmp_path / "m", address="127.0.0.1:1")
    ray.shutdown()
    with pytest.raises(UsageError, match="no Ray cluster can be reached"):
        select_quickly(table, tmp_path / "m", engine="ray", address="127.0.0.1:1")
