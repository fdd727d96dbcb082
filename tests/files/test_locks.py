import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from molrate.errors import InputError, UsageError
from molrate.files.locks import FOLDER_LOCK, claimed, exclusive, exclusive_file, waiting

HOLD = """
import sys, time
from pathlib import Path
from molrate.files.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

COUNT = """
import sys, time
from pathlib import Path
from molrate.files.locks import waiting
counter = Path(sys.argv[1])
for _ in range(20):
    with waiting(counter):
        count = int(counter.read_text())
        time.sleep(0.001)
        counter.write_text(str(count + 1))
"""

CLAIM = """
import sys, time
from pathlib import Path
from molrate.errors import UsageError
from molrate.files.locks import exclusive
sys.stdin.readline()
try:
    with exclusive(Path(sys.argv[1])):
        print("wrote")
        time.sleep(float(sys.argv[2]))
except UsageError as error:
    print(error)
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def holder(tmp_path):
    process = start(HOLD, tmp_path / "out")
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_refused_and_told_who_writes(tmp_path, holder):
    with pytest.raises(UsageError, match=rf"another molrate process \(pid {holder.pid}, host .*\) writes it"):
        exclusive(tmp_path / "out").__enter__()


def test_the_lock_of_a_process_that_was_killed_holds_nobody_up(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "out" / FOLDER_LOCK).is_file()
    with exclusive(tmp_path / "out"):
        assert json.loads((tmp_path / "out" / FOLDER_LOCK).read_text())["pid"] == os.getpid()
    assert list((tmp_path / "out").iterdir()) == []


def test_of_eight_processes_one_writes_and_seven_are_refused(tmp_path):
    claims = [start(CLAIM, tmp_path / "out", 10) for _ in range(8)]
    for process in claims:
        process.stdin.write("\n")
        process.stdin.flush()
    time.sleep(0.1)
    said = sorted(process.communicate()[0].strip() for process in claims)
    assert said[-1] == "wrote"
    assert all("another molrate process" in text for text in said[:-1])
    # Whose folder it is depends on who came first; nothing is left in it.
    assert not list(tmp_path.glob("out/*"))


def test_eight_processes_take_turns_at_a_cache(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    running = [start(COUNT, counter) for _ in range(8)]
    assert [process.wait() for process in running] == [0] * 8
    for process in running:
        process.communicate()
    assert counter.read_text() == "160"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]


def test_a_thread_may_enter_again_and_another_may_not(tmp_path):
    refused = []

    def enter():
        try:
            with exclusive(tmp_path / "out"):
                pass
        except UsageError as error:
            refused.append(str(error))

    with exclusive(tmp_path / "out"):
        with exclusive(tmp_path / "out"):
            (tmp_path / "out" / "a").write_text("")
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_files_of_one_folder_are_written_side_by_side(tmp_path):
    with exclusive_file(tmp_path / "a.csv"), exclusive_file(tmp_path / "b.csv"):
        (tmp_path / "a.csv").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_what_cannot_be_locked_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"), exclusive(tmp_path / "file" / "out"):
        pass
    with pytest.raises(InputError, match="cannot be locked"), exclusive_file(tmp_path / "file" / "a.csv"):
        pass
    with pytest.raises(OSError, match="exists"), waiting(tmp_path / "file" / "a"):
        pass


def test_commands_that_write_no_file_lock_none(tmp_path):
    command = [sys.executable, "-m", "molrate", "score", "freesolv", "-e", "ecfp4", "-q"]
    running = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outcomes = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], outcomes
    assert list(tmp_path.iterdir()) == []


def test_a_claim_keeps_others_out_and_does_not_wait(tmp_path):
    path = tmp_path / "job.json"
    code = (
        "import sys; from pathlib import Path; from molrate.files.locks import claimed\n"
        "with claimed(Path(sys.argv[1])) as free: print(free)"
    )

    def elsewhere():
        call = [sys.executable, "-c", code, str(path)]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()

    with claimed(path) as free:
        assert free
        assert elsewhere() == "False"
    assert elsewhere() == "True"
    assert list(tmp_path.iterdir()) == []
