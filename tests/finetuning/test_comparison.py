"""A model beside its baselines, on the same test molecules."""

import numpy as np
import pytest

import molrate
from molrate.finetuning.comparison import (
    LEAST_MOLECULES,
    compare,
    comparison_table,
    describe_best,
    describe_comparison,
    describe_size,
)
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.tuning import tune


@pytest.fixture(scope="module")
def data():
    return TrainingData.of(molrate.load_dataset("freesolv").take(np.arange(200)))


def contenders(data, **errors):
    """Predictions that are off by normal errors, those of one contender apart from those of others."""
    rows = data.split.test
    truth = data.values[rows]
    return {
        name: (rows, truth + size * np.random.default_rng(place).normal(size=truth.shape))
        for place, (name, size) in enumerate(errors.items())
    }


def test_what_is_ahead_is_measured_on_the_same_draws_of_molecules(data):
    table = comparison_table(data, contenders(data, model=1.0, forest=0.2, mean=4.0))
    model, forest, mean = table["rows"]
    assert "ahead" not in model
    assert forest["ahead"] == pytest.approx(model["value"] - forest["value"])
    assert mean["ahead"] == pytest.approx(model["value"] - mean["value"])
    assert 0 < forest["ahead_low"] < forest["ahead"] < forest["ahead_high"]
    assert mean["ahead_high"] < 0


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({"model": 1.0, "forest": 0.2}, "Take forest instead: it is better on the same molecules, by 0."),
        ({"model": 1.0, "forest": 4.0}, ""),
    ],
)
def test_a_model_that_is_beaten_is_said_to_be(data, errors, said):
    sentence = describe_best(comparison_table(data, contenders(data, **errors)))
    assert sentence.startswith(said)
    assert bool(sentence) == bool(said)


def test_a_lead_that_may_be_chance_is_no_reason_to_change():
    forest = {"what": "forest", "ahead": 0.01, "ahead_low": -0.02, "ahead_high": 0.04}
    sentence = describe_best({"n": 40, "rows": [{"what": "model"}, forest]})
    assert (
        sentence
        == "Not clearly better than forest, which is ahead on the same molecules by 0.01 [-0.02, 0.04]."
    )


def test_molecules_are_drawn_and_counted_where_rows_repeat_them(data):
    dataset = data.dataset.take(np.repeat(np.arange(100), 4))
    repeated = TrainingData.of(dataset)
    distinct = repeated.split.test[::4]
    assert repeated.n_molecules(repeated.split.test.tolist()) == len(distinct) == len(repeated.split.test) / 4
    # Rows of a molecule are predicted alike, and so four of them tell no more than one.
    predicted = repeated.values + np.random.default_rng(0).normal(size=100).repeat(4)[:, None]
    whole, thinned = (
        comparison_table(repeated, {"model": (rows, predicted[rows])})
        for rows in (repeated.split.test, distinct)
    )
    assert whole["n"] == thinned["n"] == len(distinct)
    assert whole["n_rows"] == 4 * len(distinct)
    for name in ("value", "low", "high"):
        assert whole["rows"][0][name] == pytest.approx(thinned["rows"][0][name], rel=1e-9)
    assert f"{len(distinct)} molecules in {4 * len(distinct)} rows)" in describe_comparison(
        {**whole, "rows": whole["rows"] * 2}
    )
    assert describe_comparison({**thinned, "rows": whole["rows"] * 2}).endswith(f"{len(distinct)} molecules)")


def test_few_molecules_give_neither_intervals_nor_advice(data):
    predicted = contenders(data, model=1.0, forest=0.01)
    for n, sure in ((LEAST_MOLECULES - 1, False), (LEAST_MOLECULES, True)):
        table = comparison_table(data, {name: (own[:n], said[:n]) for name, (own, said) in predicted.items()})
        assert all(np.isfinite(row["low"]) == sure for row in table["rows"])
        assert bool(describe_best(table)) == sure
        written = {**table, "rows": [row | ({} if sure else {"low": None}) for row in table["rows"]]}
        assert ("9 molecules, too few for intervals" in describe_comparison(written)) != sure
    assert describe_size({"n": 1, "n_rows": 1}) == "1 molecule"


def test_a_model_is_compared_with_all_but_itself():
    data = TrainingData.of(molrate.load_dataset("freesolv").take(np.arange(60)))
    transfer = Transfer()
    for kind, beside in (("forest", []), ("linear", ["forest on ecfp4"])):
        config = FinetuningConfig(estimators=(kind,))
        tuned = tune(data, molrate.load_encoder("ecfp4"), config, transfer, device="cpu")
        rows = compare(data, "ecfp4", tuned, config, transfer)["rows"]
        assert [row["what"] for row in rows] == ["ecfp4", "forest on rdkit-descriptors", *beside, "the mean"]


def test_a_frozen_encoder_stands_beside_its_linear_head():
    data = TrainingData.of(molrate.load_dataset("freesolv").take(np.arange(40)))
    transfer, config = Transfer(frozen=True), FinetuningConfig(n_epochs=1, n_hidden=4)
    tuned = tune(data, molrate.load_encoder("gcn-untrained"), config, transfer, device="cpu")
    rows = compare(data, "gcn-untrained", tuned, config, transfer)["rows"]
    assert [row["what"] for row in rows][:2] == ["gcn-untrained", "its linear head alone"]
