"""Ctrl-C and SIGTERM at several moments of real commands."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import molrate

ANEW = "Interrupted; no result was written; the same command begins anew."
GOES_ON = "Interrupted; what is done is kept, and the same command goes on from there."
RESUMES = "Interrupted; what is done is kept, and --resume goes on from there."
CONFIG = """n_steps = 100000
batch_size = 8
n_warmup_steps = 2
min_context_count = 2
n_held_out = 16
validate_every = 8
[encoder]
width = 8
depth = 2
n_heads = 2
n_blocks = 1
"""


@dataclass(frozen=True)
class Place:
    """A folder with inputs and outputs of one command."""

    folder: object

    def arguments(self, command):
        table, out = str(self.folder / "t.csv"), str(self.folder / "out")
        long = str(self.folder / "long.csv")
        return {
            "score": [
                "score",
                long,
                "--target",
                "y",
                "-e",
                "gat-untrained",
                "--layer",
                "all",
                "-o",
                f"{out}.csv",
            ],
            "embed": ["embed", long, "-e", "gat-untrained", "-o", f"{out}.csv"],
            "finetune": ["finetune", table, "--target", "y", "-e", "gcn-untrained", "-o", out],
            "pretrain": [
                "pretrain",
                str(self.folder / "c.smi"),
                "--config",
                str(self.folder / "c.toml"),
                "-o",
                out,
            ],
            "screen": [
                *(
                    "screen",
                    str(self.folder / "l.smi"),
                    "--train",
                    table,
                    "--target",
                    "y",
                    "-e",
                    "gcn-untrained",
                ),
                *("-o", out, "--jobs", "2", "--chunk-size", "50"),
            ],
        }[command]

    def done(self, command):
        """Whether something is there that a stop must not lose."""
        return {
            "score": lambda: False,
            "embed": lambda: False,
            "finetune": lambda: any(self.folder.glob("out/trials/*/last.ckpt")),
            "pretrain": lambda: (self.folder / "out" / "last.ckpt").is_file(),
            "screen": lambda: any(self.folder.glob("out/parts/part-*")),
        }[command]()

    def start(self, command):
        return subprocess.Popen(
            [sys.executable, "-m", "molrate", *self.arguments(command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MOLRATE_CACHE": str(self.folder / "cache")},
            start_new_session=True,
            # A suite run in the background hands its children an interrupt signal that is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )


@pytest.fixture
def place(tmp_path):
    dataset = molrate.load_dataset("esol")
    frame = pd.DataFrame({"smiles": dataset.smiles, "y": dataset.targets[0].values})
    frame.to_csv(tmp_path / "t.csv", index=False)
    # What is embedded in one go is to take longer than a machine that has other work needs to begin.
    pd.concat([frame] * 12).to_csv(tmp_path / "long.csv", index=False)
    (tmp_path / "c.smi").write_text("\n".join(dataset.smiles[:200]))
    (tmp_path / "l.smi").write_text("\n".join([*dataset.smiles] * 20))
    (tmp_path / "c.toml").write_text(CONFIG)
    return Place(tmp_path)


def stop(process, number, group):
    """Send a signal to a command, or as a terminal does to its workers too, and see how it ends."""
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    assert out == ""
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


def wait_for_handler(process):
    """Wait until the command takes SIGTERM itself, which takes longer where a machine has other work."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.is_file():
        time.sleep(1)
        return
    while True:
        caught = re.search(r"^SigCgt:\s*(\w+)", status.read_text(), flags=re.MULTILINE)
        if caught is None or int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("command", "outlook"),
    [("score", ANEW), ("embed", ANEW), ("finetune", GOES_ON), ("pretrain", GOES_ON), ("screen", RESUMES)],
)
def test_a_command_that_is_stopped_says_how_to_go_on(place, command, outlook, number):
    process = place.start(command)
    if outlook == ANEW:
        time.sleep(6)
    else:
        while not place.done(command):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
    assert stop(process, number, group=number == signal.SIGINT) == outlook
    assert not (place.folder / "out.csv").exists()
    assert not list(place.folder.rglob("*.lock"))


@pytest.mark.parametrize("command", ["score", "finetune", "pretrain", "screen"])
@pytest.mark.parametrize("seconds", [0.8, 4])
def test_a_command_that_is_stopped_while_it_begins_ends_alike(place, command, seconds):
    for number in (signal.SIGINT, signal.SIGTERM):
        process = place.start(command)
        wait_for_handler(process)
        time.sleep(seconds - 0.7)
        assert stop(process, number, group=True).startswith("Interrupted; ")


IN_A_CALLBACK = """
import os, signal, sys, time, weakref
from molrate.cli.signals import StoppedError, stopped_by_signals

class Thing:
    pass

def callback(_):
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):  # the handler runs in here, and what it raises is ignored
        pass

with stopped_by_signals() as stop:
    try:
        thing = Thing()
        kept = weakref.ref(thing, callback)
        del thing
        time.sleep(20)
    except StoppedError:
        sys.exit(stop.exit_code)
"""


def test_a_signal_in_a_callback_that_ignores_exceptions_stops_too():
    done = subprocess.run([sys.executable, "-c", IN_A_CALLBACK], capture_output=True, text=True, timeout=60)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert done.stderr == ""


SLOW_TO_END = """
import atexit, sys, time
from molrate.cli.signals import StoppedError, at_a_stop, stopped_by_signals

atexit.register(time.sleep, 0.3)
with stopped_by_signals() as stop:
    try:
        with at_a_stop("as said"):
            try:
                print("ready", flush=True)
                time.sleep(20)
            finally:
                time.sleep(float(sys.argv[1]))
                print("clean", flush=True)
    except StoppedError:
        print(stop.sentence, file=sys.stderr)
        sys.exit(stop.exit_code)
"""


@pytest.fixture
def slow_to_end(request):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_TO_END, str(request.param)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("slow_to_end", [0.3], indirect=True)
def test_a_signal_that_comes_several_times_is_one(slow_to_end, number):
    while slow_to_end.poll() is None:
        slow_to_end.send_signal(number)
        time.sleep(0.05)
    out, err = slow_to_end.communicate()
    assert (slow_to_end.returncode, out, err) == (128 + number, "clean\n", "Interrupted; as said.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("slow_to_end", [60], indirect=True)
def test_a_later_signal_ends_what_is_slow_to_end(slow_to_end, number):
    for _ in range(2):
        slow_to_end.send_signal(number)
        time.sleep(1.2)
    out, err = slow_to_end.communicate(timeout=20)
    assert (slow_to_end.returncode, out, err) == (128 + number, "", "Interrupted; as said.\n")


def test_a_signal_that_is_ignored_stays_ignored(place):
    process = subprocess.Popen(
        [sys.executable, "-m", "molrate", "list", "measures"],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    )
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 0


MATCH = """
import os, sys, threading, time
from rdkit import Chem
from molrate.cli.signals import StoppedError, stopped_by_signals
large, pattern = Chem.MolFromSmiles("C" * 400), Chem.MolFromSmarts("[#6]~[#6]~[#6]~[#6]")
whole = len(large.GetSubstructMatches(pattern, uniquify=False, maxMatches=10**6))
def interrupt():
    time.sleep(float(sys.argv[1]))
    os.kill(os.getpid(), 2)
with stopped_by_signals() as stop:
    threading.Thread(target=interrupt).start()
    try:
        while True:
            assert len(large.GetSubstructMatches(pattern, uniquify=False, maxMatches=10**6)) == whole
    except StoppedError:
        sys.exit(stop.exit_code)
"""


def test_an_interrupt_within_rdkit_is_one_and_its_matches_stay_whole():
    running = [
        subprocess.Popen(
            [sys.executable, "-c", MATCH, str(0.3 + 0.037 * number)],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        for number in range(8)
    ]
    for process in running:
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, "")
