"""H-score by pseudo-inverse and scikit-learn's Ledoit-Wolf covariance, and its saturation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, NAMES, check_table, classified, drawn, rotation
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage

from molrate.errors import InputError
from molrate.measures import h_score, make_sample
from molrate.measures.hscore import HScore, ShrinkageHScore
from molrate.measures.hscore import ledoit_wolf_shrinkage as shrinkage_of
from molrate.measures.sample import statistics_of


def between_covariance(features, labels):
    mean = features.mean(axis=0)
    total = np.zeros((features.shape[1],) * 2)
    for label in np.unique(labels):
        rows = features[labels == label]
        total += len(rows) / len(features) * np.outer(rows.mean(axis=0) - mean, rows.mean(axis=0) - mean)
    return total


def h_score_by_pseudo_inverse(features, labels):
    covariance = np.cov(features.T, bias=True)
    inverse = np.linalg.pinv(covariance, rcond=1e-12, hermitian=True)
    return np.trace(inverse @ between_covariance(features, labels))


def h_score_by_ledoit_wolf(features, labels):
    fitted = LedoitWolf().fit(features)
    inverse = np.linalg.inv(fitted.covariance_)
    return (1 - fitted.shrinkage_) * np.trace(inverse @ between_covariance(features, labels))


@classified
def test_plain_form_is_that_of_the_pseudo_inverse(features, labels):
    expected = h_score_by_pseudo_inverse(features, labels)
    assert h_score(features, labels, shrinkage=False) == pytest.approx(expected, rel=1e-9)


@classified
def test_shrinkage_form_is_that_of_ledoit_and_wolf(features, labels):
    assert h_score(features, labels) == pytest.approx(h_score_by_ledoit_wolf(features, labels), rel=1e-9)


@classified
def test_shrinkage_from_one_pass_is_scikit_learns(features, labels):
    statistics = statistics_of(features, labels, second_moments="pooled")
    variances = np.linalg.eigvalsh(np.cov(features.T, bias=True))
    sums = variances.sum(), (variances**2).sum()
    assert shrinkage_of(statistics, *sums) == pytest.approx(ledoit_wolf_shrinkage(features), rel=1e-9)


def test_plain_form_is_classes_less_one_for_noise_of_no_more_rows_than_dimensions():
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(100, 150)), np.arange(100) % 5
    assert h_score(features, labels, shrinkage=False) == pytest.approx(4, rel=1e-9)
    assert h_score(features, labels) < 0.5
    assert "100 molecules for 150 dimensions" in HScore().warning(make_sample(features, labels))
    assert HScore().maximum(make_sample(features, labels)) == 4


def test_plain_form_of_noise_is_as_its_text_says():
    generator = np.random.default_rng(1)
    labels = np.arange(200) % 5
    values = [h_score(generator.normal(size=(200, 100)), labels, shrinkage=False) for _ in range(10)]
    assert np.mean(values) == pytest.approx(4 * 100 / 199, rel=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 50), st.integers(1, 60), st.integers(2, 4), st.booleans())
def test_invariances(seed, n, d, n_classes, shrinkage):
    generator, features, labels = drawn(seed, n, d, n_classes)
    value = h_score(features, labels, shrinkage=shrinkage)
    order = generator.permutation(n)
    moved = features @ rotation(generator, d) * generator.uniform(0.01, 100) + generator.normal(size=d)
    for rows, others in (
        (features[order], labels[order]),
        (features, NAMES[labels]),
        (moved, labels),
    ):
        assert h_score(rows, others, shrinkage=shrinkage) == pytest.approx(value, rel=1e-6, abs=1e-9)
    assert 0 <= value <= n_classes - 1 + 1e-9


def test_plain_form_does_not_change_with_any_linear_map_and_the_other_does():
    features, labels = CLASSIFIED["balanced"]
    mapped = features @ np.random.default_rng(0).normal(size=(8, 8))
    plain = [h_score(rows, labels, shrinkage=False) for rows in (features, mapped)]
    assert plain[0] == pytest.approx(plain[1], rel=1e-9)
    assert h_score(mapped, labels) != pytest.approx(h_score(features, labels), rel=1e-3)


@pytest.mark.parametrize("name", ["balanced", "n below d"])
def test_replicates(name):
    check_table(ShrinkageHScore(), h_score, *CLASSIFIED[name])
    check_table(HScore(), lambda rows, codes: h_score(rows, codes, shrinkage=False), *CLASSIFIED[name])


def test_one_class_is_refused():
    with pytest.raises(InputError, match="two different labels"):
        h_score(np.eye(4), [1, 1, 1, 1])
