"""Kill molrate's commands at random moments, give them again, and compare with a run never stopped.

    OMP_NUM_THREADS=1 python benchmarks/kills.py 1000
    OMP_NUM_THREADS=1 python benchmarks/kills.py 100 pretrain download

Kills are shared out among the commands: screen and embed into a folder, embed and score into a file (with a
cache that every run finds as the last one left it), finetune, select, pretrain, and a download from a
server of this machine. Each run is a process of its own that SIGKILL ends after a random time; the same
command follows, on what is left. When one comes to its end before it is killed, its result is compared, and
all begins anew.
"""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

# Loaded once, so that children start at once.
import lightning  # noqa: F401
import pandas as pd
import torch  # noqa: F401
from safetensors.numpy import load_file

import molrate
import molrate.finetuning.finetune
import molrate.pretraining.training
import molrate.ranking.score
import molrate.screening.stage
from molrate.cli.main import main as command_line
from molrate.files.downloads import Artifact

CONFIG = """n_steps = 60
batch_size = 8
n_warmup_steps = 2
min_context_count = 2
n_vocabulary_molecules = 100
n_held_out = 16
validate_every = 20
[encoder]
width = 8
depth = 2
n_heads = 2
n_blocks = 1
dropout = 0.1
"""
CONTENT = random.Random(0).randbytes(2_000_000)
_PIECES = 100


def files(folder, *names):
    """Bytes of files, of all if none is named."""
    paths = [folder / name for name in names] or [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def model(folder):
    """A fine-tuned model without times."""
    record = json.loads((folder / "model.json").read_text())
    trials = [{key: value for key, value in trial.items() if key != "seconds"} for trial in record["trials"]]
    kept = {key: record[key] for key in ("metrics", "calibration", "split", "settings", "files")}
    return files(folder, "head.safetensors", "training.smi"), kept, trials


def ranking(folder):
    """A ranking without times."""
    return pd.read_csv(folder / "out.csv", dtype=str).drop(columns="seconds", errors="ignore").to_csv()


def selection(folder):
    """A leaderboard and a model without times."""
    board = pd.read_csv(folder / "leaderboard.csv", dtype=str).drop(columns=["seconds", "mebibytes"])
    record = json.loads((folder / "model.json").read_text())
    tensors = files(folder, "training.smi", *(path.name for path in sorted(folder.glob("*.safetensors"))))
    # A file of skops has dates and names of its arrays that no two writings share.
    arrays = {
        path.name: sorted(part.CRC for part in ZipFile(path).infolist() if part.filename.endswith(".npy"))
        for path in sorted(folder.glob("*.skops"))
    }
    return board.to_csv(), record["metrics"], record["calibration"], tensors, arrays


def weights(folder):
    """Weights without the times beside them."""
    return {name: value.tobytes() for name, value in load_file(folder / "model.safetensors").items()}


def commands(folder, server):
    """Arguments of each command that writes into OUT, and what is compared of it."""
    table, library = str(folder / "t.csv"), str(folder / "l.smi")
    encoder = ["-e", "gcn-untrained"]
    chunks = ["--chunk-size", "100", "--jobs", "1", "--resume"]
    return {
        "screen": (
            ["screen", library, "--train", table, "--target", "y", "-e", "ecfp4", *chunks, "-o", "OUT"],
            lambda out: files(out, *(path.relative_to(out) for path in sorted(out.glob("parts/*")))),
        ),
        "embed FOLDER": (["embed", library, *encoder, *chunks, "-o", "OUT"], files),
        "embed FILE": (["embed", table, *encoder, "-o", "OUT/out.csv"], lambda out: files(out, "out.csv")),
        "score": (
            ["score", table, "--target", "y", *encoder, "--layer", "all", "-o", "OUT/out.csv"],
            ranking,
        ),
        "finetune": (
            [
                "finetune",
                table,
                "--target",
                "y",
                *encoder,
                "--epochs",
                "4",
                "--learning-rate",
                "1e-3",
                "-o",
                "OUT",
            ],
            model,
        ),
        "select": (
            ["select", table, "--target", "y", *encoder, "--max-jobs", "6", "-o", "OUT"],
            selection,
        ),
        "pretrain": (["pretrain", library, "--config", str(folder / "c.toml"), "-o", "OUT"], weights),
        "download": (f"http://127.0.0.1:{server.server_address[1]}/weights.bin", None),
    }


class Handler(BaseHTTPRequestHandler):
    """Sends CONTENT slowly, from any byte on."""

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes=") : -1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        try:
            for first in range(start, len(CONTENT), len(CONTENT) // _PIECES):
                self.wfile.write(CONTENT[first : first + len(CONTENT) // _PIECES])
                time.sleep(0.005)
        except OSError:
            pass

    def log_message(self, *arguments):
        pass


def start(arguments, out, cache):
    """A process that runs a command, or downloads from an address."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ["MOLRATE_CACHE"] = str(cache)
        log = os.open(out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if isinstance(arguments, str):
            digest = hashlib.sha256(CONTENT).hexdigest()
            Artifact("weights.bin", "weights", sha256=digest, urls=(arguments,)).locate()
            code = 0
        else:
            sys.argv = ["molrate", *(text.replace("OUT", str(out)) for text in arguments), "--quiet"]
            command_line()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        os._exit(code)


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


def run(arguments, result, scratch, n_kills):
    """Counts of kills, of ends, and of ends that equal that of a run never stopped."""
    result = result or (lambda _: files(scratch / "cache" / "weights"))
    out, cache = scratch / "out", scratch / "cache"

    def anew():
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(cache, ignore_errors=True)
        if not isinstance(arguments, str) and "OUT" not in arguments:
            out.mkdir()

    anew()
    started = time.monotonic()
    code = wait(start(arguments, out, cache), 3600)
    took = time.monotonic() - started
    if code not in (0, 5):
        sys.exit(f"{arguments}: exit {code}: {out.with_suffix('.log').read_text()[-500:]}")
    expected = result(out)
    counts = Counter(kills=0, ends=0, equal=0)
    anew()
    while counts["kills"] < n_kills:
        ended = wait(start(arguments, out, cache), random.uniform(0, 1.1 * took))
        if ended is None:
            counts["kills"] += 1
            continue
        counts["ends"] += 1
        if ended == code and result(out) == expected:
            counts["equal"] += 1
        else:
            print(f"exit {ended}: {out.with_suffix('.log').read_text()[-500:]}", flush=True)
        anew()
    # What was killed last is brought to its end too.
    counts["ends"] += 1
    counts["equal"] += wait(start(arguments, out, cache), 3600) == code and result(out) == expected
    return took, counts


def main(n_kills, chosen):
    random.seed(0)
    dataset = molrate.load_dataset("esol")
    total = Counter()
    with (
        tempfile.TemporaryDirectory() as name,
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server,
    ):
        folder = Path(name)
        frame = pd.DataFrame({"smiles": dataset.smiles, "y": dataset.targets[0].values})
        frame[:200].to_csv(folder / "t.csv", index=False)
        (folder / "l.smi").write_text("\n".join(dataset.smiles[:600]) + "\n")
        (folder / "c.toml").write_text(CONFIG)
        serving = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
        serving.start()
        known = commands(folder, server)
        names = chosen or list(known)
        for number, name in enumerate(names):
            share = n_kills // len(names) + (number < n_kills % len(names))
            scratch = folder / name.replace(" ", "-")
            scratch.mkdir()
            took, counts = run(*known[name], scratch, share)
            total += counts
            described = ", ".join(f"{count} {what}" for what, count in counts.items())
            print(f"{name}: {took:.1f} s straight; {described}", flush=True)
        serving.terminate()
    print("in all: " + ", ".join(f"{count} {what}" for what, count in total.items()))
    sys.exit(total["equal"] != total["ends"])


if __name__ == "__main__":
    if len(sys.argv) < 2 or not sys.argv[1].isdigit():
        sys.exit(__doc__)
    main(int(sys.argv[1]), sys.argv[2:])
