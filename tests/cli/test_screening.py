import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import molrate
from molrate.cli.main import cli

MOLRATE = [sys.executable, "-m", "molrate"]


@pytest.fixture
def library(tmp_path):
    smiles = molrate.load_dataset("esol").smiles[:60]
    path = tmp_path / "library.smi.gz"
    lines = [f"{text} m{number}" for number, text in enumerate(smiles)]
    lines[7] = "not-a-molecule m7"
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    return path


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_from_a_table_to_hits_in_one_command(library, tmp_path):
    out = tmp_path / "out"
    arguments = ["screen", library, "--train", "freesolv", "-e", "rdkit-descriptors", "-o", out, "--top", 5]
    done = invoke(*arguments, "--jobs", 1, "--chunk-size", 25)
    assert done.exit_code == 5, done.output
    assert "freesolv: freesolv by a linear model on rdkit-descriptors, values; 5 folds: rmse" in done.output
    assert "59 of 60 rows done; 1 invalid, with the reason in their rows." in done.output
    table = pd.read_parquet(out / "parts")
    assert table["id"].tolist() == [f"m{number}" for number in range(60)]
    assert table["status"].value_counts().to_dict() == {"ok": 59, "invalid": 1}
    best = pd.read_csv(out / "top.csv")
    expected = table.nlargest(5, "predicted_freesolv")["id"].tolist()
    assert best["id"].tolist() == expected
    # The model it fitted serves other libraries.
    again = invoke("screen", library, "-m", out / "model", "-o", tmp_path / "again", "--jobs", 1)
    assert again.exit_code == 5
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again" / "parts"), table)
    resumed = invoke(*arguments, "--jobs", 1, "--chunk-size", 25, "--resume")
    assert "(3 of 3 chunks by an earlier run)" in resumed.output
    refused = invoke(*arguments, "--jobs", 1, "--chunk-size", 25, "--resume", "--seed", 1)
    assert refused.exit_code != 0
    assert "settings.seed (0 before, 1 now)" in str(refused.exception)


def test_a_model_found_within_a_time_screens_and_is_kept_by_a_run_that_goes_on(library, tmp_path):
    dataset = molrate.load_dataset("esol")
    frame = pd.DataFrame({"smiles": dataset.smiles[60:160], "y": dataset.targets[0].values[60:160]})
    frame.to_csv(tmp_path / "train.csv", index=False)
    out = tmp_path / "out"
    arguments = ["screen", library, "--train", tmp_path / "train.csv", "-t", "y", "-e", "ecfp4"]
    arguments += ["-o", out, "--jobs", 1]
    done = invoke(*arguments, "--budget", "10m", "--chunk-size", 25)
    assert done.exit_code == 5, done.output
    assert "the race is decided" in done.output
    assert "Use descriptors" in done.output
    table = pd.read_parquet(out / "parts")
    smiles = table["smiles"][table["status"] == "ok"].tolist()
    own = molrate.load_model(out / "model").predict(smiles)["predicted_y"]
    assert own.tolist() == pytest.approx(table["predicted_y"].dropna().tolist(), rel=1e-5)
    board = (out / "model" / "leaderboard.csv").read_bytes()
    resumed = invoke(*arguments, "--budget", "10m", "--chunk-size", 25, "--resume")
    assert "(3 of 3 chunks by an earlier run)" in resumed.output
    assert (out / "model" / "leaderboard.csv").read_bytes() == board
    linear = invoke(*arguments, "--budget", "1m", "--layer", "last", "--resume")
    assert linear.exit_code == 2
    assert "--layer is for the linear model" in linear.output


def test_a_model_found_within_a_time_can_leave_its_training_molecules_out(library, tmp_path):
    dataset = molrate.load_dataset("esol")
    frame = pd.DataFrame({"smiles": dataset.smiles[60:160], "y": dataset.targets[0].values[60:160]})
    frame.loc[3, "smiles"] = "SECRETc1ccccc1("
    frame.to_csv(tmp_path / "train.csv", index=False)
    texts = [*(text for text in frame["smiles"] if len(text) > 12), "SECRET"]
    out = tmp_path / "out"
    arguments = ["screen", library, "--train", tmp_path / "train.csv", "-t", "y", "-e", "ecfp4"]
    done = invoke(*arguments, "-o", out, "--jobs", 1, "--budget", "10m", "--no-structures")
    assert done.exit_code == 5, done.output
    for path in (out / "model").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not [text for text in texts if text.encode() in content], path
    assert pd.read_parquet(out / "parts")["similarity"].isna().all()
    linear = invoke(*arguments, "-o", tmp_path / "linear", "--no-structures")
    assert linear.exit_code == 2
    assert "--no-structures is about the page of --report" in linear.output


def test_nothing_that_is_there_is_overwritten(library, tmp_path):
    out = tmp_path / "out"
    shared = ["screen", library, "--train", "freesolv", "-o", out, "--jobs", 1]
    invoke(*shared, "-e", "ecfp4")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for wrong in (["-e", "rdkit-descriptors"], ["-e", "ecfp4"], ["-e", "rdkit-descriptors", "--resume"]):
        assert invoke(*shared, *wrong).exit_code != 0
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    foreign = tmp_path / "foreign"
    (foreign / "model").mkdir(parents=True)
    (foreign / "model" / "thesis.txt").write_text("mine")
    refused = invoke("screen", library, "--train", "freesolv", "-e", "ecfp4", "-o", foreign, "--jobs", 1)
    assert "it holds other files" in str(refused.exception)
    assert [path.name for path in (foreign / "model").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_is_wrong_with_a_model_is_told_with_its_exit_code(library, tmp_path, jobs):
    shared = ["-o", str(tmp_path / "out"), "--jobs", jobs]
    missing = run([*MOLRATE, "screen", str(library), "-m", str(tmp_path / "nope"), *shared])
    assert missing.returncode == 4
    assert b"no finished fine-tuned model" in missing.stderr
    layers = run([*MOLRATE, "embed", str(library), "-e", "gcn-untrained", "--layer", "all", *shared])
    assert layers.returncode == 2
    assert b"a library is embedded by one layer" in layers.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_workers_end_with_a_killed_command(tmp_path):
    psutil = pytest.importorskip("psutil")
    smiles = molrate.load_dataset("esol").smiles
    (tmp_path / "l.smi").write_text("\n".join([*smiles] * 20) + "\n")
    command = [*MOLRATE, "embed", str(tmp_path / "l.smi"), "-e", "gcn-untrained", "-o", str(tmp_path / "out")]
    process = subprocess.Popen([*command, "--jobs", "2", "--chunk-size", "50"])
    while not list((tmp_path / "out").glob("parts/part-*")):
        assert process.poll() is None
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_options_of_libraries_mean_nothing_to_one_table(library, tmp_path):
    refused = invoke("embed", library, "-e", "ecfp4", "-o", tmp_path / "f.csv", "--chunk-size", 5)
    assert refused.exit_code == 2
    assert "--chunk-size is for libraries in chunks" in refused.output


def test_best_ranks_first(library, tmp_path, monkeypatch):
    monkeypatch.setattr("molrate.ranking.score.default_encoders", lambda: ["ecfp4", "rdkit-descriptors"])
    done = invoke("screen", library, "--train", "freesolv", "-o", tmp_path / "out", "--jobs", 1)
    assert "freesolv: regression, 642 molecules" in done.output
    assert "by a linear model on rdkit-descriptors, values" in done.output


def test_embedding_into_a_folder_is_that_into_a_file(library, tmp_path):
    done = invoke("embed", library, "-e", "gcn-untrained", "-o", tmp_path / "parts", "--jobs", 1)
    assert done.exit_code == 5, done.output
    invoke("embed", library, "-e", "gcn-untrained", "-o", tmp_path / "one.parquet")
    one = pd.read_parquet(tmp_path / "one.parquet")
    parts = pd.read_parquet(tmp_path / "parts" / "parts")
    columns = [name for name in one if name.startswith("x")]
    pd.testing.assert_frame_equal(parts[columns], one[columns], rtol=1e-5)


def run(command, **options):
    return subprocess.run(command, capture_output=True, timeout=100, check=False, **options)


def test_workers_that_compute_descriptors_end(tmp_path):
    smiles = molrate.load_dataset("esol").smiles[:120]
    (tmp_path / "l.smi").write_text("\n".join(smiles) + "\n")
    command = [*MOLRATE, "screen", tmp_path / "l.smi", "--train", "freesolv", "-e", "rdkit-descriptors"]
    done = run([*command, "-o", tmp_path / "out", "--jobs", "2", "-q"])
    assert done.returncode == 0, done.stderr.decode()
    assert len(pd.read_parquet(tmp_path / "out" / "parts")) == 120


def test_in_a_pipe(library):
    done = run(
        f"gzip -dc {library} | {' '.join(MOLRATE)} embed - --input-format smi -e ecfp4 -o - --jobs 1 -q "
        "| cut -d, -f2,3,6",
        shell=True,
        executable="/bin/bash",
    )
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "row,id,x0"
    assert len(lines) == 61
    assert lines[60].startswith("60,m59,")


def test_a_reader_that_has_enough_and_a_full_disk(library):
    command = f"{' '.join(MOLRATE)} embed {library} -e ecfp4 -o - --jobs 1 --chunk-size 1 -q"
    enough = run(f"set -o pipefail; {command} | head -1", shell=True, executable="/bin/bash")
    assert enough.stdout.startswith(b"source,row,id,smiles")
    assert b"Traceback" not in enough.stderr
    if Path("/dev/full").exists():
        full = run(f"{command} > /dev/full", shell=True, executable="/bin/bash")
        assert full.returncode == 3
        assert b"standard output cannot be written: No space left on device" in full.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x"], "either --model FOLDER or --train TABLE"),
        (["-o", "-", "--train", "freesolv"], "name a folder with -o"),
        (["-o", "-", "-m", "m", "--top", "3"], "name a folder with -o"),
    ],
)
def test_wrong_use(library, arguments, message):
    refused = invoke("screen", library, *arguments)
    assert refused.exit_code == 2
    assert message in refused.output


def test_on_ray_from_the_command_line(library, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    # Without --address a cluster is started here, whatever another one has left behind.
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    shared = ["embed", str(library), "-e", "ecfp4", "--chunk-size", "20", "-q"]
    done = run([*MOLRATE, *shared, "-o", str(tmp_path / "ray"), "--engine", "ray", "--jobs", "2"])
    assert done.returncode == 5, done.stderr
    run([*MOLRATE, *shared, "-o", str(tmp_path / "local"), "--jobs", "1"])
    for path in (tmp_path / "local").rglob("*.*"):
        twin = tmp_path / "ray" / path.relative_to(tmp_path / "local")
        assert twin.read_bytes() == path.read_bytes()
    refused = run(
        [*MOLRATE, *shared, "-o", str(tmp_path / "x"), "--engine", "ray", "--address", "127.0.0.1:1"]
    )
    assert refused.returncode == 2
    assert b"no Ray cluster can be reached there" in refused.stderr
    assert invoke("embed", library, "-e", "ecfp4", "-o", tmp_path / "y", "--address", "auto").exit_code == 2


def test_interrupted_and_gone_on_with(tmp_path):
    smiles = molrate.load_dataset("esol").smiles
    (tmp_path / "l.smi").write_text("\n".join([*smiles] * 20) + "\n")
    command = [*MOLRATE, "embed", str(tmp_path / "l.smi"), "-e", "gcn-untrained", "-o", str(tmp_path / "out")]
    command += ["--jobs", "2", "--chunk-size", "50"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_heed_interrupts
    )
    while len(list((tmp_path / "out").glob("parts/part-*"))) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    # As a terminal does it: to the command and its workers.
    os.killpg(process.pid, signal.SIGINT)
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert process.returncode == 130
    assert err.strip().endswith("Interrupted; what is done is kept, and --resume goes on from there.")
    assert "Traceback" not in err
    n_done = len(list((tmp_path / "out").glob("parts/part-*")))
    done = run([*command, "--resume", "--part-format", "csv"])
    assert done.returncode == 2
    assert b"part_format (.parquet before, .csv now)" in done.stderr
    assert len(list((tmp_path / "out").glob("parts/part-*"))) == n_done


def _heed_interrupts():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_enrichment_of_a_labelled_library(tmp_path):
    import json

    dataset = molrate.load_dataset("esol")
    soluble = dataset.targets[0].values > -2
    frame = pd.DataFrame({"smiles": dataset.smiles, "soluble": soluble.astype(int)})
    frame[:400].to_csv(tmp_path / "train.csv", index=False)
    frame[400:].to_csv(tmp_path / "library.csv", index=False)
    out = tmp_path / "out"
    arguments = ["--train", tmp_path / "train.csv", "-t", "soluble", "-e", "rdkit-descriptors", "-o", out]
    done = invoke("screen", tmp_path / "library.csv", *arguments, "--label-column", "soluble", "--jobs", 1)
    assert done.exit_code == 0, done.output
    found = json.loads((out / "enrichment.json").read_text())
    assert found["n"] == 728
    assert found["auroc"] > 0.9
    assert 1.5 < found["ef_5"] < 728 / found["n_active"] + 0.01
    assert pd.read_csv(out / "roc.csv").iloc[-1].tolist() == [1, 1]
    assert "EF 1 %" in done.output
    missing = invoke(
        "screen",
        tmp_path / "library.csv",
        "-m",
        out / "model",
        "-o",
        tmp_path / "x",
        "--label-column",
        "none",
        "--jobs",
        1,
    )
    assert "no column 'none' (label_column=)" in str(missing.exception)
