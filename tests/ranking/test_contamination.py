"""Encoders that have seen the labels they are ranked by are said, and can be left out."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import molrate
from molrate.data.molecules import standardise
from molrate.data.skeletons import skeletons
from molrate.encoders.base import describe_encoder, load_encoder
from molrate.encoders.cards import EncoderCard, encoder_cards
from molrate.errors import InputError, UsageError
from molrate.paths import shipped
from molrate.ranking.contamination import (
    LABEL_SOURCES,
    contamination_notes,
    is_suspect,
    seen_encoders,
    seen_labels,
    seen_shares,
)


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


def test_of_a_file_that_no_card_knows_nobody_can_say(tmp_path, published_weights):
    admet = encoder_cards()["admet-ai-classification-1"].artifact.locate(download=False)
    copy = tmp_path / "mine.pt"
    copy.write_bytes(admet.read_bytes())
    known = load_encoder(f"chemprop:{copy}").card
    assert known.labels_seen == encoder_cards()["admet-ai-classification-1"].labels_seen
    assert known.skeletons_seen() == encoder_cards()["admet-ai-classification-1"].skeletons_seen()
    assert (known.licence, known.permissive, known.source) == ("MIT", True, f"the file {copy}")
    shutil.copy(
        shipped("pretrained") / "grover-small-chembl" / "model.safetensors", tmp_path / "own.safetensors"
    )
    assert load_encoder(f"grover:{tmp_path / 'own.safetensors'}").card.labels_seen == []


def test_an_unknown_file_is_suspect_and_said(tmp_path):
    network = load_encoder("chemprop-untrained").trainable().network
    load_encoder("chemprop-untrained").write_weights(network, tmp_path / "mine.safetensors")
    name = f"chemprop:{tmp_path / 'mine.safetensors'}"
    card = load_encoder(name).card
    assert seen_labels(card, "freesolv") is None
    assert not card.permissive
    (note,) = contamination_notes([card], "freesolv")
    assert note.startswith(f"Nobody has told what labels were seen in training by {name}.")
    about = describe_encoder(name)
    assert (about["labels seen"], about["licence"], about["permissive"]) == ("not known", "not stated", False)
    assert about["digest"].startswith("sha256:")
    (tmp_path / "training.smi").write_text("CCO\n")
    assert load_encoder(name).card.labels_seen == []


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
    assert "Left out, as they may have seen the labels: ecfp4." in ranking.advice
    assert ranking.run["arguments"]["exclude_contaminated"]
    with pytest.raises(UsageError, match="every encoder may have seen"):
        molrate.score("freesolv", encoders=[seen], exclude_contaminated=True)


def test_of_sets_measured_later_nobody_has_seen_labels_and_of_chembl_somebody_may():
    assays, admet = card("assays", "chembl-assays"), card("admet", "clearance-microsome-az")
    assert [seen_labels(each, "adme_hlm") for each in (assays, admet)] == [[], []]
    assert [seen_labels(each, "mace_fxr") for each in (assays, admet)] == [None, []]


MOLECULES = [f"C{'C' * length}O" for length in range(10)]


def suspects(**share):
    """Encoders that were trained on as many of ten molecules as given, ranked for a table of their names."""
    return [
        molrate.register_encoder(name, lambda smiles: [[1.0]] * len(smiles), trained_on=MOLECULES[:number])
        for name, number in share.items()
    ]


def test_an_encoder_is_suspect_from_more_than_a_fifth_of_the_molecules(monkeypatch):
    monkeypatch.setattr("molrate.encoders.base._REGISTERED", {})
    molecules = standardise([f"{text}.[Na+]" for text in MOLECULES])
    encoders = suspects(none=0, fifth=2, third=3)
    assert seen_shares(encoders, molecules) == {"third": 0.3}
    cards = [encoder.card for encoder in encoders]
    assert [is_suspect(each, "freesolv", {"third": 0.3}) for each in cards] == [False, False, True]
    (note,) = contamination_notes(cards, "mine", {"third": 0.3})
    assert note.startswith("Trained on measurements of these molecules: third of 30%")
    assert seen_encoders(cards, "mine", {"third": 0.3}) == {"third": "yes"}


def test_molecules_are_known_whatever_their_marks_and_order():
    molecules = standardise(["F[C@H](Cl)Br", "OC(=O)C", "[13CH4]"])
    encoder = molrate.load_encoder("ecfp4")
    encoder.skeletons_seen = lambda: skeletons(["BrC(F)Cl", "CC(=O)[O-]", "C"])
    assert seen_shares([encoder], molecules) == {"ecfp4": 1.0}


def test_cards_name_files_and_tuned_weights_have_their_molecules_beside_them(tmp_path):
    own = tmp_path / "seen.txt"
    own.write_text("\n".join(skeletons(["CCO"])))
    named = replace(card("named"), molecules_seen=["freesolv", str(own)])
    assert skeletons(["CCO", "C1CCCCC1"]) <= named.skeletons_seen()
    with pytest.raises(InputError, match=r"nowhere\.txt"):
        replace(named, molecules_seen=["nowhere"]).skeletons_seen()
    encoder = molrate.load_encoder("gin-untrained")
    weights = tmp_path / "model" / "encoder.safetensors"
    encoder.write_weights(encoder.trainable().network, weights)
    (weights.parent / "training.smi").write_text("CCN\n")
    assert molrate.load_encoder("gin-untrained", weights=weights).skeletons_seen() == skeletons(["CCN"])


def test_files_that_ship_are_those_of_the_datasets():
    for dataset, name in (("freesolv", "freesolv"), ("esol", "esol")):
        smiles = molrate.load_dataset(dataset).smiles
        seen = replace(card("named"), molecules_seen=[name]).skeletons_seen()
        assert skeletons(smiles[::20]) <= seen
        assert len(seen) <= len(smiles)
    for each in encoder_cards().values():
        assert bool(each.skeletons_seen()) == bool(each.molecules_seen)


def test_a_table_of_known_molecules_under_another_name_is_recognised(tmp_path):
    dataset = molrate.load_dataset("freesolv")
    frame = pd.DataFrame({"smiles": dataset.smiles, "y": dataset.targets[0].values})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    encoder = molrate.load_encoder("ecfp4")
    encoder.card = replace(encoder.card, molecules_seen=["freesolv"])
    arguments = {"target": "y", "encoders": [encoder, "rdkit-descriptors"]}
    ranking = molrate.score(tmp_path / "mine.csv", **arguments)
    assert any("ecfp4 of 100% (in freesolv)" in note for note in ranking.advice)
    assert ranking.frame.set_index("encoder").loc["ecfp4", "labels_seen"] == "yes"
    assert "ecfp4 (baseline) (seen)" in str(ranking)
    ranking = molrate.score(tmp_path / "mine.csv", exclude_contaminated=True, **arguments)
    assert ranking.frame["encoder"].tolist() == ["rdkit-descriptors"]
