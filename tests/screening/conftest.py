from dataclasses import dataclass

import numpy as np
import pytest

from molrate.files.library import Library
from molrate.screening.stage import Stage

SMILES = ["CCO", "c1ccccc1", "not a molecule", "CC(=O)O", "", "CCN", "[Na+].[Cl-]", "C" * 30, "C1CC1", "CN"]


@dataclass(frozen=True)
class Lengths(Stage):
    """A stage as cheap as can be: the length of the canonical SMILES."""

    factor: int = 1
    max_atoms: int = 20

    @property
    def standardisation(self):
        return "largest-fragment"

    def prepare(self):
        pass

    def identity(self):
        return {"stage": "lengths", "factor": self.factor}

    def columns(self, molecules):
        lengths = np.array([float(len(smiles)) for smiles in molecules.canonical])
        return {"length": np.where(molecules.valid, self.factor * lengths, np.nan)}, {}


@pytest.fixture
def library(tmp_path):
    """Two files of 10 and 13 rows."""
    (tmp_path / "a.smi").write_text("".join(f"{smiles} a{n}\n" for n, smiles in enumerate(SMILES)))
    (tmp_path / "b.csv").write_text(
        "id,smiles\n" + "".join(f"b{n},{'C' * (n + 1)}\n" for n in range(12)) + "b12,C,C\n"
    )
    return Library.find([str(tmp_path / "a.smi"), str(tmp_path / "b.csv")])
