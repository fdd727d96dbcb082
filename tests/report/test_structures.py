from xml.etree import ElementTree

import pytest

from molrate.report import structures
from molrate.report.structures import Structures, as_uri, draw


@pytest.mark.parametrize(
    "smiles", ["C", "[NH4+]", "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)[O-]", "[2H]O[2H]"]
)
def test_a_structure_is_a_small_image_without_scripts(smiles):
    image = draw(smiles)
    root = ElementTree.fromstring(image)
    assert {element.tag.split("}")[1] for element in root.iter()} <= {"svg", "path", "text"}
    assert len(image) < 3_000


def test_charges_and_counts_are_kept():
    letters = [element.text for element in ElementTree.fromstring(draw("[NH4+]")).iter() if element.text]
    assert sorted(letters) == ["+", "4", "H", "N"]


def test_an_address_has_nothing_that_would_end_it():
    assert not set('<>"#&') & set(as_uri(draw("CC#N")))


def test_a_structure_is_kept_once_and_no_more_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr(structures, "MOST_STRUCTURES", 2)
    page = Structures()
    keys = [page.key(smiles) for smiles in ("CCO", "CCN", "CCO", "CCC")]
    assert keys == ["0", "1", "0", ""]
    assert list(page.images) == ["0", "1"]
    assert page.drawing("CCC", "propane") is None


def test_hidden_structures_are_not_drawn():
    page = Structures(hidden=True)
    assert page.key("CCO") == ""
    assert page.drawings(["CCO"], ["ethanol"]) == []
