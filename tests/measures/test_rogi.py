"""ROGI-XD against flat clusters cut at each threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, REGRESSED, check_table, drawn, plain, regressed, rotation
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from molrate.errors import InputError
from molrate.measures import make_sample, rogi_xd
from molrate.measures.rogi import RogiXD


def rogi_by_clusters(features, values):
    distances = pdist(features)
    tree = linkage(distances / distances.max(), "complete")
    scaled = (values - values.min()) / np.ptp(values)
    n = len(values)
    first = 2 * scaled.std()
    x, y = [0.0], [first]
    last = -1.0
    for threshold in np.unique(tree[:, 2]):
        if threshold - last < 0.01:
            continue
        last = threshold
        clusters = fcluster(tree, threshold, criterion="distance")
        names, sizes = np.unique(clusters, return_counts=True)
        if len(names) == 1:
            break
        means = np.array([scaled[clusters == name].mean() for name in names])
        mean = np.average(means, weights=sizes)
        x.append(1 - np.log(len(names)) / np.log(n))
        y.append(2 * np.sqrt(np.average((means - mean) ** 2, weights=sizes)))
    x.append(1.0)
    y.append(0.0)
    area = sum((x[i + 1] - x[i]) * (y[i + 1] + y[i]) / 2 for i in range(len(x) - 1))
    return first - area


@regressed
def test_is_that_of_the_flat_clusters(features, values):
    assert rogi_xd(features, values) == pytest.approx(rogi_by_clusters(features, values), rel=1e-9)


@pytest.mark.parametrize("name", ["unbalanced", "n below d", "duplicated rows", "constant column"])
def test_two_classes_run_as_numbers(name):
    features, labels = CLASSIFIED[name]
    table = RogiXD().replicates(make_sample(features, labels))
    assert table[0, 0] == pytest.approx(rogi_by_clusters(features, labels.astype(float)), rel=1e-9)


def test_smooth_targets_are_lower_than_rough_ones():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(150, 2))
    smooth = features[:, 0]
    assert rogi_xd(features, smooth) < 0.6 * rogi_xd(features, generator.permutation(smooth))
    score = RogiXD().score(features, smooth, task="regression")
    assert score.value < score.null_mean
    assert score.excess > 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(10, 50), st.integers(1, 40))
def test_invariances(seed, n, d):
    generator, features, _ = drawn(seed, n, d, 2)
    values = generator.normal(size=n)
    value = rogi_xd(features, values)
    order = generator.permutation(n)
    moved = features @ rotation(generator, d) * generator.uniform(0.01, 100) + generator.normal(size=d)
    assert rogi_xd(features[order], values[order]) == pytest.approx(value, rel=1e-8)
    assert rogi_xd(moved, values) == pytest.approx(value, rel=1e-7)
    assert rogi_xd(features, 5 * values - 3) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("name", REGRESSED)
def test_replicates_delete_blocks_exactly(name):
    check_table(RogiXD(), rogi_xd, *REGRESSED[name], "regression")


def test_three_classes_are_refused():
    with pytest.raises(InputError, match="more than two classes have no order"):
        RogiXD().score(*plain(n_classes=3))


def test_equal_features_are_refused():
    with pytest.raises(InputError, match="no distance between them"):
        rogi_xd(np.ones((30, 2)), np.arange(30.0))
