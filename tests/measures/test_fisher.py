"""SFDA against the released steps, row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, NAMES, check_table, classified, drawn, rotation

from molrate.measures import sfda
from molrate.measures.fisher import SelfChallengingFisher


def softmax(scores):
    powers = np.exp(scores - np.max(scores))
    return powers / powers.sum()


def within_covariance(features, labels):
    total = np.zeros((features.shape[1],) * 2)
    for row, label in zip(features, labels, strict=True):
        apart = row - features[labels == label].mean(axis=0)
        total += np.outer(apart, apart)
    return total / len(features)


def discriminants(features, labels, strength):
    """Class probabilities by linear discriminants with S_w shrunk towards the identity."""
    metric = (1 - strength) * within_covariance(features, labels) + strength * np.eye(features.shape[1])
    classes = range(labels.max() + 1)
    means = [features[labels == label].mean(axis=0) for label in classes]
    weights = [np.linalg.solve(metric, mean) for mean in means]
    offsets = [np.log(np.mean(labels == label)) - means[label] @ weights[label] / 2 for label in classes]
    return np.array([softmax([row @ weights[c] + offsets[c] for c in classes]) for row in features])


def sfda_by_rows(features, labels):
    spread = np.linalg.norm(within_covariance(features, labels), 2)
    strength = max(np.exp(-5 * spread), 1e-10)
    first = discriminants(features, labels, strength)
    means = [features[labels == label].mean(axis=0) for label in range(labels.max() + 1)]
    harder = np.empty_like(features)
    for row, label in enumerate(labels):
        own = softmax(first[row])[label]
        others = np.mean([mean for code, mean in enumerate(means) if code != label], axis=0)
        harder[row] = own * features[row] + (1 - own) * others
    second = discriminants(harder, labels, strength)
    return np.mean([second[row, label] for row, label in enumerate(labels)])


@pytest.mark.parametrize("scale", [0.1, 0.5])
@classified
def test_is_that_of_the_rows(features, labels, scale):
    assert sfda(scale * features, labels) == pytest.approx(sfda_by_rows(scale * features, labels), rel=1e-9)


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "duplicated rows"])
def test_is_that_of_the_rows_at_the_least_strength(name):
    features, labels = CLASSIFIED[name]
    assert sfda(5 * features, labels) == pytest.approx(sfda_by_rows(5 * features, labels), rel=1e-7)


def test_features_are_left_as_they_are():
    features, labels = CLASSIFIED["balanced"]
    copy = features.copy()
    sfda(features, labels)
    assert np.array_equal(features, copy)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(12, 40), st.integers(1, 50), st.integers(2, 4))
def test_invariances(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    features *= 0.3
    value = sfda(features, labels)
    order = generator.permutation(n)
    moved = features @ rotation(generator, d) + generator.normal(size=d)
    assert sfda(features[order], labels[order]) == pytest.approx(value, rel=1e-6)
    assert sfda(features, NAMES[labels]) == pytest.approx(value, rel=1e-6)
    assert sfda(moved, labels) == pytest.approx(value, rel=1e-6)
    assert 0 <= value <= 1


def test_regularisation_depends_on_the_scale():
    features, labels = CLASSIFIED["n below d"]
    assert sfda(0.1 * features, labels) != pytest.approx(sfda(features, labels), rel=1e-3)


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "n below d"])
def test_replicates_delete_blocks_exactly(name):
    features, labels = CLASSIFIED[name]
    check_table(SelfChallengingFisher(), sfda, 0.3 * features, labels, rel=1e-8)
