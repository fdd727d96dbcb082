from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from benchmarking.outcomes import outcome, repeated

from molrate.benchmarking.agreement import RANDOM
from molrate.benchmarking.shortlists import shortlist_table

TRUTH = np.array([[0.9, 0.9], [0.8, 0.8], [0.6, 0.6], [0.5, 0.5]])


def row(one, name, lengths=(1, 2, 4)):
    return shortlist_table([one], [name], lengths).set_index("predictor").loc[name].tolist()


def test_what_is_not_on_the_list_is_lost():
    one = repeated(TRUTH, order=[2, 3, 4, 1])
    assert row(one, "order") == pytest.approx([0.3 / 0.9, 0.1 / 0.9, 0])
    assert row(one, "x") == [0, 0, 0]


def test_validation_keeps_one_and_the_other_seeds_judge_it():
    # In the first seed validation prefers the worst; in the second it is right.
    one = repeated(TRUTH, [[0, 3], [1, 2], [2, 1], [3, 0]])
    assert row(one, "x") == pytest.approx([0, 0.05 / 0.9, 0.2 / 0.9])


def test_a_random_order_loses_what_a_random_choice_does():
    one = repeated(TRUTH)
    table = shortlist_table([one], [], (1, 4)).set_index("predictor").loc[RANDOM]
    assert table[1] == pytest.approx(np.mean((0.9 - TRUTH[:, 0]) / 0.9), abs=0.04)
    assert table[4] == pytest.approx(0)


def test_one_seed_is_judged_by_itself():
    one = replace(outcome("a", TRUTH[:, 0], x=[1, 2, 3, 4]), validation=np.array([[1.0], [4], [3], [2]]))
    assert row(one, "x") == pytest.approx([0.4 / 0.9, 0.3 / 0.9, 0.1 / 0.9])


def test_without_validation_nothing_is_said():
    one = repeated(TRUTH, np.full(TRUTH.shape, np.nan))
    assert shortlist_table([one], ["x"]).empty


def test_ties_are_broken_at_random_and_not_by_name():
    one = repeated(TRUTH, order=[1, 1, 1, 2], alike=[0, 0, 0, 0])
    lost = (0.9 - TRUTH[:, 0]) / 0.9
    assert row(one, "alike") == pytest.approx([lost.mean(), np.mean([0, 0, 0, *lost[[1, 1, 2]]]), 0])
    assert row(one, "order") == pytest.approx([lost[3], lost[:3].mean(), 0])


def test_many_ties_are_drawn():
    truth = np.repeat(np.linspace(0.5, 0.9, 12)[:, None], 2, axis=1)
    one = repeated(truth, alike=np.zeros(12))
    best_of_five = np.mean([truth[list(chosen), 0].max() for chosen in combinations(range(12), 5)])
    assert row(one, "alike", (5,)) == pytest.approx([(0.9 - best_of_five) / 0.9], abs=0.01)
