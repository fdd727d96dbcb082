"""Language models against the library's own outputs, and what their files may not do."""

import json
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from rdkit import Chem

import molrate
from molrate.encoders.base import load_encoder
from molrate.encoders.huggingface import library
from molrate.encoders.huggingface.tokenisers import PublishedTokeniser, SmilesTokeniser, join_vocabulary
from molrate.encoders.trainable import BATCH_ERRORS
from molrate.errors import UsageError, WeightsError

transformers = pytest.importorskip("transformers", reason="NOT TESTED: pip install 'molrate[hf]'")

SMILES = ["CCO", "C", "[Na+].[Cl-]", "c1ccccc1C(=O)N[C@@H](C)C#N", "F/C=C\\Cl", "O=S(=O)(O)c1ccc(Br)cc1"]
TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] C c O N n F Cl Br S ( ) = # / \\ . 1 2 [Na+] [Cl-] [C@@H]"
VOCABULARY = TOKENS.split()
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
KINDS = {
    "bert": {"num_hidden_layers": 3},
    "roberta": {"num_hidden_layers": 3},
    "albert": {"num_hidden_layers": 3, "embedding_size": 8},
    "modernbert": {"num_hidden_layers": 3, "cls_token_id": 2, "sep_token_id": 3},
    "distilbert": {"n_layers": 3, "dim": 16, "n_heads": 2, "hidden_dim": 24},
}


def molecules(smiles=SMILES):
    return [Chem.MolFromSmiles(text) for text in smiles]


def write_model(folder, kind="bert", head=True, **changes):
    """A tiny model with weights drawn at random, as the library saves it."""
    config = transformers.CONFIG_MAPPING[kind].from_dict({**SIZES, **KINDS[kind], **changes})
    with torch.random.fork_rng():
        torch.manual_seed(4)
        make = transformers.AutoModelForMaskedLM if head else transformers.AutoModel
        model = make.from_config(config)
        for value in model.parameters():
            torch.nn.init.normal_(value, std=0.3)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return model


@pytest.fixture(params=KINDS)
def any_kind(request, tmp_path):
    write_model(tmp_path, request.param)
    return load_encoder(f"hf:{tmp_path}")


@pytest.fixture
def bert(tmp_path):
    write_model(tmp_path)
    return tmp_path


def published_tokeniser(vocabulary, **special):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], **special))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer.to_str()


def test_all_hidden_states_agree_with_the_library_on_published_weights(published_weights):
    path = published_weights / "zoo" / "golden" / "rxnmapper-albert.npz"
    path = path if path.is_file() else published_weights / "golden" / "rxnmapper-albert.npz"
    if not path.is_file():
        pytest.skip("NOT TESTED: golden/rxnmapper-albert.npz is not here")
    expected = np.load(path)
    encoder = load_encoder("rxnmapper-albert", tokens="all")
    content = [encoder.encode_text(text) for text in expected["smiles"].tolist()]
    layers = encoder.embed(content, encoder.layers, "mean")
    found = np.stack([layers[layer] for layer in encoder.layers], axis=1)
    np.testing.assert_allclose(found, expected["mean_per_layer"], atol=1e-5)
    assert encoder.remarks() == []


def test_every_kind_gives_what_the_library_gives(any_kind, tmp_path):
    model = transformers.AutoModel.from_pretrained(tmp_path).eval()
    batch = any_kind.featurise(molecules())
    layers = any_kind.embed(batch.content, any_kind.layers, "mean")
    assert list(layers) == ["embeddings", "layer-1", "layer-2", "layer-3"]
    for row, tokens in enumerate(batch.content):
        with torch.no_grad():
            states = model(tokens.ids[None], output_hidden_states=True).hidden_states
        for layer, state in zip(any_kind.layers, states, strict=True):
            expected = state[0, 1:-1].mean(0).numpy()
            np.testing.assert_allclose(layers[layer][row], expected, atol=1e-5)


def test_company_changes_nothing(any_kind):
    content = any_kind.featurise(molecules()).content
    together = any_kind.embed(content, any_kind.layers, "mean")
    for row, tokens in enumerate(content):
        for layer, alone in any_kind.embed([tokens], any_kind.layers, "mean").items():
            np.testing.assert_allclose(alone[0], together[layer][row], atol=2e-5)


def test_rows_of_tokens_stand_in_the_order_of_molecules(bert):
    encoder = load_encoder(f"hf:{bert}", tokens="all")
    content = encoder.featurise(molecules()).content
    rows = encoder.forward(content)["layer-3"]
    means = [part.mean(0).numpy() for part in rows.split([len(tokens.ids) for tokens in content])]
    np.testing.assert_allclose(means, encoder.embed(content, ["layer-3"], "mean")["layer-3"], atol=1e-5)


def test_the_first_token_alone_may_be_read(bert):
    first = load_encoder(f"hf:{bert}", tokens="first")
    content = first.featurise(molecules()).content
    everything = load_encoder(f"hf:{bert}", tokens="all").forward(content)["layer-1"]
    starts = np.cumsum([0, *(len(tokens.ids) for tokens in content[:-1])])
    found = first.embed(content, ["layer-1"], "max")["layer-1"]
    np.testing.assert_allclose(found, everything.numpy()[starts], atol=1e-5)
    with pytest.raises(UsageError, match="known: molecule, all, first"):
        load_encoder(f"hf:{bert}", tokens="some")


def test_training_reaches_every_parameter_and_is_read_back(any_kind, tmp_path):
    trainable = any_kind.trainable()
    batch = trainable.collate([trainable.encode(molecule) for molecule in molecules()])
    output = trainable.eval()(batch)
    expected = any_kind.embed(any_kind.featurise(molecules()).content, ["layer-3"], "mean")["layer-3"]
    np.testing.assert_allclose(output.detach().numpy(), expected, atol=1e-5)
    output.square().sum().backward()
    assert [name for name, value in trainable.network.named_parameters() if value.grad is None] == []
    with torch.no_grad():
        for value in trainable.network.parameters():
            value.mul_(1.1)
    path = tmp_path / "other" / "tuned.safetensors"
    any_kind.write_weights(trainable.network, path)
    for name in (f"hf:{tmp_path}", f"hf:{path}", "hf:gone"):
        again = load_encoder(name, weights=path)
        found = again.embed(again.featurise(molecules()).content, ["layer-3"], "mean")["layer-3"]
        np.testing.assert_allclose(found, trainable(batch).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta", "albert"])
def test_texts_of_like_length_that_train_together_give_what_they_give_alone(kind, tmp_path):
    write_model(tmp_path, kind, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    trainable = load_encoder(f"hf:{tmp_path}").trainable()
    batch = trainable.collate([trainable.encode(molecule) for molecule in molecules()])
    together = trainable.eval()(batch)
    in_groups = trainable.train()(batch)
    assert not torch.equal(in_groups, together)
    np.testing.assert_allclose(in_groups.detach(), together.detach(), atol=1e-5)
    weights = [value for value in trainable.parameters() if value.requires_grad]
    slopes = [
        torch.autograd.grad(found.square().sum(), weights, allow_unused=True)
        for found in (together, in_groups)
    ]
    for one, other in zip(*slopes, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(other, one, atol=1e-3)


@pytest.mark.parametrize("kind", ["bert", "albert"])
def test_layers_that_are_not_transferred_are_drawn(kind, tmp_path):
    write_model(tmp_path, kind)
    encoder = load_encoder(f"hf:{tmp_path}")
    limit = {"bert": 3, "albert": 1}[kind]
    assert encoder.n_transferable == limit
    pretrained = encoder.module.state_dict()
    for n_layers in range(limit + 1):
        state = encoder.trainable(n_layers, seed=1).network.state_dict()
        last = [name for name in state if name.endswith("query.weight")][-1]
        first = "embeddings.word_embeddings.weight"
        assert torch.equal(state[first], pretrained[first]) == (n_layers > 0)
        assert torch.equal(state[last], pretrained[last]) == (n_layers == limit)
    with pytest.raises(UsageError, match=f"0 to {limit} layers"):
        encoder.trainable(limit + 1)


def test_texts_longer_than_the_table_of_positions_are_not_supported(tmp_path):
    for kind, limit in (("bert", 40), ("roberta", 39)):
        write_model(tmp_path / kind, kind)
        encoder = load_encoder(f"hf:{tmp_path / kind}")
        chains = molecules(["C" * (limit - 2), "C" * (limit - 1)])
        batch = encoder.featurise(chains)
        assert batch.rows == [0]
        assert f"{limit + 1} tokens, more than the {limit} positions" in batch.errors[1]
        assert encoder.embed(batch.content, ["layer-3"], "mean")["layer-3"].shape == (1, 16)


def test_unknown_tokens_are_counted_and_said(bert):
    encoder = load_encoder(f"hf:{bert}")
    batch = encoder.featurise(molecules(["CCI", "C[Se]C", "CC", "[Xe]"]))
    assert batch.rows == [0, 1, 2]
    assert "no token of [Xe]" in batch.errors[3]
    (remark,) = encoder.remarks()
    assert "2 tokens of 2 molecules are not in its vocabulary (tokeniser: smiles)" in remark


def test_unknown_tokens_are_said_of_each_call_and_out_of_the_cache_too(bert, fresh_cache, caplog):
    encoder = load_encoder(f"hf:{bert}")
    for smiles, expected in (
        (["CCI", "CC"], 1),
        (["CCO", "CC"], 0),
        (["CCI", "C[Se]C"], 2),
        (["CCI", "CC"], 1),
    ):
        caplog.clear()
        molrate.embed(smiles, encoder)
        said = [record.message for record in caplog.records if "not in its vocabulary" in record.message]
        assert len(said) == bool(expected)
        assert all(f"{expected} tokens of {expected} molecules" in line for line in said)


def test_the_rule_keeps_atoms_whole_where_a_published_tokeniser_does_not():
    numbers = {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "C": 3, "l": 4, "Cl": 5, "[C@@H]": 6}
    published = PublishedTokeniser(published_tokeniser(numbers, unk_token="[UNK]"))
    assert published.tokenise("CCl").ids == [3, 3, 4]
    rule = SmilesTokeniser(published.vocabulary)
    assert rule.tokenise("CCl").ids == [0, 3, 5, 1]
    assert rule.tokenise("CCl").special == [True, False, False, True]
    assert rule.tokenise("C[C@@H]B").unknown == 1


def test_letters_that_a_published_tokeniser_drops_count_as_unknown():
    published = PublishedTokeniser(published_tokeniser({"C": 0, "O": 1}))
    assert published.tokenise("CCO").unknown == 0
    assert published.tokenise("CFO").unknown == 1


def test_vocabularies_with_holes_and_blanks_keep_their_numbers():
    assert join_vocabulary({"a b": 0, "C": 1, "O": 3}) == "[no-token-0] C [no-token-2] O"


def test_a_tokeniser_can_be_chosen(bert):
    content = published_tokeniser({token: k for k, token in enumerate(VOCABULARY)}, unk_token="[UNK]")
    (bert / "tokenizer.json").write_text(content)
    published, rule = load_encoder(f"hf:{bert}"), load_encoder(f"hf:{bert}", tokeniser="smiles")
    assert published.encode(molecules()[0]).ids.tolist() == [5, 5, 7]
    assert rule.encode(molecules()[0]).ids.tolist() == [2, 5, 5, 7, 3]
    assert published.featurisation != rule.featurisation
    assert rule.identity()["tokeniser"] == "smiles"


def test_options_may_stand_in_the_name_and_are_remembered(bert, tmp_path):
    name = f"hf:{bert}?tokens=all"
    encoder = load_encoder(name)
    assert (encoder.name, encoder.settings["tokens"]) == (name, "all")
    assert encoder.identity() == load_encoder(f"hf:{bert}", tokens="all").identity()
    encoder.write_weights(encoder.module, tmp_path / "tuned.safetensors")
    assert load_encoder(name, tmp_path / "tuned.safetensors").settings == encoder.settings
    with pytest.raises(UsageError, match="has no option padding"):
        load_encoder(f"hf:{bert}?padding=4")
    with pytest.raises(UsageError, match="option=value"):
        load_encoder(f"hf:{bert}?all")


def change_config(folder, name="config.json", **changes):
    path = folder / name
    config = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({k: v for k, v in {**config, **changes}.items() if v is not None}))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("config.json", {"model_type": None}, "does not say what kind of model it is"),
        ("config.json", {"model_type": "nonsense"}, "has no model of the type 'nonsense'"),
        ("config.json", {"auto_map": {"AutoModel": "code.Model"}}, "no code of a download is ever run"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": "t.T"}}, "no code of a download"),
        ("config.json", {"is_encoder_decoder": True}, "encoder and a decoder is not supported"),
        ("config.json", {"quantization_config": {}}, "quantised"),
        ("config.json", {"hidden_size": 32}, "not weights of this architecture"),
        ("config.json", {"num_hidden_layers": 4}, "Missing key.*encoder.layer.3"),
        ("config.json", {"num_hidden_layers": 2}, "Unexpected key.*encoder.layer.2"),
        ("config.json", {"num_attention_heads": 3}, "not settings of a bert model"),
    ],
)
def test_what_cannot_be_read_is_refused(bert, name, changes, message):
    change_config(bert, name, **changes)
    with pytest.raises(WeightsError, match=message):
        load_encoder(f"hf:{bert}").prepare()


def test_a_vocabulary_with_more_tokens_than_the_model_has_vectors_for_is_refused_at_once(bert):
    (bert / "vocab.txt").write_text("\n".join([*VOCABULARY[:5], "[x]", *VOCABULARY[5:]]) + "\n")
    size = len(VOCABULARY)
    sentence = rf"vocab\.txt: has {size + 1} tokens, and the model has vectors for {size} \(vocab_size\)"
    with pytest.raises(WeightsError, match=sentence):
        load_encoder(f"hf:{bert}")
    smiles = ["C" * n + end for n in range(1, 21) for end in ("O", "N")]
    ranking = molrate.score(smiles, [float(len(text)) for text in smiles], encoders=[f"hf:{bert}", "ecfp4"])
    rows = ranking.frame.set_index("encoder")
    assert rows["status"].to_dict() == {"ecfp4": "ok", f"hf:{bert}": "failed"}
    assert "vocab.txt: has" in rows.loc[f"hf:{bert}", "note"]


def test_a_published_tokeniser_of_another_model_is_refused_and_marks_in_no_text_are_not_counted(bert):
    from tokenizers import AddedToken, Tokenizer

    known = {token: k for k, token in enumerate(VOCABULARY)}
    content = published_tokeniser({**known, "Zn": len(VOCABULARY)}, unk_token="[UNK]")
    (bert / "tokenizer.json").write_text(content)
    for name in (f"hf:{bert}", f"hf:{bert}?tokeniser=smiles"):
        with pytest.raises(WeightsError, match=r"tokenizer\.json: has 27 tokens.*vectors for 26"):
            load_encoder(name)
    tokenizer = Tokenizer.from_str(published_tokeniser(known, unk_token="[UNK]"))
    tokenizer.add_special_tokens([AddedToken("[FILL]", special=True)])
    (bert / "tokenizer.json").write_text(tokenizer.to_str())
    assert load_encoder(f"hf:{bert}").encode(molecules()[0]).ids.tolist() == [5, 5, 7]


def test_a_model_without_a_vector_for_padding_is_filled_up_with_another_token(tmp_path):
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}
    transformers.AutoModel.from_config(transformers.GPT2Config(**sizes, vocab_size=26)).save_pretrained(
        tmp_path
    )
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    before = load_encoder(f"hf:{tmp_path}")
    content = before.featurise(molecules()).content
    expected = before.embed(content, ["layer-2"], "mean")["layer-2"]
    for padding in (26, -1):
        change_config(tmp_path, pad_token_id=padding)
        found = load_encoder(f"hf:{tmp_path}").embed(content, ["layer-2"], "mean")["layer-2"]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_shorter_of_table_and_setting_is_how_many_positions_a_model_has(tmp_path):
    sizes = {**SIZES, "num_hidden_layers": 2}
    model = transformers.AutoModel.from_config(transformers.YosoConfig(**sizes))
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    encoder = load_encoder(f"hf:{tmp_path}")
    batch = encoder.featurise(molecules(["C" * 38, "C" * 39]))
    assert encoder.embed(batch.content, ["layer-2"], "mean")["layer-2"].shape == (1, 16)
    assert "more than the 40 positions" in batch.errors[1]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("lilt", {"channel_shrink_ratio": 3}, "a lilt network of these settings fails in transformers"),
        ("canine", {}, r"tell 2 layers.*gives 6; models of the type canine are not supported"),
    ],
)
def test_a_network_that_fails_in_the_library_is_a_failed_row(tmp_path, kind, changes, message):
    config = transformers.CONFIG_MAPPING[kind].from_dict({**SIZES, "num_hidden_layers": 2, **changes})
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    smiles = ["C" * n + end for n in range(1, 21) for end in ("O", "N")]
    ranking = molrate.score(
        smiles, [float(len(text)) for text in smiles], encoders=[f"hf:{tmp_path}", "ecfp4"]
    )
    assert ranking.frame.set_index("encoder")["status"].to_dict() == {
        "ecfp4": "ok",
        f"hf:{tmp_path}": "failed",
    }
    with pytest.raises(WeightsError, match=message):
        molrate.embed(["CCO"], f"hf:{tmp_path}")


def test_what_smaller_batches_help_with_is_no_fault_of_the_network(bert, monkeypatch):
    from molrate.encoders.huggingface.network import hidden_states

    network = load_encoder(f"hf:{bert}").module
    for error in BATCH_ERRORS:
        monkeypatch.setattr(network, "forward", Mock(side_effect=error))
        with pytest.raises(error):
            hidden_states(network, torch.ones(1, 2, dtype=torch.long), torch.ones(1, 2))


def test_files_of_a_tokeniser_that_cannot_be_used_are_named(bert):
    with pytest.raises(WeightsError, match=r"vocab\.txt: a vocabulary only"):
        load_encoder(f"hf:{bert}?tokeniser=published")
    (bert / "vocab.txt").write_text("C\nO\n")
    with pytest.raises(WeightsError, match=r"vocab\.txt: has neither \[UNK\] nor <unk>"):
        load_encoder(f"hf:{bert}")
    (bert / "vocab.txt").write_bytes(b"C\xff\n")
    with pytest.raises(WeightsError, match=r"vocab\.txt: cannot be read, it is damaged"):
        load_encoder(f"hf:{bert}")
    (bert / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(WeightsError, match=r"tokenizer\.json: cannot be read, it is damaged"):
        load_encoder(f"hf:{bert}")
    change_config(bert, pad_token_id=50)
    (bert / "tokenizer.json").unlink()
    (bert / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    with pytest.raises(WeightsError, match=rf"hf:{bert}: not settings of a bert model: Padding_idx"):
        load_encoder(f"hf:{bert}").prepare()


def test_a_missing_pooler_is_none_of_its_concern(tmp_path):
    write_model(tmp_path, head=False)
    load_encoder(f"hf:{tmp_path}").prepare()


def test_bin_is_read_as_tensors_only(bert):
    from safetensors.torch import load_file

    state = load_file(bert / "model.safetensors")
    expected = load_encoder(f"hf:{bert}").module.state_dict()
    (bert / "model.safetensors").unlink()
    torch.save(state, bert / "pytorch_model.bin")
    found = load_encoder(f"hf:{bert}").module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    torch.save({"a": pytest}, bert / "pytorch_model.bin", pickle_module=__import__("cloudpickle"))
    with pytest.raises(WeightsError, match="nothing in it was run"):
        load_encoder(f"hf:{bert}").prepare()


def test_files_that_are_not_there_are_named(bert, monkeypatch, tmp_path):
    with pytest.raises(WeightsError, match="no such folder"):
        load_encoder("hf:nowhere")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"get it with `hf download some/model --revision abc`$"):
        load_encoder("hf:some/model@abc")
    (bert / "vocab.txt").unlink()
    with pytest.raises(WeightsError, match="has no tokeniser"):
        load_encoder(f"hf:{bert}")
    (bert / "model.safetensors").rename(bert / "model-1.safetensors")
    (bert / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(WeightsError, match="in several files"):
        load_encoder(f"hf:{bert}")
    alone = tmp_path / "alone"
    alone.mkdir()
    (bert / "model-1.safetensors").rename(alone / "model.safetensors")
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        load_encoder(f"hf:{alone}")


def test_without_the_library_the_line_that_installs_it_is_said(bert, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(library, "import_module", missing)
    encoder = load_encoder(f"hf:{bert}")
    with pytest.raises(WeightsError, match=r"pip install 'molrate\[hf\]'"):
        encoder.prepare()


def test_models_of_one_tokeniser_refuse_by_their_own_positions(tmp_path, fresh_cache):
    for name, positions in (("long", 40), ("short", 14)):
        (tmp_path / name).mkdir()
        write_model(tmp_path / name, max_position_embeddings=positions)
    long, short = f"hf:{tmp_path / 'long'}", f"hf:{tmp_path / 'short'}"
    smiles = ["C" * n + end for n in range(1, 25) for end in ("O", "N")]
    values = [float(len(text)) ** 0.5 for text in smiles]
    for encoders in ([long, short], [short, long]):
        ranking = molrate.score(smiles, values, encoders=encoders)
        assert set(ranking.frame["n"]) == {22}
        assert any(f"more than the 14 positions of {short}" in note for note in ranking.notes)
    # Nothing that another model refused is in the cache.
    assert np.isfinite(molrate.embed(smiles, long)).all()


def test_each_model_of_one_tokeniser_says_what_its_vocabulary_lacks(bert, fresh_cache):
    smiles = ["C" * n + "[Se]" for n in range(2, 30)]
    values = [float(len(text)) ** 0.5 for text in smiles]
    names = [f"hf:{bert}", f"hf:{bert}?tokens=all"]
    notes = molrate.score(smiles, values, encoders=names).notes
    for name in names:
        assert any(note.startswith(f"{name}: 28 tokens of 28 molecules") for note in notes), name
