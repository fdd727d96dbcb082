"""Write normalisation.json: mean and standard deviation of each descriptor over a reference sample.

The reference shipped here is every 40th molecule of 406,556 standardised ChEMBL molecules, with those
of the evaluation datasets removed.

    python pretrained/rdkit-descriptors/normalise.py chembl.smi.gz 40
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors

from molrate.encoders.baselines import descriptors
from molrate.files.tables import read_table

LEFT_OUT = ("BCUT2D", "MaxPartial", "MinPartial", "MaxAbsPartial", "MinAbsPartial", "Ipc", "AvgIpc", "qed")
"""Undefined for some elements, overflowing, or (qed) a slow function of descriptors already there."""


def main(path: str, step: int) -> None:
    """Compute the descriptors of every `step`-th molecule and write their moments beside this file."""
    smiles = read_table(path).column("smiles")[::step]
    names = [name for name, _ in Descriptors.descList if not name.startswith(LEFT_OUT)]
    with rdBase.BlockLogs():
        values = descriptors([Chem.MolFromSmiles(text) for text in smiles], names)
    if not np.isfinite(values).all():
        undefined = [
            name for name, column in zip(names, values.T, strict=True) if not np.isfinite(column).all()
        ]
        raise SystemExit(f"not finite for every molecule: {', '.join(undefined)}; add them to LEFT_OUT")
    moments = {
        name: [round(float(column.mean()), 6), round(float(column.std()), 6)]
        for name, column in zip(names, values.T, strict=True)
        if column.std() > 0
    }
    record = {
        "reference": f"{len(smiles)} ChEMBL molecules",
        "rdkit": rdBase.rdkitVersion,
        "descriptors": moments,
    }
    Path(__file__).with_name("normalisation.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
