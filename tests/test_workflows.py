"""The example workflows, run by the engine they are for."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import molrate

DOCS = Path(__file__).parents[1] / "docs"
WORKFLOWS = DOCS / "workflows"
# Of its own environment, as it wants older versions of what molrate's tools want.
SNAKEMAKE = Path(sys.prefix) / "workflows" / "bin" / "snakemake"
NEXTFLOW = shutil.which("java") and shutil.which("nextflow")


@pytest.fixture
def folder(tmp_path):
    """A table of measured molecules and two libraries, each with a row that is none."""
    dataset = molrate.load_dataset("esol")
    values = dataset.targets[0].values
    pd.DataFrame({"smiles": dataset.smiles[:150], "y": values[:150]}).to_csv(tmp_path / "t.csv", index=False)
    for name, rows in (("one.1.smi", slice(150, 200)), ("one.2.smi.gz", slice(200, 260))):
        content = ("\n".join(dataset.smiles[rows]) + "\nnot-a-molecule\n").encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    return tmp_path


def run(command, folder, status=0, **variables):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "MOLRATE_WEIGHTS": "", **variables},
        capture_output=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == status, (done.stdout + done.stderr).decode()


@pytest.fixture
def model(folder):
    """A model in the folder, beside the libraries."""
    molrate.screen(
        folder / "one.1.smi",
        output=folder / "fit",
        train=folder / "t.csv",
        target="y",
        encoder="ecfp4",
        jobs=1,
    )
    return (folder / "fit" / "model").rename(folder / "model")


def test_the_job_of_each_file(folder, model):
    page = (DOCS / "howto" / "cluster.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```bash\n(#SBATCH --array=0-99\n.*?)```", page, re.DOTALL)
    (folder / "libraries").mkdir()
    (folder / "one.2.smi.gz").rename(folder / "libraries" / "one.2.smi.gz")
    for _ in range(2):
        run(
            ["bash", "-ec", script.replace("--jobs 8", "--jobs 1")], folder, status=5, SLURM_ARRAY_TASK_ID="0"
        )
    assert len(pd.read_parquet(folder / "hits" / "one.2.smi.gz" / "parts")) == 61


@pytest.mark.parametrize("name", ["one.1.smi", "one.2.smi.gz"])
def test_the_command_that_nextflow_screens_by(folder, model, name):
    workflow = (WORKFLOWS / "screening.nf").read_text(encoding="utf-8")
    (script,) = re.findall(r'process SCREEN \{.*?script:\n *"""\n(.*?)"""', workflow, re.DOTALL)
    values = {"library": name, "model": "model", "name": name, "top": "3", "task.cpus": "1"}
    script = re.sub(r"(?<!\\)\$\{([\w.]+)\}", lambda match: values[match[1]], script).replace("\\$", "$")
    run(["bash", "-eu", "-c", script], folder)
    assert len(pd.read_csv(folder / "screened" / name / "top.csv")) == 3


def check(folder, n_hits=7):
    hits = pd.read_csv(folder / "hits.csv")
    assert len(hits) == n_hits
    assert hits["predicted_y"].is_monotonic_decreasing
    assert len(pd.read_parquet(folder / "screened" / "one.2.smi.gz" / "parts")) == 61


@pytest.mark.skipif(not SNAKEMAKE.is_file(), reason="Snakemake is not installed (make test does)")
def test_snakemake(folder):
    command = [SNAKEMAKE, "-s", WORKFLOWS / "Snakefile", "--cores", "2", "--quiet", "all", "--config"]
    run([*command, "table=t.csv", "target=y", "libraries=one.1.smi one.2.smi.gz", "top=7"], folder)
    check(folder)


@pytest.mark.skipif(not NEXTFLOW, reason="Nextflow is not installed (no package index has its engine)")
def test_nextflow(folder):
    (folder / "one.1.smi").rename(folder / "one 1.smi")
    command = [NEXTFLOW, "run", WORKFLOWS / "screening.nf", "-resume", "--table", "t.csv", "--target", "y"]
    for top in (7, 5, 7):
        run([*command, "--libraries", "*.smi*", "--top", str(top)], folder)
        check(folder / "results", top)
