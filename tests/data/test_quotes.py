import pytest

from molrate.data.quotes import without_molecules


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("642 rows, 640 valid molecules.", True),
        ("1 invalid SMILES left out: row 3 'CC(': SMILES syntax error.", False),
        ("row 3 aspirin: too large", False),
        ("'C' is not read", False),
        ("tier C is not read", True),
        ("of CC(=O)Oc1ccccc1 only", False),
        (r"row 2 'F/C=C\\F' is strange", False),
    ],
)
def test_sentences_that_quote_molecules_are_left_out(line, kept):
    secrets = ["CC(", "aspirin", "C", "CC(=O)Oc1ccccc1", "F/C=C\\F"]
    found = without_molecules([line], secrets)
    assert (line in found) is kept
    assert len(found) == 1
