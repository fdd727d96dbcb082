import csv
import hashlib
import json
import pickle
import shutil
from argparse import Namespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from grover_reference import Reference, Tables
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from safetensors.torch import load_file, save_file

from molrate.cli.main import cli
from molrate.encoders.base import load_encoder
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import read_about, write_state
from molrate.encoders.grover.checkpoint import complete, write_weights
from molrate.encoders.grover.deduplication import BRANCHES, deduplicate_batch
from molrate.encoders.grover.encoder import GroverEncoder
from molrate.encoders.grover.graphs import batch_molecules
from molrate.encoders.grover.network import ACTIVATIONS, Grover, node_folds
from molrate.errors import UsageError, WeightsError
from molrate.paths import shipped

SMILES = [
    "CCO",
    "[Na+].[Cl-]",
    "C",
    "FS(F)(F)(F)(F)F",
    "c1ccccc1C(=O)NC",
    "CC(C)(C)c1ccc2[nH]ccc2c1",
    "C/C=C/Cl",
]
MODES = [("solo", "batch", 1), ("b32", "batch", 32), ("nopad", "none", 60)]


def molecules(smiles):
    return [Chem.MolFromSmiles(str(text)) for text in smiles]


def random_network(seed=0, **config):
    """A network none of whose parameters is zero, one or the same as another."""
    torch.manual_seed(seed)
    network = Grover(**config).double()
    for parameter in network.parameters():
        scale = parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.3
        parameter.data = (parameter.dim() == 1) * 0.5 + scale * torch.randn_like(parameter)
    return network.eval()


def expanded(network, graph, padding):
    batch = deduplicate_batch(graph, network.depth, network.n_blocks, padding)
    folds = node_folds(batch)
    return {layer: rows[folds[layer]] for layer, rows in network(batch).items()}


@pytest.mark.parametrize(("mode", "padding", "size"), MODES)
def test_branches_and_fingerprints_are_those_of_the_released_code(
    golden, golden_weights, mode, padding, size
):
    encoder = load_encoder("grover-official-base", golden_weights, padding=padding)
    parsed = molecules(golden["smiles"])
    rows, fingerprints = {}, {}
    for start in range(0, len(parsed), size):
        graph = encoder.featurise(parsed[start : start + size]).content
        nodes = encoder.forward(graph)
        for branch in BRANCHES:
            rows.setdefault(branch, []).append(nodes[branch].numpy())
        for name, values in encoder.embed(graph, ["atom", "bond", "both"], "mean").items():
            fingerprints.setdefault(name, []).append(values)
    for branch, parts in rows.items():
        expected = golden[f"{mode}_{branch.replace('-', '_')}"]
        np.testing.assert_allclose(np.concatenate(parts), expected, atol=5e-5, rtol=0)
    for name, parts in fingerprints.items():
        np.testing.assert_allclose(np.concatenate(parts), golden[f"{mode}_fp_{name}"], atol=2e-5, rtol=0)


def test_four_slots_are_what_nearly_every_released_batch_has(golden, golden_weights):
    encoder = load_encoder("grover-official-base", golden_weights)
    content = encoder.featurise(molecules(golden["smiles"])).content
    embeddings = encoder.embed(content, ["both"], "mean")["both"]
    four = golden["b32_max_num_bonds"] == 4
    assert four.sum() >= 20
    np.testing.assert_allclose(embeddings[four], golden["b32_fp_both"][four], atol=2e-5, rtol=0)


@settings(max_examples=25, deadline=None)
@given(
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    bias=st.booleans(),
    dense=st.booleans(),
    depth=st.integers(1, 4),
    n_blocks=st.integers(1, 3),
    heads=st.sampled_from([(8, 1), (8, 2), (12, 4), (151, 1), (165, 1)]),
    padding=st.sampled_from([None, "batch"]),
    seed=st.integers(0, 5),
)
def test_every_layer_is_that_of_the_padded_tables(
    activation, bias, dense, depth, n_blocks, heads, padding, seed
):
    width, n_heads = heads
    config = {
        "width": width,
        "depth": depth,
        "n_heads": n_heads,
        "n_blocks": n_blocks,
        "activation": activation,
        "bias": bias,
        "dense": dense,
    }
    network = random_network(seed, **config)
    graph = batch_molecules(molecules(SMILES)).content
    reference = Reference(network.state_dict(), config)
    expected = reference.layers(Tables(graph, 6, padded=padding is not None))
    for fused_linears in (False, True):
        with torch.no_grad():
            layers = expanded(network, graph, padding)
        assert layers.keys() == expected.keys()
        for layer, rows in layers.items():
            torch.testing.assert_close(rows, expected[layer], atol=1e-8, rtol=1e-6, msg=layer)
        if not fused_linears:
            network.fuse_linears()


def test_gradients_are_those_of_the_padded_tables():
    config = {
        "width": 8,
        "depth": 3,
        "n_heads": 2,
        "n_blocks": 2,
        "activation": "PReLU",
        "bias": True,
        "dense": False,
    }
    network = random_network(**config)
    graph = batch_molecules(molecules(SMILES)).content
    reference = Reference({}, config)
    reference.state = dict(network.named_parameters())
    weights = torch.linspace(-1, 1, 8).double()

    def gradients(layers):
        loss = sum((layers[branch].tanh() @ weights).sum() for branch in BRANCHES)
        return torch.autograd.grad(loss, list(network.parameters()))

    computed = gradients(expanded(network, graph, 6))
    # k = 6 slots for every molecule is what one batch with SF6 gives.
    expected = gradients(reference.layers(Tables(graph, 6, padded=True)))
    for gradient, expected_gradient in zip(computed, expected, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("padding", ["official", "none", 5])
def test_embeddings_do_not_depend_on_batches(padding):
    encoder = load_encoder("grover-small-untrained", padding=padding)
    parsed = molecules(SMILES)
    together = encoder.embed(encoder.featurise(parsed).content, encoder.layers, "mean")
    backwards = encoder.embed(encoder.featurise(parsed[::-1]).content, encoder.layers, "mean")
    for row, molecule in enumerate(parsed):
        alone = encoder.embed(encoder.featurise([molecule]).content, encoder.layers, "mean")
        for layer, values in alone.items():
            np.testing.assert_allclose(together[layer][row], values[0], atol=5e-5, rtol=0)
            np.testing.assert_allclose(backwards[layer][-1 - row], values[0], atol=5e-5, rtol=0)


def test_embeddings_do_not_depend_on_the_order_of_atoms():
    encoder = load_encoder("grover-small-untrained")
    generator = np.random.default_rng(0)
    for smiles in ("CC(C)(C)c1ccc2[nH]ccc2c1", "C/C=C/Cl", "CN1CCC[C@H]1c1cccnc1".replace("@", "")):
        molecule = Chem.MolFromSmiles(smiles)
        shuffled = Chem.RenumberAtoms(molecule, generator.permutation(molecule.GetNumAtoms()).tolist())
        embedding, shuffled_embedding = (
            encoder.embed(encoder.featurise([mol]).content, ["both"], "mean")["both"]
            for mol in (molecule, shuffled)
        )
        np.testing.assert_allclose(embedding, shuffled_embedding, atol=5e-5, rtol=0)


def test_a_molecule_without_bonds_has_zeros_for_bonds():
    encoder = load_encoder("grover-small-untrained")
    for pooling in ("mean", "sum", "max"):
        layers = encoder.embed(encoder.featurise(molecules(["C", "CC"])).content, ["atom", "bond"], pooling)
        assert not layers["bond"][0].any()
        assert layers["bond"][1].any()
        assert layers["atom"][0].any()


def test_half_precision_points_the_same_way():
    full, half = (load_encoder("grover-base-untrained", precision=name) for name in ("fp32", "bf16"))
    graph = full.featurise(molecules(SMILES)).content
    exact, rounded = (encoder.embed(graph, ["both"], "mean")["both"] for encoder in (full, half))
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    assert ((exact * rounded).sum(axis=1) / norms).min() > 0.999


def test_outputs_decide_the_layers(golden_weights, tmp_path):
    stored = torch.load(golden_weights, weights_only=False)
    stored["args"].embedding_output_type = "atom"
    path = tmp_path / "atom.pt"
    torch.save(stored, path)
    encoder = load_encoder("grover-official-base", path)
    assert encoder.layers[-1] == "atom"
    assert "bond-from-bond" not in encoder.layers


def released_checkpoint(path, **changes):
    torch.manual_seed(0)
    network = Grover(width=8, depth=2, n_heads=2, n_blocks=2, activation="ReLU")
    state = {f"grover.encoders.{name}": value for name, value in network.state_dict().items()}
    # What the released code stores and never uses.
    state["grover.encoders.node_blocks.1.W_i.weight"] = torch.zeros(8, 8)
    state["av_task_atom.linear.weight"] = torch.zeros(3, 8)
    args = Namespace(
        hidden_size=8,
        depth=2,
        num_attn_head=2,
        num_mt_block=2,
        activation="ReLU",
        bias=False,
        dense=False,
        embedding_output_type="both",
        undirected=False,
    )
    stored = {"args": args, "state_dict": state, "optimizer": {"lr": np.float64(1e-4)}, "data_scaler": None}
    torch.save(stored | changes, path)
    return state


def test_numpy_scalars_and_unused_parameters_are_no_obstacle(tmp_path):
    released_checkpoint(tmp_path / "a.pt")
    encoder = load_encoder("grover-official-base", tmp_path / "a.pt")
    assert "atom-block-2" in encoder.layers
    assert encoder.embed(encoder.featurise(molecules(SMILES)).content, ["both"], "mean")["both"].shape == (
        7,
        32,
    )


def test_missing_encoder_parameters_are_an_error(tmp_path):
    state = released_checkpoint(tmp_path / "a.pt")
    del state["grover.encoders.ffn_atom_from_bond.W_2.weight"]
    released_checkpoint(tmp_path / "a.pt", state_dict=state)
    with pytest.raises(WeightsError, match=r"ffn_atom_from_bond\.W_2\.weight"):
        _ = load_encoder("grover-official-base", tmp_path / "a.pt").module


@pytest.mark.parametrize("prefix", ["kermt.encoders.", "latent_dist.kermt.encoders."])
def test_kermt_is_grover_under_other_names(tmp_path, prefix):
    state = released_checkpoint(tmp_path / "grover.pt")
    renamed = {name.replace("grover.encoders.", prefix): value for name, value in state.items()}
    released_checkpoint(tmp_path / "kermt.pt", state_dict=renamed)
    expected, found = (load_encoder(f"grover:{tmp_path / name}.pt") for name in ("grover", "kermt"))
    for name, value in expected.module.state_dict().items():
        assert torch.equal(found.module.state_dict()[name], value)
    assert found.padding == 4
    assert np.array_equal(vectors(found), vectors(expected))
    released_checkpoint(tmp_path / "both.pt", state_dict={**state, **renamed})
    with pytest.raises(WeightsError, match="holds several encoders"):
        load_encoder(f"grover:{tmp_path / 'both.pt'}")


def test_a_shipped_encoder_with_the_names_of_kermt_gives_its_numbers(tmp_path):
    shipped = load_encoder("grover-small-zinc")
    names = {"width": "hidden_size", "n_heads": "num_attn_head", "n_blocks": "num_mt_block"}
    names |= {"output": "embedding_output_type"}
    args = Namespace(**{names.get(key, key): value for key, value in shipped.config.items()})
    state = {f"kermt.encoders.{name}": value for name, value in shipped._plain().state_dict().items()}
    torch.save({"args": args, "state_dict": state}, tmp_path / "kermt.pt")
    found = load_encoder(f"grover:{tmp_path / 'kermt.pt'}", padding="none")
    assert found.config == shipped.config
    assert np.array_equal(vectors(found), vectors(shipped))


def test_an_option_behind_the_name_is_that_option():
    encoder = load_encoder("grover-small-zinc?padding=5")
    assert encoder.identity() == load_encoder("grover-small-zinc", padding=5).identity()
    assert encoder.name == "grover-small-zinc?padding=5"


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path):
    target = tmp_path / "ran"
    released_checkpoint(tmp_path / "a.pt", optimizer=Payload(target))
    with pytest.raises(WeightsError, match="refused"):
        load_encoder("grover-official-base", tmp_path / "a.pt")
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))
    assert target.exists()


def test_a_file_of_something_else_is_named(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="no args"):
        load_encoder("grover-official-base", tmp_path / "a.pt")


@pytest.fixture
def deepchem_grover(tmp_path):
    """A GroverModel of DeepChem, and the checkpoint that it saves."""
    grover = pytest.importorskip(
        "deepchem.models.torch_models.grover", reason="NOT TESTED: the moleculenet extra is not installed"
    )
    sizes = {"node_fdim": 151, "edge_fdim": 165, "hidden_size": 32, "features_dim": 2048}
    model = grover.GroverModel(**sizes, task="finetuning", mode="regression", model_dir=str(tmp_path))
    model._ensure_built()
    model.save_checkpoint()
    return model.model.embedding.eval()


def test_a_model_of_deepchem_is_refused_with_the_reason(deepchem_grover, tmp_path):
    with pytest.raises(WeightsError, match=r"a GroverModel of DeepChem.*attention has no effect"):
        load_encoder(f"grover:{tmp_path / 'checkpoint1.pt'}")


def test_the_reasons_to_refuse_models_of_deepchem_hold(deepchem_grover):
    from deepchem.feat import CircularFingerprint, GroverFeaturizer
    from deepchem.utils.grover import BatchGroverGraph

    def embed(smiles):
        graphs = GroverFeaturizer(features_generator=CircularFingerprint()).featurize(smiles)
        atoms, bonds, a2b, b2a, b2revb, a2a, atom_scope, bond_scope, _ = BatchGroverGraph(
            graphs
        ).get_components()
        with torch.no_grad():
            rows = deepchem_grover((atoms, bonds, a2b, b2a, b2revb, atom_scope, bond_scope, a2a))
        return rows["atom_from_atom"][-3:]

    before = embed(["CCO"])
    # The same molecule behind another one.
    assert not torch.allclose(embed(["CCCC", "CCO"]), before, atol=1e-3)
    for name, parameter in deepchem_grover.named_parameters():
        if "attention_heads" in name or ".attn." in name or "W_o" in name:
            parameter.data.normal_()
    assert torch.equal(embed(["CCO"]), before)


def test_unknown_options_are_errors():
    with pytest.raises(UsageError, match="padding"):
        load_encoder("grover-small-untrained", padding="half")
    with pytest.raises(UsageError, match="precision"):
        load_encoder("grover-small-untrained", precision="fp8")
    with pytest.raises(UsageError, match="no option padding"):
        load_encoder("ecfp4", padding="none")


def test_converted_weights_are_the_checkpoint(tmp_path):
    released_checkpoint(tmp_path / "a.pt")
    output = tmp_path / "a.safetensors"
    result = CliRunner().invoke(cli, ["convert", str(tmp_path / "a.pt"), "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.pt", "a.safetensors"]
    about = read_about(output)
    assert (about["settings"]["n_blocks"], about["settings"]["activation"]) == (2, "ReLU")
    assert about["converted_from"]["file"] == "a.pt"
    encoders = [load_encoder("grover-official-base", tmp_path / name) for name in ("a.pt", "a.safetensors")]
    one, other = (
        encoder.embed(encoder.featurise(molecules(SMILES)).content, ["both"], "mean")["both"]
        for encoder in encoders
    )
    np.testing.assert_array_equal(one, other)


def vectors(encoder):
    return encoder.embed(encoder.featurise(molecules(SMILES)).content, ["both"], "mean")["both"]


def test_settings_that_change_embeddings_and_no_tensor_travel_with_the_weights(tmp_path):
    config = {"width": 8, "depth": 5, "n_heads": 2, "n_blocks": 2, "dense": True}
    torch.manual_seed(0)
    state = Grover(**config).state_dict()
    write_weights(tmp_path / "w.safetensors", state, config, "none")
    right = vectors(load_encoder("grover-small-untrained", tmp_path / "w.safetensors"))
    for changed in ({"depth": 3}, {"dense": False}):
        write_weights(tmp_path / "other.safetensors", state, config | changed, "none")
        other = vectors(load_encoder("grover-small-untrained", tmp_path / "other.safetensors"))
        assert np.abs(right - other).max() > 0.01


def test_safetensors_without_settings_are_refused_with_what_to_do(tmp_path):
    config = {"width": 8, "depth": 5, "n_heads": 2, "n_blocks": 2, "dense": True}
    state = Grover(**config).state_dict()
    path = tmp_path / "bare.safetensors"
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"settings of its network .* molrate convert CHECKPOINT"):
        load_encoder("grover-small-untrained", path)
    # As an earlier version had written them.
    older = {"family": "grover", "config": config, "pretraining": {}}
    path.with_suffix(".json").write_text(json.dumps(older))
    with pytest.raises(WeightsError, match="settings of its network"):
        load_encoder("grover-small-untrained", path)
    result = CliRunner().invoke(cli, ["convert", str(path), "-o", str(tmp_path / "new.safetensors")])
    assert result.exit_code == 0, result.output
    assert load_encoder("grover-small-untrained", tmp_path / "new.safetensors").config == complete(config)
    for content in ("{", "{}", '{"config": {"width": 8}}', '{"config": {"padding": 4}}'):
        path.with_suffix(".json").write_text(content)
        done = CliRunner().invoke(cli, ["convert", str(path), "-o", str(tmp_path / "no.safetensors")])
        assert isinstance(done.exception, WeightsError)
        assert not (tmp_path / "no.safetensors").exists()


@pytest.mark.parametrize("padding", ["official", "none", 5])
def test_padding_travels_with_the_weights(tmp_path, padding):
    trained = load_encoder("grover-small-chembl", padding=padding)
    path = tmp_path / "tuned.safetensors"
    trained.write_weights(trained.trainable().network, path)
    expected = vectors(trained)
    for found in (load_encoder(f"grover:{path}"), load_encoder("grover-small-untrained", path)):
        assert found.padding == trained.padding
        np.testing.assert_array_equal(vectors(found), expected)
    assert load_encoder("grover-small-untrained", path, padding="batch").padding == "batch"


@pytest.mark.parametrize(
    ("told", "padding"),
    [({"converted_from": {}}, 4), ({"pretraining": {}}, None), ({"config": {"padding": "official"}}, 4)],
)
def test_an_older_file_gets_the_padding_that_it_was_trained_with(tmp_path, told, padding):
    config = {"width": 8, "depth": 3, "n_heads": 2, "n_blocks": 1}
    path, new = tmp_path / "older.safetensors", tmp_path / "new.safetensors"
    save_file(Grover(**config).state_dict(), path)
    record = {"family": "grover", **told, "config": config | told.get("config", {})}
    path.with_suffix(".json").write_text(json.dumps(record))
    done = CliRunner().invoke(cli, ["convert", str(path), "-o", str(new)])
    assert done.exit_code == 0, done.output
    assert load_encoder(f"grover:{new}").padding == padding


def test_an_older_file_that_does_not_tell_its_padding_is_refused_with_what_to_do(tmp_path):
    config = {"width": 8, "depth": 3, "n_heads": 2, "n_blocks": 1}
    path, new = tmp_path / "older.safetensors", tmp_path / "new.safetensors"
    save_file(Grover(**config).state_dict(), path)
    path.with_suffix(".json").write_text(json.dumps({"family": "grover", "config": config}))
    done = CliRunner().invoke(cli, ["convert", str(path), "-o", str(new)])
    assert isinstance(done.exception, WeightsError)
    assert 'put "padding": "official" into its config' in str(done.exception)
    assert not new.exists()
    write_state(new, Grover(**config).state_dict(), "grover", complete(config))
    with pytest.raises(WeightsError, match=r"padding, .* are not in it"):
        load_encoder("grover-small-untrained", new)


def test_a_file_that_a_card_knows_by_its_digest_has_that_cards_settings(tmp_path):
    shutil.copyfile(
        shipped("pretrained") / "grover-small-zinc" / "model.safetensors", tmp_path / "w.safetensors"
    )
    given = load_encoder("grover-base-untrained", tmp_path / "w.safetensors")
    assert given.config == load_encoder("grover-small-zinc").config
    state = load_file(tmp_path / "w.safetensors")
    save_file({name: value * 1 for name, value in state.items()}, tmp_path / "again.safetensors", {"a": "b"})
    with pytest.raises(WeightsError, match="settings of its network"):
        load_encoder("grover-small-zinc", tmp_path / "again.safetensors")


def test_a_cards_own_weights_have_the_settings_of_the_card(tmp_path, monkeypatch):
    config = {"width": 8, "depth": 5, "n_heads": 2, "n_blocks": 2, "dense": True}
    write_weights(tmp_path / "w.safetensors", Grover(**config).state_dict(), config, "none")
    digest = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    card = EncoderCard(
        "own",
        "",
        "",
        "grover",
        "pretrained",
        config | {"depth": 3, "padding": "none"},
        {"file": "w.safetensors", "sha256": digest, "source": {"urls": ["none"]}},
    )
    monkeypatch.setenv("MOLRATE_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="not weights of own; it has depth 5, not 3"):
        _ = GroverEncoder(card).module


def test_weights_of_another_family_or_of_a_format_to_come_are_refused(tmp_path):
    encoder = load_encoder("gcn-untrained")
    encoder.write_weights(encoder.trainable().network, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="of the family pretrain-gnns, not of grover"):
        load_encoder("grover-small-untrained", tmp_path / "w.safetensors")
    with pytest.raises(
        WeightsError, match="not weights of gat-untrained; it has architecture 'gcn', not 'gat'"
    ):
        _ = load_encoder("gat-untrained", tmp_path / "w.safetensors").module
    for record in ('{"format": 99}', "[]", "{"):
        save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", {"molrate": record})
        with pytest.raises(WeightsError):
            load_encoder("grover-small-untrained", tmp_path / "w.safetensors")


def test_convert_refuses_what_is_no_checkpoint(tmp_path):
    (tmp_path / "a.pt").write_text("nothing")
    arguments = ["convert", str(tmp_path / "a.pt"), "-o", str(tmp_path / "a.safetensors")]
    assert isinstance(CliRunner().invoke(cli, arguments).exception, WeightsError)
    assert not (tmp_path / "a.safetensors").exists()
    arguments[-1] = str(tmp_path / "a.bin")
    assert CliRunner().invoke(cli, arguments).exit_code == 2


SHIPPED = [f"grover-{size}-{corpus}" for size in ("small", "base") for corpus in ("chembl", "zinc")]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_encoders_load_and_are_available_offline(name):
    encoder = load_encoder(name)
    assert encoder.card.available_offline
    embeddings = encoder.embed(encoder.featurise(molecules(SMILES)).content, ["both"], "mean")["both"]
    assert np.isfinite(embeddings).all()
    untrained = load_encoder(f"{name.rpartition('-')[0]}-untrained")
    assert sum(value.numel() for value in encoder.module.parameters()) == sum(
        value.numel() for value in untrained.module.parameters()
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_learning_curves_fall_far_below_the_untrained_network(name):
    with (shipped("pretrained") / name / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    for loss in ("atom_context", "bond_context", "groups"):
        assert float(rows[-1][loss]) < 0.3 * float(rows[0][loss])
