"""pretrain-gnns encoders against the dense float64 reference, and what a checkpoint may not do."""

from pathlib import Path

import dense_reference
import numpy as np
import pytest
import torch
from rdkit import Chem

import molrate
from molrate.encoders.base import encoder_names, load_encoder
from molrate.encoders.cards import encoder_cards
from molrate.encoders.checkpoints import load_state
from molrate.encoders.pretrain_gnns.network import CONVOLUTIONS
from molrate.errors import UsageError, WeightsError

SMILES = [
    "CCO",
    "C",
    "[Na+]",
    "c1ccccc1C(=O)N[C@@H](C)C#N",
    "F/C=C\\Cl",
    "CC(C)(C)c1ccc2[nH]c(=O)oc2c1",
    "O=S(=O)(O)c1ccc(Br)cc1",
]
PUBLISHED = [
    name
    for name, card in encoder_cards().items()
    if card.family == "pretrain-gnns" and card.weights and "sha256" in card.weights
]


def molecules(smiles):
    return [Chem.MolFromSmiles(text) for text in smiles]


def perturbed(name):
    """An untrained encoder whose batch norms and biases are not the identity they start as."""
    encoder = load_encoder(name, seed=3)
    generator = torch.Generator().manual_seed(5)
    for key, tensor in encoder.module.state_dict().items():
        if "running_var" in key:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.is_floating_point() and tensor.dim() == 1:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return encoder


def assert_agrees(encoder, smiles):
    hidden = encoder.forward(encoder.featurise(molecules(smiles)).content)
    state = encoder.module.state_dict()
    architecture = encoder.card.config["architecture"]
    references = [dense_reference.forward(text, state, architecture) for text in smiles]
    assert list(hidden) == ["input", "layer-1", "layer-2", "layer-3", "layer-4", "layer-5"]
    for depth, layer in enumerate(hidden.values()):
        expected = np.concatenate([reference[depth] for reference in references])
        np.testing.assert_allclose(layer.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", CONVOLUTIONS)
def test_agrees_with_the_dense_reference(architecture):
    assert_agrees(perturbed(f"{architecture}-untrained"), SMILES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_agree_with_the_dense_reference(name, published_weights, published_data):
    from molrate.data.datasets import load_dataset
    from molrate.data.molecules import standardise

    smiles = standardise(load_dataset("bbbp").smiles.tolist()[::120]).canonical.tolist()
    assert_agrees(load_encoder(name), SMILES + smiles)


@pytest.mark.parametrize("architecture", CONVOLUTIONS)
def test_training_path_gives_the_values_of_the_inference_path(architecture):
    encoder = perturbed(f"{architecture}-untrained")
    graph = encoder.featurise(molecules(SMILES)).content
    trained = encoder.module(graph)
    for layer, expected in zip(trained, encoder.forward(graph).values(), strict=True):
        np.testing.assert_allclose(layer.detach().numpy(), expected.numpy(), atol=1e-10)
    trained[-1].square().sum().backward()
    missing = [name for name, value in encoder.module.named_parameters() if value.grad is None]
    assert missing == []


@pytest.mark.parametrize("architecture", CONVOLUTIONS)
def test_batch_size_and_company_change_nothing(architecture):
    encoder = perturbed(f"{architecture}-untrained")
    together = encoder.forward(encoder.featurise(molecules(SMILES)).content)["layer-5"]
    alone = [encoder.forward(encoder.featurise(molecules([text])).content)["layer-5"] for text in SMILES]
    np.testing.assert_allclose(together.numpy(), np.concatenate(alone), atol=1e-10)


@pytest.mark.parametrize("name", ["gat-contextpred", "gat-supervised"])
def test_attention_over_received_messages_is_what_the_checkpoints_were_trained_with(name, published_weights):
    """Their batch norms hold the variance each layer had in training: ours must be of its size.

    Attention normalised over sent messages, as later versions of PyG read the released line, gives
    5 to 1,000 times that variance.
    """
    from molrate.data.datasets import load_dataset
    from molrate.data.molecules import standardise

    encoder = load_encoder(name)
    smiles = [text for text in standardise(load_dataset("b3db").smiles[::40].tolist()).canonical if text]
    graph = encoder.featurise(molecules(smiles)).content
    bonds = graph.edge_attr[:, 0] * 3 + graph.edge_attr[:, 1]
    hidden = list(encoder.forward(graph).values())
    for depth in range(4):
        with torch.inference_mode():
            convolved = encoder.module.gnns[depth](hidden[depth], graph.edge_index, bonds)
        ratio = convolved.var(dim=0) / encoder.module.batch_norms[depth].running_var
        assert 0.3 < ratio.median() < 3


def test_untrained_weights_follow_the_seed_and_leave_torch_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    state = load_encoder("gin-untrained", seed=1).module.state_dict()
    assert torch.equal(torch.rand(3), expected)
    again = load_encoder("gin-untrained", seed=1).module.state_dict()
    reseeded = load_encoder("gin-untrained", seed=2).module.state_dict()
    assert all(torch.equal(state[key], again[key]) for key in state)
    assert not torch.equal(state["x_embedding1.weight"], reseeded["x_embedding1.weight"])


def state_of(name):
    return load_encoder(name).module.float().state_dict()


def test_legacy_files_written_from_a_gpu_load_as_tensors(tmp_path, monkeypatch):
    path = tmp_path / "legacy.pth"
    state = state_of("gcn-untrained")
    with monkeypatch.context() as on_gpu:
        on_gpu.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
        torch.save(state, path, _use_new_zipfile_serialization=False)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(path, weights_only=True)
    assert load_encoder("gcn-contextpred", weights=path).module.gnns[0].linear.weight.dtype == torch.float64


class Payload:
    """Unpickling this writes a file: the proof that code ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_checkpoint_is_refused_and_does_not_run(tmp_path, legacy):
    proof = tmp_path / "it-ran"
    path = tmp_path / "evil.pth"
    state = {**state_of("gin-untrained"), "extra": Payload(proof)}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match="nothing in it was run"):
        load_encoder("gin-masking", weights=path).module  # noqa: B018
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists(), "the payload is harmless, so this test proved nothing"


@pytest.mark.parametrize("legacy", [True, False])
def test_truncated_files_are_refused(tmp_path, legacy):
    whole = tmp_path / "whole.pth"
    torch.save(state_of("gin-untrained"), whole, _use_new_zipfile_serialization=not legacy)
    for size in (0, 1, 10, 100, 200, 1000, 3000, 5000, whole.stat().st_size // 2):
        path = tmp_path / f"{size}.pth"
        path.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(WeightsError):
            load_state(path)


def test_weights_of_another_architecture_are_refused_with_their_names(tmp_path):
    path = tmp_path / "gcn.pth"
    torch.save(state_of("gcn-untrained"), path)
    with pytest.raises(WeightsError, match=r"gnns\.0\.mlp\.0\.weight"):
        load_encoder("gin-masking", weights=path).module  # noqa: B018
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="dictionary of tensors"):
        load_encoder("gin-masking", weights=path).module  # noqa: B018


@pytest.mark.parametrize("prefix", ["", "gnn.", "encoder.", "module.", "module.gnn."])
@pytest.mark.parametrize("architecture", ["gin", "gat"])
def test_a_file_of_the_layout_is_an_encoder(tmp_path, architecture, prefix):
    state = state_of(f"{architecture}-untrained")
    heads = {"projection_head.0.weight": torch.ones(300, 300)} if prefix else {}
    path = tmp_path / "graphcl.pth"
    torch.save({f"{prefix}{name}": value for name, value in state.items()} | heads, path)
    encoder = load_encoder(f"pretrain-gnns:{path}")
    assert encoder.card.config == {"architecture": architecture, "n_layers": 5, "width": 300}
    assert all(torch.equal(encoder.module.state_dict()[name].float(), state[name].float()) for name in state)


def test_a_network_in_a_checkpoint_of_a_trainer_is_found(tmp_path):
    state = state_of("gin-untrained")
    torch.save({"epoch": 3, "model": state, "optimizer": {"a": torch.ones(1)}}, tmp_path / "a.pth")
    load_encoder(f"pretrain-gnns:{tmp_path / 'a.pth'}").prepare()


def test_files_that_do_not_say_what_they_are_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    state = state_of("gin-untrained")
    torch.save({f"{part}.{name}": value for part in ("a", "b") for name, value in state.items()}, path)
    with pytest.raises(WeightsError, match=r"several networks, under 'a\.', 'b\.'"):
        load_encoder(f"pretrain-gnns:{path}")
    torch.save(state_of("gcn-untrained"), path)
    with pytest.raises(WeightsError, match=r"GCN and GraphSAGE have the same tensors.*\?kind=graphsage"):
        load_encoder(f"pretrain-gnns:{path}")
    load_encoder("graphsage-untrained", weights=path).prepare()
    torch.save({**state, "x_embedding1.weight": torch.ones(119, 300)}, path)
    with pytest.raises(WeightsError, match="119 atoms and 6 bonds, not the 120 and 6"):
        load_encoder(f"pretrain-gnns:{path}")
    torch.save({**state, "extra": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match=r"Unexpected key.*extra"):
        load_encoder(f"pretrain-gnns:{path}").prepare()
    torch.save({"weight": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="not of the pretrain-gnns layout"):
        load_encoder(f"pretrain-gnns:{path}")


def test_the_name_says_which_network_a_file_is_where_its_tensors_do_not(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(state_of("graphsage-untrained"), path)
    molecules = ["CCO", "c1ccccc1C(=O)N"]
    for kind in ("gcn", "graphsage"):
        encoder = load_encoder(f"pretrain-gnns:{path}?kind={kind}")
        assert encoder.card.config["architecture"] == kind
        expected = molrate.embed(molecules, load_encoder(f"{kind}-untrained", weights=path))
        np.testing.assert_array_equal(molrate.embed(molecules, encoder), expected)
    # A fine-tuned model remembers the name, and has the architecture in its own file.
    tuned = tmp_path / "tuned.safetensors"
    encoder.write_weights(encoder.trainable().network, tuned)
    assert load_encoder(encoder.name, weights=tuned).card.config["architecture"] == "graphsage"
    with pytest.raises(UsageError, match="it is graphsage, not gcn"):
        load_encoder(f"pretrain-gnns:{path}?kind=gcn", weights=tuned)
    with pytest.raises(UsageError, match="it is gcn or graphsage, not gin"):
        load_encoder(f"pretrain-gnns:{path}?kind=gin")
    with pytest.raises(UsageError, match="no option kind"):
        load_encoder("gin-untrained?kind=gcn")


def test_a_published_file_that_was_altered_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "gcn_contextpred.pth"
    torch.save(state_of("gcn-untrained"), path)
    monkeypatch.setenv("MOLRATE_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="truncated or altered"):
        load_encoder("gcn-contextpred")


def test_layer_names_resolve():
    encoder = load_encoder("gat-untrained")
    assert encoder.select_layers("last") == ("layer-5",)
    assert encoder.select_layers("all") == encoder.layers
    assert encoder.select_layers("input") == ("input",)
    with pytest.raises(UsageError, match="last, all, input, layer-1"):
        encoder.select_layers("3")
    with pytest.raises(UsageError, match="ecfp4 has no layer 'layer-2'"):
        load_encoder("ecfp4").select_layers("layer-2")


def test_unknown_encoders_are_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="gin-masking"):
        load_encoder("gin-maskin")


def test_every_card_is_complete_and_its_encoder_has_one_interface():
    assert set(encoder_cards()) <= set(encoder_names())
    for name, card in encoder_cards().items():
        assert card.title, name
        assert len(card.description) > 40, name
        assert card.citation, name
        if card.weights is None:
            encoder = load_encoder(name)
            assert encoder.layers
            assert encoder.level in ("node", "molecule")
            assert "weights" in encoder.identity()
        else:
            assert len(card.weights.get("sha256", "0" * 64)) == 64
            assert card.licence, name
