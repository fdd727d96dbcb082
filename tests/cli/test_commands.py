"""Every command as a user runs it: what it prints, what it writes, how it ends."""

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from molrate.cli.main import cli, main

FAST = ("-e", "ecfp4", "-e", "gin-untrained")


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)

    def call(*arguments, stdin=None):
        monkeypatch.setattr(sys, "argv", ["molrate", *map(str, arguments)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="ascii"))
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


@pytest.fixture(scope="module")
def table():
    from molrate import load_dataset

    dataset = load_dataset("freesolv")
    return pd.DataFrame({"id": dataset.ids, "smiles": dataset.smiles, "y": dataset.targets[0].values})[:60]


def test_score_prints_a_ranking_and_nothing_else(run):
    code, out, _ = run("score", "freesolv", *FAST)
    assert code == 0
    lines = out.splitlines()
    assert re.fullmatch(r"freesolv: regression, 642 molecules, 2 candidates, (\d+|under 1) s", lines[0])
    assert lines[1].startswith("Fine-tune   nothing: only baselines were ranked")
    header = next(line for line in lines if line.startswith("tier"))
    assert header.split() == [
        "tier",
        "encoder",
        "layer",
        "LogME",
        "TransRate",
        "frozen",
        "fine-tuned",
        "prior",
    ]


def test_what_a_library_says_of_torch_is_not_printed(run, monkeypatch, recwarn):
    def command(_):
        for text in ("`torch.jit.script` is deprecated. Please switch to it.", "something else"):
            warnings.warn(text, stacklevel=1)
        return 0

    # The package has a function of the module's name.
    monkeypatch.setattr(sys.modules["molrate.cli.main"], "_exit_code", command)
    assert run("info")[0] == 0
    assert [str(warning.message) for warning in recwarn] == ["something else"]


def test_score_shows_the_columns_that_are_asked_for(run):
    code, out, _ = run("score", "freesolv", *FAST, "--columns", "encoder, null_mean")
    assert code == 0
    assert re.search(r"^encoder +null_mean$", out, re.MULTILINE)
    # Before anything is read or ranked.
    code, _, err = run("score", "no-such-table.csv", "--columns", "nothing")
    assert code == 2
    assert "no column 'nothing' (--columns); there are rank, tier" in err
    code, out, err = run("score", "freesolv", *FAST, "--columns", "encoder", "--format", "csv")
    assert (code, out) == (2, "")
    assert "--columns is for the table; --format csv has all columns" in err


def test_score_formats_agree(run, tmp_path):
    out = {form: run("score", "freesolv", *FAST, "--format", form)[1] for form in ("csv", "json")}
    document = json.loads(out["json"])
    frame = pd.read_csv(io.StringIO(out["csv"]))
    assert frame["value"].tolist() == pytest.approx([row["value"] for row in document["ranking"]])
    assert document["run"]["arguments"]["seed"] == 0
    for suffix in ("csv", "json", "parquet"):
        path = tmp_path / f"r.{suffix}"
        assert run("score", "freesolv", *FAST, "-o", path)[0] == 0
    np.testing.assert_allclose(pd.read_csv(tmp_path / "r.csv")["value"], frame["value"])
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "r.parquet")["value"], frame["value"])
    records = (
        json.loads((tmp_path / "r.csv.run.json").read_text()),
        json.loads((tmp_path / "r.json").read_text())["run"],
        json.loads(pq.read_schema(tmp_path / "r.parquet").metadata[b"molrate"]),
    )
    for record in records:
        assert record["encoders"]["ecfp4"]["weights"] == "none"
        assert record["versions"]["rdkit"]


def test_score_own_table_from_a_file_and_from_a_pipe(run, tmp_path, table):
    path = tmp_path / "my.csv"
    table.to_csv(path, index=False)
    from_file = run("score", path, "--target", "y", *FAST, "--format", "csv")
    from_pipe = run("score", "-", "--target", "y", *FAST, "--format", "csv", stdin=path.read_text())
    assert from_file[0] == from_pipe[0] == 0
    columns = ["encoder", "value", "n"]
    frames = [pd.read_csv(io.StringIO(result[1]))[columns] for result in (from_file, from_pipe)]
    assert frames[0].equals(frames[1])


def rows(n, value="{i}.5", smiles="C" * 3):
    return "smiles,y\n" + "".join(f"{smiles}{'C' * (i % 7)}N,{value.format(i=i)}\n" for i in range(n))


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        ("", ["--target", "y"], 3, "the file is empty"),
        (rows(30), ["--target", "z"], 3, "no column 'z' (--target); its columns are smiles, y"),
        (rows(30), [], 3, "say which column to predict with --target"),
        (rows(30, "high{i}"), ["--target", "y"], 3, "too many for class labels"),
        (rows(30, "{i} mg"), ["--target", "y", "--task", "regression"], 3, "is not numeric: row 1 '0 mg'"),
        (rows(30, "active"), ["--target", "y"], 3, "has one class only (active)"),
        (rows(30, "1.5"), ["--target", "y"], 3, "has one value only (1.5)"),
        (rows(30, "nan"), ["--target", "y"], 3, "has no measured value in any of its 30 rows"),
        (rows(30, smiles="Q"), ["--target", "y"], 3, "none of the 30 SMILES is valid"),
        (rows(3), ["--target", "y"], 3, "has 3 labelled valid molecules; at least 20 are needed"),
        (rows(30), ["--target", "y", "--layer", "layer-9"], 2, "gin-untrained has no layer 'layer-9'"),
        (rows(30), ["--target", "y", "-e", "gon"], 2, "unknown encoder 'gon'"),
        (rows(30), ["--target", "y", "-e", "gin-masking"], 4, "MOLRATE_WEIGHTS"),
        (rows(30), ["--target", "y", "-o", "/nowhere/r.csv"], 3, "the folder /nowhere does not exist"),
        (
            rows(30),
            ["--target", "y", "-o", "r.xml"],
            2,
            ".xml is not written; it can be a file (.csv, .csv.gz",
        ),
        (rows(30), ["--target", "y", "--pooling", "median"], 2, "'median' is not one of"),
        (rows(30), ["--target", "y", "--weights", "w.pth"], 2, "--weights needs exactly one --encoder"),
        (rows(30), ["--target", "y", "-e", "gin-masking", "--weights", "w.pth"], 4, "w.pth: no such file"),
        ("smiles,y\nC,1,\nCC,2,\n", ["--target", "y"], 3, "row 1 (line 2): 3 fields where the header has 2"),
    ],
)
def test_mistakes_end_with_their_code_and_say_what_to_do(
    run, tmp_path, monkeypatch, text, options, code, message
):
    # An address nothing listens on stands for the network that tests must not need.
    monkeypatch.setattr("molrate.encoders.cards.github_address", lambda source: "http://127.0.0.1:9/none")
    path = tmp_path / "my.csv"
    path.write_text(text)
    chosen = () if "-e" in options else FAST
    result = run("score", path, *chosen, *options)
    assert result[0] == code
    assert message in result[2]
    assert result[1] == ""
    assert "Traceback" not in result[2]


def test_a_failed_encoder_among_others_is_partial(run, tmp_path, monkeypatch):
    (tmp_path / "gcn_contextpred.pth").write_bytes(b"broken")
    monkeypatch.setenv("MOLRATE_WEIGHTS", str(tmp_path))
    output = tmp_path / "r.csv"
    code, out, err = run("score", "freesolv", *FAST, "-e", "gcn-contextpred", "-o", output)
    assert code == 5
    assert "gcn-contextpred failed" in out
    assert "truncated or altered" in err
    assert pd.read_csv(output)["status"].tolist().count("failed") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT TESTED: no /dev/full on this system")
def test_a_full_disk_behind_standard_output_is_named():
    command = [sys.executable, "-m", "molrate", "score", "freesolv", "-e", "ecfp4"]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 3
    assert result.stderr == "Error: standard output cannot be written: No space left on device\n"


def test_a_reader_that_leaves_early_is_no_error():
    command = (
        f"{sys.executable} -m molrate score freesolv -e ecfp4 --layer all | head -1; echo ${{PIPESTATUS[0]}}"
    )
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert re.fullmatch(r"freesolv: regression, 642 molecules, 1 candidate, .* s\n0\n", result.stdout)
    assert result.stderr == ""


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_embed_keeps_every_row(run, tmp_path, table, suffix):
    source = tmp_path / "in.csv"
    broken = table.copy()
    broken.loc[2, "smiles"] = "C1CC"
    broken.loc[4, "smiles"] = "N->[Fe]"
    broken.to_csv(source, index=False)
    output = tmp_path / f"out.{suffix}"
    code, out, err = run("embed", source, "-e", "gin-untrained", "-o", output)
    assert (code, out) == (5, "")
    assert "58 of 60 rows embedded; 2 without, the first in row 3: SMILES syntax error" in err
    frame = pd.read_csv(output) if suffix == "csv" else pd.read_parquet(output)
    assert frame["row"].tolist() == list(range(1, 61))
    assert frame["id"].tolist() == table["id"].tolist()
    assert frame["status"].value_counts().to_dict() == {"ok": 58, "invalid": 1, "unsupported": 1}
    assert frame.loc[[2, 4], "x0"].isna().all()
    assert frame.filter(regex=r"^x\d").shape == (60, 300)


def test_embed_all_layers_as_npz(run, tmp_path, table):
    source = tmp_path / "in.smi"
    source.write_text(
        "".join(f"{smiles} {name}\n" for smiles, name in zip(table["smiles"], table["id"], strict=True))
    )
    output = tmp_path / "out.npz"
    assert run("embed", source, "-e", "gcn-untrained", "--layer", "all", "-o", output)[0] == 0
    with np.load(output) as arrays:
        assert arrays["layer-5"].shape == arrays["input"].shape == (60, 300)
        assert arrays["id"].tolist() == table["id"].tolist()
        assert json.loads(str(arrays["run"]))["encoder"] == "gcn-untrained"
    code, _, err = run("embed", source, "-e", "gcn-untrained", "--layer", "all", "-o", tmp_path / "out.csv")
    assert code == 2
    assert "holds one layer" in err


@pytest.mark.parametrize(("policy", "code", "n_rows"), [("keep", 5, 3), ("skip", 0, 2), ("fail", 3, None)])
@pytest.mark.parametrize("bad", ["x", "", "N->[Fe]"])
def test_embed_policies_for_rows_without_an_embedding(run, tmp_path, policy, code, n_rows, bad):
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(f"smiles\nC\n{bad}\nCC\n")
    result = run("embed", source, "-e", "gin-untrained", "-o", output, "--on-invalid", policy)
    assert result[0] == code
    assert "row 2" in result[2]
    assert output.exists() == (n_rows is not None)
    if n_rows:
        assert len(pd.read_csv(output)) == n_rows


def test_embed_records_how_it_was_made(run, tmp_path):
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("smiles\nC\n")
    assert run("embed", source, "-e", "gin-untrained", "-o", output, "--seed", "3")[0] == 0
    record = json.loads((tmp_path / "out.csv.run.json").read_text())
    assert record["identity"]["weights"].startswith("untrained, seed 3, torch ")
    assert len(record["molecules"]) == 64
    assert record["device"] == "cpu"


def test_embed_of_nothing_that_can_be_encoded(run, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("smiles\nN->[Fe]\n")
    code, _, err = run("embed", source, "-e", "gin-untrained", "-o", tmp_path / "out.csv")
    assert code == 3
    assert "DATIVE" in err


@pytest.mark.parametrize("kind", ["encoders", "datasets", "measures"])
def test_list(run, kind):
    code, out, _ = run("list", kind)
    assert code == 0
    assert kind.removesuffix("s") in out.splitlines()[0]
    listed = json.loads(run("list", kind, "--format", "json")[1])
    assert len(listed) >= {"encoders": 24, "datasets": 5, "measures": 1}[kind]


@pytest.mark.parametrize("command", [(), *((name,) for name in cli.list_commands(None))])
def test_every_command_has_help(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "Usage: molrate" in out


def test_ctrl_c_ends_cleanly_and_writes_nothing(tmp_path):
    output = tmp_path / "r.csv"
    command = [sys.executable, "-m", "molrate", "score", "b3db", "-v", "-o", str(output)]
    environment = {**os.environ, "MOLRATE_CACHE": str(tmp_path / "cache")}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command,
        stderr=pipe,
        stdout=pipe,
        text=True,
        env=environment,
        # A suite run in the background hands its children an interrupt signal that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert "embedding 7805 molecules" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("Interrupted; no result was written; the same command begins anew.\n")
    assert "Traceback" not in err
    assert out == ""
    assert not output.exists()
