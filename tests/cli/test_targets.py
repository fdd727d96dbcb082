"""What commands make of targets: which class comes first, what is refused, what is said."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from molrate.cli.main import main

CHAINS = ["C" * size for size in range(1, 21)]
RINGS = ["c1ccccc1" + "C" * size for size in range(1, 21)]
FROZEN = ("-e", "ecfp4", "--frozen", "--epochs", "1", "--learning-rate", "0.001")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["molrate", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        output = capsys.readouterr()
        return stop.value.code or 0, output.out, output.err

    return call


def write(name, smiles=None, **columns):
    pd.DataFrame({"smiles": smiles or CHAINS + RINGS, **columns}).to_csv(name, index=False)


def pair(chain, ring):
    return [chain] * 20 + [ring] * 20


@pytest.fixture
def library(tmp_path):
    smiles = [f"c1ccccc1{'C' * size}" for size in (22, 23)] + ["C" * size for size in (22, 23)]
    write(tmp_path / "l.csv", smiles, known=["1", "1", "0", "0"])


@pytest.mark.parametrize(
    ("chain", "ring"), [("inactive", "active"), ("no", "yes"), ("-", "+"), ("Zero", "Non-Zero"), ("0", "1")]
)
def test_a_screen_puts_the_positive_class_first_and_names_it(run, library, chain, ring):
    write("t.csv", y=pair(chain, ring))
    code, _, said = run(
        "screen",
        "l.csv",
        "--train",
        "t.csv",
        "--target",
        "y",
        "-e",
        "ecfp4",
        "-o",
        "h",
        "--top",
        2,
        "--jobs",
        1,
    )
    assert code == 0, said
    positive, sought = ("Zero", "C") if chain == "Zero" else (ring, "c1")
    best = pd.read_csv("h/top.csv")
    assert best["smiles"].str.startswith(sought).all()
    assert (best[f"predicted_y={positive}"] > 0.9).all()
    assert f"highest predicted_y={positive}" in said
    options = ("-m", "h/model", "--label-column", "known", "--top", 2, "--jobs", 1)
    code, _, said = run("screen", "l.csv", "-o", "h2", *options, "--lower-is-better")
    assert code == 0, said
    assert not pd.read_csv("h2/top.csv")["smiles"].str.startswith(sought).any()
    enrichment = json.loads(Path("h2/enrichment.json").read_text(encoding="utf-8"))
    assert (enrichment["active"], enrichment["lowest_first"]) == (positive, True)


def test_a_pair_without_order_is_predicted_and_ranked_only_by_a_class_that_is_named(run, library):
    write("t.csv", y=pair("bad", "good"))
    train = ("screen", "l.csv", "--train", "t.csv", "--target", "y", "-e", "ecfp4", "--jobs", 1)
    for option in (("--top", 2), ("--label-column", "known"), ("--top", 2, "--lower-is-better")):
        code, _, said = run(*train, "-o", "refused", *option)
        assert (code, "--positive good" in said) == (2, True)
    code, _, said = run(*train, "-o", "refused", "--lower-is-better")
    assert (code, "nothing is ranked" in said, Path("refused").exists()) == (2, True, False)
    code, _, said = run(*train, "-o", "h")
    assert (code, "neither bad nor good is known as the positive class" in said) == (0, True)
    _, out, _ = run("predict", "l.csv", "-m", "h/model")
    assert "predicted_y=bad,predicted_y=good" in out.splitlines()[0]
    for label, sought in (("good", "c1"), ("bad", "CC")):
        options = ("--top", 2, "--label-column", "known", "--positive", label, "--jobs", 1)
        code, _, said = run("screen", "l.csv", "-m", "h/model", "-o", label, *options)
        assert code == 0, said
        assert pd.read_csv(f"{label}/top.csv")["smiles"].str.startswith(sought).all()
    code, _, said = run("screen", "l.csv", "-m", "h/model", "-o", "without", "--positive", "bad", "--jobs", 1)
    assert (code, "nothing is ranked" in said, Path("without/model").exists()) == (2, True, False)
    code, _, said = run(*train, "-o", "h", "--resume", "--positive", "bad", "--top", 1)
    assert code == 2
    assert "task.positives" in said


@pytest.mark.parametrize("cell", ["-{},5", "{} nM", "{}%", "\u2212{}.5", "{}_000", ">{}", "{},000.5"])
@pytest.mark.parametrize("command", [("score", "-e", "ecfp4"), ("finetune", *FROZEN, "-o", "m")])
def test_numbers_that_are_not_plain_are_refused_with_row_cell_and_way_out(run, command, cell):
    write("t.csv", y=[cell.format(1 + row % 8) for row in range(40)])
    code, _, said = run(command[0], "t.csv", "--target", "y", *command[1:])
    assert code == 3
    assert repr(cell.format(1)) in said
    assert "row 1 " in said
    assert "--task classification" in said
    assert ("--censored drop" in said) == cell.startswith(">")


def test_bounds_are_left_out_or_taken_and_counted(run):
    write("t.csv", y=[f">{row}" if row % 10 == 0 else str(row / 2) for row in range(40)])
    for policy, n, done in (("drop", 36, "not measured"), ("bound", 40, "their bound")):
        options = ("--target", "y", "-e", "ecfp4", "--censored", policy, "--format", "json")
        code, out, said = run("score", "t.csv", *options)
        assert code == 0, said
        assert [row["n"] for row in json.loads(out)["ranking"]] == [n]
        assert f"4 values that are bounds, the first in row 1 ('>0'), read as {done}" in out


def test_one_target_that_cannot_be_used_fails_alone_and_stops_joint_training(run):
    columns = {"a": [0, 1] * 20, "empty": [None] * 40, "short": [1.5, 2.5, 3.5] + [None] * 37}
    write("t.csv", **columns)
    targets = [part for name in columns for part in ("--target", name)]
    code, out, said = run("score", "t.csv", *targets, "-e", "ecfp4", "--format", "csv")
    assert code == 5
    assert "'empty' has no measured value" in said
    assert [line.count("failed") > 0 for line in out.splitlines()[1:]].count(True) == 2
    code, _, said = run("finetune", "t.csv", *targets, *FROZEN, "-o", "m")
    assert code == 3
    assert "'empty' has no" in said
    assert "'short' has 3" in said
    grid = ("--epochs", 1, "--learning-rate", 0.001, "--measure", "logme", "--seeds", 1)
    code, out, said = run("benchmark", "t.csv", *targets, "-e", "ecfp4", *grid, "-o", "results")
    assert code == 5, said
    assert "t target empty: target 'empty' has no measured value" in out
    assert "t random 0 ecfp4: auroc" in out


def test_a_split_that_training_cannot_learn_from_is_refused_and_fails_alone(run):
    alike = [f"{'C' * size}c1ccccc1" for size in range(1, 69)]
    different = [f"C1{'C' * size}C1" for size in range(1, 33)]
    write("t.csv", alike + different, y=["no"] * 68 + ["yes"] * 30 + ["no"] * 2)
    code, _, said = run("finetune", "t.csv", "--target", "y", *FROZEN, "-o", "m", "--split", "scaffold")
    assert code == 3
    assert "no molecule of class 'yes' (30 rows in all)" in said
    grid = ("--epochs", 1, "--learning-rate", 0.001, "--measure", "logme", "--seeds", 1)
    splits = ("--split", "scaffold", "--split", "random")
    code, out, said = run("benchmark", "t.csv", "--target", "y", "-e", "ecfp4", *grid, *splits, "-o", "r")
    assert code == 5, said
    assert "t scaffold split, seed 0: target 'y': the training part" in out
    assert "t random 0 ecfp4: auroc" in out


def test_words_read_as_missing_and_contradictions_are_said_by_finetune(run):
    write(
        "t.csv",
        CHAINS * 2,
        y=["None", "Mild", "Severe", "Severe"] * 5 + ["Severe", "Severe", "Mild", "Mild"] * 5,
    )
    code, out, said = run("finetune", "t.csv", "--target", "y", *FROZEN, "-o", "m")
    assert code == 0, said
    notes = json.loads(Path("m/model.json").read_text(encoding="utf-8"))["notes"]
    for note in ("y: 5 cells 'None' were read as not measured", "15 of them with another class of y"):
        assert note in said
        assert note in out
        assert any(note in text for text in notes)


def test_a_class_of_any_target_is_remembered_where_nothing_is_ranked(run, library):
    write("t.csv", first=pair("active", "inactive"), second=pair("good", "bad"))
    train = ("screen", "l.csv", "--train", "t.csv", "-e", "ecfp4", "--jobs", 1, "-t", "first", "-t", "second")
    code, _, said = run(*train, "-o", "h", "--positive", "good")
    assert (code, "rows done" in said) == (0, True), said
    task = json.loads(Path("h/model/model.json").read_text())["task"]
    assert task["positives"] == ["active", "good"]
    table = pd.read_parquet("h/parts")
    assert {"predicted_first=active", "predicted_second=good"} <= set(table)
    assert "predicted_second=bad" not in table
    code, _, said = run(*train, "-o", "page", "--positive", "bad", "--report", "r.html")
    assert code == 0, said
    for positive in ("good", "neither"):
        code, _, said = run(*train, "-o", "ranked", "--positive", positive, "--top", 2)
        assert (code, f"has no class '{positive}' (--positive)" in said) == (2, True)
        assert not Path("ranked").exists()


def test_columns_of_smiles_of_the_library_and_of_the_table_to_train_on(run, tmp_path):
    tables = {"both": "Structure (SMILES)", "usual": "smiles", "other": "Molecule drawn"}
    for name, column in tables.items():
        pd.DataFrame({column: CHAINS + RINGS, "y": range(40)}).to_csv(f"{name}.csv", index=False)
    pd.DataFrame({"Structure (SMILES)": CHAINS[:3], "smiles": RINGS[:3]}).to_csv("l.csv", index=False)

    def screen(name, *more):
        training = ("--train", f"{name}.csv", "-t", "y", "-e", "ecfp4")
        return run(
            "screen", "l.csv", *training, "--jobs", 1, "-o", tmp_path / "h" / f"{name}{len(more)}", *more
        )

    named = ("--smiles-column", "Structure (SMILES)")
    for name in ("both", "usual"):
        assert screen(name, *named)[0] == 0
        found = pd.read_parquet(tmp_path / "h" / f"{name}2" / "parts")["smiles"].tolist()
        assert found == CHAINS[:3]
    code, _, said = screen("other", *named)
    assert (code, "other.csv: no SMILES column found" in said) == (3, True)
    assert "Name it with --train-smiles-column" in said
    code, _, said = screen("other", *named, "--train-smiles-column", "Molecule drawn")
    assert code == 0, said
    code, _, said = screen("other", "--train-smiles-column", "none")
    assert (code, "no column 'none' (--train-smiles-column)" in said) == (3, True)
    code, _, said = run(
        "screen", "l.csv", "-m", "h/both2/model", "-o", "o", "--train-smiles-column", "smiles"
    )
    assert (code, "--train-smiles-column goes with --train" in said) == (2, True)
    code, _, said = run(
        "screen", "l.csv", "--train", "freesolv", "-e", "ecfp4", "-o", "named", "--jobs", 1, *named
    )
    assert code == 0, said
