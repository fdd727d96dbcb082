"""The example workflows, run by the engine they are for."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import molrate

WORKFLOWS = Path(__file__).parents[1] / "docs" / "workflows"
# Of its own environment, as it wants older versions of what molrate's tools want.
SNAKEMAKE = Path(sys.prefix) / "workflows" / "bin" / "snakemake"


@pytest.mark.skipif(not SNAKEMAKE.is_file(), reason="Snakemake is not installed (make test does)")
def test_snakemake(tmp_path):
    dataset = molrate.load_dataset("esol")
    values = dataset.targets[0].values
    pd.DataFrame({"smiles": dataset.smiles[:150], "y": values[:150]}).to_csv(tmp_path / "t.csv", index=False)
    for name, rows in (("one", slice(150, 200)), ("two", slice(200, 260))):
        (tmp_path / f"{name}.smi").write_text("\n".join(dataset.smiles[rows]) + "\nnot-a-molecule\n")
    binaries = Path(sys.executable).parent
    command = [
        SNAKEMAKE,
        "-s",
        WORKFLOWS / "Snakefile",
        "--cores",
        "2",
        "--quiet",
        "all",
        "--config",
    ]
    done = subprocess.run(
        [*command, "table=t.csv", "target=y", "libraries=one.smi two.smi", "top=7"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "MOLRATE_WEIGHTS": ""},
        capture_output=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    hits = pd.read_csv(tmp_path / "hits.csv")
    assert len(hits) == 7
    assert hits["predicted_y"].is_monotonic_decreasing
    assert len(pd.read_parquet(tmp_path / "screened" / "two" / "parts")) == 61
