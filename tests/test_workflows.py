"""The example workflows, run by the engine they are for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import molrate

WORKFLOWS = Path(__file__).parents[1] / "docs" / "workflows"
# Of its own environment, as it wants older versions of what molrate's tools want.
SNAKEMAKE = Path(sys.prefix) / "workflows" / "bin" / "snakemake"
NEXTFLOW = shutil.which("java") and shutil.which("nextflow")


@pytest.fixture
def folder(tmp_path):
    """A table of measured molecules and two libraries, each with a row that is none."""
    dataset = molrate.load_dataset("esol")
    values = dataset.targets[0].values
    pd.DataFrame({"smiles": dataset.smiles[:150], "y": values[:150]}).to_csv(tmp_path / "t.csv", index=False)
    for name, rows in (("one.1.smi", slice(150, 200)), ("one.2.smi", slice(200, 260))):
        (tmp_path / name).write_text("\n".join(dataset.smiles[rows]) + "\nnot-a-molecule\n")
    return tmp_path


def run(command, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "MOLRATE_WEIGHTS": ""},
        capture_output=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def check(folder, n_hits=7):
    hits = pd.read_csv(folder / "hits.csv")
    assert len(hits) == n_hits
    assert hits["predicted_y"].is_monotonic_decreasing
    assert len(pd.read_parquet(folder / "screened" / "one.2.smi" / "parts")) == 61


@pytest.mark.skipif(not SNAKEMAKE.is_file(), reason="Snakemake is not installed (make test does)")
def test_snakemake(folder):
    command = [SNAKEMAKE, "-s", WORKFLOWS / "Snakefile", "--cores", "2", "--quiet", "all", "--config"]
    run([*command, "table=t.csv", "target=y", "libraries=one.1.smi one.2.smi", "top=7"], folder)
    check(folder)


@pytest.mark.skipif(not NEXTFLOW, reason="Nextflow is not installed (no package index has its engine)")
def test_nextflow(folder):
    (folder / "one.1.smi").rename(folder / "one 1.smi")
    command = [NEXTFLOW, "run", WORKFLOWS / "screening.nf", "-resume", "--table", "t.csv", "--target", "y"]
    for top in (7, 5, 7):
        run([*command, "--libraries", "*.smi", "--top", str(top)], folder)
        check(folder / "results", top)
