import numpy as np
import pytest

from molrate.errors import UsageError
from molrate.models.calibration import calibrate, conformal_quantile, coverage_notes, uncertainty_columns
from molrate.models.head import Task


def test_quantiles_are_those_of_split_conformal_prediction():
    scores = [float(score) for score in range(1, 20)]
    assert conformal_quantile(scores, 0.9) == 18  # ceil(20 * 0.9)
    assert conformal_quantile(scores, 0.95) == 19
    assert conformal_quantile(scores, 0.96) == np.inf
    assert conformal_quantile([], 0.5) == np.inf


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_intervals_cover_new_molecules(level):
    generator = np.random.default_rng(0)
    task, covered = Task("regression", ("y",)), []
    for _ in range(300):
        values = generator.gamma(2, size=(81, 1))
        predicted = values + generator.standard_t(3, size=(81, 1))
        calibration = calibrate(task, values[:80], predicted[:80])
        columns = uncertainty_columns(task, predicted[80:], calibration, level)
        covered.append(columns["low_y"][0] <= values[80, 0] <= columns["high_y"][0])
    assert np.mean(covered) == pytest.approx(level, abs=0.06)


def test_label_sets_cover_new_molecules():
    generator = np.random.default_rng(1)
    task, covered = Task("multiclass", ("y",), (("a", "b", "c"),)), []
    for _ in range(300):
        predicted = generator.dirichlet([1, 1, 1], size=61)
        truth = np.array([generator.choice(3, p=row) for row in predicted], dtype=float)[:, None]
        calibration = calibrate(task, truth[:60], predicted[:60])
        labels = uncertainty_columns(task, predicted[60:], calibration, 0.9)["classes_y"][0].split("|")
        covered.append("abc"[int(truth[60, 0])] in labels)
    assert np.mean(covered) == pytest.approx(0.9, abs=0.06)


def test_several_targets_keep_their_labels_and_gaps():
    task = Task("binary", ("a", "b"), (("no", "yes"), ("off", "on")))
    values = np.array([[1, np.nan], [0, 1], [1, 0], [0, np.nan]], dtype=float)
    predicted = np.array([[0.9, 0.5], [0.2, 0.7], [0.6, 0.4], [0.5, 0.5]])
    calibration = calibrate(task, values, predicted)
    assert calibration == {"a": pytest.approx([0.1, 0.2, 0.4, 0.5]), "b": pytest.approx([0.3, 0.4])}
    columns = uncertainty_columns(task, np.array([[0.85, 0.5], [0.5, 0.1]]), calibration, 0.6)
    # a: the third smallest of four, 0.4; b: the second smallest of two, 0.4.
    assert columns["classes_a"].tolist() == ["yes", ""]
    assert columns["classes_b"].tolist() == ["", "off"]


def test_a_missing_prediction_has_no_bounds():
    task = Task("regression", ("y",))
    columns = uncertainty_columns(task, np.array([[np.nan], [1.0]]), {"y": [0.1] * 20}, 0.9)
    assert np.isnan(columns["low_y"][0])
    assert columns["high_y"][1] == pytest.approx(1.1)


def test_values_of_small_units_have_bounds_too():
    generator = np.random.default_rng(2)
    task, values = Task("regression", ("y",)), 1e-7 * generator.normal(size=(200, 1))
    predicted = values + 2e-8 * generator.normal(size=(200, 1))
    columns = uncertainty_columns(task, predicted[100:], calibrate(task, values[:100], predicted[:100]), 0.9)
    inside = (columns["low_y"] <= values[100:, 0]) & (values[100:, 0] <= columns["high_y"])
    assert inside.mean() > 0.8


@pytest.mark.parametrize("level", [0.0, 1.0, 90, -0.5, float("nan")])
def test_a_coverage_is_a_share(level):
    with pytest.raises(UsageError, match="a share between 0 and 1 is expected"):
        conformal_quantile([0.1, 0.2], level)


@pytest.mark.parametrize("n", [8, 9, 19, 98, 99])
def test_a_coverage_that_too_few_can_promise_is_named_with_what_they_can(n):
    scores = {"y": [1.0] * n}
    for level in (0.9, 0.95, 0.99):
        notes = coverage_notes(scores, level)
        assert bool(notes) == np.isinf(conformal_quantile(scores["y"], level))
        assert all(note.startswith(f"y: {n} held-out measurements") for note in notes)
    most = float(coverage_notes(scores, 0.999)[0].split(" bound ")[1].split(" %")[0]) / 100
    assert np.isfinite(conformal_quantile(scores["y"], most))
    assert np.isinf(conformal_quantile(scores["y"], most + 0.0015))
