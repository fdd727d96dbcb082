import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrate.data.targets import parse_target, quantile_bins
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
    assert target.classes == ("BBB+", "BBB-")
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
        (["1.2", "inf", "3"], None, r"mixes numbers and text: row 2 'inf'"),
        ([f"name {i}" for i in range(30)], None, "30 different values, too many for class labels"),
        (["low", "high"], "regression", r"is not numeric: row 1 'low', row 2 'high'"),
    ],
)
def test_bad_columns_are_named_with_their_cells(column, task, message):
    with pytest.raises(InputError, match=message):
        parse_target("y", column, task)
