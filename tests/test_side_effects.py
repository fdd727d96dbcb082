"""What a call changes in the process that makes it: nothing that outlives it."""

import logging
import os
import random
import signal
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import molrate
from molrate.cli.main import cli
from molrate.data.datasets import _import_deepchem

QUICK = {"n_epochs": 1, "learning_rates": [1e-3]}


def loggers():
    own = {
        name: logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    return {
        name: (logger.level, list(logger.handlers), logger.propagate, logger.disabled)
        for name, logger in {"": logging.root, **own}.items()
        if name.split(".")[0] in ("", "molrate", "lightning", "rdkit", "py", "deepchem")
    }


def flushed():
    """Whether denormal numbers are taken for zero."""
    return (torch.tensor([1e-310], dtype=torch.float64) * 1).item() == 0


def surroundings():
    version, keys, position, *rest = np.random.get_state()  # noqa: NPY002 - the user's
    return {
        "random numbers of torch": torch.random.get_rng_state().tolist(),
        "random numbers of numpy": (version, keys.tolist(), position, rest),
        "random numbers of python": random.getstate(),
        "threads": torch.get_num_threads(),
        "denormals": flushed(),
        "matrix products": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "type": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "loggers": loggers(),
        "logging disabled": logging.root.manager.disable,
        "warnings": list(warnings.filters),
        "printing of warnings": warnings.showwarning,
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "streams": (sys.stdout, sys.stderr, sys.excepthook),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "errors of numpy": np.geterr(),
    }


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    dataset = molrate.load_dataset("freesolv")
    frame = pd.DataFrame({"smiles": dataset.smiles, "y": dataset.targets[0].values})[:60]
    frame.to_csv(folder / "my.csv", index=False)
    return folder / "my.csv"


def score(table, folder):
    molrate.score(table, "y", encoders=["ecfp4", "gin-untrained"], measures=["transrate", "loo"])


def embed(table, folder):
    for encoder in ("gcn-untrained", "grover-small-chembl"):
        molrate.embed(["CCO", "c1ccccc1"], encoder)


def finetune(table, folder):
    molrate.finetune(table, "gcn-untrained", folder / "m", target="y", **QUICK)


def predict(table, folder):
    model = molrate.finetune(table, "ecfp4", folder / "m", target="y", frozen=True, **QUICK)
    model.predict(["CCO", "bad("])


def screen(table, folder):
    molrate.screen(table, output=folder / "hits", train=table, target="y", encoder="ecfp4", jobs=1)


def benchmark(table, folder):
    calls = {**QUICK, "seeds": [0], "measures": ["transrate"], "device": "cpu"}
    molrate.benchmark([str(table)], ["ecfp4"], folder / "results", target=["y"], **calls)


def evaluate(table, folder):
    molrate.evaluate(datasets=["freesolv"]).plot()


def command(table, folder):
    done = CliRunner().invoke(cli, ["score", str(table), "-t", "y", "-e", "ecfp4", "-v"])
    assert done.exit_code == 0, done.output


CALLS = (score, embed, finetune, predict, screen, benchmark, evaluate, command)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_call_leaves_its_surroundings_as_they_were(call, table, tmp_path, monkeypatch):
    # Libraries change some of it when they are first imported, which what is kept already would not do.
    monkeypatch.setenv("MOLRATE_CACHE", str(tmp_path / "empty"))
    call(table, tmp_path / "first")
    torch.set_num_threads(2)
    before = surroundings()
    monkeypatch.setenv("MOLRATE_CACHE", str(tmp_path / "cache"))
    before["environment"]["MOLRATE_CACHE"] = str(tmp_path / "cache")
    call(table, tmp_path / "second")
    after = surroundings()
    assert {name for name in before if before[name] != after[name]} == set()


def test_what_the_user_draws_does_not_change_what_is_trained(table, tmp_path):
    models = []
    # Sums of several threads differ in their last digit.
    torch.set_num_threads(1)
    for number in range(2):
        torch.manual_seed(number)
        np.random.seed(number)  # noqa: NPY002 - as users do
        models.append(molrate.finetune(table, "gcn-untrained", tmp_path / f"{number}", target="y", **QUICK))
    assert models[0].record["metrics"] == models[1].record["metrics"]


@pytest.mark.parametrize("disabled", [logging.NOTSET, logging.INFO, logging.CRITICAL])
def test_logging_that_the_user_disabled_stays_so_when_deepchem_is_imported(monkeypatch, disabled):
    deepchem = types.SimpleNamespace(molnet=None, feat=types.SimpleNamespace(DummyFeaturizer=lambda: None))
    monkeypatch.setitem(sys.modules, "deepchem", deepchem)
    logging.disable(disabled)
    try:
        _import_deepchem()
        assert logging.root.manager.disable == disabled
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("wanted", [False, True])
def test_denormals_are_flushed_while_pretraining_runs_and_then_as_the_user_has_it(wanted):
    from molrate.pretraining.training import _denormals_flushed

    if not torch.set_flush_denormal(True):
        pytest.skip("NOT TESTED: this processor cannot flush denormal numbers")
    torch.set_flush_denormal(wanted)
    try:
        with _denormals_flushed():
            assert flushed()
        assert flushed() is wanted
    finally:
        torch.set_flush_denormal(False)


def test_a_process_leaves_no_file_in_the_temporary_folder(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = "import molrate; [molrate.embed(['CCO'], f'{name}-untrained') for name in ('gat', 'gcn', 'gin')]"
    environment = os.environ | {"TMPDIR": str(scratch), "MOLRATE_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert not [path for path in scratch.rglob("*") if path.is_file()]
