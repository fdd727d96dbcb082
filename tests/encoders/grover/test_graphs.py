import numpy as np
import pytest
from rdkit import Chem

from molrate.encoders.grover.graphs import atom_features, batch_molecules, bond_features


def molecules(*smiles):
    return [Chem.MolFromSmiles(text) for text in smiles]


def test_features_are_those_of_the_released_code(golden):
    for number, smiles in enumerate(golden["smiles"]):
        graph = batch_molecules(molecules(str(smiles))).content
        name = f"feat{number:02d}"
        expected = golden[f"{name}_f_atoms"].astype(np.float32)
        np.testing.assert_array_equal(atom_features(graph.atoms.numpy()), expected)
        expected = golden[f"{name}_f_bonds_tail"].reshape(-1, 14).astype(np.float32)
        np.testing.assert_array_equal(bond_features(graph.bonds.numpy()), expected)
        np.testing.assert_array_equal(graph.edge_index[0].numpy(), golden[f"{name}_b2a"].ravel())


def test_ethanol_by_hand():
    graph = batch_molecules(molecules("CCO")).content
    oxygen = atom_features(graph.atoms.numpy())[2]
    # O, two neighbours with its H, no charge, no tag, one H, SP3; one implicit H; acceptor, donor.
    expected = [7, 101 + 2, 108, 114, 119 + 1, 125 + 2, 133 + 1, 141, 142]
    assert np.flatnonzero(np.delete(oxygen, 132)).tolist() == [at if at < 132 else at - 1 for at in expected]
    assert oxygen[132] == np.float32(0.15999)
    assert graph.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert np.flatnonzero(bond_features(graph.bonds.numpy())[0]).tolist() == [1, 7]


def test_charges_share_slots_as_released():
    slots = {}
    for smiles in ("[Ti+4]", "[O-2]", "[Na+]", "[Cl-]"):
        graph = batch_molecules(molecules(smiles)).content
        slots[smiles] = int(np.flatnonzero(atom_features(graph.atoms.numpy())[0, 108:114])[0])
    assert slots == {"[Ti+4]": 4, "[O-2]": 4, "[Na+]": 1, "[Cl-]": 5}


@pytest.mark.parametrize("smiles", ["[U+6]", "[C-7]"])
def test_charges_without_a_slot_are_errors(smiles):
    batch = batch_molecules(molecules("C", smiles, "CC"))
    assert batch.rows == [0, 2]
    assert "charge" in batch.errors[1]
    assert batch.content.num_graphs == 2


def test_isotopes_change_the_mass_alone():
    light, heavy = (
        atom_features(batch_molecules(molecules(smiles)).content.atoms.numpy())[0]
        for smiles in ("C", "[13CH4]")
    )
    changed = np.flatnonzero(light != heavy)
    assert heavy[132] == np.float32(13.00335483507 * 0.01)
    assert 132 in changed
    # An atom in brackets has no implicit hydrogens.
    assert set(changed) <= {132, *range(133, 141)}


def test_padding_has_no_features():
    assert not atom_features(np.array([-1])).any()
    assert not bond_features(np.array([-1])).any()
