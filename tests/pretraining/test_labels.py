import json

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors

from molrate.pretraining.labels import (
    OTHER,
    Vocabularies,
    Vocabulary,
    atom_contexts,
    atom_properties,
    bond_contexts,
    functional_group_names,
    functional_groups,
)


@pytest.fixture
def released_labels(golden, published_weights):
    return json.loads((published_weights / "golden" / "pretrain_labels.json").read_text())


def test_contexts_are_those_of_the_released_code(released_labels):
    for expected in released_labels["molecules"]:
        molecule = Chem.MolFromSmiles(expected["smiles"])
        assert atom_contexts(molecule) == expected["atom_vocab"]
        assert bond_contexts(molecule) == expected["bond_vocab_pair_order"]


def test_functional_groups_are_those_of_the_released_code(released_labels):
    assert functional_group_names() == released_labels["fg_names"]
    different = []
    for expected in released_labels["molecules"]:
        present = functional_groups(Chem.MolFromSmiles(expected["smiles"])).astype(bool)
        released = np.array(expected["fg"], dtype=bool)
        different += [functional_group_names()[index] for index in np.flatnonzero(present != released)]
    # RDKit's own function counts no unbranched alkane in that one molecule either.
    assert different in ([], ["fr_unbrch_alkane"])


def test_ketone_and_amide_by_hand():
    acetone = Chem.MolFromSmiles("CC(=O)C")
    assert atom_contexts(acetone) == ["C_C-SINGLE1", "C_C-SINGLE2_O-DOUBLE1", "O_C-DOUBLE1", "C_C-SINGLE1"]
    single, double = "(SINGLE-STEREONONE-NONE)", "(DOUBLE-STEREONONE-NONE)"
    assert bond_contexts(acetone) == [
        f"{single}_C-{double}1_C-{single}1",
        f"{double}_C-{single}2",
        f"{single}_C-{double}1_C-{single}1",
    ]
    present = dict(zip(functional_group_names(), functional_groups(acetone), strict=True))
    assert present["fr_ketone"] == 1
    assert present["fr_amide"] == 0


def test_vocabularies_count_frequent_first_and_keep(tmp_path):
    vocabulary = Vocabulary.count(["b", "a", "a", "c", "b", "rare"], min_count=2)
    assert vocabulary.contexts == ("a", "b")
    assert vocabulary.index(["b", "a", "rare"]).tolist() == [3, 2, OTHER]
    both = Vocabularies.of([Chem.MolFromSmiles("CCO")] * 3, 1)
    both.write(tmp_path / "v.json")
    assert Vocabularies.read(tmp_path / "v.json") == both


def test_atom_properties_add_up_to_what_rdkit_says_of_molecules():
    molecule = Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1")
    properties = atom_properties(molecule) * np.array([0.4, 1.5, 8.0, 2.5, 0.2])
    heavy = properties.sum(axis=0)
    assert heavy[2] == pytest.approx(Descriptors.TPSA(molecule), rel=1e-5)
    # Crippen's and Gasteiger's hydrogens are not atoms here.
    with_hydrogens = atom_properties(Chem.AddHs(molecule)) * np.array([0.4, 1.5, 8.0, 2.5, 0.2])
    assert with_hydrogens[:, 0].sum() == pytest.approx(Descriptors.MolLogP(molecule), abs=1e-4)
    assert with_hydrogens[:, 4].sum() == pytest.approx(0, abs=1e-4)


def test_atoms_without_gasteiger_parameters_have_their_formal_charge():
    assert np.isfinite(atom_properties(Chem.MolFromSmiles("[Na+].[Cl-]"))).all()
    platinum = atom_properties(Chem.MolFromSmiles("[Pt+2]"))
    assert platinum[0, 4] == pytest.approx(10.0)
