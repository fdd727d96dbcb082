import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest

from molrate import paths
from molrate.benchmarking.comparison import evaluate
from molrate.benchmarking.read import read_results
from molrate.benchmarking.summary import to_markdown
from molrate.measures.base import DEFAULT_MEASURE
from molrate.ranking import evidence
from molrate.ranking.evidence import agreement_table, evidence_notes


def test_the_shipped_tables_are_those_of_the_shipped_rows():
    evaluation = evaluate(read_results(exclude_contaminated=True))
    found, shipped = evaluation.table, agreement_table()
    assert found["predictor"].tolist() == shipped["predictor"].tolist()
    assert found["dataset"].tolist() == shipped["dataset"].tolist()
    for column in ("weighted tau", "tau", "pearson", "regret", "low", "high", "lead_low"):
        assert found[column].tolist() == pytest.approx(shipped[column].tolist(), abs=1e-6, nan_ok=True)
    summary = paths.shipped(paths.EVIDENCE) / "summary.md"
    assert_same(to_markdown(evaluation) + "\n", summary.read_text(encoding="utf-8"))


def test_pages_say_the_figures_of_the_shipped_rows(monkeypatch):
    path = Path(__file__).parents[2] / "benchmarks" / "evidence_page.py"
    monkeypatch.syspath_prepend(path.parent)
    spec = importlib.util.spec_from_file_location("evidence_page", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for page, text in module.texts().items():
        assert_same(text, page.read_text(encoding="utf-8"))


def assert_same(made, there):
    """But for the last digit of a number, which another machine may round another way, and for wrapping."""
    number = r"-?\d+(?:\.\d+)?"
    masked = [re.sub(number, "0", text).splitlines(keepends=True) for text in (made, there)]
    tables = [[line for line in lines if "|" in line] for lines in masked]
    assert tables[0] == tables[1]
    made, there = (" ".join(text.split()) for text in (made, there))
    assert re.split(number, made) == re.split(number, there)
    for one, other in zip(re.findall(number, made), re.findall(number, there), strict=True):
        assert float(one) == pytest.approx(float(other), abs=1.1 * 10.0 ** -len(other.partition(".")[2]))


def test_the_readme_says_how_far_the_default_went():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (note,) = evidence_notes([DEFAULT_MEASURE], "excess")
    shown = " ".join(readme.split())
    how_far = re.search(r"with a weighted tau of [^)]*\)", note).group()
    lost = re.search(r"The first of its order lost .* that validated best [\d.]+%", note).group()
    assert how_far in shown
    assert lost in shown


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/tutorial.md"])
def test_verdicts_that_pages_show_say_how_sure_as_rankings_do(page):
    shown = " ".join((Path(__file__).parents[2] / page).read_text(encoding="utf-8").split())
    assert evidence.how_sure(DEFAULT_MEASURE, "excess", metrics=["rmse"]) in shown


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
    frame["regret of kept of 3"] = frame["regret"] / 5
    monkeypatch.setattr(evidence, "agreement_table", lambda: frame)


def test_a_measure_says_how_far_it_went(table):
    (note,) = evidence_notes(["transrate"], "excess")
    assert "transrate by excess ordered up to 12 networks" in note
    assert "weighted tau of 0.60 (95 % 0.20 to 0.90" in note
    assert "a 0.50, b 0.70. The first of its order lost 5% to the best, the one of its" in note
    assert "first three that validated best 1%" in note
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

    encoders = ["ecfp4", "rdkit-descriptors"]
    ranking = molrate.score("freesolv", encoders=encoders)
    assert any(
        re.match(rf"How far to trust it: {DEFAULT_MEASURE} by excess ordered up to \d+ networks", note)
        for note in ranking.notes
    )
    assert not any("does not say" in note for note in ranking.notes)
    pooled = molrate.score("freesolv", encoders=encoders, pooling="max", common_dimension="none")
    assert any("--pooling, --common-dimension it does not say" in note for note in pooled.notes)


def test_how_sure_says_how_far_forecasts_were_off(monkeypatch):
    monkeypatch.setattr(evidence, "forecasts_off", lambda: {"auroc": 0.03, "rmse": 0.15})
    assert evidence.how_sure("logme", "excess").endswith(
        "Forecasts of fine-tuning were off by 3% in AUROC and 15% in RMSE."
    )
    monkeypatch.setattr(evidence, "forecasts_off", dict)
    assert "Forecasts" not in evidence.how_sure("logme", "excess")


def test_what_is_little_is_not_rounded_to_nothing(table, monkeypatch):
    for regret, said in ((0.0016, "0.2%"), (0.0003, "less than 0.1%"), (0.0, "0%")):
        frame = evidence.agreement_table().assign(regret=regret)
        monkeypatch.setattr(evidence, "agreement_table", lambda frame=frame: frame)
        assert f"was {said} worse than the best" in evidence.how_sure("transrate", "excess")
