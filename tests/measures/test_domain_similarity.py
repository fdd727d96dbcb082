"""Domain similarity against the earth mover's distance as a linear programme."""

import numpy as np
import pytest
from measures.cases import CLASSIFIED, check_table, plain, rotation
from scipy.optimize import linprog
from sklearn.cluster import KMeans

from molrate.measures import domain_similarity
from molrate.measures.base import NotApplicableError
from molrate.measures.domain_similarity import DomainSimilarity


def earth_movers_distance(source, source_weights, target, target_weights):
    costs = np.array([[np.linalg.norm(start - end) for end in target] for start in source])
    n, m = costs.shape
    leaving = np.kron(np.eye(n), np.ones(m))
    arriving = np.kron(np.ones(n), np.eye(m))
    solution = linprog(
        costs.ravel(),
        A_eq=np.r_[leaving, arriving],
        b_eq=np.r_[source_weights, target_weights],
        method="highs",
    )
    return solution.fun


def similarity_by_flows(features, labels, source, gamma=0.01):
    n_clusters = max(1, min(50, len(source) // 10))
    cluster = KMeans(n_clusters, n_init=1, random_state=0).fit_predict(source)
    names = np.unique(cluster)
    codes = np.unique(labels)
    distance = earth_movers_distance(
        np.array([source[cluster == name].mean(axis=0) for name in names]),
        np.array([np.mean(cluster == name) for name in names]),
        np.array([features[labels == code].mean(axis=0) for code in codes]),
        np.array([np.mean(labels == code) for code in codes]),
    )
    return np.exp(-gamma * distance)


def source_of(d):
    return 2 * np.random.default_rng(7).normal(size=(90, d)) - 1


@pytest.mark.parametrize("gamma", [0.01, 0.5])
@pytest.mark.parametrize("name", ["balanced", "unbalanced", "n below d"])
def test_is_that_of_the_flows(name, gamma):
    features, labels = CLASSIFIED[name]
    source = source_of(features.shape[1])
    expected = similarity_by_flows(features, labels, source, gamma)
    assert domain_similarity(features, labels, source, gamma=gamma) == pytest.approx(expected, rel=1e-8)


def test_one_cluster_beside_one_mean_by_hand():
    # The source's mean is 0; the classes lie at distances 3 and 5, half the molecules each.
    features = np.array([[3.0, 0], [3, 0], [0, 5], [0, 5]])
    source = np.array([[1.0, 1], [-1, -1]])
    assert domain_similarity(features, [0, 0, 1, 1], source) == pytest.approx(np.exp(-0.04), rel=1e-9)


def test_nearer_sources_are_more_similar_and_scale_matters():
    features, labels = CLASSIFIED["balanced"]
    value = domain_similarity(features, labels, features)
    assert value > domain_similarity(features, labels, features + 20)
    assert value != pytest.approx(domain_similarity(10 * features, labels, 10 * features), rel=1e-3)


def test_rotation_of_both_does_not_matter():
    features, labels = CLASSIFIED["balanced"]
    turn, source = rotation(np.random.default_rng(0), 8), source_of(8)
    value = domain_similarity(features, labels, source)
    assert domain_similarity(features @ turn, labels, source @ turn) == pytest.approx(value, rel=1e-6)


def test_replicates_delete_blocks_exactly():
    features, labels = CLASSIFIED["unbalanced"]
    source = source_of(features.shape[1])
    check_table(
        DomainSimilarity(),
        lambda rows, codes: domain_similarity(rows, codes, source),
        features,
        labels,
        source_features=source,
    )


def test_without_source_molecules_it_is_refused():
    with pytest.raises(NotApplicableError, match="pretrained on"):
        DomainSimilarity().score(*plain())
