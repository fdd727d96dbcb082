import multiprocessing
import os
import signal
import time
from dataclasses import dataclass

import pytest
from screening.conftest import Lengths

from molrate.errors import MolrateError, UsageError
from molrate.files.library import Library
from molrate.screening.local_workers import _Processes, run_locally

N_COLUMNS = 40_000
"""Of a part that no pipe holds whole."""


@dataclass(frozen=True)
class Wide(Lengths):
    def columns(self, molecules):
        values, notes = super().columns(molecules)
        return {**values, **{f"x{n}": values["length"] for n in range(N_COLUMNS)}}, notes


@dataclass(frozen=True)
class Uneven(Lengths):
    """The first chunk takes longest."""

    def columns(self, molecules):
        time.sleep(0.3 if "CCO" in molecules.canonical else 0)
        return super().columns(molecules)


@dataclass(frozen=True)
class Failing(Lengths):
    """A stage that cannot do one molecule."""

    error: str = "UsageError"
    needs: bool = False

    def prepare(self):
        if self.needs:
            raise UsageError("no such weights")

    def columns(self, molecules):
        if "CCN" in molecules.canonical:
            if self.error == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise UsageError("this stage cannot") if self.error == "UsageError" else ZeroDivisionError("odd")
        return super().columns(molecules)


@pytest.fixture
def ended():
    """No process is left."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) == before


def parts(library, stage, size=1, n_jobs=2):
    return run_locally(library.chunks(size), stage, ".csv", n_jobs)


def test_parts_leave_in_order(library, ended):
    assert [part.index for part, _ in parts(library, Uneven())] == list(range(23))


def test_as_many_chunks_are_read_as_two_for_each_process(library, ended):
    read = []

    def chunks():
        for chunk in library.chunks(1):
            read.append(chunk.index)
            yield chunk

    made = run_locally(chunks(), Lengths(), ".csv", 2)
    for n_parts in range(1, 20):
        next(made)
        # One more has been read that waits for a place.
        assert len(read) <= n_parts + 4
    made.close()


def test_a_process_can_be_ended_in_the_middle_of_a_part(library, ended):
    made = parts(library, Wide())
    next(made)
    time.sleep(1)  # The others fill their pipes and wait to be read.
    started = time.monotonic()
    made.close()
    assert time.monotonic() - started < 5


def test_no_more_processes_than_chunks(library, ended):
    workers = _Processes(Lengths(), ".csv", 8)
    try:
        assert len(list(workers.run(library.chunks(12)))) == 2
        assert len(workers._idle) == 2
    finally:
        workers.end()


def test_an_error_comes_after_the_parts_before_it(library, ended):
    done = []
    with pytest.raises(UsageError, match="this stage cannot"):
        done.extend(part.index for part, _ in parts(library, Failing()))
    assert done == [0, 1, 2, 3, 4]


def test_an_unforeseen_error_says_where_it_was_raised(library, ended):
    with pytest.raises(ZeroDivisionError) as raised:
        list(parts(library, Failing(error="ZeroDivisionError")))
    assert "in columns" in raised.value.__notes__[0]


def test_what_a_process_cannot_read_is_said_as_this_one_would(library, ended):
    with pytest.raises(UsageError, match="no such weights"):
        list(parts(library, Failing(needs=True)))


def test_a_killed_process_is_named(library, ended):
    with pytest.raises(MolrateError, match=r"a worker process was killed.*resume goes on"):
        list(parts(library, Failing(error="killed")))


def test_what_was_read_before_a_broken_file_is_done(tmp_path, ended):
    (tmp_path / "a.smi").write_text("C\nCC\nCCC\n")
    (tmp_path / "b.csv").write_text("id,nothing\n1,2\n")
    library = Library([str(tmp_path / "a.smi"), str(tmp_path / "b.csv")])
    done = []
    with pytest.raises(MolrateError, match=r"b\.csv"):
        done.extend(part.index for part, _ in parts(library, Lengths()))
    assert done == [0, 1, 2]
