"""Encoders registered from Python are known in worker processes, or said not to be."""

import pickle
import threading
from io import BytesIO

import pandas as pd
import pytest
from joblib import Parallel, delayed

import molrate
from molrate.encoders import base
from molrate.encoders.base import load_encoder
from molrate.encoders.workers import Carrying, pack_registered, unpack_registered
from molrate.errors import UsageError
from molrate.files.library import Library
from molrate.screening.local_workers import run_locally
from molrate.screening.stage import EmbeddingStage


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """The registry of this process, which a test empties to be another process."""
    monkeypatch.setattr(base, "_REGISTERED", {})
    return base._REGISTERED


def test_an_encoder_is_the_same_in_another_process(registry):
    encoder = molrate.register_encoder("lengths", lambda smiles: [[len(text)] for text in smiles])
    moved = pickle.dumps(pack_registered())
    registry.clear()
    unpack_registered(pickle.loads(moved))
    assert load_encoder("lengths").identity() == encoder.identity()
    assert molrate.embed(["CCO"], "lengths").tolist() == [[3.0]]


def test_what_is_sent_to_workers_takes_encoders_along(registry):
    lock = threading.Lock()

    def locked(smiles):
        with lock:
            return [[0.0]] * len(smiles)

    molrate.register_encoder("lengths", lambda smiles: [[len(text)] for text in smiles])
    molrate.register_encoder("locked", locked)
    for sent in (Carrying(molrate.embed), EmbeddingStage("lengths")):
        content = pickle.dumps(sent)
        registry.clear()
        received = pickle.loads(content)
        assert molrate.embed(["CCO"], "lengths").tolist() == [[3.0]]
        with pytest.raises(UsageError, match=r"locked was registered.*cannot be sent.*lock.*take one job"):
            load_encoder("locked")
    assert received == EmbeddingStage("lengths")


def test_nothing_is_written_where_nothing_is_registered():
    assert pack_registered() == {}
    assert pickle.loads(pickle.dumps(Carrying(len)))("abc") == 3


def test_processes_that_screen_and_that_benchmark_know_it(registry, tmp_path):
    molrate.register_encoder("lengths", lambda smiles: [[len(text)] for text in smiles])
    library = tmp_path / "l.smi"
    library.write_text("CCO\nC\nCCCC\n")
    chunks = Library([str(library)]).chunks(2)
    parts = run_locally(chunks, EmbeddingStage("lengths"), ".parquet", n_jobs=2)
    rows = pd.concat([pd.read_parquet(BytesIO(content)) for _, content in parts])
    assert rows["x0"].tolist() == [3, 1, 4]
    calls = [delayed(Carrying(molrate.embed))([text], "lengths") for text in ("CC", "CCC")]
    assert [vectors.item() for vectors in Parallel(n_jobs=2)(calls)] == [2, 3]


def test_where_it_is_not_registered_the_message_says_why():
    with pytest.raises(UsageError, match=r"unknown encoder 'lengths'.*known in that process alone"):
        load_encoder("lengths")
