"""Where a model can be asked: how near a molecule is to those it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from scipy import sparse

from molrate.data.molecules import Molecules, parse_canonical
from molrate.errors import InputError, WeightsError

_RADIUS, _N_BITS = 2, 2048
_PAIRS = 1_000_000
"""Pairs of molecules in memory together, some 20 bytes each."""


def _fingerprints(molecules: Sequence[Chem.Mol]) -> sparse.csr_array:
    """Bits of ECFP4 that are set, a row for each molecule."""
    generator = GetMorganGenerator(radius=_RADIUS, fpSize=_N_BITS)
    bits = [generator.GetFingerprint(molecule).GetOnBits() for molecule in molecules]
    starts = np.cumsum([0, *map(len, bits)])
    columns = np.fromiter((bit for row in bits for bit in row), dtype=np.int64, count=starts[-1])
    return sparse.csr_array((np.ones(len(columns)), columns, starts), shape=(len(bits), _N_BITS))


def similarities(molecules: Sequence[Chem.Mol]) -> npt.NDArray[np.float64]:
    """Tanimoto similarity (ECFP4) of all pairs of molecules, shape (n, n), for some thousands.

    Parameters
    ----------
    molecules : sequence of rdkit.Chem.Mol, length n
    """
    fingerprints = _fingerprints(molecules)
    common = (fingerprints @ fingerprints.T).toarray()
    sizes = np.diff(fingerprints.indptr)
    either = sizes[:, None] + sizes[None, :] - common
    return np.divide(common, either, out=np.zeros_like(common), where=either > 0)


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
        try:
            molecules = [parse_canonical(smiles) for smiles in sorted(set(training))]
        except InputError as error:
            raise WeightsError(f"the model's training molecules are damaged: {error}") from error
        known = _fingerprints(molecules)
        self._known, self._sizes = known.T.tocsr(), np.diff(known.indptr)

    def nearest(self, molecules: Molecules) -> npt.NDArray[np.float32]:
        """Tanimoto similarity of ECFP4 to the most similar training molecule, shape (n,); NaN if invalid."""
        nearest = np.full(len(molecules), np.nan, dtype=np.float32)
        readable = {}
        for row in np.flatnonzero(molecules.valid):
            try:
                readable[row] = molecules.molecule(row)
            except InputError:
                # The encoder reports the molecule that RDKit cannot read back.
                continue
        if readable and self._sizes.size:
            fingerprints = _fingerprints(list(readable.values()))
            step = max(1, _PAIRS // len(self._sizes))
            slices = [fingerprints[start : start + step] for start in range(0, len(readable), step)]
            nearest[list(readable)] = np.concatenate([self._largest(one) for one in slices])
        return nearest

    def nearest_of(self, canonical: Sequence[str]) -> npt.NDArray[np.float64]:
        """The same for canonical SMILES that can be read, shape (n,).

        Parameters
        ----------
        canonical : sequence of str, length n

        Raises
        ------
        InputError
            If one cannot be read.
        """
        return self._largest(_fingerprints([parse_canonical(smiles) for smiles in canonical]))

    def _largest(self, fingerprints: sparse.csr_array) -> npt.NDArray[np.float64]:
        """Largest similarity of each fingerprint to a known one, shape (n,).

        Common bits of all pairs are one product of sparse matrices, several times faster than counting
        them pair by pair.
        """
        common = (fingerprints @ self._known).tocsr()
        sizes = np.diff(fingerprints.indptr)
        either = np.repeat(sizes, np.diff(common.indptr)) + self._sizes[common.indices] - common.data
        common.data /= either
        return common.max(axis=1).toarray().ravel()
