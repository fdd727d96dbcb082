import numpy as np
import pytest
from rdkit import Chem

from molrate.encoders.minimol.graphs import (
    MAX_ATOMS,
    N_ATOM_FEATURES,
    batch_molecules,
    bond_table,
    encode,
)
from molrate.errors import UnsupportedMoleculeError

SYMMETRIC = "CC(=O)Oc1ccccc1C(=O)O"


def graph_of(smiles):
    return encode(Chem.MolFromSmiles(smiles))


def test_acetonitrile_by_hand():
    graph = graph_of("CC#N")
    # Canonical order is CH3, N, C: columns of numbers, then of element, group, period and valence.
    ones = [np.flatnonzero(row[5:]).tolist() for row in graph.atoms]
    carbon, nitrogen = [0, 44 + 13, 64 + 1, 72 + 4], [1, 44 + 14, 64 + 1, 72 + 3]
    assert ones == [carbon, nitrogen, carbon]
    assert graph.atoms[:, :5].tolist() == [[2, 0, 0, 0, 0], [-1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    # A path of three atoms has Laplacian eigenvalues 0, 1 and 3.
    np.testing.assert_allclose(graph.eigenvalues[:, :3], [[0, 1, 3]] * 3, atol=1e-6)
    np.testing.assert_allclose(np.abs(graph.eigenvectors[:, 0]), 3**-0.5, rtol=1e-3)
    assert not graph.eigenvectors[:, 3:].any()
    # From the middle a walk is back at every second step, from an end in half of the cases.
    assert graph.walks[2].tolist() == [0, 1] * 8
    assert graph.walks[0].tolist() == [0, 0.5] * 8
    types = bond_table().numpy()[graph.kind][:, :5]
    assert sorted(np.flatnonzero(row)[0] for row in types) == [0, 2]


@pytest.mark.parametrize(
    ("symbol", "group", "period"),
    [
        *[("H", 1, 1), ("He", 18, 1), ("B", 13, 2), ("Mg", 2, 3), ("Sc", 3, 4), ("Zn", 12, 4), ("I", 17, 5)],
        *[("La", 3, 6), ("Ce", 19, 6), ("Lu", 19, 6), ("Hf", 4, 6), ("Rn", 18, 6), ("U", 19, 7)],
    ],
)
def test_groups_and_periods(symbol, group, period):
    row = graph_of(f"[{symbol}]").atoms[0]
    assert np.flatnonzero(row[5 + 44 : 5 + 44 + 20]).tolist() == [group - 1]
    assert np.flatnonzero(row[5 + 64 : 5 + 64 + 8]).tolist() == [period - 1]


def test_values_are_those_of_half_precision():
    graph = graph_of(SYMMETRIC)
    for values in (graph.eigenvalues, graph.eigenvectors, graph.walks):
        np.testing.assert_array_equal(values, values.astype(np.float16).astype(np.float32))
    vectors = graph.eigenvectors
    np.testing.assert_allclose((vectors**2).sum(axis=0), 1, atol=3e-3)


@pytest.mark.parametrize("smiles", [SYMMETRIC, "C[C@H](N)/C=C/c1ccncc1", "CC(=O)O.CCCCCCCN"])
def test_the_order_of_atoms_makes_no_difference(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    expected = encode(molecule)
    generator = np.random.default_rng(0)
    for _ in range(5):
        order = generator.permutation(molecule.GetNumAtoms()).tolist()
        graph = encode(Chem.RenumberAtoms(molecule, order))
        for name in ("atoms", "eigenvalues", "eigenvectors", "walks"):
            np.testing.assert_array_equal(getattr(graph, name), getattr(expected, name))


def test_components_have_eigenvectors_of_their_own():
    graph = graph_of("CC.CCC")
    assert (graph.eigenvalues[:, 0] == 0).all()
    assert sorted(graph.eigenvalues[:, 1].round(3).tolist()) == [1, 1, 1, 2, 2]
    assert sorted((graph.eigenvalues[:, 2] != 0).tolist()) == [False] * 2 + [True] * 3


def test_hydrogens_written_as_atoms_are_left_out_unless_they_are_the_molecule():
    molecule = Chem.MolFromSmiles("CO")
    np.testing.assert_array_equal(encode(Chem.AddHs(molecule)).walks, encode(molecule).walks)
    assert len(graph_of("[H][H]").atoms) == 2


def test_one_atom():
    graph = graph_of("[Na+]")
    assert graph.walks.tolist() == [[1] * 16]
    assert len(graph.kind) == 0
    batch = batch_molecules([Chem.MolFromSmiles("C"), Chem.MolFromSmiles("[Na+]")])
    assert batch.content.edge_index.shape == (2, 0)


def test_unsupported_molecules_are_reported_and_the_rest_encoded():
    molecules = [Chem.MolFromSmiles(text) for text in ("CC", "*CC", "CO", "C" * (MAX_ATOMS + 1))]
    batch = batch_molecules(molecules)
    assert batch.rows == [0, 2]
    assert "dummy" in batch.errors[1]
    assert str(MAX_ATOMS) in batch.errors[3]
    assert batch.content.x.shape == (4, N_ATOM_FEATURES)
    with pytest.raises(UnsupportedMoleculeError):
        encode(molecules[1])


def test_a_batch_is_its_molecules_side_by_side_with_edges_in_order_of_their_targets():
    content = batch_molecules([Chem.MolFromSmiles(text) for text in ("CCO", "c1ccccc1")]).content
    assert content.num_graphs == 2
    assert content.batch.tolist() == [0] * 3 + [1] * 6
    source, target = content.edge_index
    assert (target.diff() >= 0).all()
    assert ((source < 3) == (target < 3)).all()
    assert batch_molecules([]).content.x.shape == (0, N_ATOM_FEATURES)
