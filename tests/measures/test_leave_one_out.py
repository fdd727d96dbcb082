"""Leave-one-out ridge against fits without each molecule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, REGRESSED, drawn, plain, rotation
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from molrate.errors import InputError
from molrate.measures import leave_one_out, loo, make_sample
from molrate.measures.leave_one_out import PENALTIES, LeaveOneOut, decompose
from molrate.measures.rowspace import bounded_rows
from molrate.statistics.intervals import estimate


def fits_without_each(rows, columns, groups, penalty):
    """Predictions, and means of what was fitted, shape (2, n, m), by a fit for every group."""
    scaled = rows - rows.mean(axis=0)
    scaled *= np.sqrt(len(rows) / (scaled**2).sum())
    found = np.empty((2, *columns.shape))
    for group in np.unique(groups):
        held = groups == group
        model = Ridge(alpha=penalty, solver="cholesky").fit(scaled[~held], columns[~held])
        found[0, held] = model.predict(scaled[held]).reshape(held.sum(), -1)
        found[1, held] = columns[~held].mean(axis=0)
    return found


def by_fits(features, labels, task, groups=None):
    """R2 or AUROC of fits without each molecule, with the RMSE and the predictions."""
    groups = np.arange(len(labels)) if groups is None else groups
    columns = labels[:, None].astype(float)
    if task == "classification":
        columns = np.eye(labels.max() + 1)[labels]
        columns = columns[:, 1:] if columns.shape[1] == 2 else columns
    fits = [fits_without_each(bounded_rows(features), columns, groups, each) for each in PENALTIES]
    predicted, means = min(fits, key=lambda fit: ((columns - fit[0]) ** 2).sum())
    errors = columns - predicted
    rmse = np.sqrt((errors**2).mean())
    if task == "regression":
        return 1 - (errors**2).sum() / ((columns - means) ** 2).sum(), rmse, predicted
    scores = predicted - means
    if scores.shape[1] == 1:
        return roc_auc_score(labels, scores[:, 0]), rmse, predicted
    areas = [roc_auc_score(labels == code, scores[:, code]) for code in range(scores.shape[1])]
    return np.mean(areas), rmse, predicted


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", CLASSIFIED)
def test_value_error_and_predictions_are_those_of_fits_without_each_molecule(name, task):
    features, labels = (CLASSIFIED if task == "classification" else REGRESSED)[name]
    groups = np.arange(len(labels)) % 50 if name == "duplicated rows" else None
    value, rmse, predicted = by_fits(features, labels, task, groups)
    left_out = leave_one_out(features, labels, task, groups=groups)
    assert left_out.value == pytest.approx(value, abs=1e-9)
    assert left_out.rmse == pytest.approx(rmse, rel=1e-9)
    np.testing.assert_allclose(left_out.predictions.reshape(predicted.shape), predicted, atol=1e-8)


def test_rows_of_one_molecule_do_not_predict_each_other():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(40, 60))
    features, noise = np.r_[rows, rows], np.tile(generator.normal(size=40), 2)
    assert loo(features, noise, "regression") > 0.9
    assert loo(features, noise, "regression", groups=np.arange(80) % 40) < 0.2


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_replicates_are_values_of_permuted_labels_and_leave_blocks_unjudged(task):
    features, labels = plain(90, 7, n_classes=3)
    values = labels if task == "classification" else features[:, 0] + features[:, 1]
    sample = make_sample(features, values, task, permutations=2, seed=3, n_blocks=6)
    table = LeaveOneOut().replicates(sample)
    assert table.shape == (3, 7)
    for row, order in zip(table, sample.resampling.orders(), strict=True):
        assert row[0] == pytest.approx(loo(features, values[order], task), abs=1e-12)
    if task == "regression":
        left_out = leave_one_out(features, values, task)
        errors = (values - left_out.predictions) ** 2
        deviations = (values - (values.sum() - values) / 89) ** 2
        keep = sample.resampling.blocks != 2
        assert table[0, 3] == pytest.approx(1 - errors[keep].sum() / deviations[keep].sum(), rel=1e-12)
    spread = LeaveOneOut().spread(sample)
    assert len(spread) == 94
    order = sample.resampling.further_permutations[5]
    assert spread[5] == pytest.approx(loo(features, values[order], task), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(12, 50), st.integers(1, 60), st.integers(2, 3))
def test_invariances(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    left_out = leave_one_out(features, labels)
    moved = features * generator.uniform(0.01, 100, size=d) + generator.normal(size=d)
    assert loo(moved, labels) == pytest.approx(left_out.value, abs=1e-6)
    padded = np.c_[features, np.zeros((n, 3)), features]
    assert loo(padded, labels) == pytest.approx(left_out.value, abs=1e-6)
    order = generator.permutation(n)
    assert loo(features[order], labels[order]) == pytest.approx(left_out.value, abs=1e-9)
    assert 0 <= left_out.value <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 40))
def test_free_of_rotation_of_the_rows_it_bounds(seed, d):
    generator, features, labels = drawn(seed, 45, d, 2)
    measure = LeaveOneOut()
    turn = rotation(generator, d)

    class Turned(LeaveOneOut):
        def rows(self, sample):
            return measure.rows(sample) @ turn

    sample = make_sample(features, labels)
    assert Turned().replicates(sample)[0, 0] == pytest.approx(measure.replicates(sample)[0, 0], abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(-3, 3), st.floats(-50, 50))
def test_predictions_follow_the_unit_of_the_target(seed, power, offset):
    generator = np.random.default_rng(seed)
    features, values = generator.normal(size=(40, 6)), generator.normal(size=40)
    one, other = (leave_one_out(features, y, "regression") for y in (values, values * 10**power + offset))
    assert other.value == pytest.approx(one.value, abs=1e-6)
    assert other.rmse == pytest.approx(one.rmse * 10**power, rel=1e-6)
    np.testing.assert_allclose(other.predictions, one.predictions * 10**power + offset, rtol=1e-5, atol=1e-5)


def test_noise_says_nothing_and_a_linear_target_all():
    generator = np.random.default_rng(0)
    for d in (10, 1000):
        features, noise = generator.normal(size=(200, d)), generator.normal(size=200)
        assert abs(loo(features, noise, "regression")) < 0.1
        areas = [loo(features, generator.permutation(200) % 2) for _ in range(10)]
        assert np.mean(areas) == pytest.approx(0.5, abs=0.06)
    features = features[:, :10]
    assert loo(features, features @ np.arange(10.0), "regression") > 1 - 1e-6


@pytest.mark.parametrize("factor", [30.0, 1e4, 1e8])
def test_one_molecule_far_outside_does_not_decide(factor):
    generator = np.random.default_rng(1)
    features = generator.normal(size=(150, 20))
    values = features[:, 0] + 0.3 * generator.normal(size=150)
    before = loo(features, values, "regression")
    features[3] *= factor
    after = leave_one_out(features, values, "regression")
    assert before > 0.85
    assert after.value > 0.6
    assert np.abs(after.predictions).max() < 4 * np.abs(values).max()


def test_what_was_not_measured_is_passed_over():
    features, _ = plain(60)
    values = features[:, 0] + features[:, 1]
    known = np.arange(60) % 4 > 0
    missing = np.where(known, values, np.nan)
    left_out = leave_one_out(features, missing, "regression")
    fewer = leave_one_out(features[known], values[known], "regression")
    assert left_out.value == fewer.value
    np.testing.assert_array_equal(left_out.predictions[known], fewer.predictions)
    assert np.isnan(left_out.predictions[~known]).all()


def test_the_error_is_in_the_unit_of_the_target_and_of_numbers_only():
    features, labels = plain(60)
    values = 7 * (features[:, 0] + features[:, 1])
    measure = LeaveOneOut()
    error = measure.error(make_sample(features, values, "regression"))
    assert error == leave_one_out(features, values, "regression").rmse
    assert np.isnan(measure.error(make_sample(features, labels)))


def test_an_excess_of_noise_is_within_its_interval():
    inside = 0
    for seed in range(30):
        generator = np.random.default_rng(seed)
        sample = make_sample(
            generator.normal(size=(120, 40)), generator.normal(size=120), "regression", permutations=5
        )
        measure = LeaveOneOut()
        low, high = estimate(measure.replicates(sample), measure.spread(sample)).interval()
        inside += low <= 0 <= high
    assert inside >= 25


def test_what_cannot_be_left_out_is_refused():
    features, labels = plain(30)
    with pytest.raises(InputError, match="the same for all"):
        loo(np.ones((30, 4)), labels)
    with pytest.raises(InputError, match="of one molecule"):
        loo(features, labels, groups=np.zeros(30))
    with pytest.raises(InputError, match="two different labels"):
        loo(features, np.ones(30), "regression")
    with pytest.raises(InputError, match="labels of shape"):
        loo(features, labels[:-1])
    with pytest.raises(InputError, match="holds all of a class"):
        LeaveOneOut().replicates(make_sample(features, np.arange(30) == 3))


@pytest.mark.parametrize("d", [5, 60])
def test_without_a_block_fits_are_made_anew(d):
    generator = np.random.default_rng(3)
    rows, columns = generator.normal(size=(40, d)), generator.normal(size=(40, 2))
    groups = np.r_[np.arange(20), np.arange(10), np.arange(10)]
    deleted, penalty = groups % 4 == 1, 0.3
    kernel = decompose(rows, groups)
    errors = kernel.errors_without(kernel.residual_maker(penalty), columns, deleted)
    scaled = (rows - rows.mean(axis=0)) * np.sqrt(40 / ((rows - rows.mean(axis=0)) ** 2).sum())
    for row in np.flatnonzero(~deleted):
        kept = ~deleted & (groups != groups[row])
        model = Ridge(alpha=penalty, solver="cholesky").fit(scaled[kept], columns[kept])
        predicted = model.predict(scaled[[row]])[0]
        np.testing.assert_allclose(errors[row], columns[row] - predicted, atol=1e-9)
    assert not errors[deleted].any()
