import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

import molrate
from molrate.data.splits import split_molecules
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
    pytest.importorskip("deepchem")
    smiles = molrate.load_dataset("esol").smiles[:300].tolist()
    split = split_molecules(smiles, "scaffold")
    scaffolds = [{MurckoScaffoldSmiles(smiles[row]) for row in part} for part in split.record().values()]
    assert not scaffolds[0] & (scaffolds[1] | scaffolds[2])
    assert len(split.train) > len(split.test) > 0


def test_errors():
    with pytest.raises(InputError, match="too few to split: no test part"):
        split_molecules(["C", "CC", "C"])
    with pytest.raises(UsageError, match=r"unknown split 'time'.*random, scaffold"):
        split_molecules(["C"] * 3, "time")
