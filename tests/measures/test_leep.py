"""NCE, LEEP and N-LEEP against their definitions, pair by pair."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, NAMES, classified, drawn, plain, rotation
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from molrate.errors import InputError
from molrate.measures import leep, make_sample, n_leep, nce
from molrate.measures.base import NotApplicableError
from molrate.measures.leep import LEEP, NCE, MixtureLEEP, leading_components
from molrate.measures.trained import Task2Vec


def leep_by_molecules(probabilities, labels):
    n, n_source = probabilities.shape
    joint = {
        (label, z): sum(probabilities[i, z] for i in range(n) if labels[i] == label) / n
        for label in set(labels)
        for z in range(n_source)
    }
    marginal = [sum(joint[label, z] for label in set(labels)) for z in range(n_source)]
    total = 0.0
    for i in range(n):
        total += np.log(
            sum(
                joint[labels[i], z] / marginal[z] * probabilities[i, z]
                for z in range(n_source)
                if marginal[z] > 0
            )
        )
    return total / n


def nce_by_pairs(source, labels):
    n = len(labels)
    total = 0.0
    for z in set(source):
        for label in set(labels):
            both = np.mean((np.asarray(source) == z) & (np.asarray(labels) == label))
            if both > 0:
                total += both * np.log(both / (np.sum(np.asarray(source) == z) / n))
    return total


def head(seed, labels, n_source=6):
    """Probabilities of source classes, of which some have to do with the label."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(len(labels), n_source))
    scores[:, 0] += 2 * np.asarray(labels)
    powers = np.exp(2 * scores)
    return powers / powers.sum(axis=1, keepdims=True)


@classified
def test_leep_is_that_of_the_molecules(features, labels):
    probabilities = head(0, labels)
    expected = leep_by_molecules(probabilities, labels.tolist())
    assert leep(probabilities, labels) == pytest.approx(expected, rel=1e-9)


def test_leep_bears_a_source_class_that_none_has():
    probabilities = np.c_[head(0, [0, 1, 1, 0, 1], 3), np.zeros(5)]
    expected = leep_by_molecules(probabilities, [0, 1, 1, 0, 1])
    assert leep(probabilities, [0, 1, 1, 0, 1]) == pytest.approx(expected, rel=1e-12)


@classified
def test_nce_is_that_of_the_pairs(features, labels):
    source = head(0, labels).argmax(axis=1)
    assert nce(source, labels) == pytest.approx(nce_by_pairs(source, labels), rel=1e-9)


def test_certain_source_classes_make_leep_nce():
    labels = np.random.default_rng(0).integers(0, 3, 60)
    source = np.random.default_rng(1).integers(0, 4, 60)
    assert leep(np.eye(4)[source], labels) == pytest.approx(nce(source, labels), rel=1e-12)


def test_the_label_as_source_class_tells_all_and_one_class_its_entropy():
    labels = np.array([0, 0, 0, 1])
    assert nce(labels, labels) == 0
    assert leep(np.eye(2)[labels], labels) == 0
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert nce(np.zeros(4), labels) == pytest.approx(-entropy, rel=1e-12)
    assert leep(np.ones((4, 1)), labels) == pytest.approx(-entropy, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(10, 50), st.integers(2, 4), st.integers(1, 6))
def test_invariances(seed, n, n_classes, n_source):
    generator, _, labels = drawn(seed, n, 1, n_classes)
    probabilities = head(seed, labels, n_source)
    order, columns = generator.permutation(n), generator.permutation(n_source)
    value = leep(probabilities, labels)
    assert value <= 0
    assert leep(probabilities[order], labels[order]) == pytest.approx(value, rel=1e-9)
    assert leep(probabilities[:, columns], NAMES[labels]) == pytest.approx(value, rel=1e-9)
    source = probabilities.argmax(axis=1)
    value = nce(source, labels)
    assert value <= 0
    assert nce(source[order], labels[order]) == pytest.approx(value, rel=1e-9, abs=1e-15)
    assert nce(source + 7, NAMES[labels]) == pytest.approx(value, rel=1e-9, abs=1e-15)


def n_leep_by_scikit_learn(features, labels):
    fitted = PCA(n_components=0.8, svd_solver="full").fit(features)
    rows = fitted.transform(features)
    rows = rows / rows[:, 0].std()
    n_components = min(5 * len(set(labels.tolist())), len(labels) // 2)
    mixture = GaussianMixture(n_components, covariance_type="diag", random_state=0).fit(rows)
    return leep_by_molecules(mixture.predict_proba(rows), labels.tolist())


@classified
def test_n_leep_is_that_of_a_mixture_on_leading_components(features, labels):
    assert n_leep(features, labels) == pytest.approx(n_leep_by_scikit_learn(features, labels), rel=1e-6)


@classified
def test_leading_components_hold_four_fifths_of_the_variance(features, labels):
    rows = leading_components(features)
    total = np.sum(np.var(features, axis=0))
    assert np.sum(np.var(rows, axis=0)) >= 0.8 * total
    assert np.sum(np.var(rows[:, :-1], axis=0)) < 0.8 * total


def test_n_leep_is_free_of_rotation_scale_and_offset():
    features, labels = CLASSIFIED["balanced"]
    generator = np.random.default_rng(0)
    moved = 0.01 * features @ rotation(generator, 8) + generator.normal(size=8)
    assert n_leep(moved, labels) == pytest.approx(n_leep(features, labels), rel=1e-6)


def test_n_leep_depends_on_the_start():
    features, labels = CLASSIFIED["balanced"]
    assert len({round(n_leep(features, labels, seed=seed), 9) for seed in range(4)}) > 1


def test_replicates_hold_the_source_classes():
    features, labels = CLASSIFIED["unbalanced"]
    probabilities = head(0, labels)
    sample = make_sample(features, labels, permutations=2, seed=3, source_probabilities=probabilities)
    mixture = MixtureLEEP().source(sample)
    for measure, source, public in (
        (LEEP(), probabilities, leep),
        (NCE(), probabilities.argmax(axis=1), nce),
        (MixtureLEEP(), mixture, leep),
    ):
        table = measure.replicates(sample)
        for row, order in enumerate(sample.resampling.orders()):
            codes = labels[order]
            for block in range(-1, sample.resampling.n_blocks):
                keep = sample.resampling.blocks != block
                assert table[row, 1 + block] == pytest.approx(public(source[keep], codes[keep]), rel=1e-9)


def test_of_several_source_models_the_mean_is_taken():
    features, labels = CLASSIFIED["unbalanced"]
    heads = np.stack([head(seed, labels, 2) for seed in range(3)], axis=1)
    alone = [leep(heads[:, task], labels) for task in range(3)]
    assert len(set(alone)) == 3
    assert leep(heads, labels) == pytest.approx(np.mean(alone), rel=1e-12)
    sample = make_sample(features, labels, permutations=2, seed=3, source_probabilities=heads)
    for measure in (LEEP(), NCE()):
        tables = [
            measure.replicates(replace(sample, source_probabilities=heads[:, task])) for task in range(3)
        ]
        np.testing.assert_allclose(measure.replicates(sample), np.mean(tables, axis=0), rtol=1e-9)
    with pytest.raises(NotApplicableError, match="one source task"):
        Task2Vec().replicates(sample)
    heads[4, 1] = [0.7, 0.7]
    with pytest.raises(InputError, match="row 5 are not"):
        leep(heads, labels)


@pytest.mark.parametrize("measure", [LEEP, NCE])
def test_an_encoder_without_a_head_is_refused(measure):
    with pytest.raises(NotApplicableError, match="needs source-class probabilities"):
        measure().score(*plain())


@pytest.mark.parametrize("rows", [[[0.5, 0.6]], [[1.5, -0.5]], [[2.0, 2.0]]])
def test_what_are_no_probabilities_is_refused(rows):
    with pytest.raises(InputError, match=r"row 3 are not probabilities that sum to one"):
        leep(np.r_[[[0.5, 0.5]], [[1.0, 0.0]], rows], [0, 1, 1])


def test_a_mixture_of_more_parameters_than_molecules_is_warned_of():
    assert "parameters of the mixture" in MixtureLEEP().warning(make_sample(*CLASSIFIED["n below d"]))
