"""Every encoder that can run here conforms, and each check fails on an encoder that breaks its rule."""

import numpy as np
import pytest
import torch

import molrate
from molrate.encoders import base
from molrate.encoders.base import load_encoder
from molrate.encoders.baselines import ECFPEncoder
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.cards import encoder_cards
from molrate.encoders.conformance import FAILED, PASSED, REPORTED, SKIPPED, check_encoder
from molrate.encoders.pretrain_gnns.encoder import PretrainGNNEncoder

SHIPPED = [name for name, card in encoder_cards().items() if not card.is_downloaded and not card.by_hand]
DOWNLOADED = [name for name in encoder_cards() if name not in SHIPPED]


@pytest.fixture(autouse=True)
def _one_thread():
    """Small batches gain nothing from more."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def outcomes(encoder, reload=None):
    checks = check_encoder(encoder, reload or (lambda path: encoder))
    return {check.name: check for check in checks}


def assert_conforms(name):
    checks = outcomes(load_encoder(name), lambda path: load_encoder(name, path))
    failed = {check.name: check.measured for check in checks.values() if check.outcome == FAILED}
    assert not failed


@pytest.mark.parametrize("name", SHIPPED)
def test_encoders_that_ship_conform(name):
    assert_conforms(name)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_published_encoders_conform(name, published_weights):
    if not encoder_cards()[name].available_offline:
        pytest.skip(f"NOT TESTED: the weights of {name} are not here")
    assert_conforms(name)


class Broken(ECFPEncoder):
    """A fingerprint that breaks one rule."""

    def __init__(self, rule):
        super().__init__(encoder_cards()["ecfp4"])
        self.rule = rule
        self.calls = 0
        if rule == "single layers":
            self.layers = ("bits", "other")

    def identity(self):
        self.calls += self.rule == "identity"
        return {**super().identity(), "calls": str(self.calls)}

    def featurise(self, molecules):
        batch = super().featurise(molecules)
        if self.rule == "unusual molecules" and len(batch.rows) > len(molecules) - 1 > 11:
            return MoleculeBatch(batch.content[:-1], batch.rows[:-1], {})
        if self.rule == "large molecules" and molecules[0].GetNumAtoms() > 500:
            raise ZeroDivisionError("too large")
        return batch

    def forward(self, content, device="cpu"):
        bits = super().forward(content)["bits"]
        first = np.array([[molecule.GetAtomWithIdx(0).GetAtomicNum()] for molecule in content], np.float32)
        if self.rule == "layers and shapes":
            bits = bits[0]
        if self.rule == "batch independence":
            bits = bits - bits.mean(axis=0)
        if self.rule == "determinism":
            self.calls += 1
            bits = bits + self.calls
        if self.rule in ("order of atoms", "read as text"):
            bits = np.concatenate([bits, first], axis=1)
        return {"bits": bits, "other": bits}

    def embed(self, content, layers, pooling, device="cpu"):
        found = self.forward(content)
        if self.rule == "single layers" and len(layers) == 1:
            return {layers[0]: found[layers[0]] + 1}
        return {layer: found[layer] for layer in layers}


RULES = [
    "layers and shapes",
    "single layers",
    "batch independence",
    "determinism",
    "identity",
    "unusual molecules",
    "large molecules",
    "order of atoms",
]


@pytest.mark.parametrize("rule", RULES)
def test_an_encoder_that_breaks_a_rule_fails_its_check(rule):
    checks = outcomes(Broken(rule))
    assert checks[rule].outcome == FAILED, checks[rule]
    if rule == "large molecules":
        assert "ZeroDivisionError" in checks[rule].measured


def test_what_breaks_nothing_passes():
    found = {check.outcome for check in outcomes(Broken("none")).values()}
    assert found == {PASSED, SKIPPED}


def test_the_order_of_atoms_is_only_reported_where_a_network_reads_text():
    encoder = Broken("order of atoms")
    encoder.reads_text = True
    assert outcomes(encoder)["order of atoms"].outcome == REPORTED


class BrokenNetwork(PretrainGNNEncoder):
    """A GIN that breaks one rule of fine-tuning."""

    def __init__(self, rule):
        super().__init__(encoder_cards()["gin-untrained"])
        self.rule = rule

    def trainable(self, *arguments, **settings):
        trainable = super().trainable(*arguments, **settings)
        if self.rule == "fine-tuning":
            trainable.network.x_embedding1.weight.data += 1
        if self.rule == "gradients":
            trainable.network.unused = torch.nn.Parameter(torch.zeros(1))
        return trainable

    def write_weights(self, network, path):
        if self.rule == "weights":
            network.x_embedding1.weight.data *= 2
        super().write_weights(network, path)


@pytest.mark.parametrize("rule", ["fine-tuning", "gradients", "weights"])
def test_a_network_that_breaks_a_rule_of_fine_tuning_fails_its_check(rule):
    encoder = BrokenNetwork(rule)
    checks = outcomes(encoder, lambda path: load_encoder("gin-untrained", path))
    assert checks[rule].outcome == FAILED
    assert checks["batch independence"].outcome == PASSED


def test_registered_modules_conform(monkeypatch):
    monkeypatch.setattr(base, "_REGISTERED", {})

    class Lengths(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(1, 2)

        def forward(self, smiles):
            return self.linear(torch.tensor([[float(len(text))] for text in smiles]))

    encoder = molrate.register_encoder("lengths", Lengths())
    checks = outcomes(encoder, lambda path: load_encoder("lengths", path))
    assert {check.outcome for check in checks.values()} == {PASSED}
