"""TransRate against the paper's equations evaluated term by term, and its invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molrate.data.targets import quantile_bins
from molrate.errors import InputError
from molrate.measures import coding_rate, transrate
from molrate.measures.transrate import TransRate
from molrate.statistics.resampling import make_resampling


def rate_by_equation(rows, epsilon_squared=0.1):
    """Eq. 2 as printed: d x d determinant, whatever n is, by LU and not by Cholesky."""
    n, d = rows.shape
    sign, log_determinant = np.linalg.slogdet(np.eye(d) + d / (n * epsilon_squared) * rows.T @ rows)
    assert sign == 1
    return log_determinant / 2


def transrate_by_equations(features, labels, epsilon_squared=0.1):
    """Eqs. 2-4 as printed, one class after the other."""
    rows = np.array([row / np.sqrt(np.sum(row * row)) for row in features])
    conditional = 0.0
    for label in set(labels):
        part = rows[[position for position, other in enumerate(labels) if other == label]]
        conditional += len(part) / len(rows) * rate_by_equation(part, epsilon_squared)
    return rate_by_equation(rows, epsilon_squared) - conditional


def features_and_labels(n, d, shares, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(shares)), [round(n * share) for share in shares]))
    centres = generator.normal(size=(len(shares), d))
    return centres[labels] + generator.normal(size=(len(labels), d)) + 0.5, labels


CASES = {
    "n below d": (40, 100, (0.5, 0.5)),
    "n above d, classes above d": (400, 30, (0.5, 0.5)),
    "n above d, classes below d": (300, 100, (0.1,) * 10),
    "unbalanced, small class below d": (400, 50, (0.95, 0.05)),
    "unbalanced, small class above d": (400, 20, (0.9, 0.1)),
    "three classes": (200, 40, (0.6, 0.3, 0.1)),
    "n equals d": (50, 50, (0.5, 0.5)),
    "one dimension": (60, 1, (0.7, 0.3)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("epsilon_squared", [0.1, 1e-4])
def test_agrees_with_the_equations(case, epsilon_squared):
    features, labels = features_and_labels(*case)
    expected = transrate_by_equations(features, labels, epsilon_squared)
    assert transrate(features, labels, epsilon_squared=epsilon_squared) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "values", [np.arange(513.0), np.repeat(np.arange(30.0), 17), np.r_[np.zeros(300), 1:101]]
)
def test_agrees_with_the_equations_on_binned_targets_with_ties(values):
    generator = np.random.default_rng(1)
    features = generator.normal(size=(len(values), 80)) + values[:, None] / values.max()
    bins = quantile_bins(values)
    assert transrate(features, bins) == pytest.approx(transrate_by_equations(features, bins), rel=1e-9)


def test_lemma_1_gives_one_value_on_both_sides():
    rows = np.random.default_rng(0).normal(size=(30, 70))
    assert coding_rate(rows) == pytest.approx(rate_by_equation(rows), rel=1e-12)


def test_two_orthogonal_classes_by_hand():
    # Z'Z = 2 I_2, n = 4, d = 2: R = log(1 + 10), and each class has one eigenvalue, 1 + 2 / 0.1.
    features = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert transrate(features, ["a", "a", "b", "b"]) == pytest.approx(np.log(11) - 0.5 * np.log(21))


def test_rows_are_scaled_to_unit_norm():
    features, labels = features_and_labels(100, 10, (0.5, 0.5))
    scales = np.random.default_rng(2).uniform(0.01, 100, size=(100, 1))
    assert transrate(features * scales, labels) == pytest.approx(transrate(features, labels), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(6, 60), st.integers(1, 40), st.integers(2, 4))
def test_invariances(seed, n, d, n_classes):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, d))
    labels = np.r_[:n_classes, generator.integers(0, n_classes, n - n_classes)]
    value = transrate(features, labels)
    order = generator.permutation(n)
    assert transrate(features[order], labels[order]) == pytest.approx(value, rel=1e-9, abs=1e-12)
    names = np.array(["zinc", "a", "", "10"])[labels]
    assert transrate(features, names) == pytest.approx(value, rel=1e-9, abs=1e-12)
    rotation = np.linalg.qr(generator.normal(size=(d, d)))[0]
    assert transrate(features @ rotation, labels) == pytest.approx(value, rel=1e-8, abs=1e-10)
    doubled = transrate(np.r_[features, features], np.r_[labels, labels])
    assert doubled == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert value >= -1e-12  # Lemma 3


def test_dimension_factor_is_the_papers():
    features, labels = features_and_labels(200, 32, (0.5, 0.5))
    factor = np.sqrt(32 / 512)
    assert transrate(features, labels, scale_by_dimension=True) == pytest.approx(
        factor * transrate(features, labels)
    )


def test_null_is_the_mean_over_permuted_labels():
    features, labels = features_and_labels(150, 12, (0.6, 0.4))
    score = TransRate().score(features, labels, permutations=3, seed=7)
    orders = make_resampling(labels, permutations=3, seed=7).permutations
    null = [transrate_by_equations(features, labels[order]) for order in orders]
    assert score.null_mean == pytest.approx(np.mean(null), rel=1e-9)
    assert score.null_sd == pytest.approx(np.std(null, ddof=1), rel=1e-6)
    assert score.excess == pytest.approx(score.value - np.mean(null), rel=1e-9)


@pytest.mark.parametrize("d", [32, 512])
def test_noise_has_no_excess_at_any_dimension(d):
    generator = np.random.default_rng(0)
    score = TransRate().score(
        generator.normal(size=(500, d)), generator.integers(0, 10, 500), permutations=10, seed=0
    )
    assert score.value > 2
    assert abs(score.excess) < 5 * score.null_sd


def test_label_signal_has_an_excess():
    features, labels = features_and_labels(500, 64, (0.5, 0.5))
    score = TransRate().score(features, labels, permutations=5, seed=0)
    assert score.excess > 20 * score.null_sd


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.ones((4, 2)), [1, 1, 1, 1], "at least two different labels"),
        (np.ones((4, 2)), [0, 1], "4 rows of features but 2 labels"),
        ([[1.0, 2], [np.nan, 1]], [0, 1], "row 2 are not finite"),
        ([[1.0, 2], [0, 0], [0, 0]], [0, 1, 1], "row 2, 3 are all zero"),
        (np.ones(4), [0, 1, 0, 1], "must be a matrix"),
        (np.ones((4, 2)), [[0], [1], [0], [1]], "must be a vector"),
        (np.ones((4, 2)), [0, 1, np.nan, 1], "row 3 are NaN"),
    ],
)
def test_what_is_undefined_is_an_error(features, labels, message):
    with pytest.raises(InputError, match=message):
        transrate(features, labels)


def test_distortion_must_be_positive():
    with pytest.raises(InputError, match="must be positive, not 0"):
        transrate(np.eye(4), [0, 1, 0, 1], epsilon_squared=0)
