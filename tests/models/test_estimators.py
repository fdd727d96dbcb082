"""Estimators in the place of a head: what is chosen, what is written, and files that are refused."""

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold, StratifiedKFold

from molrate.errors import InputError, WeightsError
from molrate.models.estimators import EstimatorHead, _folds
from molrate.models.head import Task

NUMBERS = Task("regression", ("a", "b"))
THREE = Task("multiclass", ("a",), (("x", "y", "z"),), (None,))
TWO = Task("binary", ("a",), (("no", "yes"),), ("yes",))


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(150, 8)).astype(np.float32)


def test_each_target_gets_the_kind_that_predicts_it(features):
    steps = np.sign(features[:, 0]) * np.sign(features[:, 1]) * 5.0
    values = np.column_stack([features @ np.arange(8.0), steps])
    values[:20, 1] = np.nan
    head = EstimatorHead.fit(NUMBERS, features, values)
    assert head.kinds[0] == "linear"
    assert head.kinds[1] != "linear"


@pytest.mark.parametrize("kind", ["forest", "boosting", "linear"])
@pytest.mark.parametrize("task", [Task("regression", ("a",)), TWO, THREE])
def test_a_file_gives_the_predictions_that_were_written(features, tmp_path, kind, task):
    values = features[:, :1].astype(float)
    if task.kind != "regression":
        values = np.digitize(values, [-0.5, 0.5] if task.kind == "multiclass" else [0.0]).astype(float)
    head = EstimatorHead.fit(task, features, values, kinds=[kind])
    head.write(tmp_path / "head.skops")
    read = EstimatorHead.read(tmp_path / "head.skops")
    assert read.kinds == [kind]
    assert read.width == 8
    outputs = read.values(features, task.kind)
    assert outputs.shape == (150, task.n_outputs)
    np.testing.assert_array_equal(outputs, head.values(features, task.kind))
    assert np.corrcoef(outputs[:, -1], values[:, 0])[0, 1] > 0.7


def test_probabilities_are_balanced_where_asked_for(features):
    codes = (features[:, :1] + np.random.default_rng(1).normal(0, 2, (150, 1)) > 2.5).astype(float)
    plain, balanced = (
        EstimatorHead.fit(TWO, features, codes, kinds=["linear"], balanced=asked).values(features, "binary")
        for asked in (False, True)
    )
    assert balanced.mean() > plain.mean() + 0.1


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_foreign_and_damaged_files_are_refused_and_not_run(features, tmp_path):
    path = tmp_path / "head.skops"
    for content in (Payload(tmp_path / "made"), {"kinds": [], "estimators": [np.random.default_rng]}):
        path.write_bytes(skops.io.dumps(content))
        with pytest.raises(WeightsError, match=r"head\.skops: (refused|cannot be read)"):
            EstimatorHead.read(path)
    assert not (tmp_path / "made").exists()
    EstimatorHead(["forest"], [RandomForestRegressor(5).fit(features, features[:, 0])], 8).write(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsError, match="cannot be read as a fitted model"):
        EstimatorHead.read(path)


def test_a_class_without_molecules_is_named(features):
    with pytest.raises(InputError, match="'a': a class has no molecule"):
        EstimatorHead.fit(TWO, features, np.zeros((150, 1)))


def test_a_molecule_beyond_all_others_is_not_extrapolated(features):
    values = features @ np.arange(8.0)[:, None]
    head = EstimatorHead.fit(Task("regression", ("a",)), features, values, kinds=["linear"])
    far, most = 1000 * np.ones((1, 8), dtype=np.float32), features.max(axis=0, keepdims=True)
    assert head.values(far, "regression") == pytest.approx(head.values(most, "regression"))


def test_rows_of_one_molecule_do_not_vouch_for_each_other():
    rng = np.random.default_rng(4)
    own = np.repeat(np.arange(40), 5)
    distinct = rng.normal(size=(40, 60)).astype(np.float32)
    features, molecules = distinct[own], [f"m{number}" for number in own]
    values = (distinct[own, :1] + rng.normal(0, 1.5, 40)[own, None]).astype(float)
    new = rng.normal(size=(500, 60)).astype(np.float32)
    errors = {}
    for name, told in (("by row", None), ("by molecule", molecules)):
        head = EstimatorHead.fit(
            Task("regression", ("a",)), features, values, kinds=["linear"], molecules=told
        )
        errors[name] = np.sqrt(np.mean((head.values(new, "regression")[:, 0] - new[:, 0]) ** 2))
    assert errors["by molecule"] < 1.2
    assert errors["by row"] > 1.5 * errors["by molecule"]


@pytest.mark.parametrize("task", [Task("regression", ("a",)), TWO, THREE])
def test_folds_leave_whole_molecules_out_and_are_those_of_rows_where_none_repeats(task):
    own = np.repeat(np.arange(12), 3)
    known = (own % 3 if task is THREE else own % 2).astype(float)
    names = np.array([f"m{number}" for number in own])
    folds = list(_folds(task, known, names, 0))
    assert len(folds) == 3
    assert sorted(np.concatenate([left_out for _, left_out in folds])) == list(range(36))
    for fitted, left_out in folds:
        assert not set(names[fitted]) & set(names[left_out])
        assert set(known[fitted]) == set(known)
    assert not list(_folds(task, known[:6], names[:6], 0))
    kind = KFold if task.kind == "regression" else StratifiedKFold
    theirs = kind(3, shuffle=True, random_state=0).split(known, known)
    ours = _folds(task, known, np.arange(36).astype(str), 0)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine[1], other[1])
