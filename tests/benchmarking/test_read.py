import numpy as np
import pandas as pd
import pytest

from molrate.benchmarking.read import read_results
from molrate.errors import InputError
from molrate.paths import EVIDENCE, shipped

ENCODERS = [f"network-{number}" for number in range(6)]


def test_half_done_failed_and_frozen_encoders_are_not_ranked(results):
    outcomes = read_results(results)
    assert [outcome.encoders for outcome in outcomes] == [ENCODERS, ENCODERS]
    assert outcomes[0].references == {"ecfp4": pytest.approx(0.75)}
    assert outcomes[1].references == {}
    assert (outcomes[1].truth < 0).all()
    assert outcomes[0].seconds == 100


def test_a_seed_that_is_not_finished_does_not_count(results):
    finished = read_results(results)
    frame = pd.read_csv(results / "finetuning.csv")
    extra = frame[(frame["seed"] == 1) & frame["encoder"].isin(ENCODERS[:3])].assign(seed=2)
    pd.concat([frame, extra]).to_csv(results / "finetuning.csv", index=False)
    for outcome, expected in zip(read_results(results), finished, strict=True):
        assert outcome.encoders == expected.encoders
        np.testing.assert_array_equal(outcome.truth, expected.truth)


def test_a_seed_that_has_begun_pushes_out_no_encoder(results):
    frame = pd.read_csv(results / "finetuning.csv")
    begun = frame[(frame["seed"] == 0) | frame["encoder"].isin(ENCODERS[:4])]
    begun.to_csv(results / "finetuning.csv", index=False)
    # Four encoders of two seeds are more cells than six of one.
    outcomes = read_results(results)
    assert outcomes[1].encoders == ENCODERS
    assert outcomes[1].seeds == [0]


def test_a_measure_that_failed_under_one_seed_is_not_averaged_over_the_others(results):
    path = results / "scores" / "a-random-1.csv"
    scores = pd.read_csv(path)
    scores.loc[(scores["encoder"] == ENCODERS[2]) & (scores["measure"] == "transrate"), "excess"] = np.nan
    scores.to_csv(path, index=False)
    assert "transrate" not in read_results(results)[0].predictors
    assert "transrate" in read_results(results)[1].predictors
    assert read_results(results)[0].unscored == {"transrate": [ENCODERS[2]]}
    assert read_results(results)[1].unscored == {}


@pytest.mark.parametrize("name", ["2024", "NA", "null", "None", "nan"])
def test_names_that_look_like_numbers_or_gaps(results, name):
    for path in [
        results / "finetuning.csv",
        *(results / "scores").glob("*"),
        *(results / "variants").glob("*"),
    ]:
        frame = pd.read_csv(path)
        frame["dataset"] = frame["dataset"].replace({"a": name, "r": "1"})
        frame.to_csv(path, index=False)
    (outcome,) = read_results(results, [name, name])
    assert outcome.name == name
    assert "transrate" in outcome.predictors
    assert len(outcome.variants)


def test_the_study_is_read_without_contaminated_encoders():
    clean = read_results(datasets=["bbbp"], exclude_contaminated=True)[0].encoders
    assert read_results(datasets=["bbbp"])[0].encoders == clean
    assert set(clean) < set(read_results(shipped(EVIDENCE), ["bbbp"])[0].encoders)


def test_tables_of_something_else(results):
    (results / "finetuning.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no results of molrate benchmark: no column dataset"):
        read_results(results)


def test_datasets_and_splits_are_chosen(results):
    assert [outcome.name for outcome in read_results(results, ["r"])] == ["r"]
    with pytest.raises(InputError, match="no random split of x; it has a, r"):
        read_results(results, ["x"])
    with pytest.raises(InputError, match="scaffold split"):
        read_results(results, split="scaffold")


def test_raw_values_of_which_less_is_better_are_turned(results):
    for path in (results / "scores").glob("*.csv"):
        frame = pd.read_csv(path)
        frame["measure"] = frame["measure"].replace("reversed", "rogi-xd")
        frame.to_csv(path, index=False)
    predictors = read_results(results)[0].predictors
    np.testing.assert_array_equal(predictors["rogi-xd"], -np.arange(6.0))
    np.testing.assert_array_equal(predictors["rogi-xd (value)"], np.arange(6.0))


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


def test_the_static_list_is_also_tried_with_a_measure(results):
    paths = list((results / "scores").glob("*.csv"))
    for path in paths:
        frame = pd.read_csv(path)
        frame["measure"] = frame["measure"].replace("reversed", "loo")
        frame.to_csv(path, index=False)
    predictors = read_results(results)[0].predictors
    np.testing.assert_allclose(predictors["transrate + static list"], np.arange(1.0, 7))
    np.testing.assert_allclose(predictors["loo + static list"], np.full(6, 3.5))


def test_what_is_expected_of_several_targets_is_their_mean(results):
    path = results / "scores" / "r-random-0.csv"
    scores = pd.read_csv(path)
    # In spreads of training 1 and 19.
    expected = {"a": (0.5, 0.5), "b": (1900.0, 100.0)}
    of_each = [
        scores.assign(target=name, frozen=value, finetuned=value, spread=spread)
        for name, (value, spread) in expected.items()
    ]
    pd.concat(of_each).to_csv(path, index=False)
    frame = pd.read_csv(results / "finetuning.csv").assign(frozen_test=10.0)
    frame.to_csv(results / "finetuning.csv", index=False)
    outcome = next(one for one in read_results(results) if one.name == "r")
    assert outcome.expected["frozen expected"].tolist() == [10.0] * 6
    # Of one target of two there is no forecast.
    of_each[1].loc[of_each[1]["encoder"] == ENCODERS[0], "frozen"] = np.nan
    pd.concat(of_each).to_csv(path, index=False)
    outcome = next(one for one in read_results(results) if one.name == "r")
    assert outcome.expected.index.tolist() == ENCODERS[1:]
    of_each[1]["frozen"] = 1900.0
    of_each[1].loc[of_each[1]["encoder"] == ENCODERS[0], "finetuned"] = np.nan
    pd.concat(of_each).to_csv(path, index=False)
    outcome = next(one for one in read_results(results) if one.name == "r")
    assert outcome.expected["finetuned expected"].isna().tolist() == [True, *[False] * 5]
    assert outcome.expected["frozen expected"].tolist() == [10.0] * 6
    # What was scored before spreads were noted compares with nothing.
    pd.concat(of_each).drop(columns="spread").to_csv(path, index=False)
    assert next(one for one in read_results(results) if one.name == "r").expected.empty


def test_a_dataset_that_was_named_is_not_left_out_in_silence(results, caplog):
    path = results / "finetuning.csv"
    rows = pd.read_csv(path)
    first = rows.loc[rows["dataset"] == "r", "encoder"].unique()[:2]
    rows[(rows["dataset"] != "r") | rows["encoder"].isin(first)].to_csv(path, index=False)
    assert [outcome.name for outcome in read_results(results)] == ["a"]
    assert (
        "r: fewer than 3 encoders were fine-tuned under every seed (random split); it is left out"
        in caplog.text
    )
    with pytest.raises(InputError, match=r"r: fewer than 3 encoders .* leave it out"):
        read_results(results, ["a", "r"])


@pytest.mark.parametrize(("column", "value"), [("test", "abc"), ("seed", "x"), ("n_parameters", "?")])
def test_what_is_no_number_is_named(results, column, value):
    rows = pd.read_csv(results / "finetuning.csv", dtype=str)
    rows.loc[3, column] = value
    rows.loc[25, "status"] = "no\ncode"
    rows.to_csv(results / "finetuning.csv", index=False)
    with pytest.raises(InputError, match=rf"finetuning.csv, line 5, column {column}: '[{value}]+' is not a"):
        read_results(results)
    rows.loc[3, column] = "1"
    rows.loc[27, column] = value
    rows.to_csv(results / "finetuning.csv", index=False)
    with pytest.raises(InputError, match=f"line 30, column {column}"):
        read_results(results)


def test_a_score_that_is_no_number_is_named(results):
    path = results / "scores" / "r-random-0.csv"
    path.write_text(path.read_text().replace("network-1,transrate,1.0", "network-1,transrate,high", 1))
    with pytest.raises(InputError, match=r"r-random-0\.csv, line 3, column value: 'high' is not a number"):
        read_results(results)


def test_rows_that_are_not_whole_are_named(results, caplog):
    path = results / "finetuning.csv"
    lines = path.read_text().splitlines()
    lines[2] = ",".join(lines[2].split(",")[:9])
    rows = lines[4].split(",")
    rows[lines[0].split(",").index("test")] = ""
    lines[4] = ",".join(rows)
    path.write_text("\n".join(lines) + "\n")
    outcome = read_results(results)[0]
    assert outcome.encoders == [name for name in ENCODERS if name not in (ENCODERS[1], ENCODERS[3])]
    assert "finetuning.csv, line 3: the row of a random 0 network-1 is not whole; it" in caplog.text
    assert "line 5: the row of a random 0 network-3 is not whole" in caplog.text
