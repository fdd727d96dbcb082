"""Nulls, jackknife intervals and groups, against hand-written loops and by simulation."""

import numpy as np
import pytest
from scipy import stats

from molrate.measures.base import MEASURES
from molrate.measures.sample import make_sample
from molrate.ranking.candidates import Candidate, score_candidates
from molrate.statistics.intervals import difference, estimate, jackknife, separable_groups


def replicates_of(statistic, values, n_blocks=20):
    blocks = np.arange(len(values)) % n_blocks
    return np.array([statistic(values), *(statistic(values[blocks != b]) for b in range(n_blocks))])


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(size=60)
    value, error = jackknife(replicates_of(np.mean, values, n_blocks=60))
    assert value == pytest.approx(values.mean(), rel=1e-12)
    assert error == pytest.approx(stats.sem(values), rel=1e-9)


def test_the_correction_removes_a_bias_in_one_over_n():
    values = np.random.default_rng(1).normal(size=80)
    value, _ = jackknife(replicates_of(np.var, values, n_blocks=80))
    assert value == pytest.approx(values.var(ddof=1), rel=1e-9)


def test_an_estimate_reads_its_table():
    generator = np.random.default_rng(2)
    table = generator.normal(size=(6, 11))
    table[0] += 5
    found = estimate(table)
    assert found.null_mean == pytest.approx(table[1:, 0].mean())
    assert found.null_sd == pytest.approx(table[1:, 0].std(ddof=1))
    assert found.excess == pytest.approx(table[0, 0] - table[1:, 0].mean())
    assert found.z == pytest.approx(found.excess / found.null_sd)
    excesses = table[0] - table[1:].mean(axis=0)
    deleted = excesses[1:]
    error = np.sqrt(9 / 10 * np.sum((deleted - deleted.mean()) ** 2))
    reach = stats.t.ppf(0.975, 9) * error
    assert found.interval() == pytest.approx((excesses[0] - reach, excesses[0] + reach))
    corrected = excesses[0] - 9 * (deleted.mean() - excesses[0])
    assert found.corrected == pytest.approx(corrected)
    low, high = sorted([excesses[0], corrected])
    assert found.interval(corrected=True) == pytest.approx((low - reach, high + reach))
    assert found.p_value == pytest.approx(stats.t.sf(found.excess / error, 9))


def test_a_null_jackknifed_in_part_or_not_at_all():
    table = np.random.default_rng(3).normal(size=(4, 6))
    partly = table.copy()
    partly[2:, 1:] = np.nan
    found = estimate(partly)
    expected = table[0] - (table[1:, 0].mean() + table[1] - table[1, 0])
    np.testing.assert_allclose(found.replicates, expected)
    none = table.copy()
    none[1:, 1:] = np.nan
    found = estimate(none)
    np.testing.assert_allclose(found.replicates, table[0] - table[1:, 0].mean())
    # Without the null's own deletions the correction would remove twice what the null removes.
    assert found.corrected == found.excess


def test_less_can_be_better():
    table = np.random.default_rng(4).normal(size=(4, 6))
    assert estimate(table, higher_is_better=False).excess == pytest.approx(-estimate(table).excess)


def test_what_two_encoders_share_cancels_in_their_difference():
    generator = np.random.default_rng(5)
    shared = generator.normal(size=400) * 10
    one, other = shared + generator.normal(size=400) + 0.5, shared + generator.normal(size=400)
    gap, error = difference(replicates_of(np.mean, one), replicates_of(np.mean, other))
    assert gap == pytest.approx(np.mean(one - other), rel=1e-9)
    assert error == pytest.approx(np.std(one - other) / 20, rel=0.5)
    assert error < 0.2 * jackknife(replicates_of(np.mean, one))[1]


def test_groups_part_the_unlike_and_not_the_like():
    values = np.random.default_rng(6).normal(size=(2, 400))
    same = replicates_of(np.mean, values[0])
    near = replicates_of(np.mean, values[0] + 0.01 * values[1])
    assert separable_groups([same, same, same + 3, near + 3, same - 3]) == [2, 2, 1, 1, 3]
    assert separable_groups([]) == []


def test_equal_candidates_are_told_apart_no_oftener_than_stated():
    generator = np.random.default_rng(7)
    told = 0
    for _ in range(400):
        values = generator.normal(size=(6, 200))
        told += max(separable_groups([replicates_of(np.mean, one) for one in values])) > 1
    assert told <= stats.binom.ppf(0.999, 400, 0.05)


@pytest.mark.parametrize("d", [32, 512])
def test_noise_claims_no_signal_oftener_than_stated(d):
    names = ("transrate", "logme", "h-score", "cka", "ridge")
    measures = [MEASURES[name]() for name in names]
    claims = dict.fromkeys(names, 0)
    repeats = 24
    for seed in range(repeats):
        generator = np.random.default_rng(seed)
        features, labels = generator.normal(size=(100, d)), generator.random(100) < 0.4
        resampling = make_sample(features, labels, permutations=5, seed=seed).resampling
        for one in score_candidates([Candidate("noise", "", features)], np.arange(100), resampling, measures):
            found = one.estimate
            claims[one.measure.name] += found.interval()[0] > 0
            assert found.interval(corrected=True)[0] <= found.interval()[0]
    assert max(claims.values()) <= stats.binom.ppf(0.999, repeats, 0.025)
