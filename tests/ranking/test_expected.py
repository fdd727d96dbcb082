"""Expected errors on predictions of which all is known."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from molrate.data.targets import Target
from molrate.measures.leave_one_out import decompose, leave_one_out
from molrate.measures.residuals import Residuals
from molrate.measures.tangent import tangent_rows
from molrate.ranking import expected
from molrate.ranking.candidates import Candidate, Gradients, ScoredTarget
from molrate.ranking.expected import expectations_of, guess_of, performance_of, related
from molrate.ranking.forecasts import Relation
from molrate.statistics.resampling import make_resampling

N = 80


def of_errors(errors, groups=None):
    rows = np.arange(len(errors)) if groups is None else np.asarray(groups)
    return performance_of(Residuals(np.asarray(errors)[:, None], np.ones((len(errors), 1)), rows))


def of_scores(scores, codes):
    zeros = np.zeros((len(codes), 1))
    return performance_of(Residuals(zeros, zeros, np.arange(len(codes)), codes, scores))


def jackknife_error(values, statistic):
    n = len(values)
    deleted = np.array([statistic(np.delete(values, row, axis=0)) for row in range(n)])
    return np.sqrt((n - 1) / n * ((deleted - deleted.mean()) ** 2).sum())


def test_errors_are_root_mean_squares_and_move_as_the_jackknife_says():
    errors = np.random.default_rng(0).normal(size=N)
    performance = of_errors(errors)
    assert performance.value == pytest.approx(np.sqrt((errors**2).mean()))
    by_deletion = jackknife_error(errors, lambda kept: np.sqrt((kept**2).mean()))
    assert performance.error == pytest.approx(by_deletion, rel=0.02)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_areas_are_those_of_scikit_learn_and_move_as_the_jackknife_says(n_classes):
    generator = np.random.default_rng(1)
    codes = np.arange(N) % n_classes
    scores = np.round(np.eye(n_classes)[codes] + generator.normal(size=(N, n_classes)), 1)
    if n_classes == 2:
        scores = np.c_[-scores[:, 1], scores[:, 1]]

    def area(table):
        own, columns = table[:, 0].astype(int), table[:, 1:]
        sides = [1] if n_classes == 2 else range(n_classes)
        return np.mean([roc_auc_score(own == code, columns[:, code]) for code in sides])

    table = np.c_[codes, scores]
    performance = of_scores(scores, codes)
    assert performance.value == pytest.approx(area(table))
    assert performance.error == pytest.approx(jackknife_error(table, area), rel=0.05)


def test_intervals_cover_and_stay_where_values_can_be():
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        low, high = of_errors(generator.normal(size=30)).interval()
        covered += low <= 1 <= high
    assert 0.9 <= covered / 400 <= 0.98
    codes = np.repeat([0, 1], 8)
    scores = codes + 0.01 * np.arange(16)[::-1]
    scores[0] = 2.0
    low, high = of_scores(np.c_[-scores, scores], codes).interval()
    assert 0 < low < 1 - 1 / 8 < high < 1


def test_what_two_candidates_share_cancels_in_their_difference():
    generator = np.random.default_rng(3)
    shared = generator.normal(size=N)
    one, other = of_errors(shared), of_errors(1.1 * shared)
    gain, low, high = one.gain_over(other)
    assert gain == pytest.approx(0.1 * one.value)
    assert 0 < low < gain < high
    assert other.gain_over(one)[0] == pytest.approx(-gain)
    # On their own the two overlap.
    assert one.interval()[1] > other.interval()[0]


def test_what_forecasts_miss_is_in_their_intervals_and_gains():
    generator = np.random.default_rng(7)
    shared = generator.normal(size=4000)
    baseline, exact = of_errors(shared), of_errors(0.9 * shared)
    forecast = replace(exact, scatter=0.2)
    low, high = forecast.interval()
    # Among so many molecules nothing else is left.
    assert np.log([low / forecast.value, high / forecast.value]) == pytest.approx([-0.39, 0.39], abs=0.01)
    assert exact.gain_over(baseline, forecast=True) == exact.gain_over(baseline)
    gain, low, high = forecast.gain_over(baseline, forecast=True)
    assert gain == pytest.approx(0.1 * baseline.value)
    assert (high - low) / 2 == pytest.approx(1.96 * 0.2 * forecast.value, rel=0.01)
    assert forecast.gain_over(baseline) == exact.gain_over(baseline)


def test_rows_of_a_molecule_are_one_draw():
    errors = np.random.default_rng(4).normal(size=N)
    alone = of_errors(errors)
    twice = of_errors(np.repeat(errors, 2), np.repeat(np.arange(N), 2))
    assert twice.value == pytest.approx(alone.value)
    assert twice.error == pytest.approx(alone.error)


def test_a_relation_is_a_power_and_says_nothing_of_features_that_say_nothing():
    errors = np.random.default_rng(5).normal(size=N)
    frozen, guess = of_errors(0.5 * errors), of_errors(errors)
    better = related(frozen, guess, Relation(2.0, 0.1, 4, 10))
    assert better.value == pytest.approx(0.25 * guess.value)
    assert better.interval()[0] < better.value < better.interval()[1]
    # The relation's own scatter widens it.
    exact = replace(better, scatter=0.0).interval()
    assert better.interval()[0] < exact[0]
    assert related(frozen, guess, Relation(0.5, 0.1, 4, 10)).value == pytest.approx(0.5**0.5 * guess.value)
    assert related(guess, guess, Relation(2.0, 0.1, 4, 10)).value == pytest.approx(guess.value)


@pytest.fixture
def drawn():
    generator = np.random.default_rng(6)
    features = generator.normal(size=(N, 4))
    values = features @ [1.0, 1.0, 0.0, 0.0] + 0.5 * generator.normal(size=N)
    target = ScoredTarget(
        Target("y", "regression", values), np.arange(N), make_resampling(values, "regression")
    )
    return features, values, target


def test_expectations_are_those_of_leave_one_out_ridge(drawn, monkeypatch):
    monkeypatch.setattr(expected, "relation_of", lambda measure, *_: Relation(1.5, 0.2, 4, 10))
    features, values, target = drawn
    candidates = [
        Candidate("network", "last", features, "pretrained", trainable=True),
        Candidate("bits", "bits", features[:, :1], "baseline"),
        Candidate("constant", "last", np.ones((N, 3)), "pretrained", trainable=True),
    ]
    found = expectations_of(candidates, [target])
    assert set(found.by_candidate) == {("y", "network", "last"), ("y", "bits", "bits")}
    network, bits = found.by_candidate["y", "network", "last"], found.by_candidate["y", "bits", "bits"]
    assert network.frozen.value == pytest.approx(leave_one_out(features, values, "regression").rmse)
    guess = found.guesses["y"]
    assert guess.value == pytest.approx(values.std() * N / (N - 1))
    assert network.related
    assert network.best.value == pytest.approx((network.frozen.value / guess.value) ** 1.5 * guess.value)
    assert bits.finetuned is None
    # What a comparison is decided by is judged on these molecules.
    assert network.measured is network.frozen
    columns = network.columns()
    assert (columns["metric"], columns["finetuned_from"]) == ("rmse", "study")
    assert columns["frozen_low"] < columns["frozen"] < columns["frozen_high"]
    assert "finetuned" not in bits.columns()
    assert found.beat_guessing("y")


@pytest.mark.parametrize("power", [1.0, 1.3, 0.9])
def test_gradients_are_judged_by_linearised_fine_tuning_on_these_molecules(drawn, monkeypatch, power):
    relations = {"loo": Relation(2.0, 0.1, 4, 10), "tangent": Relation(power, 0.2, 4, 10)}
    monkeypatch.setattr(expected, "relation_of", lambda measure, *_: relations[measure])
    features, values, target = drawn
    sketches = np.c_[values, features]
    gradients = {("network", "last"): Gradients(sketches, 0.0)}
    candidates = [
        Candidate("network", "last", features, "pretrained", trainable=True),
        Candidate("network", "first", features, "pretrained", trainable=True),
    ]
    judged = expectations_of(candidates, [replace(target, make_gradients=lambda **_: gradients)])
    found, guess = judged.by_candidate, judged.guesses["y"].value
    tuned, other = found["y", "network", "last"], found["y", "network", "first"]
    assert not tuned.related
    assert tuned.measured is tuned.finetuned
    errors = tangent_rows(features, sketches)
    kernel = decompose(errors, np.arange(N))
    left_out, _ = kernel.least_errors(values[:, None], 1)
    by_tangent = np.sqrt((left_out**2).mean())
    assert tuned.finetuned.value == pytest.approx((by_tangent / guess) ** power * guess)
    assert tuned.finetuned.scatter == 0.2
    assert tuned.finetuned.value < tuned.frozen.value
    assert tuned.columns()["finetuned_from"] == "tangent"
    # A layer below the last has no gradients.
    assert other.finetuned is None or other.related


def test_fine_tuning_is_expected_to_be_no_worse_than_frozen(drawn, monkeypatch):
    monkeypatch.setattr(expected, "relation_of", lambda *_: Relation(0.8, 0.2, 4, 10))
    features, _, target = drawn
    noise = np.random.default_rng(5).normal(size=(N, 300))
    gradients = {("network", "last"): Gradients(noise, 0.0)}
    candidates = [Candidate("network", "last", features, "pretrained", trainable=True)]
    found = expectations_of(candidates, [replace(target, make_gradients=lambda **_: gradients)]).by_candidate
    tuned = found["y", "network", "last"]
    assert tuned.finetuned.value == tuned.frozen.value
    assert not tuned.related


def test_without_the_study_nothing_is_said_of_fine_tuning(drawn, monkeypatch):
    monkeypatch.setattr(expected, "relation_of", lambda *_: None)
    features, _, target = drawn
    found = expectations_of([Candidate("network", "last", features, trainable=True)], [target])
    only = found.by_candidate["y", "network", "last"]
    assert only.finetuned is None
    assert only.best is only.frozen


def test_luck_of_many_candidates_is_no_signal():
    generator = np.random.default_rng(7)
    values = generator.normal(size=N)
    target = ScoredTarget(
        Target("y", "regression", values), np.arange(N), make_resampling(values, "regression")
    )
    draws = []
    for _ in range(10):
        noise = [Candidate(f"c{place}", "last", generator.normal(size=(N, 3))) for place in range(10)]
        draws.append(expectations_of(noise, [target]).beat_guessing("y"))
    assert sum(draws) <= 2
    assert expectations_of([], [target]).beat_guessing("y") is None


def test_a_guess_has_half_the_area():
    codes = np.arange(20) % 2
    zeros = np.zeros((20, 1))
    guess = guess_of(Residuals(zeros, zeros, np.arange(20), codes, np.zeros((20, 2))))
    assert (guess.metric, guess.value, guess.error) == ("auroc", 0.5, 0.0)
