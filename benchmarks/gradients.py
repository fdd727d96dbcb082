"""What sketched gradients cost and how near their kernel is to that of the whole gradients.

    python benchmarks/gradients.py [ENCODER ...]

For each encoder on 128 molecules of BBBP: seconds of one thread for embedding and for sketching, molecules
read already and in the batches that a ranking makes of each, and the passes that sketching equals; and on the
24 smallest of them the error of the kernel of unit rows, root mean square over pairs, against gradients with
respect to the same matrices by autograd, molecule by molecule.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from rdkit import Chem

from molrate import load_dataset
from molrate.data.molecules import Molecules, standardise
from molrate.embedding.embed import split_rows
from molrate.embedding.sketcher import Sketcher
from molrate.encoders.base import load_encoder
from molrate.encoders.trainable import Trainable

ENCODERS = (
    "gin-untrained",
    "gcn-untrained",
    "gat-untrained",
    "graphsage-untrained",
    "grover-small-chembl",
    "grover-base-chembl",
    "chemprop-untrained",
    "minimol",
    "molclr-gcn",
    "chemnet",
    "rxnmapper-albert",
)
N_TIMED, N_COMPARED = 128, 24
REPETITIONS = 5


def least_seconds(work: Callable[[], object]) -> float:
    """CPU time of the quickest of several runs."""
    found = []
    for _ in range(REPETITIONS):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def whole_gradients(trainable: Trainable, sketcher: Sketcher, encoded: list[object]) -> np.ndarray:
    """Gradients with respect to every matrix that was sketched, a row for each molecule."""
    sketched = {key.split(" ")[0] for key in sketcher.keys}
    matrices = [value for name, value in trainable.named_parameters() if name in sketched]
    for matrix in matrices:
        matrix.requires_grad_(True)
    rows = []
    for one in encoded:
        prediction = (trainable(trainable.separate([one]).content) @ sketcher.head).sum()
        gradients = torch.autograd.grad(prediction, matrices, allow_unused=True)
        rows.append(
            np.concatenate(
                [
                    np.zeros(matrix.numel()) if gradient is None else gradient.numpy().ravel()
                    for matrix, gradient in zip(matrices, gradients, strict=True)
                ]
            )
        )
    return np.array(rows, dtype=np.float64)


def kernel_of(rows: np.ndarray) -> np.ndarray:
    """Cosines of all pairs of rows."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def batches_of(molecules: Molecules, batch_atoms: int | None = None) -> list[list[Chem.Mol]]:
    """Molecules in batches of a ranking, the shortest first."""
    rows = np.flatnonzero(molecules.valid)[:N_TIMED]
    rows = rows[np.argsort([len(molecules.canonical[row]) for row in rows], kind="stable")]
    parts = split_rows(molecules, rows, "cpu", batch_atoms)
    return [[molecules.molecule(row) for row in rows[places]] for places in parts]


def show(name: str, molecules: Molecules) -> None:
    """Print the line of one encoder."""
    encoder = load_encoder(name)
    layers = encoder.layers[-1:]
    trainable = encoder.trainable().eval()
    contents = [encoder.featurise(batch).content for batch in batches_of(molecules)]
    batches = batches_of(molecules, trainable.batch_atoms.get("cpu"))
    encoded = [[trainable.encode(molecule) for molecule in batch] for batch in batches]
    sketcher = Sketcher(trainable, np.random.default_rng(0).normal(size=(trainable.width, 1)))
    embedding = least_seconds(lambda: [encoder.embed(content, layers, "mean") for content in contents])
    sketching = least_seconds(lambda: [sketcher.sketch(batch) for batch in encoded])
    fewer = [one for batch in encoded for one in batch][:N_COMPARED]
    sketched = kernel_of(sketcher.sketch(fewer).double().numpy())
    whole = kernel_of(whole_gradients(trainable, sketcher, fewer))
    pairs = np.triu_indices(N_COMPARED, 1)
    error = float(np.sqrt(((sketched - whole)[pairs] ** 2).mean()))
    numbers = f"{embedding:7.3f} {sketching:7.3f} {sketching / embedding:7.1f} {error:7.3f}"
    print(f"{name:24s} {len(sketcher.keys):8d} {numbers}", flush=True)


def main(names: list[str]) -> None:
    """Print a line for each encoder."""
    torch.set_num_threads(1)
    molecules = standardise(load_dataset("bbbp").smiles.tolist()[: 2 * N_TIMED])
    print(f"{'encoder':24s} {'matrices':>8s} {'embed':>7s} {'sketch':>7s} {'passes':>7s} {'error':>7s}")
    for name in names:
        show(name, molecules)


if __name__ == "__main__":
    main(sys.argv[1:] or list(ENCODERS))
