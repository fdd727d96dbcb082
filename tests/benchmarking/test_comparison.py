from dataclasses import replace

import numpy as np
import pytest
from benchmarking.outcomes import outcome, repeated

from molrate.benchmarking.agreement import RANDOM, weighted
from molrate.benchmarking.comparison import evaluate, lead_over_one_finetuning
from molrate.benchmarking.read import read_results
from molrate.benchmarking.truth import (
    attainable_tau,
)

ENCODERS = [f"network-{number}" for number in range(6)]


def test_good_and_bad_predictors_are_told_apart(results):
    means = evaluate(read_results(results)).means().set_index("predictor")
    good, bad = means.loc["transrate"], means.loc["reversed"]
    assert good[["tau", "weighted tau", "pearson", "top-3 recall"]].to_numpy(dtype=float) == pytest.approx(1)
    assert good["regret"] == 0
    assert bad["tau"] == pytest.approx(-1)
    assert bad["top-3 recall"] == 0
    # The worst instead of the best: 0.6 instead of 0.85, and an error of 2 instead of 1.
    assert bad["regret"] == pytest.approx(((0.85 - 0.6) / 0.8505 + 1 / 1.0005) / 2, rel=1e-3)
    assert means.loc["size", "tau"] == pytest.approx(-1)
    assert good["low"] > 0.5
    assert bad["high"] < 0


def test_the_lead_is_paired(results):
    means = evaluate(read_results(results), "transrate").means().set_index("predictor")
    assert means.loc["transrate", ["lead", "lead_low", "lead_high"]].to_numpy(dtype=float) == pytest.approx(0)
    assert means.loc["reversed", "lead"] == pytest.approx(2)
    assert means.loc["reversed", "lead_low"] > 1
    # Equal scores have no lead however wide the interval of each.
    twin = [
        replace(outcome, predictors={**outcome.predictors, "twin": outcome.predictors["transrate"]})
        for outcome in read_results(results)
    ]
    row = evaluate(twin, "transrate").means().set_index("predictor").loc["twin"]
    assert row["lead_low"] == row["lead_high"] == 0


def test_intervals_are_those_of_a_bootstrap_written_out():
    generator = np.random.default_rng(5)
    outcomes = [outcome(name, generator.normal(size=12), score=generator.normal(size=12)) for name in "ab"]
    means = evaluate(outcomes).means().set_index("predictor").loc["score"]
    taus = []
    for _ in range(2000):
        rows = generator.integers(0, 12, 12)
        drawn = [weighted(of.predictors["score"][rows], of.mean_truth[rows]) for of in outcomes]
        taus.append(np.mean([drawn[index] for index in generator.integers(0, 2, 2)]))
    np.testing.assert_allclose(
        means[["low", "high"]].to_numpy(float), np.quantile(taus, (0.025, 0.975)), atol=0.06
    )


def test_datasets_with_different_encoders_share_draws():
    outcomes = [
        outcome("a", np.arange(8.0), score=np.arange(8.0)),
        outcome("b", np.arange(5.0), score=np.arange(5.0)),
    ]
    row = evaluate(outcomes).means().set_index("predictor").loc["score"]
    assert row["weighted tau"] == pytest.approx(1)
    assert 0.4 < row["low"] <= row["high"] <= 1 + 1e-12


def test_a_random_order_stands_for_what_chance_gives(results):
    evaluation = evaluate(read_results(results))
    row = evaluation.means().set_index("predictor").loc[RANDOM]
    assert row["weighted tau"] == 0
    assert row["top-3 recall"] == 0.5
    truths = [outcome.mean_truth for outcome in evaluation.outcomes]
    expected = np.mean([(truth.max() - truth.mean()) / abs(truth.max()) for truth in truths])
    assert row["regret"] == pytest.approx(expected)
    assert -1 <= row["low"] < -0.3 < 0.3 < row["high"] <= 1


def test_random_orders_are_the_same_in_all_datasets():
    """Size orders every dataset alike: so do the orders it is compared with."""
    same = [outcome(name, np.arange(8.0), score=np.arange(8.0)) for name in "abcd"]
    several = evaluate(same).means().set_index("predictor").loc[RANDOM]
    single = evaluate(same[:1]).means().set_index("predictor").loc[RANDOM]
    assert several["low"] == pytest.approx(single["low"], abs=0.05)


def test_the_share_of_what_can_be_attained(results):
    outcomes = read_results(results)
    share = evaluate(outcomes).means().set_index("predictor")["share"]
    attainable = np.mean([attainable_tau(one) for one in outcomes])
    assert share["transrate"] == pytest.approx(1 / attainable)
    assert np.isnan(evaluate([outcome("a", [1, 2, 3], x=[1, 2, 3])]).means()["share"].iloc[0])


def test_a_score_is_compared_with_one_finetuning():
    truth = np.linspace(0.6, 0.9, 8)[:, None] + np.zeros((8, 3))
    reversed_once = repeated(truth, validation=-truth)
    ahead, low, high = lead_over_one_finetuning([reversed_once], "x")
    assert (ahead, low, high) == pytest.approx((2, 2, 2))
    assert lead_over_one_finetuning([repeated(truth)], "x") == pytest.approx((0, 0, 0))
    noise = 0.2 * np.random.default_rng(0).standard_normal((2, 8, 3))
    ahead, low, high = lead_over_one_finetuning([repeated(truth + noise[0], truth + noise[1])], "x")
    assert low < ahead < high
    assert np.isnan(lead_over_one_finetuning([outcome("a", [1, 2, 3], x=[1, 2, 3])], "x")).all()
