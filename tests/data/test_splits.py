from contextlib import nullcontext, suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

import molrate
from molrate.data.molecules import standardise
from molrate.data.splits import (
    Split,
    SplitError,
    check_training,
    fold_molecules,
    part_notes,
    split_molecules,
)
from molrate.data.targets import parse_target
from molrate.errors import InputError, UsageError


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(25, 300), st.integers(0, 5))
def test_every_valid_row_is_in_one_part_and_equal_molecules_together(draw, n, seed):
    numbers = np.random.default_rng(draw).integers(0, n, 3 * n)
    canonical = [str(number) if number else "" for number in numbers]
    parts = list(split_molecules(canonical, "random", seed).record().values())
    rows = [row for part in parts for row in part]
    assert sorted(rows) == [row for row, smiles in enumerate(canonical) if smiles]
    molecules = [{canonical[row] for row in part} for part in parts]
    assert not molecules[0] & molecules[1]
    assert not molecules[2] & (molecules[0] | molecules[1])


def test_shares_and_seeds():
    canonical = [str(number) for number in range(1000)]
    first, again, other = (split_molecules(canonical, seed=seed) for seed in (0, 0, 1))
    assert (len(first.train), len(first.validation), len(first.test)) == (700, 100, 200)
    np.testing.assert_array_equal(first.test, again.test)
    assert set(first.test) != set(other.test)


def test_scaffolds_stay_together():
    smiles = molrate.load_dataset("esol").smiles[:300].tolist()
    split = split_molecules(smiles, "scaffold")
    scaffolds = [{MurckoScaffoldSmiles(smiles[row]) for row in part} for part in split.record().values()]
    assert not scaffolds[0] & (scaffolds[1] | scaffolds[2])
    assert not scaffolds[1] & scaffolds[2]
    assert len(split.train) > len(split.test) > 0


@pytest.mark.parametrize("name", ["bbbp", "bace", "esol", "freesolv"])
def test_scaffold_splits_are_those_of_deepchem(name, published_data):
    splits = pytest.importorskip("deepchem.splits")
    data = pytest.importorskip("deepchem.data")
    canonical = standardise(molrate.load_dataset(name).smiles.tolist()).canonical
    molecules = list(dict.fromkeys(smiles for smiles in canonical if smiles))
    dataset = data.NumpyDataset(np.zeros((len(molecules), 1)), ids=np.array(molecules))
    expected = splits.ScaffoldSplitter().split(dataset, 0.7, 0.1, 0.2)
    found = split_molecules(molecules, "scaffold").record().values()
    assert list(found) == [[int(row) for row in part] for part in expected]


def rings(n):
    """Molecules of one scaffold, and of as many scaffolds as molecules."""
    return [f"{'C' * size}c1ccccc1" for size in range(1, 101 - n)], [
        f"C1{'C' * size}C1" for size in range(1, n + 1)
    ]


def test_a_molecule_that_cannot_be_read_back_has_a_scaffold_of_its_own():
    alike, different = rings(40)
    smiles = [*alike, *different, "C1CC"]
    split = split_molecules(smiles, "scaffold")
    assert sorted(np.concatenate([split.train, split.validation, split.test])) == list(range(101))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 5), st.integers(30, 60))
def test_stratified_splits_have_classes_in_training_or_are_refused(draw, n_targets, seed, n_molecules):
    canonical = [str(row % n_molecules) for row in range(60)]
    cells = np.random.default_rng(draw).choice(
        ["a", "b", "c", ""], p=[0.6, 0.05, 0.05, 0.3], size=(n_targets, 60)
    )
    targets = [parse_target(str(place), column.tolist()) for place, column in enumerate(cells)]
    # A rare class of one target may go with that of another; one target alone never lacks any.
    with nullcontext() if n_targets == 1 and n_molecules == 60 else suppress(SplitError):
        split = split_molecules(canonical, "random", seed, targets)
        parts = list(split.record().values())
        assert sorted(row for part in parts for row in part) == list(range(60))
        molecules = [{canonical[row] for row in part} for part in parts]
        assert not molecules[0] & molecules[1]
        assert not molecules[2] & (molecules[0] | molecules[1])
        for target in targets:
            learned = target.values[split.train]
            assert set(learned[~np.isnan(learned)]) == set(target.values[target.labelled])


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 150), st.integers(0, 20))
def test_each_part_has_its_share_of_a_class(n_rare, seed):
    target = parse_target("y", [1] * n_rare + [0] * (300 - n_rare))
    split = split_molecules([str(row) for row in range(300)], "random", seed, [target])
    counts = [int((target.values[part] == 1).sum()) for part in (split.train, split.validation, split.test)]
    expected = np.array([0.7, 0.1, 0.2]) * n_rare
    assert (np.abs(counts - np.maximum(expected, 1)) <= 2).all()
    assert min(counts) >= 1
    assert (
        np.abs(np.array([len(split.train), len(split.validation), len(split.test)]) - [210, 30, 60]).max()
        <= 2
    )


def test_regression_splits_do_not_depend_on_values():
    canonical = [str(row) for row in range(100)]
    target = parse_target("y", np.arange(100) / 7)
    assert (
        split_molecules(canonical, seed=3).record()
        == split_molecules(canonical, seed=3, targets=[target]).record()
    )


def test_a_class_that_training_would_lack_is_named():
    alike, different = rings(32)
    target = parse_target("y", ["no"] * 68 + ["yes"] * 30 + ["no"] * 2)
    message = (
        r"target 'y': the training part of the scaffold split has no molecule of class 'yes' \(30 rows in"
    )
    with pytest.raises(SplitError, match=message):
        split_molecules(alike + different, "scaffold", 0, [target])
    split = split_molecules(alike + different, "random", 0, [target])
    assert part_notes([target], split) == []


def test_parts_that_cannot_judge_are_said():
    target = parse_target("y", [1] * 2 + [0] * 98)
    split = split_molecules([str(row) for row in range(100)], "random", 0, [target])
    assert part_notes([target], split) == [
        "y: the validation part has no molecule of class 1, so that it gives no AUROC"
    ]
    sparse = parse_target("z", [1.0, 2.0, 3.0] + [None] * 97, "regression")
    rows = np.arange(100)
    assert part_notes([sparse], Split(rows[:10], rows[10:20], rows[20:])) == [
        "z: the validation part has no measured molecule, and no metric",
        "z: the test part has no measured molecule, and no metric",
    ]
    with pytest.raises(SplitError, match="'z' has 0 different values in the training part"):
        check_training([sparse], rows[10:], "random")


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 100), st.integers(0, 5))
def test_folds_share_classes_and_keep_molecules_together(n_rare, seed):
    canonical = [str(row // 2) for row in range(200)]
    target = parse_target("y", [1] * n_rare + [0] * (200 - n_rare))
    folds = fold_molecules(canonical, 5, seed, [target])
    assert sorted(np.concatenate(folds)) == list(range(200))
    molecules = [{canonical[row] for row in fold} for fold in folds]
    assert sum(len(fold) for fold in molecules) == 100
    counts = [int(target.values[fold].sum()) for fold in folds]
    assert max(counts) - min(counts) <= 4
    with pytest.raises(InputError, match="3 different molecules are too few; 5 are the least"):
        fold_molecules(["C", "CC", "CCC"], 5)


def test_errors():
    with pytest.raises(InputError, match="too few to split: no test part"):
        split_molecules(["C", "CC", "C"])
    with pytest.raises(UsageError, match=r"unknown split 'time'.*random, scaffold"):
        split_molecules(["C"] * 3, "time")
