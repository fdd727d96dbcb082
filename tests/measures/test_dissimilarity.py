"""PARC, RSA and DEPARA against SciPy's Spearman correlation of upper triangles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, NAMES, REGRESSED, classified, drawn, plain
from scipy.stats import rankdata, spearmanr
from sklearn.decomposition import PCA

from molrate.errors import InputError
from molrate.measures import make_sample, parc, rsa
from molrate.measures.base import NotApplicableError
from molrate.measures.dissimilarity import DEPARA, PARC, RSA
from molrate.measures.rowspace import principal_components

NO_FEWER_ROWS_THAN_COLUMNS = [name for name in CLASSIFIED if name != "n below d"]


def triangle(matrix):
    return np.round(matrix[np.triu_indices(len(matrix), 1)], 12)


def standardised_components(features, components=32):
    """PCA scores of standardised features; each sign is arbitrary and taken as the package has it."""
    deviation = features.std(axis=0)
    rows = (features - features.mean(axis=0))[:, deviation > 1e-9] / deviation[deviation > 1e-9]
    scores = PCA(min(components, *rows.shape), svd_solver="full").fit_transform(rows)
    scores = scores[:, scores.std(axis=0) > 1e-7]
    ours = principal_components(rows, components)
    return scores * np.sign(np.sum(scores * ours, axis=0))


def parc_by_triangles(features, label_distances):
    distances = 1 - np.corrcoef(standardised_components(features))
    return 100 * spearmanr(triangle(distances), triangle(label_distances)).statistic


@pytest.mark.parametrize("name", NO_FEWER_ROWS_THAN_COLUMNS)
def test_parc_of_classes_is_that_of_one_hot_rows(name):
    features, labels = CLASSIFIED[name]
    one_hot = np.eye(labels.max() + 1)[labels]
    expected = parc_by_triangles(features, 1 - np.corrcoef(one_hot))
    assert parc(features, labels) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", NO_FEWER_ROWS_THAN_COLUMNS)
def test_parc_of_values_is_that_of_their_differences(name):
    features, values = REGRESSED[name]
    expected = parc_by_triangles(features, np.abs(np.subtract.outer(values, values)))
    assert parc(features, values, "regression") == pytest.approx(expected, rel=1e-9)


def test_components_are_those_of_scikit_learn():
    features, _ = CLASSIFIED["n below d"]
    ours = principal_components(features, 32)
    theirs = PCA(32, svd_solver="full").fit_transform(features)
    assert np.abs(ours) == pytest.approx(np.abs(theirs), rel=1e-7, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 40), st.integers(3, 12), st.integers(2, 4))
def test_parc_is_free_of_row_order_names_and_the_scale_and_offset_of_columns(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    value = parc(features, labels)
    order = generator.permutation(n)
    moved = features * generator.uniform(0.01, 100, size=d) + generator.normal(size=d)
    assert parc(features[order], labels[order]) == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert parc(features, NAMES[labels]) == value
    assert parc(moved, labels) == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_two_classes_keep_values_small():
    features, labels = plain()
    features[:, 0] *= 100
    assert 0 < parc(features, labels) < 100 * np.sqrt(3) / 2


def rsa_by_triangles(features, reference):
    distances = [triangle(1 - np.corrcoef(rows)) for rows in (features, reference)]
    return spearmanr(*distances).statistic


@classified
def test_rsa_is_that_of_the_triangles(features, labels):
    reference = np.random.default_rng(0).normal(size=(len(labels), 5))
    reference[:, 0] += 3 * labels
    assert rsa(features, reference) == pytest.approx(rsa_by_triangles(features, reference), rel=1e-9)


def test_rsa_of_an_encoder_with_itself_is_one_whatever_its_scale():
    features, _ = CLASSIFIED["n below d"]
    assert rsa(features, 3 * features + 2) == pytest.approx(1, rel=1e-12)


def given_reference(**more):
    features, labels = CLASSIFIED["balanced"]
    reference = np.random.default_rng(1).normal(size=(120, 6))
    reference[:, 0] += 2 * labels
    return (
        features,
        reference,
        make_sample(features, labels, permutations=2, seed=3, reference=reference, **more),
    )


def kept_ranks(distances, keep):
    ranks = np.zeros_like(distances)
    upper = np.triu_indices(len(distances), 1)
    ranks[upper] = rankdata(triangle(distances))
    ranks += ranks.T
    return ranks[np.ix_(keep, keep)][np.triu_indices(keep.sum(), 1)]


def check_pairs(table, sample, ours, theirs, factor=1.0):
    for row, order in enumerate(sample.resampling.orders()):
        expected = factor * spearmanr(triangle(ours), triangle(theirs[np.ix_(order, order)])).statistic
        assert table[row, 0] == pytest.approx(expected, rel=1e-9)
    for block in range(sample.resampling.n_blocks):
        keep = sample.resampling.blocks != block
        expected = factor * np.corrcoef(kept_ranks(ours, keep), kept_ranks(theirs, keep))[0, 1]
        assert table[0, 1 + block] == pytest.approx(expected, rel=1e-9)


def test_parc_replicates_keep_the_ranks_of_pairs():
    features, labels = CLASSIFIED["balanced"]
    sample = make_sample(features, labels, permutations=2, seed=3)
    ours = 1 - np.corrcoef(standardised_components(features))
    theirs = 1 - np.corrcoef(np.eye(3)[labels])
    check_pairs(PARC().replicates(sample), sample, ours, theirs, 100)


def test_rsa_replicates_keep_the_ranks_of_pairs_and_permute_the_reference():
    features, reference, sample = given_reference()
    check_pairs(RSA().replicates(sample), sample, 1 - np.corrcoef(features), 1 - np.corrcoef(reference))


def test_depara_adds_the_mean_cosine_of_attributions():
    generator = np.random.default_rng(2)
    ours, theirs = generator.normal(size=(2, 120, 9)) + 0.5
    _, _, sample = given_reference(attributions=ours, reference_attributions=theirs)
    added = DEPARA().replicates(sample) - RSA().replicates(sample)

    def mean_cosine(order, keep):
        cosines = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(ours, theirs[order], strict=True)]
        return np.mean(np.array(cosines)[keep])

    for row, order in enumerate(sample.resampling.orders()):
        assert added[row, 0] == pytest.approx(mean_cosine(order, slice(None)), rel=1e-9)
    for block in range(sample.resampling.n_blocks):
        keep = sample.resampling.blocks != block
        assert added[0, 1 + block] == pytest.approx(mean_cosine(np.arange(120), keep), rel=1e-9)


def test_depara_of_an_encoder_with_itself_is_two():
    features, labels = CLASSIFIED["balanced"]
    sample = make_sample(
        features, labels, reference=features, attributions=features, reference_attributions=features
    )
    assert DEPARA().replicates(sample)[0] == pytest.approx(
        np.full(1 + sample.resampling.n_blocks, 2.0), rel=1e-9
    )


def test_without_a_reference_rsa_is_refused():
    with pytest.raises(NotApplicableError, match="trained on the target"):
        RSA().score(*plain())


@pytest.mark.parametrize("left_out", ["attributions", "reference_attributions", "reference"])
def test_without_any_of_its_inputs_depara_is_refused(left_out):
    features, labels = plain()
    arrays = dict.fromkeys(("attributions", "reference_attributions", "reference"), features)
    del arrays[left_out]
    with pytest.raises(NotApplicableError, match="trained on the target"):
        DEPARA().score(features, labels, **arrays)


def test_a_molecule_of_equal_values_is_refused():
    features, _ = plain()
    features[3] = 1.0
    with pytest.raises(InputError, match="equal values in all dimensions"):
        rsa(features, features)
