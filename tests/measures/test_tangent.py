"""Linearised fine-tuning against explicit kernels and fits."""

import numpy as np
import pytest
from measures.cases import plain
from sklearn.linear_model import Ridge

from molrate.errors import InputError
from molrate.measures import cka, leave_one_out, lgc, loo, make_sample, tangent
from molrate.measures.leave_one_out import LeaveOneOut
from molrate.measures.rowspace import bounded_rows
from molrate.measures.tangent import LabelGradientCorrelation, Tangent, fit_head, head_digest, tangent_rows
from molrate.statistics.resampling import make_resampling


@pytest.fixture
def drawn():
    generator = np.random.default_rng(0)
    return generator.normal(size=(90, 12)), generator.normal(size=(90, 30)), generator


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_without_gradients_it_is_leave_one_out(task):
    features, labels = plain(90, 7, n_classes=3)
    values = labels if task == "classification" else features[:, 0] + features[:, 1]
    sample = make_sample(features, values, task, permutations=2, seed=3, n_blocks=6)
    np.testing.assert_allclose(Tangent().replicates(sample), LeaveOneOut().replicates(sample), atol=1e-9)
    np.testing.assert_allclose(Tangent().error(sample), LeaveOneOut().error(sample), rtol=1e-9)


def test_the_kernel_is_that_of_features_plus_that_of_unit_gradients_each_of_trace_n(drawn):
    features, gradients, _ = drawn
    rows = tangent_rows(features, 1e-7 * gradients)
    expected = np.zeros((90, 90))
    for part in (bounded_rows(features), unit(gradients)):
        centred = part - part.mean(axis=0)
        expected += 90 * centred @ centred.T / np.trace(centred @ centred.T)
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-9)


def test_predictions_are_those_of_ridge_without_each_molecule(drawn):
    features, gradients, generator = (*(rows[:25] for rows in drawn[:2]), drawn[2])
    values = features[:, 0] + 2 * unit(gradients)[:, 1] + 0.1 * generator.normal(size=25)
    rows = tangent_rows(features, gradients)
    rows *= np.sqrt(25 / (rows**2).sum())
    least = np.inf
    for penalty in np.logspace(-5, 5, 21):
        errors = []
        for left in range(25):
            keep = np.arange(25) != left
            model = Ridge(alpha=penalty, solver="cholesky").fit(rows[keep], values[keep])
            errors.append(values[left] - model.predict(rows[left : left + 1])[0])
        least = min(least, float(np.mean(np.square(errors))))
    sample = make_sample(features, values, "regression", gradients=gradients)
    assert Tangent().error(sample) == pytest.approx(np.sqrt(least), rel=1e-8)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_what_only_gradients_know_is_found(drawn, task):
    features, gradients, _ = drawn
    values = unit(gradients) @ np.arange(30.0)
    labels = values if task == "regression" else np.digitize(values, np.quantile(values, [0.3, 0.6]))
    assert tangent(features, gradients, labels, task) > loo(features, labels, task) + 0.1


def test_rows_of_one_molecule_do_not_predict_each_other(drawn):
    features, gradients, generator = drawn
    noise = np.tile(generator.normal(size=90), 2)
    doubled = np.r_[features, features], np.r_[gradients, gradients]
    assert tangent(*doubled, noise, "regression", groups=np.arange(180) % 90) < 0.2


def test_gradients_of_no_direction_are_zero_rows_and_equal_ones_say_nothing(drawn):
    features, gradients, _ = drawn
    gradients[4] = 0
    assert np.isfinite(tangent_rows(features, gradients)).all()
    alone = tangent_rows(features, np.ones((90, 5)))
    np.testing.assert_allclose(alone @ alone.T, tangent_rows(features) @ tangent_rows(features).T, atol=1e-9)
    with pytest.raises(InputError, match="same for all"):
        tangent(np.ones((90, 3)), np.ones((90, 5)), np.arange(90) % 2)


def test_subsamples_take_their_gradients_along(drawn):
    features, gradients, _ = drawn
    sample = make_sample(features, features[:, 0], "regression", gradients=gradients)
    np.testing.assert_array_equal(sample.take(np.array([3, 8, 60])).gradients, gradients[[3, 8, 60]])


@pytest.mark.parametrize("n_classes", [0, 2, 4])
def test_the_head_has_the_slopes_of_ridge_on_standardised_features(n_classes):
    generator = np.random.default_rng(1)
    features = generator.normal(size=(200, 6)) * np.array([1, 5, 0.1, 2, 1, 0]) + 3
    values = features[:, 0] + features[:, 1] + generator.normal(size=200)
    task = "classification" if n_classes else "regression"
    labels = (
        np.digitize(values, np.quantile(values, np.arange(1, n_classes) / n_classes)) if n_classes else values
    )
    resampling = make_resampling(labels, task)
    head = fit_head(features, resampling)
    assert head.shape == (6, max(1, n_classes if n_classes > 2 else 1))
    assert not head[5].any()
    # None of these molecules is so far out that it would be drawn in.
    left_out = leave_one_out(features, labels, task)
    scaled = (features - features.mean(axis=0))[:, :5] / features.std(axis=0)[:5]
    model = Ridge(alpha=left_out.penalty * 5, solver="cholesky")
    columns = values[:, None] if not n_classes else np.eye(n_classes)[labels][:, 1 if n_classes == 2 else 0 :]
    slopes = np.atleast_2d(model.fit(scaled, columns).coef_).T / features.std(axis=0)[:5, None]
    np.testing.assert_allclose(head[:5], slopes, rtol=0.05, atol=0.02 * np.abs(slopes).max())


def test_what_the_head_is_fitted_to_is_told_apart():
    values = np.arange(30.0)
    resampling = make_resampling(values, "regression")
    rows = np.arange(30)
    known = {
        head_digest(rows, resampling),
        head_digest(rows + 1, resampling),
        head_digest(rows, make_resampling(values[::-1], "regression")),
        head_digest(rows, make_resampling(values, "regression", groups=rows // 2)),
    }
    assert len(known) == 4
    assert head_digest(rows, make_resampling(values.copy(), "regression", seed=7)) in known


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_lgc_is_the_alignment_of_the_centred_kernel(drawn, task):
    features, gradients, _ = drawn
    labels = np.arange(90) % 3 if task == "classification" else features[:, 0]
    expected = cka(tangent_rows(features, gradients), labels, task)
    assert lgc(features, gradients, labels, task) == pytest.approx(expected, rel=1e-9)
    sample = make_sample(features, labels, task, gradients=gradients, permutations=2, n_blocks=5)
    table = LabelGradientCorrelation().replicates(sample)
    keep = sample.resampling.blocks != 3
    order = sample.resampling.permutations[1]
    rows = tangent_rows(features, gradients)
    assert table[0, 4] == pytest.approx(cka(rows[keep], labels[keep], task), rel=1e-9)
    assert table[2, 4] == pytest.approx(cka(rows[keep], labels[order][keep], task), rel=1e-9)
