"""What is read of Chemprop's pickles, and that nothing in a file runs."""

import collections
import pickle
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch

from molrate.encoders.base import load_encoder
from molrate.encoders.dmpnn.checkpoint import read_weights
from molrate.encoders.dmpnn.network import DMPNN
from molrate.errors import WeightsError

NETWORK = {"width": 8, "depth": 2, "bias": False, "features": "v2", "activation": "relu"}


def fake_class(monkeypatch, name, base=object):
    """A class under a name of a package that is not installed, for as long as a file is written."""
    module, _, own = name.rpartition(".")
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        if part not in sys.modules:
            monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    made = type(own, (base,), {"__module__": module})
    monkeypatch.setattr(sys.modules[module], own, made, raising=False)
    return made


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Writes a file as Chemprop does, with settings of the message passing changed."""

    def write(name="model.pt", state=None, agg=("MeanAggregation", {}), hyper=None, **changed):
        with monkeypatch.context() as packages:
            attributes = fake_class(packages, "lightning.fabric.utilities.data.AttributeDict", dict)
            passing = fake_class(packages, "chemprop.nn.message_passing.base.BondMessagePassing")
            pooled = fake_class(packages, f"chemprop.nn.agg.{agg[0]}")
            metric = fake_class(packages, "chemprop.nn.loss.MSELoss")()
            metric.task_weights = torch.ones(1, 1)
            settings = {
                "d_v": 72,
                "d_e": 14,
                "d_h": 8,
                "bias": False,
                "depth": 2,
                "dropout": 0.0,
                "activation": "RELU",
                "undirected": False,
                "d_vd": None,
                "V_d_transform": None,
                "graph_transform": None,
                "cls": passing,
            }
            for key, value in changed.items():
                settings[key] = value(packages) if callable(value) else value
            network = DMPNN(**NETWORK).state_dict() if state is None else state
            stored = {
                "hyper_parameters": attributes(
                    message_passing=attributes(settings),
                    agg=attributes({"cls": pooled, "dim": 0, **agg[1]}),
                    metrics=[metric],
                    **(hyper or {}),
                ),
                "state_dict": collections.OrderedDict(
                    {f"message_passing.{key}": value for key, value in network.items()},
                ),
            }
            stored["state_dict"]["predictor.ffn.0.0.weight"] = torch.ones(2, 2)
            torch.save(stored, tmp_path / name)
        return tmp_path / name

    return write


def module(name, **attributes):
    """A function that makes torch's module of a name, with attributes."""

    def make(packages):
        made = getattr(torch.nn, name)()
        for key, value in attributes.items():
            setattr(made, key, value)
        return made

    return make


def test_settings_and_tensors_of_the_message_passing_are_read(model):
    path = model()
    before = set(sys.modules)
    tensors, config = read_weights(path)
    assert config == {**NETWORK, "aggregation": "mean"}
    assert sorted(tensors) == ["W_h.weight", "W_i.weight", "W_o.bias", "W_o.weight"]
    assert not {name for name in set(sys.modules) - before if name.startswith(("chemprop", "lightning"))}
    assert load_encoder(f"chemprop:{path}").layers == ("step-1", "step-2")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("tanh", {"activation": "tanh"}),
        ("LEAKYRELU", {"activation": "leakyrelu", "slope": 0.1}),
        (module("LeakyReLU"), {"activation": "leakyrelu", "slope": 0.01}),
        (module("ELU"), {"activation": "elu"}),
        (module("SELU"), {"activation": "selu"}),
    ],
)
def test_activations_by_name_and_as_modules(model, stored, expected):
    config = read_weights(model(activation=stored))[1]
    assert {key: config[key] for key in config if key in ("activation", "slope")} == expected


@pytest.mark.parametrize(
    ("agg", "expected"),
    [
        (("NormAggregation", {"norm": 100}), "sum/100"),
        (("SumAggregation", {}), "sum"),
        (("AttentiveAggregation", {"output_size": 8}), "AttentiveAggregation"),
    ],
)
def test_how_the_model_itself_pools_is_told(model, agg, expected):
    assert read_weights(model(agg=agg))[1]["aggregation"] == expected


def atom_messages(packages):
    return fake_class(packages, "chemprop.nn.message_passing.base.AtomMessagePassing")


def scaling(packages):
    transform = fake_class(packages, "chemprop.nn.transforms.GraphTransform")()
    transform._modules = {"V_transform": fake_class(packages, "chemprop.nn.transforms.ScaleTransform")()}
    return transform


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cls": atom_messages}, "messages are those of AtomMessagePassing"),
        ({"undirected": True}, "undirected"),
        ({"d_vd": 3}, "extra descriptors"),
        ({"graph_transform": scaling}, "scales features"),
        ({"d_v": 80}, r"80 atom and 14 bond features.*v2 \(72\)"),
        ({"d_e": 2}, "72 atom and 2 bond features"),
        ({"activation": module("GELU")}, r"activation gelu is not supported; relu,"),
        ({"activation": module("ELU", alpha=0.5)}, "activation elu is not supported"),
    ],
)
def test_other_models_are_refused_with_the_reason(model, changed, message):
    with pytest.raises(WeightsError, match=message):
        load_encoder(f"chemprop:{model(**changed)}")


def test_missing_and_unexpected_tensors_are_named(model):
    state = DMPNN(**NETWORK).state_dict()
    without = {key: value for key, value in state.items() if key != "W_h.weight"}
    with pytest.raises(WeightsError, match=r"Missing key.*W_h\.weight"):
        load_encoder(f"chemprop:{model(state=without)}").prepare()
    with pytest.raises(WeightsError, match=r"Unexpected key.*W_d\.weight"):
        load_encoder(f"chemprop:{model(state={**state, 'W_d.weight': torch.ones(2)})}").prepare()
    with pytest.raises(WeightsError, match=r"size mismatch for W_h\.weight"):
        load_encoder(f"chemprop:{model(state={**state, 'W_h.weight': torch.ones(2)})}").prepare()


def test_other_pickles_are_refused(tmp_path):
    torch.save({"W_i.weight": torch.ones(2)}, tmp_path / "plain.pt")
    with pytest.raises(WeightsError, match=r"not a model of Chemprop v2"):
        read_weights(tmp_path / "plain.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match=r"not a model of Chemprop v2"):
        read_weights(tmp_path / "list.pt")
    hyper = {"message_passing": {"blocks": []}}
    torch.save({"hyper_parameters": hyper, "state_dict": {}}, tmp_path / "multi.pt")
    with pytest.raises(WeightsError, match=r"not of several components"):
        read_weights(tmp_path / "multi.pt")


class Payload:
    """Unpickling this writes a file: the proof that code ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_model_is_refused_and_does_not_run(model, tmp_path, legacy):
    proof = tmp_path / "it-ran"
    path = tmp_path / "evil.pt"
    torch.save(
        {"hyper_parameters": {"x": Payload(proof)}, "state_dict": {}},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(WeightsError, match="nothing in it was run"):
        read_weights(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists(), "the payload is harmless, so this test proved nothing"


@pytest.mark.parametrize(
    "called",
    ["os.system", "builtins.eval", "builtins.getattr", "subprocess.run", "torch.hub.load", "numpy.load"],
)
def test_functions_of_any_package_are_not_called(tmp_path, called):
    """Those of packages that models name are stand-ins; the others are refused."""
    proof = tmp_path / "it-ran"
    module_name, _, function = called.rpartition(".")
    stream = b"\x80\x02c" + f"{module_name}\n{function}\n".encode() + pickle.dumps(f"touch {proof}", 2)[2:-1]
    hostile = tmp_path / "hostile.pt"
    torch.save({"hyper_parameters": {}, "state_dict": {}}, hostile)
    _replace_pickle(hostile, stream + b"\x85R.")
    with pytest.raises(WeightsError):
        read_weights(hostile)
    assert not proof.exists()


def _replace_pickle(path, content):
    """Put another pickle into a file of torch."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, content if name.endswith("data.pkl") else part)


def test_truncated_files_are_refused(model, tmp_path):
    whole = model().read_bytes()
    for size in (0, 1, 10, 100, 1000, len(whole) // 2, len(whole) - 30):
        path = tmp_path / f"{size}.pt"
        path.write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            read_weights(path)


@pytest.fixture
def examples(published_weights):
    folder = published_weights / "zoo" / "chemprop-examples"
    if not folder.is_dir():
        pytest.skip("NOT TESTED: models of Chemprop's own tests are not here (zoo/chemprop-examples)")
    return folder


def test_chemprop_v1_is_refused_with_the_way_out(examples):
    with pytest.raises(WeightsError, match=r"Chemprop v1.*chemprop convert, .*v1_to_v2"):
        load_encoder(f"chemprop:{examples / 'example_model_v1_regression_mol.pt'}")


@pytest.mark.parametrize(
    "name",
    [
        "example_model_v2_regression_mol.pt",
        "example_model_v2_regression_mol.ckpt",
        "example_model_v2_classification_mol.pt",
    ],
)
def test_chemprop_v2_models_and_checkpoints_are_read(examples, name):
    read = load_encoder(f"chemprop:{examples / name}")
    read.prepare()
    assert read.layers == ("step-1", "step-2", "step-3")
    assert read.card.config["aggregation"] == "mean"
