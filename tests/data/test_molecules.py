import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molrate.data.molecules import parse_canonical, standardise
from molrate.errors import InputError, UsageError

CHIRAL = ["C[C@H](N)C(=O)O", "O1CC[C@@H](NC(=O)[C@@H](Cc2ccccc2)C)CC1(C)C", "F/C=C/Cl", "c1ccc2[nH]ccc2c1"]


def test_each_row_keeps_its_place_and_each_failure_its_reason():
    molecules = standardise(["CCO", "C1CC", "", "c1cccc1", "C(C)(C)(C)(C)C", "C\0C", None, "OCC"])
    assert molecules.valid.tolist() == [True, False, False, False, False, False, False, True]
    assert molecules.canonical[0] == molecules.canonical[7] == "CCO"
    assert molecules.errors[1] == "SMILES syntax error"
    assert molecules.errors[2] == molecules.errors[6] == "no SMILES"
    assert "kekulize" in molecules.errors[3]
    assert "valence" in molecules.errors[4]
    assert "NUL" in molecules.errors[5]
    assert molecules.n_duplicates == 1
    assert molecules.describe_invalid(1).startswith("row 2 'C1CC': SMILES syntax error; and 5 more")


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CHIRAL), st.integers(0, 10**6))
def test_one_molecule_has_one_form_however_it_is_written(smiles, seed):
    random.seed(seed)
    molecule = Chem.MolFromSmiles(smiles)
    order = list(range(molecule.GetNumAtoms()))
    random.shuffle(order)
    written = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
    assert standardise([written]).canonical[0] == standardise([smiles]).canonical[0]


def test_largest_fragment_is_kept_and_counted():
    molecules = standardise(["[Na+].CC(=O)[O-]", "CCO", "CC.CO"])
    assert molecules.canonical.tolist() == ["CC(=O)[O-]", "CCO", "CO"]
    assert molecules.n_stripped == 2
    assert molecules.dropped == {0: "[Na+]", 2: "CC"}
    assert standardise(["[Na+].CC(=O)[O-].[Na+].O"]).dropped == {0: "O.[Na+].[Na+]"}


FRAGMENTS = [
    "C[C@H](N)C(=O)O",
    "C[C@@H](N)C(=O)O",
    "CCCO",
    "CC(C)O",
    "Cc1ccc(N)cc1",
    "Cc1cccc(N)c1",
    "F/C=C/Cl",
    "F/C=C\\Cl",
    "[2H]C([2H])O",
    "CC(=O)[O-]",
    "[Na+]",
    "O",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=5), st.randoms())
def test_one_mixture_has_one_form_in_any_order_of_fragments(fragments, generator):
    mixed = list(fragments)
    generator.shuffle(mixed)
    first, again = standardise([".".join(fragments), ".".join(mixed)]).canonical
    assert first == again
    assert first in standardise(fragments).canonical.tolist()


def test_without_standardisation_all_fragments_stay():
    assert standardise(["[Na+].CC(=O)[O-]"], "none").canonical[0] == "CC(=O)[O-].[Na+]"


def test_unknown_standardisation_is_refused():
    with pytest.raises(UsageError, match="known: largest-fragment, none"):
        standardise(["C"], "neutralise")


def test_a_form_that_cannot_be_read_back_is_an_error():
    with pytest.raises(InputError, match="cannot read it"):
        parse_canonical("C1CC")


@pytest.mark.parametrize(
    "smiles", ["C[C@H](N)C(=O)O", "OC(=O)[C@@H](N)C", "F/C=C/Cl", "Cl/C=C/F", "[Na+].CC(=O)[O-]"]
)
def test_molecules_that_are_kept_are_those_their_canonical_smiles_gives(smiles):
    kept, anew = (standardise([smiles, smiles], keep=keep) for keep in (True, False))
    molecule = kept.molecule(0)
    assert molecule.ToBinary() == anew.molecule(0).ToBinary()
    assert kept.molecule(1) is molecule


def test_only_molecules_written_canonically_are_kept_at_once():
    assert list(standardise(["CCO", "OCC", "bad(", "[Na+].CC(=O)[O-]", "NC"], keep=True).parsed) == ["CCO"]


@pytest.mark.parametrize(
    ("mapped", "plain"),
    [
        ("[CH3:1][CH2:2][OH:3]", "CCO"),
        ("[H:1][C:6]([O:2][H:7])([C:8]([H:3])([H:4])[H:5])[H:9]", "CCO"),
        ("[CH3:7][C@H:2]([NH2:9])[C:1](=[O:4])[OH:5]", "C[C@H](N)C(=O)O"),
        ("[cH:1]1[cH:2][cH:3][cH:4][cH:5][cH:6]1.[Cl-:7]", "c1ccccc1.[Cl-]"),
    ],
)
def test_map_numbers_are_no_part_of_a_molecule(mapped, plain):
    found = standardise([mapped, plain])
    assert found.canonical[0] == found.canonical[1]
    assert found.n_duplicates == 1
    assert found.notes == {0: "atom map numbers left out"}


def test_what_is_no_smiles_is_named():
    found = standardise(["SMILES", '"CCO"', "C(("])
    assert ["name of a column" in found.errors[0], "quotation marks" in found.errors[1]] == [True, True]
    assert found.errors[2] == "SMILES syntax error"
