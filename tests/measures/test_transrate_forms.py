"""The conference listing and the repository's spectra evaluated term by term; replicates of all three."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures.cases import CLASSIFIED, NAMES, REGRESSED, check_table, classified, drawn, plain, rotation

from molrate.errors import InputError
from molrate.measures import make_sample, transrate, transrate_icml, transrate_spectral
from molrate.measures.transrate import CentredTransRate, SpectralTransRate, TransRate


def listing_rate(rows, eps):
    n, d = rows.shape
    return 0.5 * np.linalg.slogdet(np.eye(d) + rows.T @ rows / (n * eps))[1]


def transrate_by_listing(features, labels, eps=1e-4, uniform=False):
    rows = features - features.mean(axis=0)
    classes = [rows[labels == label] for label in np.unique(labels)]
    weights = [1 / len(classes) if uniform else len(part) / len(rows) for part in classes]
    conditional = sum(weight * listing_rate(part, eps) for weight, part in zip(weights, classes, strict=True))
    return listing_rate(rows, eps) - conditional


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def transrate_by_spectra(features, labels, eps=1e-4):
    rows = unit(features)
    rows = unit(rows - rows.mean(axis=0))
    second = rows.T @ rows / len(rows)
    rank = np.linalg.matrix_rank(second)

    def rate(part):
        values = np.linalg.svd(part.T @ part / len(part), compute_uv=False)
        return np.sum(np.log(1 + values / eps)) / (2 * rank)

    conditional = 0.0
    for label in np.unique(labels):
        part = rows[labels == label]
        conditional += len(part) / len(rows) * rate(part)
    return rate(rows) - conditional


@pytest.mark.parametrize("weights", ["proportion", "uniform"])
@pytest.mark.parametrize("distortion", [1e-4, 0.1])
@classified
def test_listing(features, labels, distortion, weights):
    expected = transrate_by_listing(features, labels, distortion, weights == "uniform")
    value = transrate_icml(features, labels, distortion=distortion, weights=weights)
    assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("distortion", [1e-4, 0.1])
@classified
def test_spectra(features, labels, distortion):
    expected = transrate_by_spectra(features, labels, distortion)
    assert transrate_spectral(features, labels, distortion=distortion) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(10, 50), st.integers(2, 40), st.integers(2, 4))
def test_invariances(seed, n, d, n_classes):
    generator, features, labels = drawn(seed, n, d, n_classes)
    order = generator.permutation(n)
    turned = features @ rotation(generator, d)
    for measure in (transrate_icml, transrate_spectral):
        value = measure(features, labels)
        assert measure(features[order], labels[order]) == pytest.approx(value, rel=1e-7, abs=1e-9)
        assert measure(features, NAMES[labels]) == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert measure(turned, labels) == pytest.approx(value, rel=1e-7, abs=1e-9)
    moved = features + 5 * generator.normal(size=d)
    assert transrate_icml(moved, labels) == pytest.approx(
        transrate_icml(features, labels), rel=1e-7, abs=1e-9
    )


def test_listing_moves_with_scale_and_the_others_do_not():
    features, labels = CLASSIFIED["balanced"]
    assert transrate_icml(0.01 * features, labels) != pytest.approx(
        transrate_icml(features, labels), rel=0.01
    )
    for measure in (transrate, transrate_spectral):
        assert measure(0.01 * features, labels) == pytest.approx(measure(features, labels), rel=1e-9)


def test_offset_and_zero_columns_move_the_papers_form():
    features, labels = CLASSIFIED["balanced"]
    value = transrate(features, labels)
    assert transrate(features + 30, labels) < value / 2
    assert transrate(np.c_[features, np.zeros((120, 56))], labels) > 1.1 * value


def test_equal_weights_put_unbalanced_noise_above_signal_and_below_zero():
    generator = np.random.default_rng(0)
    labels = (np.arange(400) < 20).astype(int)
    noise = generator.normal(size=(400, 8))
    signal = generator.normal(size=(400, 8)) * (1 + 2 * labels[:, None]) + 3 * labels[:, None]
    values = {
        weights: [transrate_icml(rows, labels, weights=weights) for rows in (noise, signal)]
        for weights in ("proportion", "uniform")
    }
    assert values["proportion"][0] < values["proportion"][1]
    assert values["uniform"][0] > 0 > values["uniform"][1]


def test_centred_forms_see_three_classes_apart_but_not_two_on_either_side_of_the_mean():
    generator = np.random.default_rng(0)
    excesses = {}
    for n_classes in (2, 3):
        labels = np.arange(150) % n_classes
        features = generator.normal(size=(150, 6)) + 4 * np.eye(n_classes, 6)[labels]
        for measure in (CentredTransRate(), SpectralTransRate()):
            score = measure.score(features, labels, permutations=5)
            excesses[measure.name, n_classes] = score.excess / score.null_sd
    for name in ("transrate-icml", "transrate-spectral"):
        assert excesses[name, 3] > 10
        assert abs(excesses[name, 2]) < 5


@pytest.mark.parametrize("name", CLASSIFIED)
def test_replicates_delete_blocks_exactly(name):
    check_table(TransRate(), transrate, *CLASSIFIED[name], rel=1e-8)
    check_table(CentredTransRate(), transrate_icml, *CLASSIFIED[name], rel=1e-8)


def test_replicates_of_binned_targets_keep_the_bins():
    check_table(TransRate(), transrate, *REGRESSED["balanced"], "regression", 1e-8)
    check_table(CentredTransRate(), transrate_icml, *REGRESSED["balanced"], "regression", 1e-8)


@pytest.mark.parametrize("shape", [(120, 8), (60, 100), (150, 40)])
def test_the_jackknifed_permutations_delete_blocks_exactly(shape):
    features, labels = plain(*shape)
    sample = make_sample(features, labels, permutations=4, seed=1)
    table = TransRate().replicates(sample)
    for row, order in enumerate(sample.resampling.permutations[:3], start=1):
        permuted = labels[order]
        for block in range(sample.resampling.n_blocks):
            keep = sample.resampling.blocks != block
            assert table[row, 1 + block] == pytest.approx(transrate(features[keep], permuted[keep]), rel=1e-8)
    assert np.isnan(table[4, 1:]).all()


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("shape", [(120, 8), (60, 100), (150, 40)])
@pytest.mark.parametrize("form", [TransRate, SpectralTransRate])
def test_further_permutations_have_the_values_of_their_labels(form, shape, task):
    features, labels = plain(*shape)
    values = labels if task == "classification" else features[:, 0]
    sample = make_sample(features, values, task, permutations=2, seed=1)
    spread = form().spread(sample)
    public = transrate if form is TransRate else transrate_spectral
    # So few molecules are cheap: all of the permutations are used.
    for value, order in zip(spread, sample.resampling.further_permutations, strict=True):
        assert value == pytest.approx(public(features, sample.resampling.codes[order]), rel=1e-8)


@pytest.mark.parametrize("name", ["balanced", "n below d"])
def test_spectral_interval_holds_the_rank_and_the_scaled_rows(name):
    features, labels = CLASSIFIED[name]
    sample = make_sample(features, labels, permutations=2, seed=3)
    table = SpectralTransRate().replicates(sample)
    orders = sample.resampling.permutations
    assert table[1:, 0] == pytest.approx(
        [transrate_by_spectra(features, labels[o]) for o in orders], rel=1e-9
    )
    rows = unit(features)
    rows = unit(rows - rows.mean(axis=0))
    rank = np.linalg.matrix_rank(rows.T @ rows / len(rows))
    for block in range(sample.resampling.n_blocks):
        keep = sample.resampling.blocks != block
        kept, codes = rows[keep], labels[keep]
        expected = listing_rate(kept, 1e-4)
        for code in np.unique(codes):
            expected -= np.mean(codes == code) * listing_rate(kept[codes == code], 1e-4)
        assert table[0, 1 + block] == pytest.approx(expected / rank, rel=1e-8)


@pytest.mark.parametrize("measure", [transrate_icml, transrate_spectral])
def test_distortion_must_be_positive(measure):
    with pytest.raises(InputError, match="must be positive"):
        measure(np.eye(4), [0, 1, 0, 1], distortion=0)


def test_unknown_weights_are_refused():
    with pytest.raises(InputError, match="unknown class weights"):
        transrate_icml(np.eye(4), [0, 1, 0, 1], weights="equal")
