"""D-MPNN encoders against Chemprop's own output and against the equations, one bond at a time."""

import hashlib

import dmpnn_reference
import numpy as np
import pytest
import torch
from rdkit import Chem

import molrate
from molrate.data.molecules import standardise
from molrate.embedding.embed import embed_molecules
from molrate.encoders.base import load_encoder
from molrate.encoders.cards import EncoderCard, encoder_cards
from molrate.encoders.dmpnn.encoder import DMPNNEncoder
from molrate.encoders.dmpnn.network import DMPNN, n_atom_features
from molrate.errors import UsageError, WeightsError
from molrate.measures import leep, nce

SMILES = [
    "CCO",
    "C",
    "[Na+]",
    "[Na+].[O-]C(=O)c1ccccc1",
    "F/C=C\\Cl",
    "N[C@@H](C)C(=O)O",
    "*CC",
    "N->[Pt](Cl)Cl",
    "[U]",
    "S(F)(F)(F)(F)(F)F",
    "[Fe+3]",
    "CC(C)(C)c1ccc2[nH]c(=O)oc2c1",
    "C1CC2CCC1C2",
]
CONFIG = {
    "width": 24,
    "depth": 4,
    "bias": True,
    "features": "v2",
    "activation": "relu",
    "aggregation": "mean",
}


def encoder(seed=0, weights=None, **settings):
    config = {**CONFIG, **settings}
    card = EncoderCard("mine", "t", "d", family="chemprop", kind="control", config=config)
    return DMPNNEncoder(card, weights, seed=seed)


def batch(of, smiles=SMILES):
    featurised = of.featurise([Chem.MolFromSmiles(text) for text in smiles])
    assert featurised.errors == {}
    return featurised.content


@pytest.fixture
def golden_file(published_weights):
    path = published_weights / "zoo" / "golden" / "admet_ai_regression_0.npz"
    if not path.is_file():
        pytest.skip("NOT TESTED: outputs of Chemprop are not here (zoo/golden/admet_ai_regression_0.npz)")
    with np.load(path) as stored:
        return dict(stored)


def test_atoms_and_fingerprints_are_those_of_chemprop(golden_file):
    published = load_encoder("admet-ai-regression-0")
    content = batch(published, golden_file["smiles"].tolist())
    atoms = published.forward(content)["step-3"].numpy()
    np.testing.assert_array_equal(content.batch.numpy(), golden_file["atom_batch"])
    np.testing.assert_allclose(atoms, golden_file["atoms"], atol=1e-5, rtol=0)
    pooled = published.embed(content, ["step-3"], "sum")["step-3"]
    np.testing.assert_allclose(pooled / 100, golden_file["fingerprint"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "name", ["admet-ai-regression-0", "admet-ai-regression-1", "admet-ai-classification-1"]
)
def test_a_file_by_itself_is_the_encoder_of_its_card(name, published_weights):
    published = load_encoder(name)
    path = published.card.artifact.locate(download=False)
    alone = load_encoder(f"chemprop:{path}")
    assert alone.card.config == published.card.config
    assert alone.identity() == published.identity()
    hidden = published.forward(batch(published))
    for layer, values in alone.forward(batch(alone)).items():
        assert torch.equal(values, hidden[layer])


@pytest.mark.parametrize("scheme", ["v2", "v1", "organic"])
@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", lambda x: np.maximum(x, 0)),
        ("tanh", np.tanh),
        ("leakyrelu", lambda x: np.where(x > 0, x, 0.1 * x)),
    ],
)
def test_agrees_with_the_equations(scheme, activation, function):
    slope = {"slope": 0.1} if activation == "leakyrelu" else {}
    own = encoder(features=scheme, activation=activation, **slope)
    assert own.layers == ("step-1", "step-2", "step-3", "step-4")
    hidden = own.forward(batch(own))
    state = own.module.state_dict()
    expected = [dmpnn_reference.forward(text, state, 4, scheme, function) for text in SMILES]
    for position, (layer, values) in enumerate(hidden.items()):
        assert values.shape[1] == 24, layer
        np.testing.assert_allclose(
            values.numpy(), np.concatenate([of[position] for of in expected]), atol=2e-6, rtol=1e-5
        )


def test_one_step_and_no_bonds_at_all():
    own = encoder(depth=1)
    assert own.layers == ("step-1",)
    hidden = own.forward(batch(own, ["C", "[Na+]"]))["step-1"]
    assert hidden.any(dim=1).all()
    assert not torch.equal(hidden[0], hidden[1])
    empty = own.forward(own.featurise([]).content)
    assert empty["step-1"].shape == (0, 24)


def test_no_molecule_is_zero_in_any_layer():
    own = encoder()
    embedded = own.embed(batch(own), own.layers, "mean")
    assert all(rows.any(axis=1).all() for rows in embedded.values())


def test_features_are_as_many_as_chemprop_has():
    assert [n_atom_features(scheme) for scheme in ("v1", "v2", "organic")] == [133, 72, 44]


def test_a_molecule_alone_and_in_company_is_the_same():
    own = encoder(width=300, bias=False)
    together = own.embed(batch(own), own.layers, "mean")
    for row, text in enumerate(SMILES):
        alone = own.embed(batch(own, [text]), own.layers, "mean")
        for layer in own.layers:
            np.testing.assert_allclose(alone[layer][0], together[layer][row], atol=1e-6, rtol=1e-5)


def test_it_trains_from_its_embeddings_and_gradients_reach_every_parameter():
    own = encoder(activation="prelu")
    for pooling in ("mean", "sum", "max"):
        trainable = own.trainable(pooling=pooling)
        content = trainable.collate([trainable.encode(Chem.MolFromSmiles(text)) for text in SMILES])
        pooled = trainable(content)
        expected = own.embed(batch(own), ["step-4"], pooling)["step-4"]
        np.testing.assert_allclose(pooled.detach().numpy(), expected, atol=1e-6)
        pooled.square().sum().backward()
        assert all(value.grad is not None and value.grad.any() for value in trainable.parameters())
        assert trainable.width == 24


def test_mixed_precision_gives_nearly_the_same():
    trainable = encoder(width=64).trainable()
    content = trainable.collate([trainable.encode(Chem.MolFromSmiles(text)) for text in SMILES])
    exact = trainable(content).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = trainable(content).detach().float()
    assert torch.nn.functional.cosine_similarity(rounded, exact).min() > 0.999


def test_the_first_layers_are_transferred_and_the_rest_drawn_from_the_seed():
    own = encoder(seed=7)
    whole = own.module.state_dict()
    assert own.n_transferable == 3
    for n_layers in range(4):
        state = own.trainable(n_layers, seed=1).network.state_dict()
        for name, value in whole.items():
            kept = {"W_i": 1, "W_h": 2, "W_o": 3}[name.split(".")[0]] <= n_layers
            assert torch.equal(state[name], value) == kept, name
    with pytest.raises(UsageError, match=r"mine has 0 to 3 layers"):
        own.trainable(4)


def test_weights_written_are_weights_read_by_the_encoder_and_by_the_file(tmp_path):
    own = encoder()
    network = own.trainable().network
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.01)
    own.write_weights(network, tmp_path / "w.safetensors")
    for again in (
        encoder(weights=tmp_path / "w.safetensors"),
        load_encoder(f"chemprop:{tmp_path / 'w.safetensors'}"),
        load_encoder("chemprop:gone.pt", weights=tmp_path / "w.safetensors"),
    ):
        state = again.module.state_dict()
        assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
        assert again.card.config == own.card.config
    with pytest.raises(WeightsError, match=r"not weights of mine; it has depth 4, not 5"):
        encoder(weights=tmp_path / "w.safetensors", depth=5).prepare()


def test_an_encoder_named_by_its_file_is_embedded_and_cached(tmp_path, fresh_cache):
    own = encoder()
    own.write_weights(own.module, tmp_path / "my model.safetensors")
    named = load_encoder(f"chemprop:{tmp_path / 'my model.safetensors'}")
    molecules = standardise(["CCO", "CCN"])
    first, again = (
        embed_molecules(molecules, [(named, ("step-4",))], "mean", "cpu")[0].layers["step-4"]
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    (kept,) = (fresh_cache / "embeddings").iterdir()
    assert kept.name.startswith("chemprop-") or "my-model" in kept.name


def test_files_that_are_not_there_and_families_that_read_none_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"gone\.pt: no such file"):
        load_encoder("chemprop:gone.pt")
    (tmp_path / "x.pt").write_text("x")
    with pytest.raises(UsageError, match="ecfp has no weights and reads no file"):
        load_encoder(f"ecfp:{tmp_path / 'x.pt'}")
    with pytest.raises(UsageError, match=r"unknown encoder 'nix:file'.*no family 'nix'"):
        load_encoder("nix:file")


def test_untrained_weights_follow_the_seed():
    states = [encoder(seed=seed).module.state_dict() for seed in (1, 1, 2)]
    assert torch.equal(states[0]["W_i.weight"], states[1]["W_i.weight"])
    assert not torch.equal(states[0]["W_i.weight"], states[2]["W_i.weight"])


def test_cards_build_the_networks_they_describe():
    cards = [card for card in encoder_cards().values() if card.family == "chemprop"]
    assert len(cards) == 12
    for card in cards:
        assert "MIT" in card.licence or card.weights is None
        config = {key: value for key, value in card.config.items() if key != "aggregation"}
        with torch.device("meta"):
            network = DMPNN(**config)
        n_values = sum(value.numel() for value in network.parameters())
        assert n_values == {300: 227_700, 2048: 8_714_240}[config["width"]], card.name


def test_a_file_of_the_form_of_chemeleon_is_known_by_its_md5(tmp_path, monkeypatch):
    settings = {
        "d_v": 72,
        "d_e": 14,
        "d_h": 2048,
        "depth": 6,
        "bias": False,
        "activation": "relu",
        "undirected": False,
    }
    card = encoder_cards()["chemeleon"]
    network = encoder(width=2048, depth=6, bias=False).module
    path = tmp_path / "chemeleon_mp.pt"
    torch.save({"hyper_parameters": settings, "state_dict": network.state_dict()}, path)
    monkeypatch.setenv("MOLRATE_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"digest differs from md5:6a80b54fdb7de37ef0374d302f01e8ce"):
        load_encoder("chemeleon")
    monkeypatch.setitem(card.weights, "md5", hashlib.md5(path.read_bytes()).hexdigest())
    found = load_encoder("chemeleon")
    state = found.module.state_dict()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert found.layers[-1] == "step-6"


def test_the_head_of_a_model_of_binary_tasks_says_what_it_was_trained_to_say(published_weights):
    path = published_weights / "zoo" / "admet-ai" / "classification_model_1.pt"
    if not path.is_file():
        pytest.skip("NOT TESTED: a model of ADMET-AI is not here (zoo/admet-ai/classification_model_1.pt)")
    published = load_encoder("admet-ai-classification-1")
    head = published.class_head()
    assert (head.pooling, head.norm) == ("sum", 100)
    dataset = molrate.load_dataset("freesolv")
    pooled = published.embed(batch(published, dataset.smiles[:40].tolist()), ["step-3"], "sum")["step-3"]
    (inner, inner_bias), (outer, outer_bias) = [
        (weight.numpy(), bias.numpy()) for weight, bias in head.weights
    ]
    hidden = pooled / 100 @ inner.T + inner_bias
    scores = np.maximum(hidden, 0) @ outer.T + outer_bias
    probabilities = head.probabilities(pooled)
    assert probabilities.shape == (40, 31, 2)
    np.testing.assert_allclose(probabilities[..., 1], 1 / (1 + np.exp(-scores)), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1)
    # Drugs that act in the brain, and some that are known to stay out of it: the second task is BBB_Martins.
    inside = ["CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21", "CC(CS)Cc1ccccc1", "CN1CCC[C@H]1c1cccnc1"]
    outside = ["NCCc1ccc(O)c(O)c1", "C[N+](C)(C)CCO", "N[C@@H](CCC(=O)O)C(=O)O", "OC(=O)CNCP(O)(O)=O"]
    pooled = published.embed(batch(published, inside + outside), ["step-3"], "sum")["step-3"]
    enters = head.probabilities(pooled)[:, 1, 1]
    assert enters[:3].min() > 0.9
    assert enters[:3].min() > enters[3:].max()


def test_encoders_without_such_a_head_have_none(published_weights, tmp_path):
    assert load_encoder("chemprop-untrained").class_head() is None
    tuned = tmp_path / "tuned.safetensors"
    mine = encoder()
    mine.write_weights(mine.trainable().network, tuned)
    assert encoder(weights=tuned).class_head() is None
    if (published_weights / "zoo" / "admet-ai" / "regression_model_0.pt").is_file():
        assert load_encoder("admet-ai-regression-0").class_head() is None


def test_leep_and_nce_rank_by_the_head_of_the_encoder(published_weights):
    if not (published_weights / "zoo" / "admet-ai" / "classification_model_1.pt").is_file():
        pytest.skip("NOT TESTED: a model of ADMET-AI is not here (zoo/admet-ai/classification_model_1.pt)")
    dataset = molrate.load_dataset("freesolv").smiles[:60].tolist()
    soluble = ["O" in text for text in dataset]
    ranking = molrate.score(
        dataset, soluble, encoders=["admet-ai-classification-1", "ecfp4"], measures=["leep", "nce"]
    )
    scored = ranking.frame[ranking.frame["encoder"] == "admet-ai-classification-1"]
    assert (scored["value"] < 0).all()
    assert (scored["null_mean"] < scored["value"]).all()
    other = ranking.frame[ranking.frame["encoder"] == "ecfp4"]
    assert other["note"].str.contains("needs source-class probabilities").all()
    published = load_encoder("admet-ai-classification-1")
    (embedding,) = embed_molecules(standardise(dataset), [(published, ("step-3",))], "sum")
    probabilities = published.class_head().probabilities(embedding.layers["step-3"])
    expected = [
        leep(probabilities, soluble),
        np.mean([nce(p.argmax(axis=1), soluble) for p in probabilities.swapaxes(0, 1)]),
    ]
    np.testing.assert_allclose(scored.sort_values("measure")["value"], expected, rtol=1e-9)
