"""Values that rule a target, against data whose spread is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrate.ranking.outliers import find_outliers


def normal(n=500, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def test_a_slip_is_found_and_is_not_the_end_of_a_spread():
    values = normal()
    values[17] = -1e4
    found = find_outliers(values)
    assert (found.molecules, found.row, found.value, found.spread) == (1, 17, -1e4, False)


def test_values_over_many_decades_are_a_spread():
    values = 10.0 ** (2 * normal())
    found = find_outliers(values)
    assert found.molecules <= 5
    assert found.row == values.argmax()
    assert found.spread


def test_evenly_spread_values_rule_nothing():
    assert [find_outliers(values) for values in (normal(), np.arange(30.0), np.ones(40))] == [None] * 3


def test_rows_of_a_molecule_are_one():
    values = normal(200)
    values[:20] = 50.0
    assert find_outliers(values) is None
    groups = np.r_[np.zeros(20, dtype=int), np.arange(1, 181)]
    assert find_outliers(values, groups).molecules == 1


@given(st.integers(0, 10_000), st.floats(1e-90, 1e90), st.integers(0, 199))
@pytest.mark.filterwarnings("error")
def test_units_and_the_order_of_rows_do_not_matter(seed, unit, shift):
    values = np.random.default_rng(seed).standard_cauchy(200)
    found, scaled = find_outliers(values), find_outliers(np.roll(unit * values, shift))
    assert (found is None) == (scaled is None)
    if found is not None:
        assert scaled.molecules == found.molecules
        assert scaled.row == (found.row + shift) % 200
