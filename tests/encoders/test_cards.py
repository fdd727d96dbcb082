"""Cards say what encoders are, and the page of encoders says what the cards do."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rdkit import Chem

from molrate.cli.main import cli
from molrate.encoders.base import FAMILIES, describe_encoder, list_encoders
from molrate.encoders.cards import EncoderCard, encoder_cards
from molrate.errors import UsageError

ROOT = Path(__file__).parents[2]
DESCRIBED = [name for name, card in encoder_cards().items() if card.layers]


@pytest.mark.parametrize("name", DESCRIBED)
def test_layers_and_parameters_are_those_of_the_encoder(name):
    card = encoder_cards()[name]
    if card.missing_extra:
        pytest.skip(f"NOT TESTED: pip install 'molrate[{card.missing_extra}]'")
    if (card.parameters or 0) > 10_000_000:
        pytest.skip("NOT TESTED: a network of this size takes long to draw")
    # A network drawn at random has the layers of the published one.
    encoder = FAMILIES[card.family](replace(card, weights=None))
    content = encoder.featurise([Chem.MolFromSmiles("CCO")]).content
    embedded = encoder.embed(content, encoder.layers, "mean")
    assert {layer: embedded[layer].shape[1] for layer in encoder.layers} == card.layers
    assert (encoder.n_transferable > 0) == card.trainable
    if card.family not in ("grover", "ecfp", "rdkit-descriptors"):
        assert sum(value.numel() for value in encoder.module.parameters()) == card.parameters


def test_every_card_tells_its_input_and_its_pretraining():
    for name, card in encoder_cards().items():
        assert card.input, name
        assert card.pretraining, name
        assert bool(card.tasks) == (card.kind == "pretrained"), name
        assert ("supervised" in card.tasks) == bool(card.labels_seen), name


def test_the_page_of_encoders_is_what_the_cards_say():
    spec = importlib.util.spec_from_file_location("page", ROOT / "pretrained" / "page.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_text(encoding="utf-8") == page.text(), "run python pretrained/page.py"


def test_encoders_are_listed_by_what_they_are():
    def names(**choice):
        return [row["encoder"] for row in list_encoders(**choice)]

    assert names(family="ecfp") == ["ecfp4"]
    assert "gin-masking" in names(task="attribute-masking")
    assert "gin-contextpred" not in names(task="attribute-masking")
    assert set(names(task="supervised", licence="permissive")) < set(names())
    assert "chemberta2-77m-mlm" not in names(licence="permissive")
    assert "ecfp4" in names(offline=True, licence="permissive")
    assert "gin-masking" not in names(offline=True)
    with pytest.raises(UsageError, match=r"known: chemnet, chemprop, ecfp, "):
        names(family="nothing")
    with pytest.raises(UsageError, match="attribute-masking"):
        names(task="nothing")
    with pytest.raises(UsageError, match=r"unknown licence 'foo'.*known: Apache-2\.0, MIT, .*permissive"):
        names(licence="foo")
    assert names(licence="mit") == names(licence="MIT") != []
    assert names(licence=["mit", "apache-2.0"]) == [
        name for name in names() if name in {*names(licence="MIT"), *names(licence="Apache-2.0")}
    ]


def test_models_of_the_hub_are_offline_once_they_are_in_its_cache(monkeypatch, tmp_path):
    pytest.importorskip("transformers", reason="NOT TESTED: pip install 'molrate[hf]'")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    source = {"source": {"hub": "some/model", "revision": "main"}}
    card = EncoderCard("x", "x", "x", "hf", "pretrained", weights=source)
    assert not card.available_offline
    folder = tmp_path / "models--some--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    assert not card.available_offline
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        assert not card.available_offline
        (folder / "snapshots" / "abc" / name).write_text("{}")
    assert card.available_offline
    assert card.source == "Hugging Face hub: some/model@main"


def test_a_file_of_another_size_is_not_available(monkeypatch, tmp_path, fresh_cache):
    card = encoder_cards()["molclr-gcn"]
    monkeypatch.setenv("MOLRATE_WEIGHTS", str(tmp_path))
    (tmp_path / card.artifact.file).write_bytes(b"a page that says who you are")
    rows = {row["encoder"]: row["available offline"] for row in list_encoders(family=card.family)}
    assert rows[card.name] == "download"
    with (tmp_path / card.artifact.file).open("wb") as stream:
        stream.truncate(card.size)
    assert card.available_offline


def test_an_encoder_without_its_library_is_not_offline(monkeypatch):
    monkeypatch.setattr("molrate.encoders.cards.find_spec", lambda name: None)
    rows = {row["encoder"]: row["available offline"] for row in list_encoders(family="hf")}
    assert set(rows.values()) == {"needs molrate[hf]"}


def test_commands_show_cards():
    shown = CliRunner().invoke(cli, ["show", "gin-supervised"])
    assert "labels seen         chembl-assays" in shown.output
    assert "input (300), layer-1 (300)" in shown.output
    described = json.loads(CliRunner().invoke(cli, ["show", "ecfp4", "--format", "json"]).output)
    assert described == describe_encoder("ecfp4")
    listed = CliRunner().invoke(cli, ["list", "encoders", "--family", "ecfp"])
    assert "ecfp4" in listed.output
    assert "gin" not in listed.output
    listed = CliRunner().invoke(cli, ["list", "encoders", "--family", "ecfp", "--family", "chemnet"])
    assert "ecfp4" in listed.output
    assert "chemnet" in listed.output
    wrong = CliRunner().invoke(cli, ["list", "datasets", "--offline"])
    assert wrong.exit_code == 2
    assert "--offline is for encoders" in wrong.output


def test_listing_comes_at_once_and_imports_nothing_heavy():
    resource = pytest.importorskip("resource", reason="NOT TESTED: no count of processor time here")
    code = (
        "import sys; sys.argv = ['molrate', 'list', 'encoders'];"
        "from molrate.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n"
        "    heavy = ('torch', 'rdkit', 'transformers', 'pandas', 'numpy')\n"
        "    print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.stderr.strip() == "[]"
    assert "gin-masking" in result.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
