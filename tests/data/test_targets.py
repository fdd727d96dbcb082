from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrate.data.targets import (
    MIN_LABELLED,
    Target,
    TargetPolicy,
    check_target,
    check_targets,
    parse_target,
    quantile_bins,
    seek,
)
from molrate.errors import InputError, UsageError


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=80), st.randoms())
def test_bins_ignore_row_order_and_keep_ties_together(values, random):
    bins = quantile_bins(values)
    order = list(range(len(values)))
    random.shuffle(order)
    np.testing.assert_array_equal(quantile_bins(np.array(values)[order]), bins[order])
    assert len(set(zip(values, bins.tolist(), strict=True))) == len(set(values))


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=200, unique=True), st.integers(2, 10))
def test_bins_are_ordered_and_equal_in_count(values, n_bins):
    bins = quantile_bins(values, n_bins)
    sizes = np.bincount(bins)
    assert len(sizes) == n_bins
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(bins[np.argsort(values)]) >= 0).all()


def test_ten_bins_of_the_papers_freesolv_training_split():
    assert sorted(set(np.bincount(quantile_bins(np.arange(513))))) == [51, 52]


def test_ties_leave_no_empty_bin_number():
    assert set(quantile_bins([0] * 60 + list(range(1, 41)))) == set(range(5))


def test_numbers_with_two_values_are_classes_however_they_are_spelt():
    target = parse_target("y", ["1", "0.0", "", "1.0", 0])
    assert (target.task, target.classes) == ("classification", ("0", "1"))
    np.testing.assert_array_equal(target.values, [1, 0, np.nan, 1, 0])


def test_text_labels_are_classes_and_missing_cells_are_missing():
    target = parse_target("y", ["BBB+", "BBB-", "NA", None, float("nan"), "BBB+"])
    assert (target.classes, target.positive) == (("BBB-", "BBB+"), "BBB+")
    assert target.values[0] == 1
    assert target.labelled.tolist() == [True, True, False, False, False, True]


def test_other_numbers_are_a_regression():
    target = parse_target("y", ["-1.5", "2e3", "<NA>", "3"])
    assert target.task == "regression"
    np.testing.assert_array_equal(target.values, [-1.5, 2000, np.nan, 3])


def test_large_numeric_labels_stay_apart():
    target = parse_target("y", [1000000, 1000001, 0.5], "classification")
    assert target.classes == ("0.5", "1000000", "1000001")


def test_an_unknown_task_is_refused():
    with pytest.raises(UsageError, match="unknown task 'clasification'"):
        parse_target("y", [1, 2], "clasification")


def test_the_task_can_be_set():
    assert parse_target("y", ["0", "1", "2"], "classification").classes == ("0", "1", "2")
    assert parse_target("y", ["0", "1", "0"], "regression").task == "regression"


@pytest.mark.parametrize(
    ("column", "task", "message"),
    [
        (["", "nan", None], None, "no measured value in any of its 3 rows"),
        (["1.2", ">5", "3"], None, r"mixes numbers and text: row 2 '>5'"),
        (["1.2", "inf", "3"], None, r"mixes numbers and text: row 2 'inf' is not a finite number"),
        ([f"name {i}" for i in range(30)], None, "30 different values, too many for class labels"),
        (["low", "high"], "regression", r"row 1 'low' is text, and 1 more of 2 measured cells"),
        (["-1,5", "2,5"], None, r"row 1 '-1,5' has a decimal comma, and 1 more.*task"),
        (["10 nM", "20 nM"], None, r"row 1 '10 nM' has the unit or text 'nM' behind the number"),
        (["10%", "", "20%"], None, r"row 1 '10%' has a percent sign"),
        (["1_000", "2_000"], None, r"row 1 '1_000' has an underscore"),
        (["\u22121.5", "2"], None, r"row 1 '\u22121.5' has the character '\u2212' \(U\+2212\)"),
        (["\uff11", "\uff12"], None, r"U\+FF11"),
        (["1e999", "2"], None, r"row 1 '1e999' is not a finite number"),
        ([float("inf"), 2.0], None, r"row 1 'inf' is not a finite number"),
        ([">10", "<5"], None, r"row 1 '>10' has the qualifier '>', row 2 .*censored=? drop"),
        (["2024-01-05", "2024-02-07"], None, "is a range, a fraction or a date"),
        ([datetime(2024, 1, 5), None], None, "has a datetime in row 1"),
        ([1.5, [2.5]], None, "has a list in row 2"),
        ([np.datetime64("2024-01-05")], None, "has a datetime64 in row 1"),
        ([b"1"], None, "has a bytes in row 1"),
    ],
)
def test_bad_columns_are_named_with_their_cells(column, task, message):
    with pytest.raises(InputError, match=message):
        parse_target("y", column, task)


finite = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
spoilt = st.sampled_from(
    ["{} nM", "{}%", ">{}", "~{}", "{} kcal/mol", "{}±0.1", "$ {}", "{} (n=3)", "{}e999"]
)


@given(st.lists(finite, min_size=2, max_size=40), st.data())
def test_text_is_never_silently_a_class_where_most_cells_look_like_numbers(numbers, data):
    cells = [str(number) for number in numbers]
    places = data.draw(st.sets(st.sampled_from(range(len(cells))), min_size=1))
    for place in places:
        cells[place] = data.draw(spoilt).format(abs(numbers[place]) + 1)
    with pytest.raises(InputError, match=f"row {min(places) + 1} ") as error:
        parse_target("y", cells)
    assert cells[min(places)] in str(error.value)
    assert "task" in str(error.value)
    target = parse_target("y", cells, "classification")
    assert target.labelled.all()


@given(st.lists(st.one_of(finite, st.none(), st.just(float("nan"))), min_size=1, max_size=60))
def test_numbers_come_back_as_they_are(numbers):
    measured = [number for number in numbers if number is not None and number == number]
    if not measured:
        with pytest.raises(InputError, match="no measured value"):
            parse_target("y", numbers)
        return
    target = parse_target("y", numbers, "regression")
    np.testing.assert_array_equal(target.values, [np.nan if n is None else n for n in numbers])
    again = parse_target("y", ["" if n is None or n != n else repr(n) for n in numbers], "regression")
    np.testing.assert_array_equal(again.values, target.values)


labels = st.sampled_from(["Active", "inactive", "N/A", "", "Unsure", "active "])


@given(st.lists(labels, min_size=1, max_size=30).filter(lambda cells: not set(cells) <= {"", "N/A"}))
def test_labels_are_kept_apart_and_their_spellings_reported(cells):
    target = parse_target("y", cells)
    stripped = [cell.strip() for cell in cells]
    codes = {label: code for code, label in enumerate(target.classes)}
    expected = [np.nan if cell in ("", "N/A") else codes[cell] for cell in stripped]
    np.testing.assert_array_equal(target.values, expected)
    notes = " ".join(target.notes)
    assert ("differ in case" in notes) == ({"Active", "active"} <= set(stripped))
    assert ("without blanks" in notes) == ("active " in cells)
    assert ("'N/A' w" in notes) == ("N/A" in cells)


@pytest.mark.parametrize(
    ("qualified", "exact"), [(">10", ""), ("< 0.5", ""), ("~3", ""), ("≥1e3", ""), ("ca. 7", ""), ("=4", "4")]
)
def test_bounds_are_dropped_or_taken(qualified, exact):
    cells = ["1.5", qualified, "2.5", "3.5"]
    number = float(qualified.lstrip("><~≥=ca. "))
    dropped = parse_target("y", cells, censored="drop")
    taken = parse_target("y", cells, censored="bound")
    assert dropped.labelled.tolist() == [True, bool(exact), True, True]
    assert taken.values.tolist() == [1.5, number, 2.5, 3.5]
    expected = [] if exact else [f"1 value that is a bound, the first in row 2 ({qualified!r}), read as"]
    for target in (dropped, taken):
        assert all(note.startswith(expected[0]) for note in target.notes)
        assert len(target.notes) == len(expected)


def test_bounds_with_a_fault_of_their_own_are_refused():
    with pytest.raises(InputError, match=r"row 2 '>10 nM' has the qualifier '>', and has the unit"):
        parse_target("y", ["1.5", ">10 nM", "2"], censored="drop")
    with pytest.raises(InputError, match="bounds only"):
        parse_target("y", [">10", "<5"], censored="drop")
    with pytest.raises(UsageError, match=r"unknown policy 'keep' \(censored=\); known: drop, bound"):
        parse_target("y", ["1", "2"], censored="keep")
    with pytest.raises(UsageError, match="is for numbers"):
        parse_target("y", ["1", "2"], "classification", censored="drop")


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([True, False, None], dtype="boolean").tolist(),
        pd.Series([True, False, None], dtype=object).tolist(),
        pd.Series(["True", "False", pd.NA], dtype="string").tolist(),
        pd.Series([True, False, None], dtype="boolean"),
        [np.bool_(True), np.bool_(False), pd.NaT],
        ["TRUE", "FALSE", "NaN"],
    ],
)
def test_booleans_are_oriented_classes(cells):
    target = parse_target("y", cells)
    assert target.task == "classification"
    assert target.positive.casefold() == "true"
    np.testing.assert_array_equal(target.values, [1, 0, np.nan])


@pytest.mark.parametrize(
    "cells",
    [
        pd.Series([1, 2, None, 7], dtype="Int64"),
        pd.Series([1.0, 2.0, np.nan, 7.0]),
        pd.Series(["1", "2", None, "7"], dtype="category"),
        pd.Series([1, 2, None, 7]).astype("category").tolist(),
        np.array([1, 2, np.nan, 7], dtype=np.float32),
        np.ma.array([1, 2, 3, 7], mask=[0, 0, 1, 0]),
        [Decimal(1), 2, Decimal("NaN"), np.int64(7)],
        ["1", " 2 ", "#N/A", "7.0"],
    ],
)
def test_typed_columns_are_numbers(cells):
    target = parse_target("y", cells)
    assert target.task == "regression"
    np.testing.assert_array_equal(target.values, [1, 2, np.nan, 7])


def test_words_for_missing_are_said_with_their_number():
    target = parse_target("y", ["None"] * 14 + ["Mild"] * 13 + ["Severe"] * 13 + ["NA", ""])
    assert target.notes == ("14 cells 'None', 1 cell 'NA' were read as not measured",)
    assert parse_target("y", [1.5, None, float("nan"), ""]).notes == ()
    assert target.take(np.arange(3)).notes == target.notes


def test_integers_that_floats_confuse_are_two_classes():
    target = parse_target("y", ["9007199254740992", "9007199254740993", "1.0", "1"], "classification")
    assert target.classes == ("1", "9007199254740992", "9007199254740993")


def test_the_class_that_is_sought_has_code_one():
    cells = ["good", "bad", "", "bad"]
    assert parse_target("y", cells).positive is None
    for label in ("good", "bad"):
        target = parse_target("y", cells, positive=label)
        assert (target.positive, target.classes[1]) == (label, label)
        np.testing.assert_array_equal(target.values == 1, [cell == label for cell in cells])
    with pytest.raises(UsageError, match=r"no class 'ugly' \(positive=\); its classes are bad, good"):
        parse_target("y", cells, positive="ugly")
    with pytest.raises(UsageError, match="it holds numbers"):
        parse_target("y", [1.5, 2.5, 3.5], positive="1.5")
    three = parse_target("y", ["a", "b", "c"], positive="b")
    assert (three.classes, three.positive) == (("a", "b", "c"), "b")


def test_one_column_among_several_fails_alone():
    columns = {"a": ["x", "y"], "empty": ["", "NA"], "comma": ["1,5", "2,5"]}
    a, empty, comma = TargetPolicy().read(columns)
    assert (a.error, a.labelled.all()) == ("", True)
    assert not empty.labelled.any()
    with pytest.raises(InputError, match="'empty' has no measured value in any of its 2 rows"):
        check_target(empty)
    with pytest.raises(InputError, match="'comma' is not numeric"):
        check_target(comma)
    with pytest.raises(InputError, match=r"'empty' has no.*; target 'comma' is.*leave such a target out"):
        check_targets([empty, comma])
    with pytest.raises(InputError, match="'empty'"):
        TargetPolicy().read({"empty": columns["empty"]})
    sought = TargetPolicy(positive="x").read(columns)
    assert [target.positive for target in sought] == ["x", None, None]
    with pytest.raises(UsageError, match="target 'a' has no class 'z'"):
        seek((a, empty), "z")


def test_a_target_that_is_too_short_or_constant_is_refused():
    short = Target("y", "regression", np.arange(MIN_LABELLED - 1.0))
    with pytest.raises(InputError, match="has 19 labelled"):
        check_target(short)
    with pytest.raises(InputError, match="one value only"):
        check_target(Target("y", "regression", np.ones(MIN_LABELLED)))


def test_rows_of_one_molecule_are_one_molecule_of_a_target():
    target = Target("y", "regression", np.arange(60.0))
    check_target(target, np.arange(60) % 20)
    with pytest.raises(InputError, match="has 19 labelled valid molecules in 60 rows; at least 20"):
        check_target(target, np.arange(60) % 19)


@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_values_whose_squares_no_computer_holds_are_refused(unit):
    with pytest.raises(InputError, match="Multiply it by a power of ten"):
        check_target(Target("y", "regression", unit * np.arange(30.0)))


def test_few_whole_numbers_are_said_to_be_read_as_numbers():
    target = parse_target("y", ["1", "2", "3"] * 10)
    assert target.task == "regression"
    assert target.notes == (
        "its values are 1, 2, 3: read as numbers; --task classification makes classes of them",
    )
    assert parse_target("y", ["1", "2", "3"] * 10, "regression").notes == ()
    assert parse_target("y", [str(n / 2) for n in range(5)] * 6).notes == ()
