from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from benchmarking.outcomes import outcome

from molrate.benchmarking.expectations import expectation_table
from molrate.benchmarking.read import read_results


def test_what_was_expected_and_what_came():
    table = pd.DataFrame(
        {
            "frozen expected": [1.1, 2.2, 3.3],
            "finetuned expected": [0.9, 1.5, 2.0],
            "frozen": [1.0, 2.0, 3.0],
            "finetuned": [1.0, 2.0, 2.0],
        }
    )
    row = expectation_table([replace(outcome("a", [3, 2, 1]), expected=table, metric="rmse")]).loc[0]
    assert row["frozen off"] == pytest.approx(0.1)
    assert row["frozen tau"] == pytest.approx(1)
    assert row["frozen scatter"] == pytest.approx(np.log(1.1))
    assert row["metric"] == "rmse"
    areas = table.assign(
        **{"frozen expected": 0.8, "frozen": 0.9, "finetuned expected": 0.9, "finetuned": 0.9}
    )
    row_of_areas = expectation_table([replace(outcome("a", [3, 2, 1]), expected=areas)]).loc[0]
    # What an area lacks of 1.
    assert row_of_areas["frozen scatter"] == pytest.approx(np.log(2))
    perfect = areas.assign(frozen=[1.0, 0.9, 0.9])
    row_of_areas = expectation_table([replace(outcome("a", [3, 2, 1]), expected=perfect)]).loc[0]
    assert row_of_areas["frozen scatter"] == pytest.approx(np.log(2))
    assert row["finetuned off"] == pytest.approx((0.1 + 0.25) / 3)
    # Two of three pairs in order, one tied in what came.
    assert row["finetuned tau"] == pytest.approx(2 / 6**0.5)
    assert expectation_table([outcome("a", [3, 2, 1])]).empty


def test_expectations_are_read_for_the_seed_they_were_made_for(results):
    assert read_results(results)[0].expected.empty
    for path in (results / "scores").glob("*.csv"):
        scores = pd.read_csv(path)
        scores["target"] = "y"
        scores["frozen"] = 10.0 + scores["seed"]
        scores["finetuned"] = float("nan")
        scores.to_csv(path, index=False)
    rows = pd.read_csv(results / "finetuning.csv")
    rows["frozen_test"] = 2 * rows["test"]
    rows.to_csv(results / "finetuning.csv", index=False)
    for found in read_results(results):
        assert found.expected.index.tolist() == found.encoders
        assert found.expected["frozen expected"].tolist() == [10.5] * 6
        assert found.expected["frozen"].tolist() == pytest.approx((2 * found.expected["finetuned"]).tolist())
        assert found.expected["finetuned"].tolist() == pytest.approx(abs(found.mean_truth).tolist())
