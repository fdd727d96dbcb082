"""Coordinates of fewer columns keep all products; distances are those of the rows."""

import numpy as np
import pytest
from measures.cases import classified
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from molrate.measures.rowspace import principal_components, row_space, squared_distances


@classified
def test_row_space_keeps_all_products(features, labels):
    rows = row_space(features)
    assert rows.shape[1] <= min(features.shape)
    assert rows @ rows.T == pytest.approx(features @ features.T, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("components", [3, 100])
@classified
def test_principal_components_are_scikit_learns_up_to_sign(features, labels, components):
    ours = principal_components(features, components)
    theirs = PCA(ours.shape[1], svd_solver="full").fit_transform(features)
    assert np.abs(ours) == pytest.approx(np.abs(theirs), rel=1e-6, abs=1e-8)


@classified
def test_principal_components_of_enough_number_keep_all_distances(features, labels):
    ours = principal_components(features, 100)
    assert cdist(ours, ours) == pytest.approx(cdist(features, features), rel=1e-6, abs=1e-6)


@classified
def test_distances_are_those_of_the_rows(features, labels):
    expected = cdist(features, features, "sqeuclidean")
    assert squared_distances(features) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_equal_rows_are_at_distance_zero_far_from_the_origin():
    rows = np.random.default_rng(0).normal(size=(30, 40)) + 1e4
    distances = squared_distances(np.r_[rows, rows])
    assert not np.diagonal(distances[:30, 30:]).any()
    assert (distances[:30, :30] + np.eye(30) > 0).all()
