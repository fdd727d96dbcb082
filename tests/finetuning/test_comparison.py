"""A model beside its baselines, on the same test molecules."""

import numpy as np
import pytest

import molrate
from molrate.finetuning.comparison import comparison_table, describe_best
from molrate.finetuning.data import TrainingData


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
    sentence = describe_best({"rows": [{"what": "model"}, forest]})
    assert (
        sentence
        == "Not clearly better than forest, which is ahead on the same molecules by 0.01 [-0.02, 0.04]."
    )
