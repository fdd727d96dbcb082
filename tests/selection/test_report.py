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


def text_of(board, record, ending="", folder="out", width=80, **options):
    return to_text(board, record, ending, Path(folder), width, **options)


def starting(name, lines):
    return next(line for line in lines if line.startswith(name)).split()


def test_the_answer_comes_first_and_every_model_has_its_place(board):
    lines = text_of(board, record(MODEL, FOREST), "the race is decided").split("\n")
    assert lines[0] == "Best is minimol."
    assert starting("minimol", lines) == ["minimol,", "fine-tuned", "best", "2", "0.850", "60"]
    tied = next(line for line in lines if " tied " in line)
    assert tied.split()[-6:] == ["2", "0.900", "0.051", "[-0.041,", "0.144]", "60"]
    assert starting("ecfp4", lines)[:6] == ["ecfp4", "dropped", "1", "2.400", "1.500", "[0.400,"]
    assert starting("gat-untrained", lines)[-2:] == ["not", "run"]
    assert starting("rdkit-descriptors", lines) == ["rdkit-descriptors", "1.130", "[0.810,", "1.400]"]
    assert any(line.startswith("rmse in kcal/mol: mean of the folds that it ran; worse by") for line in lines)
    assert lines[-2:] == ["the race is decided; the model is the mean of 2 folds", "model: out"]


def test_nothing_has_no_sign(board):
    board.loc[1, ["difference", "low", "high"]] = (-0.0002, -0.0413, 0.1437)
    lines = text_of(board, record(MODEL)).split("\n")
    assert next(line for line in lines if " tied " in line).split()[-4:-1] == ["0.000", "[-0.041,", "0.144]"]


def test_what_is_not_there_is_not_explained(board):
    together = " ".join(text_of(board, record(MODEL)).split())
    assert "tied: it holds zero" in together
    assert "dropped: behind the best of an earlier fold" in together
    assert "behind: it leaves out" not in together
    alone = " ".join(text_of(board[:1], record(MODEL)).split())
    assert "rmse in kcal/mol: mean of the folds that it ran; s: seconds of its jobs." in alone


def test_a_model_that_failed_in_one_way_has_not_failed(board):
    board.loc[0, "note"] = "frozen: singular"
    lines = text_of(board, record(MODEL)).split("\n")
    assert "best" in starting("minimol", lines)
    assert "failed: minimol, frozen: singular" in lines
    assert "failed: broken, frozen: a reason" in lines


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal_and_every_number_is_whole(board, width):
    told = record(MODEL, FOREST, notes=["a sentence of many words " * 10])
    told["comparison"]["unit"] = "spreads in training"
    lines = text_of(board, told, "the time is up", width=width).split("\n")
    assert max(map(len, lines)) <= width
    tied = next(line for line in lines if " tied " in line)
    assert tied.split()[-6:] == ["2", "0.900", "0.051", "[-0.041,", "0.144]", "60"]
    together = "".join("".join(line[:20].split()) for line in lines)
    assert "descriptors" in together


def test_a_path_and_a_name_are_kept_as_they_are(board):
    folder = "/data/a:b:c/:o:/[m]/" + "a" * 100
    board.loc[0, "model"] = "hf:owner/name[x]:b:"
    text = text_of(board, record(MODEL), folder=folder)
    assert text.endswith(f"model: {folder}")
    assert "hf:owner/name[x]:b:" in text


@pytest.mark.parametrize(
    ("scale", "shown"),
    [(1, ["0.900", "0.051", "[-0.041,", "0.144]"]), (1000, ["900", "51", "[-41,", "144]"])],
)
def test_numbers_have_the_figures_of_the_best(board, scale, shown):
    numbers = ["mean", "difference", "low", "high"]
    board[numbers] = board[numbers].astype(float) * scale
    lines = text_of(board, record(MODEL)).split("\n")
    assert next(line for line in lines if " tied " in line).split()[-5:-1] == shown
    board[numbers] *= 1e-12
    assert "e-" in text_of(board, record(MODEL))


def test_of_few_test_molecules_there_are_no_intervals(board):
    bare = {"what": "minimol", "value": 0.9, "low": None, "high": None}
    text = text_of(board, record(bare, n=4))
    assert "The test molecules are too few for intervals" in text
    assert "95 %\n" not in text.split("test:")[1]
    assert "undefined" in text_of(board, record({**bare, "value": None}, n=4))


def test_a_terminal_is_coloured_and_a_pipe_is_not(board):
    assert "\x1b[" in text_of(board, record(MODEL), colour=True)
    assert "\x1b[" not in text_of(board, record(MODEL))
