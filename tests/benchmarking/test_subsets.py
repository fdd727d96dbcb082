import numpy as np
import pytest
from benchmarking.conftest import ENCODERS
from benchmarking.outcomes import outcome

from molrate.benchmarking.agreement import weighted
from molrate.benchmarking.read import read_results
from molrate.benchmarking.subsets import leave_out, subset_table


@pytest.mark.filterwarnings("error")
def test_leaving_out(results):
    table = leave_out(read_results(results), "transrate", "encoders")
    assert table["left out"].tolist()[0] == "nothing"
    assert sorted(table["left out"][1:]) == ENCODERS
    assert table["encoders"].tolist() == [6, 5, 5, 5, 5, 5, 5]
    np.testing.assert_allclose(table["weighted tau"], 1)
    families = leave_out(read_results(results), "transrate", "families")["weighted tau"]
    assert families[0] == pytest.approx(1)
    assert np.isnan(families[1:]).all()


def test_leaving_out_the_one_that_made_the_order():
    score = [9, 3, 2, 1, 0]
    table = leave_out([outcome("a", [9, 0, 1, 2, 3], score=score)], "score", "encoders")
    assert table["left out"].iloc[1] == "e0"
    assert table["weighted tau"].iloc[1] == pytest.approx(-1)


def test_no_mean_over_datasets_that_keep_too_few():
    small, large = (
        outcome("s", np.arange(3.0), score=np.arange(3.0)),
        outcome("l", np.arange(6.0), score=np.ones(6)),
    )
    table = leave_out([small, large], "score", "encoders").set_index("left out")
    assert np.isnan(table.loc["e0", "weighted tau"])
    assert table.loc["e5", "weighted tau"] == pytest.approx(0.5)


def test_pretrained_alone_and_within_families():
    kinds = ["pretrained"] * 3 + ["control"] * 3
    families = ["f", "f", "f", "g", "g", "h"]
    truth = [6, 5, 4, 3, 2, 1]
    # Wrong within the pretrained family, right otherwise.
    one = outcome("a", truth, families, kinds, score=[4, 5, 6, 3, 2, 1], right=truth)
    table = subset_table([one], ["score", "right"]).set_index("predictor")
    assert table.loc["right"].tolist() == pytest.approx([1, 1, 1])
    assert table.loc["score", ["pretrained", "within families"]].tolist() == pytest.approx([-1, -1])
    assert table.loc["score", "all"] == pytest.approx(
        weighted(np.array([4.0, 5, 6, 3, 2, 1]), np.array(truth))
    )


def test_a_dataset_with_too_few_of_a_kind_does_not_count():
    few = outcome("a", [1, 2, 3], ["f", "g", "h"], ["pretrained"] * 2 + ["control"], score=[3, 2, 1])
    many = outcome("b", [1, 2, 3], score=[1, 2, 3])
    table = subset_table([few, many], ["score"])
    assert table["all"].item() == pytest.approx(0)
    assert table[["pretrained", "within families"]].to_numpy().tolist() == [pytest.approx([1, 1])]
    assert np.isnan(subset_table([few], ["score"])["pretrained"].item())
