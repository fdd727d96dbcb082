import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest

from molrate import evidence
from molrate.evaluation.comparison import evaluate
from molrate.evaluation.results import read_results
from molrate.evidence import agreement_table, evidence_notes


def test_the_shipped_table_is_that_of_the_shipped_rows():
    found = evaluate(read_results()).table
    shipped = agreement_table()
    assert found["predictor"].tolist() == shipped["predictor"].tolist()
    assert found["dataset"].tolist() == shipped["dataset"].tolist()
    for column in ("weighted tau", "tau", "pearson", "regret", "low", "high", "lead_low"):
        assert found[column].tolist() == pytest.approx(shipped[column].tolist(), abs=1e-6, nan_ok=True)


def test_the_page_of_the_study_is_made_from_the_shipped_rows():
    path = Path(__file__).parents[1] / "benchmarks" / "evidence_page.py"
    spec = importlib.util.spec_from_file_location("evidence_page", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    number = r"-?\d+\.\d+"
    texts = module.page(), module.PAGE.read_text(encoding="utf-8")
    made, there = (" ".join(text.split()) for text in texts)
    assert re.split(number, made) == re.split(number, there)
    # Another machine may round another way.
    numbers = [list(map(float, re.findall(number, text))) for text in (made, there)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.011)


@pytest.fixture
def table(monkeypatch):
    rows = [
        ("transrate", "a", 0.5, 0.1),
        ("transrate", "b", 0.7, 0.0),
        ("transrate", "mean", 0.6, 0.05),
        ("transrate (value)", "mean", -0.2, 0.3),
        ("logme", "mean", 0.4, 0.1),
        ("ridge", "mean", 0.3, 0.1),
        ("knn", "mean", 0.1, 0.1),
    ]
    frame = pd.DataFrame(rows, columns=["predictor", "dataset", "weighted tau", "regret"])
    frame = frame.assign(encoders=12, low=0.2, high=0.9)
    frame["regret of best of 3"] = frame["regret"] / 5
    monkeypatch.setattr(evidence, "agreement_table", lambda: frame)


def test_a_measure_says_how_far_it_went(table):
    (note,) = evidence_notes(["transrate"], "excess")
    assert "transrate by excess ordered the 12 networks" in note
    assert "weighted tau of 0.60 (95 % 0.20 to 0.90" in note
    assert (
        "a 0.50, b 0.70. The first of its order lost 5% to the best, the best of its first three 1%" in note
    )
    (raw,) = evidence_notes(["transrate"], "value")
    assert "weighted tau of -0.20" in raw


@pytest.mark.parametrize(("measure", "rank_by"), [("transrate", "z"), ("mine", "excess")])
def test_what_was_not_measured_is_not_claimed(table, measure, rank_by):
    (note,) = evidence_notes([measure], rank_by)
    assert note.startswith(f"{measure} by {rank_by} was not compared with fine-tuning")
    assert note.endswith("how far to trust it is not known.")


def test_settings_of_a_ranking_that_were_not_studied_are_named(table):
    _, note = evidence_notes(["transrate"], "excess", ["--pooling", "--layer"])
    assert note.endswith("how far the order holds with --pooling, --layer it does not say.")


def test_of_many_measures_the_best_are_named(table):
    (note,) = evidence_notes(["knn", "ridge", "logme", "transrate", "mine"], "excess")
    assert "transrate 0.60, logme 0.40, ridge 0.30 agreed best" in note
    assert "the least 0.10" in note
    (none,) = evidence_notes(["a", "b", "c", "d"], "excess")
    assert none == "None of these measures by excess was compared with fine-tuning."
    # What agreed by excess says nothing of other forms.
    (raw,) = evidence_notes(["knn", "ridge", "logme", "transrate"], "value")
    assert "transrate -0.20 agreed best" in raw
    assert "knn" not in raw.split("agreed")[0]


def test_a_ranking_carries_it():
    import molrate

    ranking = molrate.score("freesolv", encoders=["ecfp4", "rdkit-descriptors"])
    assert any(
        re.match(r"How far to trust it: transrate by excess ordered the \d+ networks", note)
        for note in ranking.notes
    )
    assert not any("does not say" in note for note in ranking.notes)
    pooled = molrate.score("freesolv", encoders=["ecfp4", "rdkit-descriptors"], pooling="max")
    assert any("--pooling it does not say" in note for note in pooled.notes)
