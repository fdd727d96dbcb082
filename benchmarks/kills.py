"""Kill `molrate embed` at random moments, resume it, and compare what comes out with a run never stopped.

    OMP_NUM_THREADS=1 python benchmarks/kills.py LIBRARY ENCODER 1000

Each run is a process of its own that SIGKILL ends after a random time; the next goes on with --resume. When
one comes to its end before it is killed, every byte of its folder is compared, and a new folder is begun.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# Loaded once, so that children start at once.
import torch  # noqa: F401

import molrate.screening.stage
from molrate.cli import main as molrate

CHUNK = "100"


def start(library, encoder, folder):
    """A process that runs the command."""
    child = os.fork()
    if child:
        return child
    sys.argv = ["molrate", "embed", library, "-e", encoder, "-o", str(folder), "--chunk-size", CHUNK]
    sys.argv += ["--jobs", "1", "--resume", "--quiet"]
    try:
        molrate()
    except SystemExit as ended:
        os._exit(ended.code or 0)


def contents(folder):
    """Bytes of all files."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait(child, seconds):
    """Exit status of a child, or None if it was killed after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return None if code == -signal.SIGKILL else code


def main(library, encoder, n_kills):
    random.seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        straight, folder = Path(scratch, "straight"), Path(scratch, "killed")
        started = time.monotonic()
        code = wait(start(library, encoder, straight), 3600)
        took = time.monotonic() - started
        expected = contents(straight)
        print(f"straight: exit {code}, {took:.1f} s, {len(expected)} files", flush=True)
        counts = Counter()
        while counts["kills"] < n_kills:
            ended = wait(start(library, encoder, folder), random.uniform(0, took / 2))
            if ended is None:
                counts["kills"] += 1
                continue
            counts["finished"] += 1
            counts["identical"] += ended == code and contents(folder) == expected
            shutil.rmtree(folder)
        print(", ".join(f"{count} {what}" for what, count in counts.items()))
        sys.exit(counts["identical"] != counts["finished"])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
