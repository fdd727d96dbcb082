"""Molecules per second of each step, compared with a floor: RDKit's own parsing of the same SMILES.

    python benchmarks/featurization.py bbbp gcn-supervised gat-untrained

Steps are interleaved over repeats, and figures are medians; every step but the encoders runs on one core.
"""

import statistics
import sys
import time

from rdkit import Chem, rdBase

import molrate
from molrate.data.molecules import standardise
from molrate.embedding.embed import embed_molecules
from molrate.encoders.pretrain_gnns.graphs import batch_molecules

REPEATS = 7
FLOOR = "parse: MolFromSmiles alone (the floor)"


def seconds(step):
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main(dataset, *encoders):
    smiles = molrate.load_dataset(dataset).smiles.tolist()
    molecules = standardise(smiles)
    canonical = [text for text in molecules.canonical if text]
    with rdBase.BlockLogs():
        parsed = [Chem.MolFromSmiles(text) for text in canonical]
        loaded = [molrate.load_encoder(name) for name in encoders]
        steps = {
            FLOOR: lambda: [Chem.MolFromSmiles(text) for text in canonical],
            "graphs from parsed molecules (ours)": lambda: batch_molecules(parsed),
            "parse + graphs (featurization)": lambda: batch_molecules(
                [Chem.MolFromSmiles(text) for text in canonical]
            ),
            "standardise: parse, fragment, canonical SMILES": lambda: standardise(smiles),
        }
        for encoder in loaded:
            request = [(encoder, [encoder.layers[-1]])]
            steps[f"embed with {encoder.name}, all steps"] = lambda request=request: embed_molecules(
                molecules, request, cache=False
            )
        times = {name: [] for name in steps}
        for _ in range(REPEATS):
            for name, step in steps.items():
                times[name].append(seconds(step))
    floor = statistics.median(times[FLOOR])
    print(f"{dataset}: {len(canonical)} molecules, median of {REPEATS}")
    for name, values in times.items():
        median = statistics.median(values)
        print(
            f"{len(canonical) / median:8.0f} molecules/s  {floor / median:5.2f} of the floor's speed  {name}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
