"""Fits without few rows, from the decomposition of all, against the direct formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molrate.errors import InputError
from molrate.measures.sample import make_sample
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.moments import Moments
from molrate.statistics.ridge import AllRows, RowsLeft

# More rows than dimensions, equally many, one more, fewer; dependent columns; a large offset.
SHAPES = {"many rows": (120, 9), "square": (60, 60), "one more": (61, 60), "few rows": (50, 90)}


def moments_of(features, blocks) -> Moments:
    return FeatureStatistics(features.shape[1], second_moments="pooled").add(features, blocks=blocks).pooled


def direct(features, labels, penalty):
    """e and s by their definitions, over an orthonormal basis of the contrasts."""
    n = len(features)
    contrasts = np.linalg.svd(np.ones((1, n)))[2][1:]
    kernel = contrasts @ features @ features.T @ contrasts.T
    y = contrasts @ labels
    regularised = kernel + penalty * np.eye(n - 1)
    errors = penalty * np.einsum("im,im->m", y, np.linalg.solve(regularised, y))
    return errors, np.linalg.slogdet(regularised / penalty)[1]


def drawn(shape, seed=0, offset=0.0, rank=None):
    generator = np.random.default_rng(seed)
    n, d = shape
    features = generator.normal(size=(n, d)) * np.geomspace(1, 0.1, d) + offset
    if rank is not None:
        features = features[:, :rank] @ generator.normal(size=(rank, d))
    return features, generator.normal(size=(n, 2)) + 3, np.arange(n) % 20


def fitted(moments, features, labels, penalties):
    centred = labels - labels.mean(axis=0)
    fit = moments.ridge.fit(features.T @ centred, (centred**2).sum(axis=0))
    return fit.profile(penalties)


@pytest.mark.parametrize("rank", [None, 5])
@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_fits_without_a_block_are_those_of_the_rows_that_are_left(shape, offset, rank, monkeypatch):
    monkeypatch.setattr("molrate.statistics.moments._DELETED_SHARE", 0.7)
    features, labels, blocks = drawn(shape, offset=offset, rank=rank)
    rest = moments_of(features, blocks).without(3)
    assert isinstance(rest.ridge, RowsLeft)
    keep = blocks != 3
    for penalty in (1e-3, 1.0, 1e3):
        errors, determinants = fitted(rest, features[keep], labels[keep], np.array([[penalty]]))
        expected, determinant = direct(features[keep], labels[keep], penalty)
        assert errors[0] == pytest.approx(expected, rel=1e-6)
        assert determinants[0, 0] == pytest.approx(determinant, rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_fits_of_all_rows_are_the_direct_ones(shape):
    features, labels, blocks = drawn(shape)
    moments = moments_of(features, blocks)
    assert isinstance(moments.ridge, AllRows)
    errors, determinants = fitted(moments, features, labels, np.array([[0.5]]))
    expected, determinant = direct(features, labels, 0.5)
    assert errors[0] == pytest.approx(expected, rel=1e-8)
    assert determinants[0, 0] == pytest.approx(determinant, rel=1e-8)


@pytest.mark.parametrize("deleted", [(), (3,)], ids=["all", "without a block"])
def test_a_penalty_of_each_column_is_that_penalty_for_all(deleted, monkeypatch):
    monkeypatch.setattr("molrate.statistics.moments._DELETED_SHARE", 0.7)
    # Many penalties go in several parts.
    monkeypatch.setattr("molrate.statistics.ridge._ELEMENTS", 700)
    features, labels, blocks = drawn(SHAPES["few rows"])
    moments = moments_of(features, blocks)
    moments = moments.without(*deleted) if deleted else moments
    keep = ~np.isin(blocks, deleted)
    penalties = np.geomspace(0.01, 100, 6).reshape(3, 2)
    errors, determinants = fitted(moments, features[keep], labels[keep], penalties)
    for line, column in np.ndindex(3, 2):
        one, determinant = fitted(
            moments, features[keep], labels[keep], penalties[line, column].reshape(1, 1)
        )
        assert errors[line, column] == pytest.approx(one[0, column], rel=1e-12)
        assert determinants[line, column] == pytest.approx(determinant[0, 0], rel=1e-12)


@settings(deadline=None)
@given(n=st.integers(22, 60), d=st.integers(5, 70), seed=st.integers(0, 1000), block=st.integers(0, 19))
def test_eigenvalue_sums_without_a_block_are_those_of_the_rows_that_are_left(n, d, seed, block):
    features, _, blocks = drawn((n, d), seed)
    whole, keep = moments_of(features, blocks), blocks != block
    deleted = whole._singular_rows([block])
    left = features[keep] - features[keep].mean(axis=0)
    values = np.linalg.svd(left, compute_uv=False) ** 2
    assert RowsLeft(whole.spectrum, deleted, n).eigenvalue_sums() == pytest.approx(
        (values.sum(), (values**2).sum()), rel=1e-9
    )


def test_rows_that_are_all_equal_are_refused():
    with pytest.raises(InputError, match="the same for all molecules"):
        assert moments_of(np.full((40, 5), 3.0), np.arange(40) % 20).ridge


def test_a_block_of_many_rows_has_a_decomposition_of_its_own():
    features, _, blocks = drawn((200, 9))
    assert isinstance(moments_of(features, blocks).without(3).ridge, AllRows)


def test_a_penalty_below_rounding_explains_nothing():
    features, _, blocks = drawn(SHAPES["few rows"], rank=5)
    whole = moments_of(features, blocks)
    deleted = whole._singular_rows([3])
    # As if the deleted rows had all of every direction: nothing is left to invert.
    rows = RowsLeft(whole.spectrum, deleted / np.linalg.svd(deleted, compute_uv=False).min(), len(features))
    errors, determinants = rows.fit(np.zeros((90, 1)), np.ones(1)).profile(np.array([[1e-30]]))
    assert np.isinf(errors).all()
    assert np.isinf(determinants).all()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_statistics_under_other_labels_are_those_of_rows_added_with_them(task):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(90, 7)) + 50
    labels = generator.integers(0, 3, 90) if task == "classification" else generator.normal(size=90)
    sample = make_sample(features, labels, task, permutations=2)
    resampling = sample.resampling
    for statistics, order in zip(sample.further_statistics, resampling.further_permutations, strict=True):
        n_targets = int(task == "regression")
        added = FeatureStatistics(7, resampling.n_classes, n_targets, second_moments="none")
        added.add(features, resampling.codes[order], resampling.values[order, None] if n_targets else None)
        for name, array in added.sums.arrays().items():
            assert getattr(statistics.sums, name) == pytest.approx(array, rel=1e-9, abs=1e-9), name
        assert statistics.pooled is sample.raw_statistics[0].pooled
