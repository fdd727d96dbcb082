import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from screening.conftest import Lengths
from screening.test_screen import contents

from molrate.errors import UsageError
from molrate.screening.ray_workers import run_on_ray
from molrate.screening.screen import run_into_folder

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    # Workers import the stages of these tests.
    environment = {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[1])}}
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env=environment,
    )
    yield
    ray.shutdown()


@dataclass(frozen=True)
class Mortal(Lengths):
    """A stage whose worker is killed at one molecule, the first time."""

    marker: str = ""

    def columns(self, molecules):
        marker = Path(self.marker)
        if "CCN" in molecules.canonical and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().columns(molecules)


class Failing(Lengths):
    def columns(self, molecules):
        raise UsageError("this stage cannot")


def test_a_cluster_leaves_the_same_bytes(library, tmp_path):
    run_into_folder(library, Lengths(), tmp_path / "local", chunk_size=2)
    engine = partial(run_on_ray, n_workers=2)
    _, summary = run_into_folder(library, Lengths(), tmp_path / "ray", chunk_size=2, engine=engine)
    assert summary.n_rows == 23
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_a_lost_worker_is_replaced(library, tmp_path):
    marker = tmp_path / "marker"
    engine = partial(run_on_ray, n_workers=2)
    stage = Mortal(marker=str(marker))
    _, summary = run_into_folder(library, stage, tmp_path / "out", chunk_size=2, engine=engine)
    assert marker.exists()
    assert summary.n_rows == 23
    table = pd.read_parquet(tmp_path / "out" / "parts")
    assert table["row"].tolist() == [*range(1, 11), *range(1, 14)]


def test_what_a_stage_raises_arrives(library, tmp_path):
    with pytest.raises(UsageError, match="this stage cannot"):
        run_into_folder(library, Failing(), tmp_path / "out", engine=partial(run_on_ray, n_workers=1))
