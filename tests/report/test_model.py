"""The page of a fitted model."""

import numpy as np
import pandas as pd
import pytest
from report.document import Document, data_of, rows_of
from report.hostile import CLASSES, COLUMN, SCRIPT

from molrate.data.datasets import Dataset, load_dataset
from molrate.data.parts import read_split_column
from molrate.data.quotes import secrets_of
from molrate.errors import InputError
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.data import TrainingData
from molrate.finetuning.finetune import run_finetuning
from molrate.models.model import TunedModel
from molrate.report.model import model_page
from molrate.selection.select import select


def blocks_of(page, key):
    return next(section.blocks for section in page.shown if section.key == key)


def test_the_parity_plot_is_of_the_test_part_and_of_the_error_reported(model_number_page, number_model):
    model, data = number_model
    chart = next(block for block in blocks_of(model_number_page, "errors") if block.kind == "chart")
    drawn = rows_of(chart.spec, 1)
    test = model.record["split"]["test"]
    assert sorted(row["x"] for row in drawn) == pytest.approx(sorted(data.values[test, 0]))
    rmse = np.sqrt(np.mean([(row["x"] - row["y"]) ** 2 for row in drawn]))
    assert rmse == pytest.approx(model.record["metrics"]["test"]["by_target"][COLUMN]["rmse"])


def test_figures_beside_baselines_are_those_of_the_record(model_number_page, number_model):
    rows = number_model[0].record["comparison"]["rows"]
    chart = blocks_of(model_number_page, "metrics")[0]
    drawn = rows_of(chart.spec, 1)
    assert [(row["label"], row["value"]) for row in drawn] == [(row["what"], row["value"]) for row in rows]
    assert [row["series"] for row in drawn] == ["model"] + ["baseline"] * (len(rows) - 1)


def test_classes_have_a_curve_and_a_calibration(model_class_page, class_model):
    model, _ = class_model
    roc, calibration = blocks_of(model_class_page, "test")
    assert f"AUROC {model.record['metrics']['test']['by_target'][COLUMN]['auroc']:.3f}" in roc.caption
    assert len(calibration.numbers.rows) >= 1
    assert any(CLASSES[1] in block.caption for block in (roc, calibration))


def test_names_are_text_on_these_pages_too(model_number_page, model_class_page):
    for page in (model_number_page, model_class_page):
        html = page.to_html()
        document = Document(html)
        assert "<script>document.title" not in html
        assert not document.named("b")
        assert COLUMN in "".join(document.text)
    assert SCRIPT in "".join(Document(model_number_page.to_html()).text)


def test_without_structures_no_molecule_is_named(number_model):
    model, data = number_model
    html = model_page(model, data, structures=False).to_html()
    text = "".join(Document(html).text) + str(data_of(html, "specs"))
    assert not [
        secret for secret in secrets_of(data.dataset, data.molecules) if len(secret) > 4 and secret in text
    ]
    assert data_of(html, "structures") == {}


def test_a_race_has_its_leaderboard(surroundings, number_model, tmp_path):
    _, data = number_model
    found = select(data.dataset, output=tmp_path / "m", encoders=["ecfp4"], max_jobs=1)
    page = model_page(found.model, data, selection=found)
    chart = blocks_of(page, "race")[1]
    assert [row[0] for row in chart.numbers.rows] == found.leaderboard["model"].tolist()
    assert found.answer in "".join(Document(page.to_html()).text)


def test_a_test_part_of_one_class_has_a_page_without_curves(surroundings, tmp_path):
    rows = range(1, 61)
    frame = pd.DataFrame({"smiles": ["C" * n + "O" for n in rows], "y": ["active", "inactive"] * 30})
    frame["part"] = ["train"] * 40 + ["validation"] * 8 + ["test", ""] * 6
    data = TrainingData.of(Dataset.from_frame(frame, "y"), assignment=read_split_column(frame, "part"))
    run_finetuning(data, "ecfp4", tmp_path / "m", FinetuningConfig(estimators=("linear",)))
    model = TunedModel.load(tmp_path / "m")
    page = model_page(model, data)
    keys = [section.key for section in page.shown]
    assert "test" not in keys
    assert {"verdict", "metrics", "data", "errors"} <= set(keys)
    assert "gives no AUROC" in "".join(Document(page.to_html()).text)
    with pytest.raises(InputError, match="no target has measured molecules that can be predicted, of every"):
        model.plot_parity(data.dataset.take(data.split.test))


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["t0", "t1", "t2", "t3", "t4"], "Of 5 targets, the first 3 are shown."),
        (["class"], "Of 6 classes, the first 3 are shown."),
    ],
)
def test_what_a_page_has_no_room_for_is_said(targets, said, tmp_path):
    smiles = ["C" * n + end for n in range(1, 31) for end in ("O", "N", "F")]
    table = pd.DataFrame({"smiles": smiles, "class": [f"c{row % 6}" for row in range(len(smiles))]})
    table[["t0", "t1", "t2", "t3", "t4"]] = np.random.default_rng(0).normal(size=(len(smiles), 5))
    table.to_csv(tmp_path / "t.csv", index=False)
    data = TrainingData.of(load_dataset(tmp_path / "t.csv", targets))
    run_finetuning(data, "ecfp4", tmp_path / "m", FinetuningConfig(estimators=("linear",)))
    page = model_page(TunedModel.load(tmp_path / "m"), data)
    assert said in "".join(Document(page.to_html()).text)
    if len(targets) > 1:
        rows = blocks_of(page, "metrics")[-1].rows
        assert [row[1] for row in rows[:6]] == ["mean, errors in spreads in training", *targets]
