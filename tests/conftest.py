"""Where tests find data: a cache of their own, and the real published files where they exist."""

import logging
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from molrate.encoders import base

SHARED = Path(__file__).resolve().parents[2] / "shared"


def published_folder(variable: str) -> str | None:
    """The folder a developer names, else the one beside the checkout."""
    return os.environ.get(variable) or (str(SHARED) if SHARED.is_dir() else None)


PUBLISHED = {variable: published_folder(variable) for variable in ("MOLRATE_DATA", "MOLRATE_WEIGHTS")}


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch, session_cache):
    monkeypatch.setenv("MOLRATE_CACHE", str(session_cache))
    # What a test registers would go on to the workers of every later one.
    monkeypatch.setattr(base, "_REGISTERED", {})
    for variable in PUBLISHED:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def fresh_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MOLRATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def slurm_job(monkeypatch, tmp_path):
    """What a process sees in a SLURM job of four tasks, on a machine that has srun."""
    job = {"NTASKS": 4, "JOB_ID": 7, "JOB_NAME": "score", "PROCID": 1, "LOCALID": 1, "NODEID": 0}
    for name, value in {**job, "JOB_NODELIST": "node1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.touch(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def published_data(monkeypatch):
    folder = PUBLISHED["MOLRATE_DATA"]
    if folder is None:
        pytest.skip("NOT TESTED: the paper's datasets are not here; name their folder in MOLRATE_DATA")
    monkeypatch.setenv("MOLRATE_DATA", folder)
    return Path(folder)


@pytest.fixture
def published_weights(monkeypatch):
    folder = PUBLISHED["MOLRATE_WEIGHTS"]
    if folder is None:
        pytest.skip(
            "NOT TESTED: the published checkpoints are not here; name their folder in MOLRATE_WEIGHTS"
        )
    monkeypatch.setenv("MOLRATE_WEIGHTS", folder)
    return Path(folder)


@pytest.fixture
def golden(published_weights):
    path = published_weights / "golden" / "golden_A.npz"
    if not path.is_file():
        pytest.skip("NOT TESTED: outputs of the released GROVER code are not here (golden/golden_A.npz)")
    with np.load(path) as stored:
        return dict(stored)


@pytest.fixture
def golden_weights(golden, published_weights):
    return published_weights / "golden" / "grover_A.pt"


@pytest.fixture(autouse=True)
def levels_of_logging():
    """Commands set them for the whole process."""
    loggers = [logging.getLogger(name) for name in (None, "molrate")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture
def damaged_parquet(tmp_path):
    """A file with checksums in which a molecule became another."""
    path = tmp_path / "l.parquet"
    table = pa.table({"smiles": ["CCO", "CCC"] * 50})
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, path, **plain, write_page_checksum=True)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CCO", b"CCN", 1))
    return path
