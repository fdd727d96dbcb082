import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molrate.encoders.grover.deduplication import BRANCHES, deduplicate_batch, padded_neighbours
from molrate.encoders.grover.graphs import batch_molecules


def graph(*smiles):
    return batch_molecules([Chem.MolFromSmiles(text) for text in smiles]).content


def rows_of(batch, view, step):
    """Number of different rows after a step of the first block."""
    return len(getattr(batch, view).blocks[0][step].own)


def test_equal_neighbourhoods_share_a_row_until_they_differ():
    # Hexane: three kinds of atoms by symmetry, two of them alike until their neighbours' neighbours count.
    batch = deduplicate_batch(graph("CCCCCC"), depth=4, n_blocks=1)
    assert len(batch.atoms.features) == 2
    assert [rows_of(batch, "atoms", step) for step in range(3)] == [3, 3, 3]
    longer = deduplicate_batch(graph("CCCCCCCC"), depth=4, n_blocks=1)
    assert [rows_of(longer, "atoms", step) for step in range(3)] == [3, 4, 4]


def test_a_repeated_molecule_adds_no_row():
    once, twice = (
        deduplicate_batch(graph(*smiles), 5, 2) for smiles in (["CCOC(=O)c1ccccc1"], ["CCOC(=O)c1ccccc1"] * 2)
    )
    for view in ("atoms", "bonds"):
        assert [rows_of(once, view, step) for step in range(4)] == [
            rows_of(twice, view, step) for step in range(4)
        ]
    for name in BRANCHES:
        assert len(once.branches[name].own) == len(twice.branches[name].own)
        assert len(twice.branches[name].inverse) == 2 * len(once.branches[name].inverse)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(["C", "CC", "C1CC1", "C1CCCCC1", "CC(C)C", "c1ccccc1", "CCO", "OC=O"]), max_size=6
    )
)
def test_rows_never_grow_fewer_or_exceed_what_there_is(smiles):
    smiles = ["CCN", *smiles]
    content = graph(*smiles)
    batch = deduplicate_batch(content, 4, 2, padding=4)
    for view, n in ((batch.atoms, len(content.atoms)), (batch.bonds, content.edge_index.shape[1])):
        sizes = [len(step.own) for steps in view.blocks for step in steps]
        assert sizes == sorted(sizes)
        assert sizes[-1] <= n + 1
        for inverse in view.inverses:
            assert len(inverse) == n


def test_slots_by_mode():
    content = graph("C", "CCO", "FS(F)(F)(F)(F)F")
    assert padded_neighbours(content, None).tolist() == [0, 0, 0]
    assert padded_neighbours(content, 4).tolist() == [4, 4, 6]
    assert padded_neighbours(content, "batch").tolist() == [6, 6, 6]
    assert padded_neighbours(graph("C"), "batch").tolist() == [1]


def test_only_branches_asked_for():
    batch = deduplicate_batch(graph("CCO"), 3, 1, branches=["bond-from-atom"])
    assert list(batch.branches) == ["bond-from-atom"]


@pytest.mark.parametrize("branch", BRANCHES)
def test_bags_list_what_the_released_tables_list(branch):
    # CCO: bonds 0-1, 1-0, 1-2, 2-1; all atoms and bonds differ, so that inverses are permutations.
    batch = deduplicate_batch(graph("CCO"), 4, 1)
    expected = {
        "atom-from-atom": [{1}, {0, 2}, {1}],
        "atom-from-bond": [{1}, {0, 3}, {2}],
        "bond-from-atom": [{0}, {1, 2}, {1, 0}, {2}],
        "bond-from-bond": [set(), {3}, {0}, set()],
    }[branch]
    origin = batch.atoms if branch.endswith("atom") else batch.bonds
    node_of_row = {int(row): node for node, row in enumerate(origin.inverses[-1])}
    output = batch.branches[branch]
    stops = np.append(output.bags.offsets.numpy(), len(output.bags.index))
    for node, row in enumerate(output.inverse):
        entries = output.bags.index[stops[row] : stops[row + 1]]
        assert {node_of_row[int(entry)] for entry in entries} == expected[node]
