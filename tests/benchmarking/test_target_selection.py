from dataclasses import replace

import numpy as np
import pytest
from benchmarking.outcomes import outcome as results_of

from molrate.benchmarking.read import read_results
from molrate.benchmarking.target_selection import target_selection


def outcome(name, encoders, skill, **predictors):
    """Results of named encoders."""
    return replace(results_of(name, skill, **predictors), encoders=encoders)


def test_an_encoders_targets_are_ordered():
    targets = [
        outcome("easy", ["a", "b"], [0.9, 0.8], good=[3, 9], bad=[0, 0], only=[1, 1]),
        outcome("fair", ["b", "a", "c"], [0.5, 0.6, 0.1], good=[7, 2, 0], bad=[1, 1, 0]),
        outcome("hard", ["a", "b"], [0.1, 0.3], good=[1, 8], bad=[2, 2]),
    ]
    table = target_selection(targets, ["good", "bad", "only"]).set_index("predictor")
    assert table.index.tolist() == ["good", "bad"]
    assert table.loc["good", ["targets", "encoders"]].tolist() == [3, 2]
    # Of b the hard target scores above the fair one.
    assert table.loc["good", ["tau", "low", "high"]].tolist() == pytest.approx([(1 + 1 / 3) / 2, 1 / 3, 1])
    assert table.loc["bad", "tau"] == -1
    assert target_selection(targets[:2], ["good"]).empty
    assert target_selection([targets[0], targets[1], outcome("x", ["d"], [0], good=[0])], ["good"]).empty


def test_skill_is_the_same_for_errors_and_areas(results):
    area, error = read_results(results)
    np.testing.assert_allclose(area.skill, 2 * area.mean_truth - 1)
    seeds = -error.truth
    np.testing.assert_allclose(error.skill, (1 - (seeds / 4) ** 2).mean(axis=1))
