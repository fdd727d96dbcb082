import numpy as np
import pytest
import torch

import molrate
from molrate.data.molecules import parse_canonical, standardise
from molrate.embedding.embed import embed_molecules
from molrate.encoders.base import load_encoder
from molrate.errors import UsageError

SMILES = [*molrate.load_dataset("esol").smiles[:30].tolist(), "C", "[Na+]"]
NAMES = [
    "gin-untrained",
    "gcn-untrained",
    "gat-untrained",
    "graphsage-untrained",
    "grover-small-chembl",
    "minimol-untrained",
    "chemnet-untrained",
]


def batch(trainable):
    canonical = standardise(SMILES).canonical
    return trainable.collate([trainable.encode(parse_canonical(smiles)) for smiles in canonical])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_it_starts_from_the_encoders_embeddings(name, pooling):
    encoder = load_encoder(name)
    trainable = encoder.trainable(pooling=pooling).eval()
    pooled = trainable(batch(trainable)).detach().numpy()
    requests = [(encoder, encoder.layers[-1:])]
    (embedding,) = embed_molecules(standardise(SMILES), requests, pooling, "cpu", cache=False)
    expected = embedding.layers[encoder.layers[-1]]
    assert pooled.shape == (len(SMILES), trainable.width)
    np.testing.assert_allclose(pooled, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gradients", [True, False])
def test_mixed_precision_gives_nearly_the_same(name, gradients):
    trainable = load_encoder(name).trainable().eval()
    exact = trainable(batch(trainable)).detach()
    with torch.set_grad_enabled(gradients), torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = trainable(batch(trainable)).detach().float()
    assert torch.nn.functional.cosine_similarity(rounded, exact).min() > 0.999


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name):
    trainable = load_encoder(name).trainable()
    trainable(batch(trainable)).square().sum().backward()
    without = [name for name, value in trainable.named_parameters() if value.grad is None]
    assert not without


@pytest.mark.parametrize("name", ["gin-untrained", "grover-small-chembl"])
def test_the_first_layers_are_transferred_and_the_rest_drawn_from_the_seed(name):
    encoder = load_encoder(name)
    whole = encoder.trainable().network.state_dict()
    for n_layers in range(encoder.n_transferable + 1):
        state, again, reseeded = (
            encoder.trainable(n_layers, seed=seed).network.state_dict() for seed in (1, 1, 2)
        )
        assert all(torch.equal(state[key], again[key]) for key in whole)
        for key in whole:
            layer = layer_of(encoder, key)
            if layer <= n_layers:
                assert torch.equal(state[key], whole[key]), key
            elif whole[key].ndim > 1:
                assert not torch.equal(state[key], whole[key]), key
                assert not torch.equal(state[key], reseeded[key]), key


def layer_of(encoder, key):
    """Layer of a parameter by the names of the released state dicts, independently of the code."""
    parts = key.split(".")
    if encoder.name.startswith("grover"):
        return int(parts[1]) + 1 if parts[0] in ("node_blocks", "edge_blocks") else 3
    return int(parts[1]) + 1 if parts[0] in ("gnns", "batch_norms") else 1


@pytest.mark.parametrize("name", ["gcn-untrained", "grover-small-chembl"])
def test_weights_written_are_weights_read(name, tmp_path):
    encoder = load_encoder(name)
    network = encoder.trainable().network
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.01)
    encoder.write_weights(network, tmp_path / "w.safetensors")
    again = load_encoder(name, tmp_path / "w.safetensors").trainable().network.state_dict()
    assert all(torch.equal(again[key], value) for key, value in network.state_dict().items())


def test_errors():
    with pytest.raises(UsageError, match=r"n_layers 6: gin-untrained has 0 to 5 layers"):
        load_encoder("gin-untrained").trainable(6)
    with pytest.raises(UsageError, match=r"ecfp4 has nothing to train.*frozen="):
        load_encoder("ecfp4").trainable()
