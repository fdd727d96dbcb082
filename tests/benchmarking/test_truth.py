from dataclasses import replace

import numpy as np
import pytest
from benchmarking.outcomes import repeated

from molrate.benchmarking.agreement import weighted
from molrate.benchmarking.read import read_results
from molrate.benchmarking.truth import (
    agreement_of_halves,
    attainable_tau,
    one_finetuning,
    standard_errors_behind,
)


def test_halves_of_the_seeds_agree_or_not(results):
    dataset = read_results(results)[0]
    assert agreement_of_halves(dataset) == pytest.approx(1)
    noisy = dataset.truth.copy()
    noisy[:, 1] = noisy[::-1, 0]
    assert agreement_of_halves(replace(dataset, truth=noisy)) < -0.9
    assert np.isnan(agreement_of_halves(replace(dataset, truth=dataset.truth[:, :1])))


def test_attainable_agreement_falls_with_the_noise_of_the_truth():
    means = np.linspace(0.6, 0.9, 8)[:, None]
    noise = np.random.default_rng(0).standard_normal((8, 3))
    taus = [attainable_tau(repeated(means + scale * noise)) for scale in (0, 0.02, 0.2)]
    assert taus[0] == pytest.approx(1)
    assert taus[0] > taus[1] > taus[2] > 0
    assert np.isnan(attainable_tau(repeated(means)))


def test_attainable_agreement_is_what_a_repetition_of_the_study_reaches():
    generator = np.random.default_rng(1)
    means = np.linspace(0.6, 0.9, 10)[:, None]
    found, stated = [], []
    for _ in range(150):
        first, second = means + 0.05 * generator.standard_normal((2, 10, 3))
        found.append(weighted(means[:, 0], first.mean(axis=1)))
        stated.append(attainable_tau(repeated(second)))
    # The means of the rows stand for the true ones and are a little further apart than these.
    assert np.mean(stated) == pytest.approx(np.mean(found), abs=0.06)


def test_one_finetuning_is_judged_by_the_other_seeds():
    truth = [[0.9, 0.9], [0.8, 0.8], [0.7, 0.7]]
    assert one_finetuning(repeated(truth)) == pytest.approx((1, 0))
    tau, lost = one_finetuning(repeated(truth, [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]))
    assert (tau, lost) == pytest.approx((-1, 2 / 9))
    assert np.isnan(one_finetuning(repeated(truth, np.full((3, 2), np.nan)))).all()


def test_a_choice_is_behind_by_paired_standard_errors():
    # Differences of 0.1, 0.2 and 0.3: a mean of 0.2, and a standard error of 0.1 / sqrt(3).
    trial = repeated([[0.9, 0.9, 0.9], [0.8, 0.7, 0.6]])
    assert standard_errors_behind(np.array([0, 1]), trial) == pytest.approx(0.2 / (0.1 / np.sqrt(3)))
    assert standard_errors_behind(np.array([1, 0]), trial) == 0
    assert standard_errors_behind(np.array([1, 1]), trial) == pytest.approx(0.1 / (0.1 / np.sqrt(3)))
