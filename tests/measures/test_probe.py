"""Ridge and logistic probes against scikit-learn fits, fold by fold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, REGRESSED, classified, drawn, plain, regressed, rotation
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

from molrate.errors import InputError
from molrate.measures import make_sample, ridge
from molrate.measures.probe import LogisticProbe, RidgeError, RidgeProbe, area_under_curve
from molrate.measures.sample import statistics_of


def penalty_by_hat_matrix(features, columns):
    """Least n-free GCV, trace by trace, on the documented grid in units of the mean eigenvalue."""
    rows, targets = features - features.mean(axis=0), columns - columns.mean(axis=0)
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    keep = singular > singular[0] * 1e-7
    left, squared = left[:, keep], singular[keep] ** 2
    scores = []
    grid = np.logspace(-5, 3, 17) * squared.mean()
    for penalty in grid:
        hat = left * (squared / (squared + penalty)) @ left.T
        freedom = len(rows) - 1 - np.trace(hat)
        scores.append(np.sum((targets - hat @ targets) ** 2) / freedom**2)
    return grid[int(np.argmin(scores))]


def errors_by_fits(features, columns, folds, keep=None):
    """Squared error and squared deviation of every row; of kept rows, from fits of kept rows."""
    penalty = penalty_by_hat_matrix(features, columns)
    keep = np.ones(len(features), dtype=bool) if keep is None else keep
    errors = np.empty(len(features))
    for fold in np.unique(folds):
        held = folds == fold
        fitted = Ridge(alpha=penalty).fit(features[~held & keep], columns[~held & keep])
        residual = columns[held] - fitted.predict(features[held]).reshape(held.sum(), -1)
        errors[held] = np.sum(residual**2, axis=1)
    return errors, np.sum((columns - columns.mean(axis=0)) ** 2, axis=1)


def one_hot(labels):
    return np.eye(labels.max() + 1)[labels]


@classified
def test_r2_of_classes_is_that_of_the_fits(features, labels):
    errors, deviations = errors_by_fits(features, one_hot(labels), np.arange(len(labels)) % 5)
    assert ridge(features, labels) == pytest.approx(1 - errors.sum() / deviations.sum(), rel=1e-9)


@regressed
def test_r2_of_values_is_that_of_the_fits(features, values):
    errors, deviations = errors_by_fits(features, values[:, None], np.arange(len(values)) % 5)
    expected = 1 - errors.sum() / deviations.sum()
    assert ridge(features, values, "regression") == pytest.approx(expected, rel=1e-9)


@regressed
def test_rmse_is_that_of_the_fits(features, values):
    errors, _ = errors_by_fits(features, values[:, None], np.arange(len(values)) % 5)
    statistics = statistics_of(features, values, "regression", second_moments="pooled", n_blocks=5)
    assert RidgeError().value(statistics) == pytest.approx(np.sqrt(errors.mean()), rel=1e-9)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", CLASSIFIED)
def test_replicates_are_fitted_without_the_blocks_that_are_small(name, task):
    features, labels = (CLASSIFIED if task == "classification" else REGRESSED)[name]
    sample = make_sample(features, labels, task, permutations=2, seed=3)
    resampling = sample.resampling
    tables = RidgeProbe().replicates(sample), RidgeError().replicates(sample)
    for row, order in enumerate(resampling.orders()):
        columns = one_hot(labels[order]) if task == "classification" else labels[order][:, None]
        few = np.bincount(resampling.blocks).max() < min(features.shape[1], len(features) - 1)
        for block in range(-1, resampling.n_blocks):
            keep = resampling.blocks != block
            errors, deviations = errors_by_fits(
                features, columns, resampling.blocks % 5, keep if few else None
            )
            expected = 1 - errors[keep].sum() / deviations[keep].sum()
            assert tables[0][row, 1 + block] == pytest.approx(expected, rel=1e-8, abs=1e-10)
            assert tables[1][row, 1 + block] == pytest.approx(np.sqrt(errors[keep].mean()), rel=1e-9)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("shape", [(60, 100), (150, 40), (120, 8)])
@pytest.mark.parametrize("grouped", [False, True])
def test_further_permutations_are_fitted_and_judged_as_the_true_labels(shape, task, grouped):
    features, labels = plain(*shape, n_classes=3)
    values = labels if task == "classification" else features[:, 0]
    groups = np.arange(len(labels)) // 2 if grouped else None
    if grouped and task == "classification":
        values = np.repeat(values[::2], 2)
    sample = make_sample(features + 3.0, values, task, permutations=2, seed=3, groups=groups)
    resampling = sample.resampling
    spread, errors_spread = RidgeProbe().spread(sample), RidgeError().spread(sample)
    if shape == (120, 8):
        assert len(spread) == 0
        return
    assert len(spread) == 94
    for value, error, order in zip(spread, errors_spread, resampling.further_permutations[:5], strict=False):
        columns = one_hot(values[order]) if task == "classification" else values[order][:, None]
        errors, deviations = errors_by_fits(features, columns, resampling.blocks % 5)
        assert value == pytest.approx(1 - errors.sum() / deviations.sum(), rel=1e-8, abs=1e-10)
        assert error == pytest.approx(np.sqrt(errors.mean()), rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(12, 50), st.integers(1, 60), st.integers(2, 3))
def test_ridge_invariances(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    value = ridge(features, labels)
    moved = features @ rotation(generator, d) * generator.uniform(0.01, 100) + generator.normal(size=d)
    # Where features can fit all rows, cross-validation hardly tells small penalties apart.
    allowed = 1e-6 if n > d + 1 else 1e-2
    assert ridge(moved, labels) == pytest.approx(value, abs=allowed)
    # Rows may change places within their fold.
    shift = 5 * generator.permutation(n // 5)[:, None] + np.arange(5)
    order = np.r_[shift.ravel(), n - n % 5 : n]
    assert ridge(features[order], labels[order]) == pytest.approx(value, abs=allowed)
    assert value <= 1


def test_noise_has_no_r2_and_a_linear_target_has_all():
    generator = np.random.default_rng(0)
    features, noise = generator.normal(size=(200, 10)), generator.normal(size=200)
    assert abs(ridge(features, noise, "regression")) < 0.1
    assert ridge(features, features @ np.arange(10.0), "regression") > 1 - 1e-6


def test_one_block_cannot_be_cross_validated():
    with pytest.raises(InputError, match="at least two blocks"):
        RidgeProbe().value(statistics_of(*plain()))


def standardised_rows(features):
    deviation = features.std(axis=0)
    used = deviation > 1e-9
    return (features - features.mean(axis=0))[:, used] / deviation[used] / np.sqrt(used.sum())


def probabilities_by_fits(features, codes, folds):
    probabilities = np.zeros((len(codes), codes.max() + 1))
    for fold in np.unique(folds):
        held = folds == fold
        # To far below what the measure's own fit leaves.
        model = LogisticRegression(C=10.0, tol=1e-10, max_iter=10_000)
        model.fit(standardised_rows(features)[~held], codes[~held])
        probabilities[np.ix_(held, model.classes_)] = model.predict_proba(standardised_rows(features)[held])
    return probabilities


def area(codes, probabilities):
    if probabilities.shape[1] == 2:
        return roc_auc_score(codes, probabilities[:, 1])
    return np.mean([roc_auc_score(codes == code, probabilities[:, code]) for code in np.unique(codes)])


@classified
def test_logistic_replicates_hold_the_fits(features, labels):
    sample = make_sample(features, labels, permutations=1, seed=3)
    table = LogisticProbe().replicates(sample)
    for row, order in enumerate(sample.resampling.orders()):
        codes = labels[order]
        probabilities = probabilities_by_fits(features, codes, sample.resampling.blocks % 5)
        for block in range(-1, sample.resampling.n_blocks):
            keep = sample.resampling.blocks != block
            expected = area(codes[keep], probabilities[keep])
            # A fit stopped earlier may exchange two pairs in the order.
            pairs = min(np.bincount(codes[keep])) * keep.sum() / 2
            assert table[row, 1 + block] == pytest.approx(expected, abs=2.5 / pairs)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4), st.booleans())
def test_area_is_scikit_learns(seed, n_classes, tied):
    generator, _, codes = drawn(seed, 40, 1, n_classes)
    probabilities = generator.dirichlet(np.ones(n_classes), size=40)
    if tied:
        probabilities = np.round(probabilities, 1)
    assert area_under_curve(codes, probabilities) == pytest.approx(area(codes, probabilities), rel=1e-12)


def test_logistic_is_free_of_the_scale_and_offset_of_each_column():
    features, labels = CLASSIFIED["balanced"]
    generator = np.random.default_rng(0)
    moved = features * generator.uniform(0.01, 100, size=8) + generator.normal(size=8)
    values = [LogisticProbe().replicates(make_sample(rows, labels))[0, 0] for rows in (features, moved)]
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_logistic_refuses_a_fold_without_a_second_class():
    features, _ = plain(30)
    with pytest.raises(InputError, match="one class only"):
        LogisticProbe().replicates(make_sample(features, np.arange(30) == 3))
