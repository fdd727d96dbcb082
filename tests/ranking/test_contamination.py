"""Encoders that have seen the labels they are ranked by are said, and can be left out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import molrate
from molrate.encoders.cards import EncoderCard
from molrate.errors import UsageError
from molrate.paths import shipped
from molrate.ranking.contamination import LABEL_SOURCES, contamination_notes, is_suspect, seen_labels


def card(name, *labels):
    return EncoderCard(name, name, name, "ecfp", "pretrained", labels_seen=list(labels))


def test_labels_of_a_public_dataset_are_known():
    admet = card("admet", "bbb-martins", "aqsoldb")
    assert seen_labels(admet, "bbbp") == ["bbb-martins"]
    assert seen_labels(admet, "freesolv") == []
    assert seen_labels(admet, "mine") is None
    assert seen_labels(card("masking"), "mine") == []
    assert [is_suspect(admet, name) for name in ("esol", "freesolv", "mine")] == [True, False, True]


def test_of_a_collection_of_assays_nobody_can_say():
    assays = card("assays", "chembl-assays", "pubchem-assays")
    assert [seen_labels(assays, name) for name in ("bace", "hiv", "bbbp")] == [None, None, []]
    assert seen_labels(card("both", "tox21", "pubchem-assays"), "tox21") == ["tox21"]
    (note,) = contamination_notes([assays], "bace")
    assert "If those of bace are among them" in note


def test_every_dataset_that_ships_has_its_sources():
    names = [json.loads(path.read_text())["name"] for path in Path(shipped("datasets")).glob("*/card.json")]
    assert set(names) <= set(LABEL_SOURCES)


def test_notes_name_encoders_and_labels():
    cards = [card("admet", "bbb-martins"), card("assays", "chembl-assays"), card("masking")]
    (note,) = contamination_notes(cards, "bbbp")
    assert note.startswith("Trained on labels of bbbp (bbb-martins): admet.")
    (note,) = contamination_notes(cards, "mine")
    assert note.startswith("Trained on measurements (bbb-martins, chembl-assays): admet, assays.")
    assert contamination_notes(cards, "freesolv") == []


@pytest.fixture
def seen():
    """ecfp4, with a card that says it was trained on FreeSolv."""
    encoder = molrate.load_encoder("ecfp4")
    encoder.card = replace(encoder.card, labels_seen=["freesolv"])
    return encoder


def test_a_ranking_says_who_has_seen_its_labels_and_leaves_them_out_when_asked(seen):
    ranking = molrate.score("freesolv", encoders=[seen, "rdkit-descriptors"])
    assert any("Trained on labels of freesolv (freesolv): ecfp4" in note for note in ranking.advice)
    assert ranking.frame.set_index("encoder")["labels_seen"].to_dict() == {
        "ecfp4": "yes",
        "rdkit-descriptors": "",
    }
    assert len(ranking.frame) == 2
    ranking = molrate.score("freesolv", encoders=[seen, "rdkit-descriptors"], exclude_contaminated=True)
    assert ranking.frame["encoder"].tolist() == ["rdkit-descriptors"]
    assert "Left out, as they may have seen the labels: ecfp4." in ranking.notes
    assert ranking.run["arguments"]["exclude_contaminated"]
    with pytest.raises(UsageError, match="every encoder may have seen"):
        molrate.score("freesolv", encoders=[seen], exclude_contaminated=True)
