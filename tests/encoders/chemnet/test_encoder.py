"""ChemNet against outputs of the authors' package, and what holds of any of its weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from molrate.encoders.base import load_encoder
from molrate.encoders.chemnet.network import layer_number, stands_for_symbols
from molrate.encoders.chemnet.text import LENGTH, PADDING, SYMBOLS, collate, encode, read_text
from molrate.errors import WeightsError

SMILES = ["CCO", "C", "[Na+].[Cl-]", "c1ccccc1C(=O)N[C@@H](C)C#N", "F/C=C\\Cl", "O=S(=O)(O)c1ccc(Br)cc1"]


def molecules(smiles):
    return [Chem.MolFromSmiles(text) for text in smiles]


def embedded(encoder, smiles, pooling="mean"):
    return encoder.embed(encoder.featurise(molecules(smiles)).content, encoder.layers, pooling)


@pytest.fixture(scope="module")
def untrained():
    return load_encoder("chemnet-untrained", seed=3)


def test_published_activations(published_weights):
    files = sorted(published_weights.rglob("chemnet_fcd.npz"))
    if not files:
        pytest.skip("NOT TESTED: outputs of fcd are not here (golden/chemnet_fcd.npz)")
    with np.load(files[0]) as golden:
        # They are of the texts as they are written there, not of canonical SMILES.
        texts = [read_text(text) for text in golden["smiles"].tolist()]
        rows = load_encoder("chemnet").embed(collate(texts), ["lstm-2"], "mean")["lstm-2"]
        np.testing.assert_allclose(rows, golden["activation"], atol=1e-5)


def test_text_by_hand():
    text = encode(Chem.MolFromSmiles("C[SiH2]C[Se]C.Cl")).tolist()
    end = text.index(PADDING)
    symbols = [SYMBOLS[code] for code in text[:end]]
    assert symbols == [*"C[", "Si", *"H2]C[SX]C.", "Cl", "."]
    assert text[end:] == [PADDING] * (LENGTH - end)


def test_texts_that_are_too_long_are_reported_and_the_rest_encoded(untrained):
    batch = untrained.featurise(molecules(["CC", "C" * LENGTH, "C" * (LENGTH - 1)]))
    assert batch.rows == [0, 2]
    assert "350 symbols" not in batch.errors[1] or "349" in batch.errors[1]
    assert batch.content.shape == (2, LENGTH)
    assert untrained.featurise([]).content.shape == (0, LENGTH)


def test_layers_by_the_equations(untrained):
    """Convolutions as sums over windows, LSTMs step by step, in float64."""
    content = untrained.featurise(molecules(["CC(=O)Nc1ccccc1"])).content
    hidden = untrained.forward(content)
    state = {name: value.double() for name, value in untrained.module.state_dict().items()}
    x = torch.zeros(LENGTH, len(SYMBOLS), dtype=torch.float64)
    for position, code in enumerate(content[0].tolist()):
        if code != PADDING:
            x[position, code] = 1 / 35
    for number, (before, n_positions) in enumerate([(1, 175), (1, 88)]):
        kernel = state[f"convolutions.{number}.weight"]
        rows = []
        for position in range(n_positions):
            window = range(2 * position - before, 2 * position - before + 4)
            rows.append(sum(kernel[:, :, k] @ x[at] for k, at in enumerate(window) if 0 <= at < len(x)))
        x = torch.selu(torch.stack(rows))
        np.testing.assert_allclose(hidden[f"conv-{number + 1}"][0], x, atol=1e-6)
    backwards = lstm(x.flip(0), state, 0).flip(0)
    np.testing.assert_allclose(hidden["lstm-1"][0], backwards, atol=1e-6)
    np.testing.assert_allclose(hidden["lstm-2"][0], lstm(backwards, state, 1)[-1], atol=1e-6)


def lstm(x, state, number):
    weights = {name.removeprefix(f"lstms.{number}."): value for name, value in state.items()}
    hidden = cell = torch.zeros(weights["weight_hh_l0"].shape[1], dtype=torch.float64)
    states = []
    for row in x:
        gates = weights["weight_ih_l0"] @ row + weights["weight_hh_l0"] @ hidden
        into, forget, new, out = (gates + weights["bias_ih_l0"] + weights["bias_hh_l0"]).chunk(4)
        cell = forget.sigmoid() * cell + into.sigmoid() * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
        states.append(hidden)
    return torch.stack(states)


def test_pooling_is_over_positions_of_symbols(untrained):
    content = untrained.featurise(molecules(["CCO", "CCCCCN"])).content
    # With their ends, texts have four and seven symbols.
    assert stands_for_symbols(content, 175).sum(1).tolist() == [2, 4]
    assert stands_for_symbols(content, 88).sum(1).tolist() == [1, 2]
    hidden = untrained.forward(content)
    pooled = untrained.embed(content, untrained.layers, "max")
    np.testing.assert_array_equal(pooled["conv-1"][1], hidden["conv-1"][1, :4].max(0).values)
    np.testing.assert_array_equal(pooled["lstm-2"], hidden["lstm-2"])


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_company_changes_nothing(untrained, pooling):
    together = embedded(untrained, SMILES, pooling)
    assert [rows.shape[1] for rows in together.values()] == [32, 32, 128, 512]
    for row, text in enumerate(SMILES):
        for layer, rows in embedded(untrained, [text], pooling).items():
            np.testing.assert_allclose(rows[0], together[layer][row], rtol=1e-5, atol=1e-5)


def test_weights_are_written_and_read_back(untrained, tmp_path):
    untrained.write_weights(untrained.trainable().network, tmp_path / "tuned.safetensors")
    read = load_encoder("chemnet-untrained", weights=tmp_path / "tuned.safetensors")
    for layer, rows in embedded(read, SMILES).items():
        np.testing.assert_array_equal(rows, embedded(untrained, SMILES)[layer])


def test_every_parameter_has_a_layer(untrained):
    assert {layer_number(name) for name, _ in untrained.module.named_parameters()} == {1, 2, 3, 4}


def released(untrained):
    """The network as the released file holds it."""
    module = untrained.module
    layers = []
    for convolution in module.convolutions:
        about = {"kernel_size": 4, "stride": 2, "padding": 0, "dilation": (1,), "bias": False}
        channels = {"in_channels": convolution.in_channels, "out_channels": convolution.out_channels}
        settings = {"activation": "selu", "padding": "same"}
        layers.append(("Conv1d", (convolution.state_dict(), channels | about, settings)))
    for number, lstm in enumerate(module.lstms):
        sizes = {"input_size": lstm.input_size, "hidden_size": lstm.hidden_size, "batch_first": True}
        settings = {"reverse": True, "last": number == 1}
        layers.append(("LSTM", (lstm.state_dict(), sizes, settings)))
    return layers


def test_the_released_layout_is_read(untrained, tmp_path):
    torch.save(released(untrained), tmp_path / "chemnet.pt")
    read = load_encoder("chemnet-untrained", weights=tmp_path / "chemnet.pt")
    for layer, rows in embedded(read, SMILES).items():
        np.testing.assert_array_equal(rows, embedded(untrained, SMILES)[layer])


class Payload:
    """Unpickling this writes a file: the proof that code ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_other_files_are_refused(untrained, tmp_path):
    path = tmp_path / "chemnet.pt"

    def refused(content, match):
        torch.save(content, path)
        with pytest.raises(WeightsError, match=match):
            load_encoder("chemnet-untrained", weights=path).prepare()

    layers = released(untrained)
    refused(layers[:3], "list of the 4 layers")
    refused(load_encoder("gin-untrained").module.state_dict(), "list of the 4 layers")
    refused([*layers[:3], ("GRU", layers[3][1])], "layer 4 is .*GRU")
    refused([*layers[:3], "LSTM"], "layer 4 is not one of ChemNet")
    state, sizes, settings = layers[3][1]
    refused([*layers[:3], ("LSTM", (state, sizes, {**settings, "reverse": False}))], "layer 4")
    refused([*layers[:3], ("LSTM", ({}, sizes, settings))], r"lstms\.1\.weight_ih_l0")
    refused([*layers, Payload(tmp_path / "it-ran")], "nothing in it was run")
    assert not (tmp_path / "it-ran").exists()
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(WeightsError):
        load_encoder("chemnet-untrained", weights=path).prepare()
