import numpy as np
import pandas as pd
import pytest

from molrate.errors import InputError
from molrate.evaluation.results import read_results

ENCODERS = [f"network-{number}" for number in range(6)]


def test_half_done_failed_and_frozen_encoders_are_not_ranked(results):
    trials = read_results(results)
    assert [trial.encoders for trial in trials] == [ENCODERS, ENCODERS]
    assert trials[0].references == {"ecfp4": pytest.approx(0.75)}
    assert trials[1].references == {}
    assert (trials[1].truth < 0).all()
    assert trials[0].seconds == 100


def test_a_seed_that_is_not_finished_does_not_count(results):
    finished = read_results(results)
    frame = pd.read_csv(results / "finetuning.csv")
    extra = frame[(frame["seed"] == 1) & frame["encoder"].isin(ENCODERS[:3])].assign(seed=2)
    pd.concat([frame, extra]).to_csv(results / "finetuning.csv", index=False)
    for one, other in zip(read_results(results), finished, strict=True):
        assert one.encoders == other.encoders
        np.testing.assert_array_equal(one.truth, other.truth)


def test_datasets_and_splits_are_chosen(results):
    assert [trial.name for trial in read_results(results, ["r"])] == ["r"]
    with pytest.raises(InputError, match="no random split of x; it has a, r"):
        read_results(results, ["x"])
    with pytest.raises(InputError, match="scaffold split"):
        read_results(results, split="scaffold")


def test_raw_values_of_which_less_is_better_are_turned(results):
    for path in (results / "scores").glob("*.csv"):
        frame = pd.read_csv(path)
        frame["measure"] = frame["measure"].replace("reversed", "ridge-rmse")
        frame.to_csv(path, index=False)
    predictors = read_results(results)[0].predictors
    np.testing.assert_array_equal(predictors["ridge-rmse"], -np.arange(6.0))
    np.testing.assert_array_equal(predictors["ridge-rmse (value)"], np.arange(6.0))


def test_the_consensus_is_a_mean_rank(results):
    for path in (results / "scores").glob("*.csv"):
        frame = pd.read_csv(path)
        third = frame[frame["measure"] == "transrate"].assign(measure="h-score")
        frame["measure"] = frame["measure"].replace("reversed", "logme")
        pd.concat([frame, third]).to_csv(path, index=False)
    # Two say 1 to 6, one 6 to 1.
    expected = (2 * np.arange(1.0, 7) + np.arange(6.0, 0, -1)) / 3
    np.testing.assert_allclose(read_results(results)[0].predictors["consensus"], expected)


def test_no_results(tmp_path):
    with pytest.raises(InputError, match="no results of molrate benchmark"):
        read_results(tmp_path)
