"""Counts of elements, and of elements in rings: an encoder of two layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molrate.encoders.base import Encoder
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.errors import UsageError

ELEMENTS = (6, 7, 8, 9, 15, 16, 17, 35, 53)


class ElementCounts(Encoder):
    """Counts of nine elements among all atoms, and among those in rings."""

    card = EncoderCard(
        name="example-encoder",
        title="Counts of elements",
        description="How many atoms of each of nine elements a molecule has, in all and in rings.",
        family="example",
        # Pretrained encoders are to beat baselines, such as this one, and controls: untrained networks.
        kind="baseline",
        layers={"atoms": len(ELEMENTS), "ring-atoms": len(ELEMENTS)},
        trainable=False,
    )
    layers = ("atoms", "ring-atoms")
    # A row of forward is a molecule; networks of graphs say "node", and are pooled.
    level = "molecule"
    # Name and version of what featurise makes; raise it with every change of the numbers.
    featurisation = "example-encoder/1"

    def identity(self) -> dict[str, str]:
        """All that changes the numbers; embeddings are kept in the cache by it."""
        return {"weights": "none", "elements": str(ELEMENTS)}

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Return the molecules with a known element; the others are reported by row."""
        supported = [
            row
            for row, molecule in enumerate(molecules)
            if any(atom.GetAtomicNum() in ELEMENTS for atom in molecule.GetAtoms())
        ]
        errors = dict.fromkeys(
            set(range(len(molecules))) - set(supported), "it has none of the elements counted"
        )
        return MoleculeBatch([molecules[row] for row in supported], supported, errors)

    def forward(self, content: list[Chem.Mol], device: str = "cpu") -> dict[str, npt.NDArray[np.float32]]:
        """Count, shape (n_molecules, 9) in each layer."""
        counts = np.zeros((2, len(content), len(ELEMENTS)), dtype=np.float32)
        for row, molecule in enumerate(content):
            for atom in molecule.GetAtoms():
                if atom.GetAtomicNum() in ELEMENTS:
                    column = ELEMENTS.index(atom.GetAtomicNum())
                    counts[0, row, column] += 1
                    counts[1, row, column] += atom.IsInRing()
        return dict(zip(self.layers, counts, strict=True))


def load(weights: str | Path | None = None, seed: int = 0) -> ElementCounts:
    """Make the encoder; `weights` is a file that the user gave, `seed` draws untrained weights."""
    if weights is not None:
        raise UsageError("example-encoder has no weights; --weights cannot be used with it")
    return ElementCounts()
