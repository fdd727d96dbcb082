"""LogME against the numeric maximum of the Gaussian evidence, and its invariances."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, NAMES, REGRESSED, check_table, classified, drawn, regressed, rotation
from scipy.linalg import null_space
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import multivariate_normal

from molrate.errors import InputError
from molrate.measures import logme
from molrate.measures.logme import LogME


def log_evidence(features, target, alpha, beta):
    """log N(y; 0, I / beta + F F' / alpha)."""
    n = len(target)
    return multivariate_normal.logpdf(
        target, cov=np.eye(n) / beta + features @ features.T / alpha, allow_singular=True
    )


def largest_evidence(features, target):
    """Maximum over both precisions: over their ratio on a grid, then between its points.

    At a ratio t the best beta is n / y'V^-1 y with V = I + F F' / t.
    """
    n = len(target)
    values, vectors = np.linalg.eigh(features @ features.T)
    values = np.maximum(values, 0)
    squares = (vectors.T @ target) ** 2

    def minus(log_ratio):
        spread = 1 + values / np.exp(log_ratio)
        beta = n / (squares / spread).sum()
        return 0.5 * (n * np.log(2 * np.pi) - n * np.log(beta) + np.log(spread).sum() + n)

    grid = np.log(values[-1]) + np.linspace(-25, 25, 401)
    best = int(np.argmin([minus(point) for point in grid]))
    bracket = grid[max(best - 1, 0)], grid[min(best + 1, 400)]
    found = minimize_scalar(minus, bounds=bracket, method="bounded", options={"xatol": 1e-9})
    return -min(found.fun, minus(grid[best]))


def logme_by_evidence(features, columns, centre):
    if centre:
        contrasts = null_space(np.ones((1, len(features))))
        features, columns = contrasts.T @ features, contrasts.T @ columns
    return np.mean([largest_evidence(features, column) / len(column) for column in columns.T])


@pytest.mark.parametrize("centre", [True, False])
@classified
def test_is_the_maximum_evidence_of_the_classes(features, labels, centre):
    expected = logme_by_evidence(features, np.eye(labels.max() + 1)[labels], centre)
    assert logme(features, labels, centre=centre) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("centre", [True, False])
@regressed
def test_is_the_maximum_evidence_of_the_values(features, values, centre):
    expected = logme_by_evidence(features, values[:, None], centre)
    assert logme(features, values, "regression", centre=centre) == pytest.approx(expected, rel=1e-8)


def test_the_profiled_maximum_is_that_over_both_precisions():
    features, values = REGRESSED["balanced"]
    found = minimize(
        lambda logs: -log_evidence(features, values, *np.exp(logs)),
        [0.0, 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 2000},
    )
    assert len(values) * logme(features, values, "regression", centre=False) == pytest.approx(
        -found.fun, rel=1e-9
    )


def test_several_targets_are_averaged():
    features, values = REGRESSED["balanced"]
    other = np.random.default_rng(0).normal(size=len(values))
    both = logme(features, np.c_[values, other], "regression")
    apart = [logme(features, target, "regression") for target in (values, other)]
    assert both == pytest.approx(np.mean(apart), rel=1e-12)


@settings(max_examples=20, deadline=None)
@example(40, 12, 25, 2)
@given(st.integers(0, 10**6), st.integers(12, 50), st.integers(1, 60), st.integers(2, 3))
def test_invariances(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    value = logme(features, labels)
    order = generator.permutation(n)
    moved = features @ rotation(generator, d) * generator.uniform(0.01, 100) + 5 * generator.normal(size=d)
    assert logme(features[order], labels[order]) == pytest.approx(value, rel=1e-6, abs=1e-7)
    # Names put classes in another order, as molecules are above: where features fit all labels, what is left
    # of the squares is rounding, which differs.
    assert logme(features, NAMES[labels]) == pytest.approx(value, rel=1e-6, abs=1e-7)
    assert logme(moved, labels) == pytest.approx(value, rel=1e-6, abs=1e-7)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-50, 50))
def test_scale_of_the_target_moves_it_by_the_logarithm_for_all_encoders(seed, scale, offset):
    generator, features, _ = drawn(seed, 40, 6, 2)
    values = features @ generator.normal(size=6) + generator.normal(size=40)
    # The density of the contrasts of s y is that of y's divided by s for each of them.
    expected = logme(features, values, "regression") - np.log(scale)
    assert logme(features, scale * values + offset, "regression") == pytest.approx(expected, abs=1e-6)


def test_without_centring_an_offset_matters():
    features, values = REGRESSED["balanced"]
    value = logme(features, values, "regression", centre=False)
    assert abs(logme(features, values + 10, "regression", centre=False) - value) > 0.1


def noise_and_signal():
    generator = np.random.default_rng(0)
    values = generator.normal(size=200)
    informative = generator.normal(size=(200, 64))
    informative[:, :8] += values[:, None]
    return generator.normal(size=(200, 2048)), informative, values


def logme_with_published_term(features, target):
    """The released fixed point: D / 2 log alpha beside min(n, D) other logarithms."""
    n, dimension = features.shape
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    squared = singular**2
    projections = (left.T @ target) ** 2
    residual = target @ target - projections.sum()
    alpha = beta = 1.0
    for _ in range(11):
        ratio = alpha / beta
        effective = (squared / (squared + ratio)).sum()
        weights = (squared * projections / (ratio + squared) ** 2).sum()
        errors = (projections / (1 + squared / ratio) ** 2).sum() + residual
        alpha, beta = effective / (weights + 1e-5), (n - effective) / (errors + 1e-5)
        if abs(alpha / beta - ratio) / ratio <= 1e-3:
            break
    evidence = dimension / 2 * np.log(alpha) + n / 2 * np.log(beta)
    evidence -= 0.5 * np.log(alpha + beta * squared).sum()
    evidence -= beta / 2 * errors + alpha / 2 * weights + n / 2 * np.log(2 * np.pi)
    return evidence / n


def test_wide_noise_does_not_outrank_signal_as_with_the_published_term():
    noise, informative, values = noise_and_signal()
    published = [logme_with_published_term(features, values) for features in (noise, informative)]
    assert published[0] > published[1]
    ours = [logme(features, values, "regression", centre=False) for features in (noise, informative)]
    assert ours[0] < ours[1]
    assert ours[0] == pytest.approx(logme_by_evidence(noise, values[:, None], False), rel=1e-8)


@pytest.mark.parametrize("name", ["balanced", "n below d"])
def test_replicates(name):
    check_table(LogME(), logme, *CLASSIFIED[name], rel=1e-7)
    check_table(
        LogME(), lambda rows, values: logme(rows, values, "regression"), *REGRESSED[name], "regression", 1e-7
    )


def test_a_constant_target_is_refused():
    with pytest.raises(InputError, match="constant"):
        logme(np.eye(5), np.ones(5), "regression")
