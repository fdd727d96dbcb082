from pathlib import Path

import pandas as pd
import pytest

from molrate.selection.leaderboard import COLUMNS
from molrate.selection.report import to_text

LONG = "graphsage-supervised-contextpred + descriptors"
FOREST = {"what": "rdkit-descriptors", "value": 1.13, "low": 0.81, "high": 1.4}
MODEL = {"what": "minimol, fine-tuned", "value": 0.9, "low": 0.7, "high": 1.1}


def row(model, state, tier, folds=2, mean=1.0, difference=(0.0, 0.0, 0.0), fitted="fine-tuned", note=""):
    cells = dict.fromkeys(COLUMNS)
    cells |= {"model": model, "state": state, "tier": tier, "folds": folds, "mean": mean, "fitted": fitted}
    cells |= dict(zip(("difference", "low", "high"), difference, strict=True))
    return cells | {"metric": "rmse", "seconds": 30.0 * folds, "note": note}


@pytest.fixture
def board():
    nothing = (float("nan"),) * 3
    rows = [
        row("minimol", "best", 1, mean=0.85),
        row(LONG, "not told apart", 1, mean=0.9, difference=(0.0512, -0.0413, 0.1437)),
        row(
            "ecfp4",
            "dropped after 1 fold, behind minimol, fine-tuned",
            2,
            1,
            2.4,
            (1.5, 0.4, 2.6),
            "estimated",
        ),
        row("gat-untrained", "not run", None, 0, float("nan"), nothing),
        row("broken", "failed", None, 0, float("nan"), nothing, note="frozen: a reason"),
    ]
    return pd.DataFrame(rows).astype({"tier": "Int64"})


def record(*rows, n=128, notes=()):
    comparison = {"metric": "rmse", "unit": "kcal/mol", "n": n, "n_rows": n, "rows": list(rows)}
    return {"answer": "Best is minimol.", "comparison": comparison, "notes": list(notes), "folds": [0, 1]}


def test_the_answer_comes_first_and_every_model_has_its_place(board):
    text = to_text(board, record(MODEL, FOREST), "the race is decided", Path("out"))
    lines = text.split("\n")
    assert lines[0] == "Best is minimol."
    assert next(line for line in lines if line.startswith("minimol")).split() == [
        *("minimol,", "fine-tuned", "best", "2", "0.85", "60")
    ]
    tied = next(line for line in lines if " tied " in line)
    assert tied.split()[-6:] == ["2", "0.9", "0.051", "[-0.041,", "0.14]", "60"]
    behind = next(line for line in lines if line.startswith("ecfp4"))
    assert behind.split()[:4] == ["ecfp4", "behind", "1", "2.4"]
    assert next(line for line in lines if line.startswith("gat-untrained")).split()[-2:] == ["not", "run"]
    assert "broken failed: frozen: a reason" in lines
    forest = next(line for line in lines if line.startswith("rdkit-descriptors"))
    assert forest.split() == ["rdkit-descriptors", "1.13", "[0.81,", "1.4]"]
    assert lines[-2:] == ["the race is decided; the model is the mean of 2 folds", "model: out"]


def test_no_line_is_wider_than_the_terminal(board):
    told = record(MODEL, FOREST, notes=["a sentence of many words " * 10])
    for width in (80, 100):
        lines = to_text(board, told, "the time is up", Path("out"), width).split("\n")
        assert max(map(len, lines)) <= width
    folder = Path("a" * 100)
    assert to_text(board, told, "the time is up", folder).endswith(f"model: {folder}")


def test_what_is_clearly_better_on_the_test_part_is_said(board):
    ahead = {**FOREST, "value": 0.5, "ahead": 0.4, "ahead_low": 0.1, "ahead_high": 0.7}
    text = " ".join(to_text(board, record(MODEL, ahead), "", Path("out")).split())
    assert "says otherwise than the folds: rdkit-descriptors is better on it, by 0.4 [0.1, 0.7]." in text
    unclear = {**ahead, "ahead_low": -0.1}
    assert "otherwise" not in to_text(board, record(MODEL, unclear), "", Path("out"))


def test_of_few_test_molecules_there_are_no_intervals(board):
    bare = {"what": "minimol", "value": 0.9, "low": None, "high": None}
    text = to_text(board, record(bare, n=4), "", Path("out"))
    assert "too few for intervals" in text
    assert "95 %\n" not in text.split("test:")[1]
    assert "undefined" in to_text(board, record({**bare, "value": None}, n=4), "", Path("out"))


def test_a_terminal_is_coloured_and_a_pipe_is_not(board):
    assert "\x1b[" in to_text(board, record(MODEL), "", Path("out"), colour=True)
    assert "\x1b[" not in to_text(board, record(MODEL), "", Path("out"))
