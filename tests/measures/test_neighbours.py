"""Nearest neighbours against a search through all rows."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, NAMES, REGRESSED, classified, drawn, plain, regressed, rotation

from molrate.errors import InputError
from molrate.measures import knn, make_sample
from molrate.measures.neighbours import NearestNeighbours


def neighbours_by_search(features, groups, count):
    """Rows of other groups, nearest first."""
    for row, here in enumerate(features):
        others = [other for other in range(len(features)) if groups[other] != groups[row]]
        distances = {other: np.sum((here - features[other]) ** 2) for other in others}
        yield sorted(others, key=distances.get)[:count]


def accuracy_by_search(features, labels, count=3, groups=None):
    groups = np.arange(len(labels)) if groups is None else groups
    right = 0
    for row, nearest in enumerate(neighbours_by_search(features, groups, count)):
        votes = Counter(labels[other] for other in nearest)
        most = max(votes.values())
        right += labels[row] == next(labels[other] for other in nearest if votes[labels[other]] == most)
    return right / len(labels)


def correlation_by_search(features, values, count=3, groups=None):
    groups = np.arange(len(values)) if groups is None else groups
    found = neighbours_by_search(features, groups, count)
    return np.corrcoef(values, [np.mean(values[nearest]) for nearest in found])[0, 1]


@pytest.mark.parametrize("count", [1, 3, 4])
@classified
def test_accuracy_is_that_of_the_search(features, labels, count):
    expected = accuracy_by_search(features, labels, count)
    assert knn(features, labels, neighbours=count) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count", [1, 3])
@regressed
def test_correlation_is_that_of_the_search(features, values, count):
    expected = correlation_by_search(features, values, count)
    assert knn(features, values, "regression", neighbours=count) == pytest.approx(expected, rel=1e-9)


def test_ties_go_to_the_nearer_class():
    # 0 hears b, c, a from near to far and takes b, wrongly; -3.3 hears a, b, c and takes a.
    features = np.array([[0.0], [1], [2.1], [-3.3], [50], [51], [52.5]])
    labels = np.array(["a", "b", "c", "a", "b", "b", "b"])
    assert knn(features, labels) == pytest.approx(accuracy_by_search(features, labels))
    assert knn(features, labels) == pytest.approx(4 / 7)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(10, 40), st.integers(1, 40), st.integers(2, 4))
def test_rows_of_a_group_are_no_neighbours(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    groups = generator.integers(0, n // 2, n)
    groups[:4] = [n, n + 1, n + 2, n + 3]
    expected = accuracy_by_search(features, labels, groups=groups)
    assert knn(features, labels, groups=groups) == pytest.approx(expected)


def test_duplicated_noise_leaks_only_without_groups():
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(80, 6)), generator.integers(0, 2, 80)
    twice, both = np.r_[features, features], np.r_[labels, labels]
    assert knn(twice, both, neighbours=1) == 1
    assert knn(twice, both, neighbours=1, groups=np.tile(np.arange(80), 2)) < 0.7


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(10, 40), st.integers(1, 40), st.integers(2, 4))
def test_invariances(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    value = knn(features, labels)
    order = generator.permutation(n)
    moved = features @ rotation(generator, d) * generator.uniform(0.01, 100) + generator.normal(size=d)
    assert knn(features[order], labels[order]) == pytest.approx(value, rel=1e-12)
    assert knn(moved, labels) == pytest.approx(value, rel=1e-12)
    numbers = generator.normal(size=n)
    expected = knn(features, numbers, "regression")
    assert knn(moved, 3 * numbers - 1, "regression") == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_label_names_do_not_matter():
    features, labels = CLASSIFIED["balanced"]
    assert knn(features, NAMES[labels]) == knn(features, labels)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", CLASSIFIED)
def test_replicates_hold_the_neighbours_and_resample_whom_they_judge(name, task):
    features, labels = (CLASSIFIED if task == "classification" else REGRESSED)[name]
    sample = make_sample(features, labels, task, permutations=2, seed=3)
    resampling = sample.resampling
    distances = ((features[:, None] - features) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :3]
    table, spread = NearestNeighbours().replicates(sample), NearestNeighbours().spread(sample)
    read = resampling.values if task == "regression" else resampling.codes
    for row, order in enumerate(resampling.orders()):
        assert table[row, 0] == pytest.approx(knn(features, read[order], task), abs=1e-12)
        if task == "classification":
            continue
        values, predicted = read[order], read[order][nearest].mean(axis=1)
        for block in range(resampling.n_blocks):
            keep = resampling.blocks != block
            expected = np.corrcoef(values[keep], predicted[keep])[0, 1]
            assert table[row, 1 + block] == pytest.approx(expected, abs=1e-12)
    assert len(spread) == 94
    for value, order in zip(spread[:5], resampling.further_permutations, strict=False):
        assert value == pytest.approx(knn(features, read[order], task), abs=1e-12)


def test_replicates_judge_the_molecules_of_the_other_blocks():
    features, labels = plain()
    sample = make_sample(features, labels, n_blocks=5)
    table = NearestNeighbours().replicates(sample)
    right = [accuracy_by_search(features, labels) * len(labels)]
    sizes = np.bincount(sample.resampling.blocks)
    judged = table[0, 1:] * (len(labels) - sizes)
    assert judged.sum() == pytest.approx(4 * right[0])
    np.testing.assert_allclose(judged, np.round(judged))


def test_too_few_molecules_are_refused():
    with pytest.raises(InputError, match="not 3 other molecules"):
        knn(np.eye(6), [0, 1, 0, 1, 0, 1], groups=[0, 0, 0, 0, 1, 2])
