"""Molecules per second from SMILES to the fingerprint of ADMET-AI's first regression model, one thread.

    python benchmarks/dmpnn.py SMILES.smi MODEL.pt -o molrate.npy
    CHEMPROP_PYTHON benchmarks/dmpnn.py SMILES.smi MODEL.pt -o chemprop.npy

The first measures molrate, the second chemprop, whichever is installed; both say the largest difference from
the array that is named with --beside. Chemprop pins an rdkit of its own, so it needs its own environment.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem

BATCH = 64


def with_molrate(model):
    import molrate

    encoder = molrate.load_encoder(f"chemprop:{model}")
    encoder.prepare()

    def embed(smiles):
        content = encoder.featurise([Chem.MolFromSmiles(text) for text in smiles]).content
        return encoder.embed(content, ["step-3"], "sum")["step-3"] / 100

    return embed


def with_chemprop(model):
    from chemprop.data import BatchMolGraph
    from chemprop.featurizers import SimpleMoleculeMolGraphFeaturizer
    from chemprop.models import MPNN

    network = MPNN.load_from_file(model, map_location="cpu").eval()
    featurise = SimpleMoleculeMolGraphFeaturizer()

    def embed(smiles):
        graphs = [featurise(Chem.MolFromSmiles(text)) for text in smiles]
        with torch.inference_mode():
            return network.fingerprint(BatchMolGraph(graphs)).numpy()

    return embed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("smiles", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    chemprop = importlib.util.find_spec("chemprop") is not None
    embed = (with_chemprop if chemprop else with_molrate)(given.model)
    smiles = given.smiles.read_text().split()
    batches = [smiles[start : start + BATCH] for start in range(0, len(smiles), BATCH)]
    embed(batches[0])
    rates = []
    for _ in range(given.repeats):
        start = time.process_time()
        rows = np.concatenate([embed(batch) for batch in batches])
        rates.append(len(smiles) / (time.process_time() - start))
    name = "chemprop" if chemprop else "molrate"
    print(f"{name}: {max(rates):.0f} molecules a second of processor time, of {len(smiles)}")
    np.save(given.output, rows)
    if given.beside:
        print(f"largest difference: {np.abs(rows - np.load(given.beside)).max():.1e}")


if __name__ == "__main__":
    main()
