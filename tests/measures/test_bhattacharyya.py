"""GBC against principal components by SVD and loops over pairs of classes."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, NAMES, check_table, classified, drawn, rotation

from molrate.errors import InputError
from molrate.measures import gbc, make_sample
from molrate.measures.bhattacharyya import GaussianBhattacharyya


def gbc_by_pairs(features, labels, components=64, covariance="diagonal"):
    centred = features - features.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    used = np.flatnonzero(singular > singular[0] * 1e-7)[:components]
    rows = centred @ axes[used].T
    floor = 1e-6 * np.mean(singular[used] ** 2) / len(rows)
    gaussians = []
    for label in np.unique(labels):
        part = rows[labels == label]
        variance = part.var(axis=0)
        if covariance == "spherical":
            variance = np.full(len(variance), variance.mean())
        gaussians.append((part.mean(axis=0), np.diag(np.maximum(variance, floor))))
    total = 0.0
    for (mean, spread), (mean_other, spread_other) in permutations(gaussians, 2):
        between = (spread + spread_other) / 2
        apart = mean - mean_other
        logs = [np.linalg.slogdet(matrix)[1] for matrix in (between, spread, spread_other)]
        distance = apart @ np.linalg.solve(between, apart) / 8 + 0.5 * (logs[0] - (logs[1] + logs[2]) / 2)
        total += np.exp(-distance)
    return -total


@pytest.mark.parametrize("covariance", ["diagonal", "spherical"])
@pytest.mark.parametrize("components", [3, 64])
@classified
def test_is_that_of_the_pairs(features, labels, components, covariance):
    expected = gbc_by_pairs(features, labels, components, covariance)
    value = gbc(features, labels, components=components, covariance=covariance)
    assert value == pytest.approx(expected, rel=1e-9)


def test_two_spherical_classes_by_hand():
    # Means -2 and 2, variances 1: D = 16 / 8, and two ordered pairs.
    features = np.array([[-3.0], [-1], [1], [3]])
    assert gbc(features, [0, 0, 1, 1]) == pytest.approx(-2 * np.exp(-2), rel=1e-12)


def test_equal_classes_overlap_wholly():
    rows = np.random.default_rng(0).normal(size=(30, 5))
    value = gbc(np.r_[rows, rows, rows], np.repeat([0, 1, 2], 30))
    assert value == pytest.approx(-3 * 2, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(12, 50), st.integers(1, 40), st.integers(2, 4))
def test_invariances(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    value = gbc(features, labels)
    order = generator.permutation(n)
    moved = features @ rotation(generator, d) * generator.uniform(0.01, 100) + generator.normal(size=d)
    assert gbc(features[order], labels[order]) == pytest.approx(value, rel=1e-6, abs=1e-12)
    assert gbc(features, NAMES[labels]) == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert gbc(moved, labels) == pytest.approx(value, rel=1e-6, abs=1e-12)
    assert -n_classes * (n_classes - 1) - 1e-9 <= value <= 0


def test_what_lies_outside_the_leading_components_is_not_seen():
    generator = np.random.default_rng(0)
    labels = np.arange(100) % 2
    features = np.c_[100 * generator.normal(size=(100, 2)), labels + 0.01 * generator.normal(size=100)]
    assert gbc(features, labels, components=2) < -1.5
    assert gbc(features, labels, components=3) > -1e-6


@pytest.mark.parametrize("name", ["balanced", "n below d"])
def test_replicates(name):
    check_table(GaussianBhattacharyya(), gbc, *CLASSIFIED[name])


def test_small_classes_are_warned_of():
    assert "smallest class has 20 molecules for 64 variances" in GaussianBhattacharyya().warning(
        make_sample(*CLASSIFIED["n below d"])
    )


def test_unknown_covariance_is_refused():
    with pytest.raises(InputError, match="unknown covariance 'full'"):
        gbc(np.eye(4), [0, 1, 0, 1], covariance="full")
