import numpy as np
import pytest
from rdkit import Chem

from molrate.encoders.pretrain_gnns.graphs import batch_molecules


def graph_of(*smiles):
    return batch_molecules([Chem.MolFromSmiles(text) for text in smiles])


def test_acetonitrile_by_hand():
    graph = graph_of("CC#N").content
    assert graph.x.tolist() == [[5, 0], [5, 0], [6, 0]]
    # Sorted by target, then source; self-loops have bond type 4.
    assert graph.edge_index.tolist() == [[0, 1, 0, 1, 2, 1, 2], [0, 0, 1, 1, 1, 2, 2]]
    assert graph.edge_attr.tolist() == [[4, 0], [0, 0], [0, 0], [4, 0], [2, 0], [2, 0], [4, 0]]


def test_stereo_marks_have_codes():
    assert sorted(graph_of("N[C@H](C)O", "N[C@@H](C)O").content.x[:, 1].tolist()) == [0] * 6 + [1, 2]
    assert set(graph_of("F/C=C/F").content.edge_attr[:, 1].tolist()) == {0, 1}
    assert set(graph_of("F/C=C\\F").content.edge_attr[:, 1].tolist()) == {0, 1, 2}


def test_a_batch_is_its_molecules_side_by_side():
    alone = [graph_of(text).content for text in ("CCO", "C", "c1ccccc1")]
    together = graph_of("CCO", "C", "c1ccccc1").content
    assert together.num_graphs == 3
    assert together.batch.tolist() == [0] * 3 + [1] + [2] * 6
    shifts = np.cumsum([0] + [len(graph.x) for graph in alone])
    edges = np.concatenate([graph.edge_index + shift for graph, shift in zip(alone, shifts, strict=False)], 1)
    np.testing.assert_array_equal(together.edge_index, edges)
    np.testing.assert_array_equal(together.edge_attr, np.concatenate([graph.edge_attr for graph in alone]))


@pytest.mark.parametrize("smiles", ["[Na+]", "[NH4+]", "[H][H]", "[U]"])
def test_one_atom_and_no_bonds(smiles):
    graph = graph_of(smiles).content
    assert len(graph.x) == Chem.MolFromSmiles(smiles).GetNumAtoms()


@pytest.mark.parametrize(
    ("smiles", "word"), [("N->[Fe]", "DATIVE"), ("*CC", "dummy"), ("C[Pt@SP1](F)(Cl)Br", "CHI_")]
)
def test_unsupported_molecules_are_reported_and_the_rest_encoded(smiles, word):
    batch = graph_of("CC", smiles, "CO")
    assert batch.rows == [0, 2]
    assert word in batch.errors[1]
    assert batch.content.num_graphs == 2
