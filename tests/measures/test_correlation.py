"""LFC and linear CKA against the n x n matrices they do not form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, NAMES, REGRESSED, check_table, classified, drawn, regressed, rotation

from molrate.errors import InputError
from molrate.measures import cka, lfc
from molrate.measures.correlation import LabelFeatureCorrelation, LinearCKA


def lfc_by_entries(features, labels):
    theta = [[x @ y for y in features] for x in features]
    equal = [[1.0 if a == b else -1.0 for b in labels] for a in labels]
    return np.corrcoef(np.ravel(theta), np.ravel(equal))[0, 1]


def cka_by_kernels(features, columns):
    n = len(features)
    centring = np.eye(n) - np.ones((n, n)) / n
    feature_kernel = centring @ (features @ features.T) @ centring
    label_kernel = centring @ (columns @ columns.T) @ centring
    norms = np.linalg.norm(feature_kernel) * np.linalg.norm(label_kernel)
    return np.sum(feature_kernel * label_kernel) / norms


@classified
def test_lfc_is_the_correlation_of_all_entries(features, labels):
    assert lfc(features, labels) == pytest.approx(lfc_by_entries(features, labels), rel=1e-9)


@classified
def test_cka_of_classes_is_that_of_the_kernels(features, labels):
    expected = cka_by_kernels(features, np.eye(labels.max() + 1)[labels])
    assert cka(features, labels) == pytest.approx(expected, rel=1e-9)


@regressed
def test_cka_of_values_is_that_of_the_kernels(features, values):
    expected = cka_by_kernels(features, values[:, None])
    assert cka(features, values, "regression") == pytest.approx(expected, rel=1e-9)


def test_cka_of_several_targets_is_that_of_the_kernels():
    features, values = REGRESSED["balanced"]
    columns = np.c_[values, values**2, np.sin(values)]
    assert cka(features, columns, "regression") == pytest.approx(cka_by_kernels(features, columns), rel=1e-9)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_cka_of_the_one_hot_labels_themselves_is_one(n_classes):
    labels = np.arange(40) % n_classes
    assert cka(np.eye(n_classes)[labels], labels) == pytest.approx(1, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 50), st.integers(1, 60), st.integers(2, 4))
def test_invariances(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    order = generator.permutation(n)
    turned = features @ rotation(generator, d) * generator.uniform(0.01, 100)
    for measure in (lfc, cka):
        value = measure(features, labels)
        assert measure(features[order], labels[order]) == pytest.approx(value, rel=1e-8, abs=1e-10)
        assert measure(features, NAMES[labels]) == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert measure(turned, labels) == pytest.approx(value, rel=1e-8, abs=1e-10)
        assert -1 <= value <= 1
    moved = turned + 20 * generator.normal(size=d)
    assert cka(moved, labels) == pytest.approx(cka(features, labels), rel=1e-7, abs=1e-10)


def test_an_offset_dominates_lfc():
    features, labels = CLASSIFIED["balanced"]
    assert abs(lfc(features + 100, labels)) < abs(lfc(features, labels)) / 10


@pytest.mark.parametrize("name", ["balanced", "n below d"])
def test_replicates(name):
    check_table(LabelFeatureCorrelation(), lfc, *CLASSIFIED[name])
    check_table(LinearCKA(), cka, *CLASSIFIED[name])
    check_table(
        LinearCKA(), lambda rows, values: cka(rows, values, "regression"), *REGRESSED[name], "regression"
    )


@pytest.mark.parametrize("measure", [lfc, cka])
def test_equal_features_are_refused(measure):
    with pytest.raises(InputError, match="nothing"):
        measure(np.ones((6, 3)), [0, 1, 0, 1, 0, 1])
