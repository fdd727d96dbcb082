from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from molrate.benchmarking.agreement import weighted
from molrate.benchmarking.comparison import (
    RANDOM,
    agreement_of_halves,
    attainable_tau,
    evaluate,
    leave_out,
    one_finetuning,
    standard_errors_behind,
)
from molrate.benchmarking.read import DatasetOutcome, read_results

ENCODERS = [f"network-{number}" for number in range(6)]


def outcome(name, truth, n_encoders=None, **predictors):
    n = len(truth)
    encoders = [f"e{number}" for number in range(n)]
    values = {key: np.asarray(value, dtype=float) for key, value in predictors.items()}
    truth = np.asarray(truth, dtype=float)[:, None]
    return DatasetOutcome(
        name, "auroc", encoders, ["f"] * n, [0], truth, truth, truth[:, 0], values, {}, 1.0, pd.DataFrame()
    )


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
    row = evaluate(twin).means().set_index("predictor").loc["twin"]
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


def test_halves_of_the_seeds_agree_or_not(results):
    dataset = read_results(results)[0]
    assert agreement_of_halves(dataset) == pytest.approx(1)
    noisy = dataset.truth.copy()
    noisy[:, 1] = noisy[::-1, 0]
    assert agreement_of_halves(replace(dataset, truth=noisy)) < -0.9
    assert np.isnan(agreement_of_halves(replace(dataset, truth=dataset.truth[:, :1])))


def test_leaving_out(results):
    table = leave_out(read_results(results), "transrate", "encoders")
    assert table["left out"].tolist()[0] == "nothing"
    assert sorted(table["left out"][1:]) == ENCODERS
    assert table["encoders"].tolist() == [6, 5, 5, 5, 5, 5, 5]
    np.testing.assert_allclose(table["weighted tau"], 1)
    families = leave_out(read_results(results), "transrate", "families")["weighted tau"]
    assert families[0] == pytest.approx(1)
    assert np.isnan(families[1:]).all()


def test_leaving_out_the_one_that_made_the_order():
    score = [9, 3, 2, 1, 0]
    table = leave_out([outcome("a", [9, 0, 1, 2, 3], score=score)], "score", "encoders")
    assert table["left out"].iloc[1] == "e0"
    assert table["weighted tau"].iloc[1] == pytest.approx(-1)


def test_no_mean_over_datasets_that_keep_too_few():
    small, large = (
        outcome("s", np.arange(3.0), score=np.arange(3.0)),
        outcome("l", np.arange(6.0), score=np.ones(6)),
    )
    table = leave_out([small, large], "score", "encoders").set_index("left out")
    assert np.isnan(table.loc["e0", "weighted tau"])
    assert table.loc["e5", "weighted tau"] == pytest.approx(0.5)


def test_random_orders_are_the_same_in_all_datasets():
    """Size orders every dataset alike: so do the orders it is compared with."""
    same = [outcome(name, np.arange(8.0), score=np.arange(8.0)) for name in "abcd"]
    several = evaluate(same).means().set_index("predictor").loc[RANDOM]
    single = evaluate(same[:1]).means().set_index("predictor").loc[RANDOM]
    assert several["low"] == pytest.approx(single["low"], abs=0.05)


def repeated(truth, validation=None):
    """Outcome of several seeds, the columns of `truth`."""
    truth = np.asarray(truth, dtype=float)
    validation = truth if validation is None else np.asarray(validation, dtype=float)
    seeds = list(range(truth.shape[1]))
    return replace(outcome("a", truth[:, 0], x=truth[:, 0]), truth=truth, validation=validation, seeds=seeds)


def test_attainable_agreement_falls_with_the_noise_of_the_truth():
    means = np.linspace(0.6, 0.9, 8)[:, None]
    noise = np.random.default_rng(0).standard_normal((8, 3))
    taus = [attainable_tau(repeated(means + scale * noise)) for scale in (0, 0.02, 0.2)]
    assert taus[0] == pytest.approx(1)
    assert taus[0] > taus[1] > taus[2] > 0
    assert np.isnan(attainable_tau(repeated(means)))


def test_attainable_agreement_is_what_a_repetition_of_the_study_reaches():
    generator = np.random.default_rng(1)
    means = np.linspace(0.6, 0.9, 10)[:, None]
    found, stated = [], []
    for _ in range(150):
        first, second = means + 0.05 * generator.standard_normal((2, 10, 3))
        found.append(weighted(means[:, 0], first.mean(axis=1)))
        stated.append(attainable_tau(repeated(second)))
    # The means of the rows stand for the true ones and are a little further apart than these.
    assert np.mean(stated) == pytest.approx(np.mean(found), abs=0.06)


def test_one_finetuning_is_judged_by_the_other_seeds():
    truth = [[0.9, 0.9], [0.8, 0.8], [0.7, 0.7]]
    assert one_finetuning(repeated(truth)) == pytest.approx((1, 0))
    tau, lost = one_finetuning(repeated(truth, [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]))
    assert (tau, lost) == pytest.approx((-1, 2 / 9))
    assert np.isnan(one_finetuning(repeated(truth, np.full((3, 2), np.nan)))).all()


def test_a_choice_is_behind_by_paired_standard_errors():
    # Differences of 0.1, 0.2 and 0.3: a mean of 0.2, and a standard error of 0.1 / sqrt(3).
    trial = repeated([[0.9, 0.9, 0.9], [0.8, 0.7, 0.6]])
    assert standard_errors_behind(np.array([0, 1]), trial) == pytest.approx(0.2 / (0.1 / np.sqrt(3)))
    assert standard_errors_behind(np.array([1, 0]), trial) == 0
