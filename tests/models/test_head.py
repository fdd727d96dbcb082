import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from molrate.data.targets import parse_target, seek
from molrate.errors import InputError, UsageError
from molrate.models.head import Head, MaskedLoss, RankingColumn, Task, balanced_weights

NAN = float("nan")


def test_what_was_not_measured_has_no_part_in_the_loss():
    outputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    loss = MaskedLoss("regression")(outputs, torch.tensor([[0.0, NAN], [NAN, 6.0]]))
    assert loss.item() == pytest.approx((1 + 4) / 2)
    loss.backward()
    assert outputs.grad.tolist() == [[1.0, 0.0], [0.0, -2.0]]
    nothing = MaskedLoss("binary")(outputs, torch.full((2, 2), NAN))
    assert nothing.item() == 0
    assert torch.isfinite(nothing)


def test_classes_by_hand():
    logits = torch.tensor([[0.3], [-1.2], [2.0]])
    truth = torch.tensor([[1.0], [0.0], [NAN]])
    expected = -(torch.sigmoid(logits[0]).log() * 3 + torch.sigmoid(-logits[1]).log()) / 2
    assert MaskedLoss("binary", torch.tensor([3.0]))(logits, truth) == pytest.approx(expected.item())
    many = torch.tensor([[0.1, 0.2, 0.3], [1.0, 0.0, -1.0]])
    codes = torch.tensor([[2.0], [0.0]])
    assert torch.equal(MaskedLoss("multiclass")(many, codes), cross_entropy(many, torch.tensor([2, 0])))


def test_balanced_classes_weigh_alike():
    task = Task("binary", ("a", "b"), (("no", "yes"), ("0", "1")))
    values = np.array([[1, 0], [0, 0], [0, NAN], [0, 1]])
    assert balanced_weights(task, values).tolist() == [3.0, 2.0]
    three = Task("multiclass", ("a",), (("x", "y", "z"),))
    weights = balanced_weights(three, np.array([[0], [0], [1], [2]]))
    counts = np.array([2, 1, 1])
    assert np.allclose(weights.numpy() * counts, weights.numpy()[0] * 2)
    assert balanced_weights(Task("regression", ("a",)), values) is None
    with pytest.raises(InputError, match="a class has no molecule"):
        balanced_weights(task, values[:2])


def test_predictions_are_in_the_targets_unit():
    torch.manual_seed(0)
    head = Head(4, 2, 8, 0.0).eval()
    features = np.random.default_rng(0).normal(5, 3, (50, 4)).astype(np.float32)
    values = np.array([[1.0, 10.0], [3.0, NAN], [NAN, 30.0]])
    head.scale_features(features)
    head.scale_targets(values)
    rows = torch.from_numpy(features)
    scaled = (features - features.mean(0)) / features.std(0)
    by_hand = head.linear(torch.from_numpy(scaled)) * torch.tensor([1.0, 10.0]) + torch.tensor([2.0, 20.0])
    assert torch.allclose(head.predict(rows, "regression"), by_hand.double(), atol=1e-4)
    assert torch.allclose(head.predict(rows, "multiclass").sum(dim=1), torch.ones(50))
    assert torch.allclose(head.predict(rows, "binary"), head(rows).sigmoid())


def test_what_hardly_varied_in_training_cannot_explode():
    features = np.ones((20, 2), dtype=np.float32)
    features[:, 1] += np.float32(1e-7) * np.arange(20)
    features[0, 0] = 1.01
    head = Head(2, 1, 4, 0.0).eval()
    head.scale_features(features)
    far = torch.tensor([[5.0, 5.0], [50.0, 5.0]])
    assert torch.equal(head(far[:1]), head(far[1:]))
    assert head.feature_scale[1] == 1


def test_a_row_far_outside_in_every_dimension_is_drawn_in():
    features = np.random.default_rng(0).normal(size=(100, 50)).astype(np.float32)
    head = Head(50, 1, 4, 0.0).eval()
    head.scale_features(features)
    lengths = head.scaled(torch.from_numpy(np.vstack([features[:1], np.full((1, 50), 9.0)]))).norm(dim=1)
    ordinary = np.linalg.norm((features - features.mean(0)) / features.std(0), axis=1)
    assert np.isclose(lengths[0].item(), ordinary[0], rtol=1e-4)
    assert np.isclose(lengths[1].item(), 2.5 * np.median(ordinary), rtol=1e-4)
    single = torch.zeros(1, 50, requires_grad=True)
    head.scaled(single + head.feature_mean).sum().backward()
    assert torch.isfinite(single.grad).all()


def test_a_new_perceptron_changes_nothing():
    head = Head(4, 2, 8, 0.5)
    rows = torch.randn(5, 4)
    assert torch.equal(head.train()(rows), head.linear(rows))


def test_constant_features_and_targets_do_not_divide_by_zero():
    head = Head(2, 1, 4, 0.0)
    head.scale_features(np.ones((5, 2), dtype=np.float32))
    head.scale_targets(np.ones((5, 1)))
    assert torch.isfinite(head.predict(torch.ones(3, 2), "regression")).all()


def test_tasks_of_targets():
    numbers = parse_target("y", [1.5, 2.5, 3.5])
    classes = parse_target("a", ["x", "y", "x"])
    three = parse_target("b", ["x", "y", "z"])
    assert Task.of([numbers, numbers]).n_outputs == 2
    assert Task.of([classes]).kind == "binary"
    assert Task.of([three]).n_outputs == 3
    for targets in ([numbers, classes], [three, three]):
        with pytest.raises(InputError, match="apart"):
            Task.of(targets)


def columns(cells, positive=None):
    targets = [parse_target("y", cells)]
    task = Task.of(targets if positive is None else seek(targets, positive))
    outputs = np.array([[0.25]]) if task.kind == "binary" else np.array([[0.1, 0.2, 0.7]])
    return task, {name: column.tolist() for name, column in task.columns(outputs).items()}


def test_columns_name_the_class_of_a_probability():
    assert columns(["inactive", "active"])[1] == {"predicted_y=active": [0.25]}
    assert columns([0, 1])[1] == {"predicted_y=1": [0.25]}
    assert columns(["good", "bad"])[1] == {"predicted_y=bad": [0.75], "predicted_y=good": [0.25]}
    assert columns(["good", "bad"], "bad")[1] == {"predicted_y=bad": [0.25]}
    assert columns(["a", "b", "c"])[1] == {
        "predicted_y=a": [0.1],
        "predicted_y=b": [0.2],
        "predicted_y=c": [0.7],
    }
    numbers = Task.of([parse_target("y", [1.5, 2.5, 3.5])])
    assert list(numbers.columns(np.zeros((1, 1)))) == ["predicted_y"]


def test_molecules_are_ranked_by_a_class_that_is_known_or_named():
    task, _ = columns(["active", "inactive"])
    assert task.order_by() == RankingColumn("predicted_y=active", "active", ("inactive",))
    other = task.order_by("inactive")
    assert other == RankingColumn("predicted_y=active", "inactive", ("active",), reverse=True)
    assert (other.describe(), task.order_by().describe(True)) == ("lowest predicted_y=active",) * 2
    pair, _ = columns(["good", "bad"])
    with pytest.raises(
        UsageError, match=r"has the classes bad, good; say which one is to come first with positive"
    ):
        pair.order_by()
    assert pair.order_by("bad") == RankingColumn("predicted_y=bad", "bad", ("good",))
    three, _ = columns(["a", "b", "c"])
    with pytest.raises(UsageError, match="has the classes a, b, c"):
        three.order_by()
    assert three.order_by("b") == RankingColumn("predicted_y=b", "b", ("a", "c"))
    with pytest.raises(UsageError, match=r"no class 'd' \(positive=\); it has a, b, c"):
        three.order_by("d")
    numbers = Task.of([parse_target("y", [1.5, 2.5, 3.5])])
    assert numbers.order_by() == RankingColumn("predicted_y")
    with pytest.raises(UsageError, match="holds numbers"):
        numbers.order_by("1")


def test_a_task_survives_its_record():
    for cells in (["active", "inactive"], ["good", "bad"], ["a", "b", "c"], [1.5, 2.5, 3.5]):
        task = Task.of([parse_target("y", cells)])
        assert Task.read(json.loads(json.dumps(task.record()))) == task
