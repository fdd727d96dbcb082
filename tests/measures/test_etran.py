"""ETran's two scores and how the pool scales them."""

import numpy as np
import pytest
from measures.cases import CLASSIFIED, REGRESSED, plain, regressed
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LinearRegression

from molrate.errors import InputError
from molrate.measures import make_sample
from molrate.measures.etran import ETran

# Those whose within-class covariance has full rank, so that no floor is felt.
FULL_RANK = ["balanced", "unbalanced", "duplicated rows"]


def label_score(features, labels):
    """Mean probability of the true class by the discriminants of the maximum likelihood covariance."""
    fitted = LinearDiscriminantAnalysis(solver="lsqr").fit(features, labels)
    return fitted.predict_proba(features)[np.arange(len(labels)), labels].mean()


def label_score_by_class(features, labels, floor=1e-6):
    classes = range(labels.max() + 1)
    means = np.array([features[labels == label].mean(axis=0) for label in classes])
    apart = features - means[labels]
    within = apart.T @ apart / len(features)
    within += floor * np.trace(within) / len(within) * np.eye(len(within))
    scores = np.empty((len(features), len(means)))
    for label in classes:
        from_mean = features - means[label]
        distances = np.sum(from_mean * np.linalg.solve(within, from_mean.T).T, axis=1)
        scores[:, label] = np.log(np.mean(labels == label)) - distances / 2
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.mean(powers[np.arange(len(labels)), labels] / powers.sum(axis=1))


def energy_score(features):
    energies = sorted(np.log(np.sum(np.exp(row))) for row in features)
    return np.mean(energies[: max(1, len(energies) // 200)])


@pytest.mark.parametrize("name", [*FULL_RANK, "constant column"])
def test_scores_on_all_rows_permuted_and_without_each_block(name):
    features, labels = CLASSIFIED[name]
    sample = make_sample(features, labels, permutations=2, seed=3)
    label, energy = ETran().replicates(sample)
    for row, order in enumerate(sample.resampling.orders()):
        assert label[row, 0] == pytest.approx(label_score_by_class(features, labels[order]), rel=1e-9)
        assert energy[row, 0] == pytest.approx(energy_score(features), rel=1e-12)
    for block in range(sample.resampling.n_blocks):
        keep = sample.resampling.blocks != block
        assert label[0, 1 + block] == pytest.approx(
            label_score_by_class(features[keep], labels[keep]), rel=1e-9
        )
        assert energy[:, 1 + block] == pytest.approx(energy_score(features[keep]), rel=1e-12)


@pytest.mark.parametrize("name", FULL_RANK)
def test_label_score_is_scikit_learns_but_for_the_floor(name):
    features, labels = CLASSIFIED[name]
    value = ETran().replicates(make_sample(features, labels))[0, 0, 0]
    assert value == pytest.approx(label_score(features, labels), rel=1e-4)


@regressed
def test_label_score_of_values_is_minus_the_error_of_the_fit(features, values):
    sample = make_sample(features, values, "regression", permutations=1)
    fitted = LinearRegression().fit(features, values).predict(features)
    label, _ = ETran().replicates(sample)
    assert label[0, 0] == pytest.approx(-np.mean((values - fitted) ** 2), rel=1e-9, abs=1e-20)
    permuted = values[sample.resampling.permutations[0]]
    fitted = LinearRegression().fit(features, permuted).predict(features)
    assert label[1, 0] == pytest.approx(-np.mean((permuted - fitted) ** 2), rel=1e-9, abs=1e-20)


def test_no_more_rows_than_dimensions_fit_anything_and_are_warned_of():
    features, values = REGRESSED["n below d"]
    sample = make_sample(features, values, "regression")
    assert ETran().replicates(sample)[0, 0, 0] == pytest.approx(0, abs=1e-12)
    assert "the label score fits anything" in ETran().warning(sample)


def test_energy_is_that_of_the_lowest_half_per_cent():
    features, labels = np.random.default_rng(0).normal(size=(450, 2)), np.arange(450) % 2
    energies = np.sort(np.logaddexp(*features.T))
    assert ETran().replicates(make_sample(features, labels))[1, 0, 0] == pytest.approx(energies[:2].mean())


def pool_of(*encoders):
    return [ETran().replicates(make_sample(rows, labels, permutations=1)) for rows, labels in encoders]


def test_pool_scales_each_score_from_the_worst_to_the_best():
    features, labels = plain()
    pool = pool_of((features, labels), (features[:, 1:], labels), (features[:, ::2] - 4, labels))
    values = [table[0, 0] for table in ETran().normalise_across(pool)]
    label, energy = np.array([[table[0, 0, 0], table[1, 0, 0]] for table in pool]).T
    assert values == pytest.approx(
        0.85 * (label - label.min()) / np.ptp(label) + 0.15 * (energy - energy.min()) / np.ptp(energy),
        rel=1e-12,
    )
    assert min(values) >= 0
    assert max(values) <= 1


def test_another_encoder_changes_the_values_of_the_others():
    features, labels = plain()
    noise = np.random.default_rng(9).normal(size=(120, 4))
    pool = pool_of((features, labels), (features[:, 1:], labels), (features[:, :4] - 4, labels))
    few = [table[0, 0] for table in ETran().normalise_across(pool)]
    many = [table[0, 0] for table in ETran().normalise_across([*pool, *pool_of((100 * noise, labels))])]
    assert many[:3] != pytest.approx(few)


def test_equal_encoders_are_both_worst():
    features, labels = plain()
    tables = ETran().normalise_across(pool_of((features, labels), (features, labels)))
    assert [table[0, 0] for table in tables] == [0, 0]


def test_a_pool_of_one_is_refused():
    with pytest.raises(InputError, match="at least two"):
        ETran().normalise_across(pool_of(plain()))
