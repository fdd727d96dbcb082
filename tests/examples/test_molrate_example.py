"""The example package is installed as a user would, and its encoder ranked by its measure."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import molrate

EXAMPLE = Path(__file__).parents[2] / "examples" / "molrate-example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package in it, built and installed without a network."""
    pytest.importorskip(
        "setuptools", reason="NOT TESTED: setuptools, which builds the example, is not installed"
    )
    folder = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir", "-q"]
    source = tmp_path_factory.mktemp("source") / "molrate-example"
    # The build leaves files beside the source.
    subprocess.run(["cp", "-r", EXAMPLE, source], check=True)
    command = [sys.executable, "-m", "pip", "install", *options, "--target", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def run(installed, *arguments):
    paths = os.pathsep.join([str(installed), str(Path(molrate.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-m", "molrate", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_encoder_is_ranked_by_its_measure(installed, tmp_path):
    names = ["-e", "example-encoder", "-e", "ecfp4", "--measure", "example-measure", "--layer", "all"]
    run(installed, "score", "freesolv", *names, "-o", str(tmp_path / "r.csv"))
    lines = (tmp_path / "r.csv").read_text().splitlines()
    header, *rows = [line.split(",") for line in lines]
    ranked = [dict(zip(header, row, strict=False)) for row in rows]
    assert {(row["encoder"], row["layer"]) for row in ranked} == {
        ("example-encoder", "atoms"),
        ("example-encoder", "ring-atoms"),
        ("ecfp4", "bits"),
    }
    values = np.array([float(row["value"]) for row in ranked])
    assert ((values > 0) & (values < 1)).all()
    assert {row["measure"] for row in ranked} == {"example-measure"}


def test_its_encoder_conforms(installed):
    checks = run(installed, "check-encoder", "example-encoder")
    assert "FAILED" not in checks
    assert "9 of 12 unusual molecules are supported" in checks
