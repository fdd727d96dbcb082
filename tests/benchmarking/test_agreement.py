import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import weightedtau

from molrate.benchmarking.agreement import (
    kendall,
    loss,
    pearson,
    regret,
    regret_of_three,
    top_recall,
    weighted,
    weighted_rows,
)


def test_metrics_by_hand():
    scores, truth = np.array([3.0, 1.0, 2.0, 0.0]), np.array([0.9, 0.8, 0.7, 0.6])
    assert kendall(scores, truth) == pytest.approx((5 - 1) / 6)
    assert weighted(scores, truth) == pytest.approx(weightedtau(scores, truth, rank=True).statistic)
    assert pearson(scores, truth) == pytest.approx(np.corrcoef(scores, truth)[0, 1])
    assert top_recall(scores, truth) == 1
    assert regret(scores, truth) == 0
    assert regret(-scores, truth) == pytest.approx(0.3 / 0.9)
    # Three share the highest score: their mean.
    assert regret(np.array([1.0, 1.0, 1.0, 0.0]), truth) == pytest.approx(0.1 / 0.9)
    constant = np.ones(4)
    assert kendall(constant, truth) == weighted(constant, truth) == pearson(constant, truth) == 0


def test_ties_are_broken_by_chance_and_not_by_name():
    truth = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    for scores in (np.array([3.0, 1, 1, 1, 1]), np.array([1.0, 1, 1, 1, 3])):
        # Two of the four that tie are taken: each with a chance of a half.
        first_is_sure = scores[0] == 3
        assert top_recall(scores, truth) == pytest.approx((1 if first_is_sure else 0.5) / 3 + 1 / 3)
    assert top_recall(np.zeros(5), truth) == pytest.approx(3 / 5)
    assert regret_of_three(np.array([0.0, 1, 2, 3, 4]), truth) == pytest.approx(0.2 / 0.9)
    assert regret_of_three(np.arange(5.0)[::-1], truth) == 0
    # Of ten triples six have the best, three the second as their best, one the third.
    expected = (6 * 0.9 + 3 * 0.8 + 0.7) / 10
    assert regret_of_three(np.zeros(5), truth) == pytest.approx((0.9 - expected) / 0.9)


def test_losses_are_shares_of_the_best():
    assert loss(0.45, np.array([0.9, 0.5])) == pytest.approx(0.5)
    # Errors are negated; a smaller one than that of all encoders is a gain.
    assert loss(-1.5, np.array([-1.0, -2.0])) == pytest.approx(0.5)
    assert loss(-0.5, np.array([-1.0, -2.0])) == pytest.approx(-0.5)


values = arrays(np.float64, (3, 7), elements=st.integers(0, 4).map(float))


@given(values, values)
def test_all_rows_at_once_equal_scipy_with_ties_and_constants(scores, truth):
    expected = [weighted(*rows) for rows in zip(scores, truth, strict=True)]
    np.testing.assert_allclose(weighted_rows(scores, truth), expected, atol=1e-12)
