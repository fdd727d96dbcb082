import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrate.errors import UsageError
from molrate.finetuning.config import FinetuningConfig
from molrate.selection.budget import Clock, Costs, TimeUpError, parse_budget, reserved
from molrate.selection.candidates import Candidate, Entry
from molrate.selection.jobs import Job, Result

SLOW, QUICK = Candidate("slow", "fine-tuned"), Candidate("quick", "fine-tuned")


def costs(done):
    shortlist = [Entry("slow", 1, 0.02, True), Entry("quick", 1, 0.01, True)]
    return Costs(shortlist, FinetuningConfig(n_epochs=10), 100, 25, done.get, 5)


def done_in(seconds, n_epochs):
    trials = [{"n_epochs": n_epochs}]
    return Result(None, 1.0, np.empty((0, 0)), {}, trials, None, seconds)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("20m", 1200), ("1.5h", 5400), (" 2 m ", 120), ("0.5s", 0.5)]
)
def test_times_are_read(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "m", "-3m", "0m", "1d", "20 minutes"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match=r"as 90s, 20m or 1\.5h"):
        parse_budget(text)


def test_costs_are_corrected_by_what_jobs_took():
    known = [SLOW, QUICK]
    before = costs({}).predicted(Job(SLOW, 0), known)
    # A fifth of what was expected of one is a fifth of what is expected of the other.
    quick = costs({}).predicted(Job(QUICK, 0), known)
    fast = costs({Job(QUICK, 0): done_in(quick / 1.2 / 5, 10)})
    assert fast.predicted(Job(SLOW, 0), known) == pytest.approx(before / 5)
    # What ran for half of the epochs may run for all of them.
    measured = costs({Job(SLOW, 0): done_in(30.0, 5), Job(QUICK, 0): done_in(10.0, 10)})
    assert measured.predicted(Job(SLOW, 1), known) == pytest.approx(1.2 * 60)
    assert measured.predicted(Job(QUICK, 1), known) == pytest.approx(1.2 * 10)


def test_a_block_is_stopped_when_its_time_is_up():
    clock, began = Clock(100), time.monotonic()

    def work():
        with clock.stopping(0.2):
            while time.monotonic() - began < 5:
                pass

    with pytest.raises(TimeUpError):
        work()
    assert time.monotonic() - began < 2
    # And nothing strikes afterwards.
    with clock.stopping(0.2):
        pass
    time.sleep(0.3)


def test_without_a_time_nothing_is_stopped():
    clock = Clock(None)
    assert clock.left == np.inf
    with clock.stopping(clock.left):
        time.sleep(0.01)


@given(st.lists(st.floats(0.1, 1000), max_size=5), st.floats(0, 2000), st.floats(0, 1000))
def test_time_is_kept_for_whole_jobs_that_end(needed, left, share):
    kept = reserved(needed, left, share)
    totals = [0.0, *np.cumsum(needed)]
    assert any(kept == pytest.approx(total) for total in totals)
    assert kept <= left
    if needed and needed[0] <= left:
        assert kept >= needed[0]
    if kept > max(needed[:1], default=0.0):
        assert kept <= share
