"""Parts that a table names: words, dates, a file of its own; and what no part may share."""

import numpy as np
import pandas as pd
import pytest

import molrate
from molrate.data.parts import Assignment, add_test, assign, read_date_column, read_split_column, read_test
from molrate.data.policy import RowPolicy
from molrate.data.splits import SplitError
from molrate.errors import InputError, UsageError
from molrate.finetuning.data import TrainingData


@pytest.fixture
def frame():
    """60 alkanes with values, words and years."""
    rows = range(1, 61)
    frame = pd.DataFrame({"smiles": ["C" * n for n in rows], "y": [float(n) for n in rows]})
    frame["part"] = ["Train"] * 40 + ["valid"] * 8 + ["TEST"] * 12
    frame["year"] = [2000 + n % 20 for n in rows]
    frame["day"] = [f"20{n % 20:02d}-0{1 + n % 9}-15" for n in rows]
    return frame


def split(frame, assignment, **columns):
    dataset = molrate.Dataset.from_frame(frame, "y")
    return TrainingData.of(dataset, assignment=assignment)


@pytest.mark.parametrize("written", [False, True])
def test_a_column_names_the_parts(frame, tmp_path, written):
    source = tmp_path / "t.csv"
    frame.to_csv(source, index=False)
    data = split(frame, read_split_column(source if written else frame, "part"))
    assert data.split.train.tolist() == list(range(40))
    assert data.split.validation.tolist() == list(range(40, 48))
    assert data.split.test.tolist() == list(range(48, 60))
    assert data.method == "column 'part'"


def test_words_that_are_no_parts_are_named_with_their_row(frame):
    frame.loc[4, "part"] = "holdout"
    with pytest.raises(InputError, match=r"row 5 of column 'part' is 'holdout'"):
        read_split_column(frame, "part")
    frame.loc[4, "part"] = None
    data = split(frame, read_split_column(frame, "part"))
    assert 4 not in data.split.train
    assert "1 rows have no part in column 'part' and are left out" in data.notes


@pytest.mark.parametrize("column", ["year", "day"])
def test_the_newest_are_tested_on(frame, column):
    data = split(frame, read_date_column(frame, column))
    oldest_tested = frame[column].iloc[data.split.test].min()
    assert (frame[column].iloc[data.split.train] <= oldest_tested).all()
    assert len(data.split.test) == 12
    assert len(data.split.train) == 42


def test_a_cell_that_is_no_date_is_named(frame):
    frame.loc[7, "day"] = "last spring"
    with pytest.raises(InputError, match=r"row 8 of column 'day' is 'last spring'"):
        read_date_column(frame, "day")


def test_a_molecule_is_in_one_part_only(frame):
    frame.loc[3, "smiles"] = frame.loc[50, "smiles"]
    data = split(frame, read_split_column(frame, "part"))
    assert 3 not in data.split.train
    assert 50 in data.split.test
    assert any(
        "1 rows of the train part are molecules of the test part as well" in note for note in data.notes
    )


def test_a_file_to_test_on_stands_behind_the_table(frame):
    test = frame.iloc[45:].reset_index(drop=True)
    own = molrate.Dataset.from_frame(frame.iloc[:50], "y")
    joined, assignment = assign(None, own, test=molrate.Dataset.from_frame(test, "y"))
    data = TrainingData.of(joined, assignment=assignment)
    assert data.split.test.tolist() == list(range(50, 65))
    assert not set(data.split.train) & set(range(45, 50))
    assert len(data.split.validation) == pytest.approx(45 / 8, abs=1)


def test_classes_of_a_file_to_test_on_have_the_codes_of_the_table():
    smiles = ["C" * n for n in range(1, 41)]
    own = molrate.Dataset.from_frame(pd.DataFrame({"smiles": smiles, "y": ["a", "b"] * 20}), "y")
    other = molrate.Dataset.from_frame(pd.DataFrame({"smiles": smiles[:30], "y": ["b", "a"] * 15}), "y")
    joined, _ = add_test(own, other)
    labels = np.array(joined.targets[0].classes)[joined.targets[0].values.astype(int)]
    assert labels.tolist() == ["a", "b"] * 20 + ["b", "a"] * 15
    strange = molrate.Dataset.from_frame(pd.DataFrame({"smiles": smiles[:30], "y": ["c", "a"] * 15}), "y")
    with pytest.raises(InputError, match="has the class 'c', which the training table lacks"):
        add_test(own, strange)


def test_one_way_to_split_at_a_time(frame):
    dataset = molrate.Dataset.from_frame(frame, "y")
    with pytest.raises(UsageError, match="split_column and date_column both say what to test on"):
        assign(frame, dataset, "part", "year")
    with pytest.raises(UsageError, match="freesolv is a dataset by name"):
        read_split_column("freesolv", "part")
    empty = Assignment(np.full(60, "train", dtype=object), "column 'part'")
    with pytest.raises(SplitError, match="no molecule that can be used is in the test part"):
        split(frame, empty)


def test_measurements_are_merged_within_parts_and_never_across_them(frame):
    again = pd.DataFrame({"smiles": frame["smiles"][[2, 2, 50, 50]], "y": [5.0, 7.0, 1000.0, 1002.0]})
    again["part"] = ["train", "train", "train", "test"]
    doubled = pd.concat([frame, again], ignore_index=True)
    dataset = molrate.Dataset.from_frame(doubled, "y")
    policy = RowPolicy(duplicates="merge")
    data = TrainingData.of(dataset, policy=policy, assignment=read_split_column(doubled, "part"))
    parts = {name: set(rows) for name, rows in data.split.record().items()}
    # Row 2 has 3, 5 and 7; row 50 has 51 and 1002 in the test part, and 1000 for training, which is dropped.
    assert data.values[2, 0] == 5
    assert data.values[50, 0] == pytest.approx((51 + 1002) / 2)
    assert parts["test"] == set(range(48, 60))
    assert not parts["train"] & {60, 61, 62, 63}
    assert any(
        "1 rows of the train part are molecules of the test part as well" in note for note in data.notes
    )
    assert any("merged" in note for note in data.notes)


def test_merging_leaves_the_values_of_a_file_to_test_on(frame):
    test = frame.iloc[45:].assign(y=lambda rows: rows["y"] + 1000).reset_index(drop=True)
    own = molrate.Dataset.from_frame(frame.iloc[:50], "y")
    joined, assignment = assign(None, own, test=molrate.Dataset.from_frame(test, "y"))
    data = TrainingData.of(joined, policy=RowPolicy(duplicates="merge"), assignment=assignment)
    assert data.split.test.tolist() == list(range(50, 65))
    assert data.values[data.split.test, 0].tolist() == test["y"].tolist()
    assert (data.values[[*data.split.train, *data.split.validation]] < 1000).all()


def test_a_target_that_cannot_be_read_in_the_file_to_test_on_is_an_error(frame):
    own = molrate.Dataset.from_frame(frame.assign(z=frame["y"]), ["y", "z"])
    test = frame.assign(z=frame["y"].astype(str)).iloc[40:]
    test.loc[45, "z"] = "1,5"
    with pytest.raises(InputError, match="1,5"):
        add_test(own, molrate.Dataset.from_frame(test, ["y", "z"]))


def test_a_way_to_split_beside_named_parts_is_refused(frame):
    dataset = molrate.Dataset.from_frame(frame, "y")
    with pytest.raises(UsageError, match="scaffold and column 'part' both say what to test on"):
        TrainingData.of(dataset, "scaffold", assignment=read_split_column(frame, "part"))


def test_contradictions_across_parts_are_said_where_rows_are_kept(frame):
    again = pd.DataFrame({"smiles": [frame["smiles"][50]], "y": [1000.0], "part": ["train"]})
    doubled = pd.concat([frame, again], ignore_index=True)
    dataset = molrate.Dataset.from_frame(doubled, "y")
    parts = read_split_column(doubled, "part")
    kept = TrainingData.of(dataset, assignment=parts)
    assert any("by 949 in rows 51 and 61; all are kept" in note for note in kept.notes)
    merged = TrainingData.of(dataset, policy=RowPolicy(duplicates="merge"), assignment=parts)
    assert not any("rows 51 and 61" in note for note in merged.notes)


def test_a_table_to_test_on_is_read_as_what_is_learned(tmp_path):
    (tmp_path / "two.csv").write_text("smiles,y\nC,1\nCC,2\nCCC,1\n")
    (tmp_path / "one.csv").write_text("smiles,y\nC,1\nCC,1\n")
    smiles = ["CO", "CCO", "CCCO", "CCCCO"]
    numbers = molrate.Dataset.from_molecules(smiles, {"y": [0.5, 1.5, 2.5, 3.5]})
    joined, _ = add_test(numbers, read_test(tmp_path / "two.csv", numbers))
    assert joined.targets[0].task == "regression"
    assert joined.targets[0].values.tolist() == [0.5, 1.5, 2.5, 3.5, 1.0, 2.0, 1.0]
    classes = molrate.Dataset.from_molecules(smiles, {"y": [0, 1, 1, 0]}, positive="0")
    joined, _ = add_test(classes, read_test(tmp_path / "one.csv", classes))
    target = joined.targets[0]
    assert target.classes[int(target.values[-1])] == "1"
    with pytest.raises(InputError, match="the class '2', which the training table lacks"):
        add_test(classes, read_test(tmp_path / "two.csv", classes))


def _by_date(years):
    frame = pd.DataFrame({"smiles": ["C" * n for n in range(1, len(years) + 1)], "year": years})
    assignment = read_date_column(frame, "year")
    years = np.array(years)
    return {
        part: set(years[assignment.parts == part]) for part in ("train", "validation", "test")
    }, assignment


def test_rows_of_one_date_stay_together():
    rng = np.random.default_rng(0)
    parts, assignment = _by_date(
        rng.permutation(np.repeat([2018, 2019, 2020, 2021, 2022], [20, 20, 27, 13, 20]))
    )
    assert parts == {"train": {2018, 2019, 2020}, "validation": {2021}, "test": {2022}}
    assert assignment.notes == (
        "by column 'year', those from 2021 on chosen by, those from 2022 on measured on",
    )
    parts, assignment = _by_date(rng.permutation(np.repeat([2019, 2020, 2021, 2022], 25)))
    assert parts == {"train": {2019, 2020, 2021}, "validation": set(), "test": {2022}}
    assert assignment.notes == ("by column 'year', those from 2022 on measured on",)


def test_a_date_of_too_many_rows_is_cut_through_and_said():
    parts, assignment = _by_date(np.repeat([2021, 2022], [10, 90]))
    assert parts["train"] & parts["test"] == {2022}
    assert any("so many rows are of 2022 that it is cut through" in note for note in assignment.notes)


def test_different_dates_are_cut_at_the_shares():
    _, assignment = _by_date(np.random.default_rng(1).permutation(np.arange(1900, 2000)))
    assert [int((assignment.parts == part).sum()) for part in ("train", "validation", "test")] == [70, 10, 20]
