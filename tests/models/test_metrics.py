import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from molrate.data.targets import Target, parse_target
from molrate.models.metrics import (
    METRICS,
    describe_metrics,
    error_scales,
    main_value,
    mean_metrics,
    metrics_by_target,
    target_metrics,
)

NAN = float("nan")


def test_numbers_by_hand_on_what_was_measured():
    target = Target("y", "regression", np.array([1.0, 2.0, NAN, 4.0]))
    metrics = target_metrics(target, np.array([1.0, 3.0, 99.0, 2.0]))
    truth = np.array([1, 2, 4])
    assert metrics["mae"] == pytest.approx(1.0)
    assert metrics["rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert metrics["r2"] == pytest.approx(1 - 5 / ((truth - truth.mean()) ** 2).sum())


def test_area_under_the_curve_is_the_share_of_ordered_pairs():
    generator = np.random.default_rng(0)
    truth, found = generator.integers(0, 2, 60), generator.random(60)
    target = parse_target("a", [["no", "yes"][code] for code in truth])
    pairs = found[target.values == 1][:, None] > found[target.values == 0][None]
    metrics = target_metrics(target, found)
    assert metrics["auroc"] == pytest.approx(pairs.mean())
    assert metrics["accuracy"] == pytest.approx(((found >= 0.5) == target.values).mean())


def test_a_metric_that_does_not_exist_is_nan_and_no_part_of_the_mean():
    one_class = Target("a", "classification", np.zeros(4), ("no", "yes"))
    metrics = target_metrics(one_class, np.full(4, 0.2))
    assert np.isnan(metrics["auroc"])
    assert metrics["accuracy"] == 1
    other = {"auroc": 0.8, "auprc": 0.7, "mcc": 0.4, "balanced_accuracy": 0.5, "accuracy": 0.5}
    means = mean_metrics([metrics, other])
    assert (means["auroc"], means["auprc"], means["accuracy"]) == (0.8, 0.7, 0.75)
    assert np.isnan(mean_metrics([metrics])["auroc"])


def test_more_than_two_classes():
    target = parse_target("b", ["x", "y", "z", "x"])
    perfect = np.eye(3)[target.values.astype(int)]
    assert target_metrics(target, perfect) == dict.fromkeys(METRICS["classification"], 1.0)


def test_balance_counts_in_what_is_to_be_balanced():
    target = Target("a", "classification", np.array([0.0] * 9 + [1.0]), ("no", "yes"))
    metrics = target_metrics(target, np.full(10, 0.1))
    assert metrics["accuracy"] == 0.9
    assert metrics["balanced_accuracy"] == 0.5
    assert metrics["mcc"] == 0


def test_precision_is_of_the_positive_class_or_of_both():
    generator = np.random.default_rng(3)
    truth, predicted = generator.integers(0, 2, 60), generator.random(60)
    auprc = {}
    for labels in (("good", "bad"), ("no", "yes"), ("yes", "no")):
        target = parse_target("a", [labels[code] for code in truth])
        # The probability of the second class, whichever it became.
        of_second = predicted if target.classes == labels else 1 - predicted
        auprc[labels] = target_metrics(target, of_second)["auprc"]
    assert auprc["good", "bad"] == pytest.approx((auprc["no", "yes"] + auprc["yes", "no"]) / 2)
    assert auprc["no", "yes"] == pytest.approx(average_precision_score(truth, predicted))


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_the_main_value_is_the_main_metric_of_all(kind):
    generator = np.random.default_rng(0)
    values = generator.integers(0, 3 if kind == "multiclass" else 2, 60).astype(float)
    values[::9] = np.nan
    # Ties in what is predicted count half.
    predicted = np.round(generator.random((60, 3 if kind == "multiclass" else 1)), 1)
    if kind == "multiclass":
        predicted = (predicted + 0.1) / (predicted + 0.1).sum(axis=1, keepdims=True)
    classes = {"regression": (), "binary": ("a", "b"), "multiclass": ("a", "b", "c")}[kind]
    target = Target("y", "regression" if kind == "regression" else "classification", values, classes)
    main = "rmse" if kind == "regression" else "auroc"
    expected = metrics_by_target([target], kind, predicted)["mean"][main]
    assert main_value([target], kind, predicted) == pytest.approx(expected, rel=1e-12)
    alone = target.take(np.flatnonzero(values == 0))
    assert np.isnan(main_value([alone], kind, predicted[values == 0])) == (kind != "regression")


def test_a_target_may_be_called_mean():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(50, 2)) * [1.0, 100.0]
    targets = [
        Target(name, "regression", column) for name, column in zip(("mean", "other"), values.T, strict=True)
    ]
    found = metrics_by_target(targets, "regression", np.zeros((50, 2)))
    own = [found["by_target"][name]["rmse"] for name in ("mean", "other")]
    assert own == pytest.approx(np.sqrt((values**2).mean(axis=0)))
    assert found["mean"]["rmse"] == pytest.approx(np.mean(own))


def test_a_mean_of_errors_depends_on_no_unit():
    generator = np.random.default_rng(1)
    values, noise = generator.normal(size=(60, 2)), generator.normal(size=(60, 2)) * [0.2, 0.5]
    found = {}
    for factor in (1.0, 1000.0):
        own = values * [1.0, factor]
        targets = [Target(name, "regression", column) for name, column in zip("ab", own.T, strict=True)]
        scales = error_scales("regression", own)
        predicted = own + noise * [1.0, factor]
        found[factor] = metrics_by_target(targets, "regression", predicted, scales)
        assert main_value(targets, "regression", predicted, scales) == found[factor]["mean"]["rmse"]
    assert found[1000.0]["mean"] == pytest.approx(found[1.0]["mean"])
    small, large = (found[factor]["by_target"]["b"]["rmse"] for factor in (1.0, 1000.0))
    assert large == pytest.approx(1000 * small)
    assert error_scales("regression", values[:, :1]) is None
    assert error_scales("binary", values) is None


def test_each_of_several_targets_is_named_in_words():
    by_target = {"a": {"mae": 1.0, "rmse": 2.0}, "b": {"mae": 3.0, "rmse": 4.0}}
    both = {"mean": {"mae": 0.4, "rmse": 0.5}, "by_target": by_target}
    first, *others = describe_metrics(both, "regression")
    assert first == "mean of 2 targets, errors in spreads in training: rmse 0.5, mae 0.4"
    assert others == ["a: rmse 2, mae 1", "b: rmse 4, mae 3"]
    many = {"mean": {"auroc": 0.5}, "by_target": {f"t{n}": {"auroc": 0.5} for n in range(30)}}
    assert describe_metrics(many, "binary")[-1] == "and 10 more in model.json"
