"""The logistic probe against scikit-learn's fits, fold by fold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, classified, drawn, plain
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from molrate.errors import InputError
from molrate.measures import make_sample
from molrate.measures.probe import LogisticProbe, area_under_curve


def standardised_rows(features):
    deviation = features.std(axis=0)
    used = deviation > 1e-9
    return (features - features.mean(axis=0))[:, used] / deviation[used] / np.sqrt(used.sum())


def probabilities_by_fits(features, codes, folds):
    probabilities = np.zeros((len(codes), codes.max() + 1))
    for fold in np.unique(folds):
        held = folds == fold
        # To far below what the measure's own fit leaves.
        model = LogisticRegression(C=10.0, tol=1e-10, max_iter=10_000)
        model.fit(standardised_rows(features)[~held], codes[~held])
        probabilities[np.ix_(held, model.classes_)] = model.predict_proba(standardised_rows(features)[held])
    return probabilities


def area(codes, probabilities):
    if probabilities.shape[1] == 2:
        return roc_auc_score(codes, probabilities[:, 1])
    return np.mean([roc_auc_score(codes == code, probabilities[:, code]) for code in np.unique(codes)])


@classified
def test_logistic_replicates_hold_the_fits(features, labels):
    sample = make_sample(features, labels, permutations=1, seed=3)
    table = LogisticProbe().replicates(sample)
    for row, order in enumerate(sample.resampling.orders()):
        codes = labels[order]
        probabilities = probabilities_by_fits(features, codes, sample.resampling.blocks % 5)
        for block in range(-1, sample.resampling.n_blocks):
            keep = sample.resampling.blocks != block
            expected = area(codes[keep], probabilities[keep])
            # A fit stopped earlier may exchange two pairs in the order.
            pairs = min(np.bincount(codes[keep])) * keep.sum() / 2
            assert table[row, 1 + block] == pytest.approx(expected, abs=2.5 / pairs)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4), st.booleans())
def test_area_is_scikit_learns(seed, n_classes, tied):
    generator, _, codes = drawn(seed, 40, 1, n_classes)
    probabilities = generator.dirichlet(np.ones(n_classes), size=40)
    if tied:
        probabilities = np.round(probabilities, 1)
    assert area_under_curve(codes, probabilities) == pytest.approx(area(codes, probabilities), rel=1e-12)


def test_logistic_is_free_of_the_scale_and_offset_of_each_column():
    features, labels = CLASSIFIED["balanced"]
    generator = np.random.default_rng(0)
    moved = features * generator.uniform(0.01, 100, size=8) + generator.normal(size=8)
    values = [LogisticProbe().replicates(make_sample(rows, labels))[0, 0] for rows in (features, moved)]
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_logistic_refuses_a_fold_without_a_second_class():
    features, _ = plain(30)
    with pytest.raises(InputError, match="one class only"):
        LogisticProbe().replicates(make_sample(features, np.arange(30) == 3))


def test_one_molecule_far_outside_does_not_decide():
    features, labels = CLASSIFIED["balanced"]
    before = LogisticProbe().replicates(make_sample(features, labels))[0, 0]
    features = features.copy()
    features[3] *= 1e6
    assert LogisticProbe().replicates(make_sample(features, labels))[0, 0] > before - 0.05
