"""Out-of-bag errors of forests on features of which all is known."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from molrate.data.targets import Target
from molrate.measures.sample import make_sample
from molrate.ranking.candidates import Candidate, ScoredTarget
from molrate.ranking.expected import expectations_of, guess_of, performance_of
from molrate.ranking.forest import forest_residuals
from molrate.statistics.resampling import make_resampling

N = 150


def features_of(seed, n=N, d=6):
    return np.random.default_rng(seed).normal(size=(n, d))


def judge(features, labels, task="regression", groups=None):
    residuals = forest_residuals(make_sample(features, labels, task, groups=groups))
    return performance_of(residuals), guess_of(residuals)


def test_the_error_is_that_of_cross_validation():
    features = features_of(0)
    values = 3 * np.abs(features[:, 0]) + features[:, 1] * features[:, 2]
    expected, _ = judge(features, values)
    trees = RandomForestRegressor(100, max_features=2, random_state=0)
    left_out = cross_val_predict(trees, features, values, cv=10)
    assert expected.value == pytest.approx(np.sqrt(np.mean((values - left_out) ** 2)), rel=0.1)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_area_is_that_of_cross_validation(n_classes):
    features = features_of(1)
    codes = np.digitize(np.abs(features[:, 0]), [0.7, 1.2][: n_classes - 1])
    expected, _ = judge(features, codes, "classification")
    trees = RandomForestClassifier(100, random_state=0)
    left_out = cross_val_predict(trees, features, codes, cv=10, method="predict_proba")
    of_scikit = roc_auc_score(codes, left_out[:, 1] if n_classes == 2 else left_out, multi_class="ovr")
    assert expected.value == pytest.approx(of_scikit, abs=0.04)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_noise_is_not_predicted_nor_its_opposite(task):
    seen = []
    for seed in range(8):
        labels = np.random.default_rng(100 + seed).normal(size=N)
        expected, guess = judge(features_of(seed), labels > 0 if task == "classification" else labels, task)
        seen.append((expected.value - guess.value) / guess.value)
    # An area below one half would be the label that was left out, told by what is left.
    assert abs(np.mean(seen)) < 0.08


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_rows_of_a_molecule_do_not_vouch_for_each_other(task):
    molecules, shares, told_apart = np.repeat(np.arange(N), 3), [], []
    for seed in range(6):
        labels = np.random.default_rng(200 + seed).normal(size=N)
        repeated = np.repeat(labels > 0 if task == "classification" else labels, 3)
        features = np.repeat(features_of(seed), 3, axis=0)
        expected, guess = judge(features, repeated, task, molecules)
        shares.append(expected.loss / guess.loss)
        told_apart.append(judge(features, repeated, task)[0].loss / guess.loss)
    assert np.mean(shares) > 0.92
    assert np.mean(told_apart) < 0.7


def test_molecules_count_by_their_rows():
    features, values = features_of(4), features_of(4)[:, 0] ** 2
    times = np.random.default_rng(0).integers(1, 4, N)
    expected, _ = judge(
        np.repeat(features, times, axis=0), np.repeat(values, times), groups=np.repeat(np.arange(N), times)
    )
    assert len(expected.moves) == N
    assert expected.value == pytest.approx(judge(features, values)[0].value, rel=0.25)


@pytest.mark.parametrize(("scale", "offset"), [(1e-9, 0.0), (1.0, 1e6), (1e12, -1e15)])
def test_unit_and_offset_of_a_target_do_not_matter(scale, offset):
    features = features_of(5)
    values = np.round(np.abs(features[:, 0]), 3)
    moved, _ = judge(features, offset + scale * values)
    # Of splits that are equally good rounding takes one.
    assert moved.value == pytest.approx(scale * judge(features, values)[0].value, rel=0.02)


def scored(values):
    resampling = make_resampling(values, "regression")
    target = Target("y", "regression", values)
    return ScoredTarget(target, np.arange(len(values)), resampling)


@pytest.mark.parametrize(("kind", "trainable"), [("baseline", False), ("pretrained", False)])
def test_what_has_nothing_to_train_is_read_by_a_forest_where_that_is_better(kind, trainable):
    features = features_of(6)
    curved, straight = np.abs(features[:, 0]), features @ np.arange(6.0)
    for values, model in ((curved, "forest"), (straight, "loo")):
        candidate = Candidate("fingerprint", "bits", features, kind, trainable=trainable)
        expected = expectations_of([candidate], [scored(values)]).by_candidate["y", "fingerprint", "bits"]
        assert expected.columns()["frozen_from"] == model
        assert (
            expected.frozen.value
            <= performance_of(forest_residuals(make_sample(features, values, "regression"))).value
        )


@pytest.mark.parametrize(("kind", "trainable"), [("features", False), ("pretrained", True)])
def test_networks_and_given_features_are_read_by_a_linear_model(kind, trainable):
    features = features_of(6)
    candidate = Candidate("network", "last", features, kind, trainable=trainable)
    expected = expectations_of([candidate], [scored(np.abs(features[:, 0]))]).by_candidate[
        "y", "network", "last"
    ]
    assert expected.columns()["frozen_from"] == "loo"
