import numpy as np
import pytest

from molrate.data.targets import Target
from molrate.errors import InputError
from molrate.models.figure import calibration_points, draw_classes, draw_parity
from molrate.models.head import Task
from molrate.models.tested import Tested, in_order_of

NUMBERS = Task("regression", ("a", "b"))
PAIR = Task("binary", ("y",), (("no", "yes"),), ("yes",))
TRIPLE = Task("multiclass", ("y",), (("p", "q", "r"),), (None,))


def test_only_molecules_that_were_measured_and_predicted_are_paired():
    targets = (Target("a", "regression", np.array([1.0, np.nan, 3.0])), Target("b", "regression", np.ones(3)))
    tested = Tested(NUMBERS, targets, np.array([[1.5, 2.0], [2.5, 2.0], [np.nan, np.nan]]))
    assert {name: [list(each) for each in pair] for name, pair in tested.numbers.items()} == {
        "a": [[1.0], [1.5]],
        "b": [[1.0, 1.0], [2.0, 2.0]],
    }


def test_there_may_be_nothing_to_pair():
    empty = tuple(Target(name, "regression", np.full(2, np.nan)) for name in "ab")
    assert Tested(NUMBERS, empty, np.ones((2, 2))).numbers == {}
    codes = Target("y", "classification", np.ones(3), ("no", "yes"))
    assert Tested(PAIR, (codes,), np.array([[0.2], [0.7], [0.9]])).classes == {}


def test_of_two_classes_the_second_is_sought_and_of_more_each():
    codes = Target("y", "classification", np.array([0.0, 1.0, 1.0]), ("no", "yes"))
    found = Tested(PAIR, (codes,), np.array([[0.2], [0.7], [0.9]])).classes
    assert list(found) == ["y=yes"]
    assert [list(each) for each in found["y=yes"]] == [[False, True, True], [0.2, 0.7, 0.9]]
    three = Target("y", "classification", np.array([0.0, 1.0, 0.0]), ("p", "q", "r"))
    found = Tested(TRIPLE, (three,), np.full((3, 3), 1 / 3)).classes
    assert list(found) == ["y=p", "y=q"]


def test_classes_take_the_order_of_the_model():
    given = Target("y", "classification", np.array([0.0, 1.0, np.nan]), ("yes", "no"))
    (target,) = in_order_of(PAIR, [given])
    assert target.classes == ("no", "yes")
    assert target.values[:2].tolist() == [1.0, 0.0]
    with pytest.raises(InputError, match="'maybe' is no class of the model"):
        in_order_of(PAIR, [Target("y", "classification", np.zeros(1), ("maybe",))])


def test_calibrated_probabilities_lie_on_the_line():
    generator = np.random.default_rng(0)
    probability = generator.random(4_000)
    shares, means = calibration_points(generator.random(4_000) < probability, probability)
    assert len(means) == 10
    assert shares == pytest.approx(means, abs=0.06)


def test_figures_hold_the_pairs():
    measured = np.array([0.0, 1.0, 2.0])
    (panel,) = draw_parity({"y": (measured, measured + 1)}).axes
    assert panel.get_title(loc="left") == "y: RMSE 1, n 3"
    assert panel.lines[-1].get_xydata().tolist() == [[0, 1], [1, 2], [2, 3]]
    roc, calibration = draw_classes({"y=yes": (np.array([True, False] * 10), np.linspace(0, 1, 20))}).axes
    assert "AUROC" in roc.get_title(loc="left")
    assert calibration.get_xlabel() == "predicted probability"
