"""Where a model can be asked: how near a molecule is to those it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.DataStructs import BulkTanimotoSimilarity

from molrate.errors import InputError, WeightsError
from molrate.molecules import Molecules, parse_canonical

_RADIUS, _N_BITS = 2, 2048


class Domain:
    """Fingerprints of training molecules.

    Parameters
    ----------
    training : sequence of str
        Canonical SMILES.

    Raises
    ------
    WeightsError
        If one of them cannot be read.
    """

    def __init__(self, training: Sequence[str]) -> None:
        self._generator = GetMorganGenerator(radius=_RADIUS, fpSize=_N_BITS)
        try:
            molecules = [parse_canonical(smiles) for smiles in set(training)]
        except InputError as error:
            raise WeightsError(f"the model's training molecules are damaged: {error}") from error
        self._known = [self._generator.GetFingerprint(molecule) for molecule in molecules]

    def nearest(self, molecules: Molecules) -> npt.NDArray[np.float32]:
        """Tanimoto similarity of ECFP4 to the most similar training molecule, shape (n,); NaN if invalid."""
        nearest = np.full(len(molecules), np.nan, dtype=np.float32)
        for row in np.flatnonzero(molecules.valid):
            try:
                fingerprint = self._generator.GetFingerprint(parse_canonical(molecules.canonical[row]))
            except InputError:
                # The encoder reports the molecule that RDKit cannot read back.
                continue
            nearest[row] = max(BulkTanimotoSimilarity(fingerprint, self._known), default=np.nan)
        return nearest
