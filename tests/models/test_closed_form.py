"""A head's linear map against scikit-learn's own estimators, and gaps, classes and outliers."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.preprocessing import StandardScaler

from molrate.encoders.checkpoints import load_state, load_strictly
from molrate.errors import InputError
from molrate.models.closed_form import PENALTIES, fit_linear, fit_ridge
from molrate.models.head import Head, Task

NUMBERS = Task("regression", ("a", "b"))


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(2, 3, (120, 6)).astype(np.float32)


def test_regression_is_ridge_with_the_penalty_of_the_smallest_leave_one_out_error(features):
    rng = np.random.default_rng(1)
    values = features[:, :2] * [2.0, -1.0] + rng.normal(size=(120, 2))
    values[:30, 0] = np.nan
    head = Head(6, 2, 0, 0.0).eval()
    fit_linear(head, NUMBERS, features, values)
    predicted = head.predict(torch.from_numpy(features), "regression").detach().numpy()
    scaled = StandardScaler().fit_transform(features)
    for column in range(2):
        known = ~np.isnan(values[:, column])
        theirs = RidgeCV(np.logspace(-2, 5, 15)).fit(scaled[known], values[known, column])
        assert np.allclose(predicted[:, column], theirs.predict(scaled), atol=0.05)


def test_a_least_penalty_is_kept_to_where_a_smaller_one_would_be_chosen(features):
    values = features[:, :2] * [2.0, -1.0] + 0.01 * np.random.default_rng(1).normal(size=(120, 2))
    free, held = Head(6, 2, 0, 0.0).eval(), Head(6, 2, 0, 0.0).eval()
    fit_linear(free, NUMBERS, features, values)
    fit_linear(held, NUMBERS, features, values, least=0.3)
    theirs = Ridge(100.0).fit(StandardScaler().fit_transform(features), values)
    predicted = held.predict(torch.from_numpy(features), "regression").detach().numpy()
    assert np.allclose(predicted, theirs.predict(StandardScaler().fit_transform(features)), atol=1e-4)
    assert held.linear.weight.norm() < 0.95 * free.linear.weight.norm()
    task = Task("binary", ("a",), (("no", "yes"),), ("yes",))
    codes = (features[:, :1] > 2).astype(float)
    fit_linear(free := Head(6, 1, 0, 0.0), task, features, codes)
    fit_linear(held := Head(6, 1, 0, 0.0), task, features, codes, least=0.3)
    assert held.linear.weight.norm() < 0.5 * free.linear.weight.norm()
    fit_linear(held, task, features, codes, least=1e6)
    assert held.linear.weight.norm() < 0.01


def test_classes_with_gaps_are_separated_and_a_missing_class_is_named(features):
    task = Task("binary", ("a", "b"), (("no", "yes"), ("no", "yes")), ("yes", "yes"))
    values = (features[:, :2] > 2).astype(float)
    values[::7, 1] = np.nan
    head = Head(6, 2, 0, 0.0).eval()
    fit_linear(head, task, features, values)
    predicted = head.predict(torch.from_numpy(features), "binary").detach().numpy()
    known = ~np.isnan(values)
    assert ((predicted > 0.5) == (values == 1))[known].mean() > 0.95
    with pytest.raises(InputError, match="'b': a class has no molecule"):
        fit_linear(head, task, features, np.column_stack([values[:, 0], np.zeros(120)]))


def test_of_several_classes_each_has_its_own_weights(features):
    task = Task("multiclass", ("a",), (("x", "y", "z"),), (None,))
    codes = np.digitize(features[:, 0], [1, 3]).astype(float)[:, None]
    head = Head(6, 3, 0, 0.0).eval()
    fit_linear(head, task, features, codes)
    predicted = head.predict(torch.from_numpy(features), "multiclass").detach().numpy()
    assert (predicted.argmax(axis=1) == codes[:, 0]).mean() > 0.85


def test_balanced_classes_move_the_boundary_to_the_rare_one(features):
    task = Task("binary", ("a",), (("no", "yes"),), ("yes",))
    rng = np.random.default_rng(2)
    values = (features[:, :1] + rng.normal(0, 3, (120, 1)) > 7).astype(float)
    means = []
    for balanced in (False, True):
        head = Head(6, 1, 0, 0.0).eval()
        fit_linear(head, task, features, values, balanced)
        means.append(float(head.predict(torch.from_numpy(features), "binary").mean()))
    assert np.isclose(means[0], values.mean(), atol=0.05)
    assert means[1] > means[0] + 0.1


def repeated(n_molecules, width, n_rows):
    """Rows of few molecules of many features, each measured several times; one feature matters a little."""
    rng = np.random.default_rng(3)
    distinct = rng.normal(size=(n_molecules, width)).astype(np.float32)
    own = np.repeat(np.arange(n_molecules), n_rows)
    truth = distinct[:, 0] + rng.normal(0, 2, n_molecules)
    return distinct[own], truth[own] + rng.normal(0, 0.1, len(own)), [f"m{number}" for number in own]


def test_the_penalty_is_that_of_leaving_whole_molecules_out():
    features, values, molecules = repeated(30, 40, 4)
    groups = np.array(molecules)
    errors = []
    for penalty in PENALTIES:
        folds = LeaveOneGroupOut().split(features, groups=groups)
        left = [
            values[new] - Ridge(penalty).fit(features[known], values[known]).predict(features[new])
            for known, new in folds
        ]
        errors.append(np.mean(np.concatenate(left) ** 2))
    found = fit_ridge(features.astype(float), values, groups)
    assert found.alpha_ == PENALTIES[np.argmin(errors)]
    assert found.alpha_ > 100 * RidgeCV(PENALTIES).fit(features, values).alpha_
    theirs = Ridge(found.alpha_).fit(features, values)
    assert np.allclose(found.predict(features), theirs.predict(features), atol=1e-4)


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_a_head_of_repeated_rows_learns_less_by_heart(kind):
    features, values, molecules = repeated(30, 40, 4)
    task = (
        Task("regression", ("y",)) if kind == "regression" else Task("binary", ("y",), (("n", "p"),), ("p",))
    )
    known = values[:, None] if kind == "regression" else (values > 0).astype(float)[:, None]
    weights = {}
    for name, told in (("by row", None), ("by molecule", molecules)):
        fit_linear(head := Head(40, 1, 0, 0.0), task, features, known, molecules=told)
        weights[name] = float(head.linear.weight.norm())
    assert weights["by row"] > 4 * weights["by molecule"]


def test_without_repeats_nothing_depends_on_names(features):
    values = features[:, :2] + np.random.default_rng(1).normal(size=(120, 2))
    names = [f"m{number}" for number in np.random.default_rng(2).permutation(120)]
    fit_linear(plain := Head(6, 2, 0, 0.0), NUMBERS, features, values)
    fit_linear(named := Head(6, 2, 0, 0.0), NUMBERS, features, values, molecules=names)
    assert torch.equal(plain.linear.weight, named.linear.weight)


def test_a_small_spread_about_a_large_mean_is_learned_as_one_about_zero(features):
    task = Task("regression", ("y",))
    values = features[:, :1] + np.random.default_rng(1).normal(size=(120, 1))
    fit_linear(plain := Head(6, 1, 0, 0.0).eval(), task, features, values)
    fit_linear(moved := Head(6, 1, 0, 0.0).eval(), task, features, 1e6 + 0.01 * values)
    found = moved.values(features, "regression")
    assert len(np.unique(found)) == 120
    assert np.allclose((found - 1e6) / 0.01, plain.values(features, "regression"), atol=1e-4)


def test_a_head_that_was_written_in_single_precision_predicts_as_it_did(features, tmp_path):
    values = 3.7 * features[:, :1] + 1.1
    fit_linear(head := Head(6, 1, 0, 0.0).eval(), Task("regression", ("y",)), features, values)
    state = {name: value.float() for name, value in head.state_dict().items()}
    save_file(state, tmp_path / "head.safetensors")
    read = Head(6, 1, 0, 0.0).eval()
    load_strictly(read, load_state(tmp_path / "head.safetensors"), tmp_path)
    assert np.allclose(read.values(features, "regression"), head.values(features, "regression"), rtol=1e-6)
