"""Input featurisation of ChemNet (Preuer et al. 2018): the symbols of a molecule's SMILES."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem

from molrate.encoders.batch import MoleculeBatch
from molrate.errors import UnsupportedMoleculeError

SYMBOLS = (
    *("C", "N", "O", "H", "F", "Cl", "P", "B", "Br", "S", "I", "Si", "#", "(", ")", "+", "-"),
    *("1", "2", "3", "4", "5", "6", "7", "8", "=", "[", "]", "@", "c", "n", "o", "s", "X", "."),
)
"""Symbols by their code; X stands for every other one, and a dot ends the text as well."""
LENGTH = 350
"""Positions of a text with its end."""
PADDING = len(SYMBOLS)
"""Code of a position after the end."""

_CODE = {symbol: code for code, symbol in enumerate(SYMBOLS)}
_UNKNOWN, _END = _CODE["X"], _CODE["."]
_SYMBOL = re.compile("Br|Cl|Si|.")


def symbols_of(smiles: str) -> list[int]:
    """Codes of the symbols of a SMILES, without its end.

    As in the authors' package fcd, elements of two letters other than Br, Cl and Si are two symbols.

    Examples
    --------
    >>> [SYMBOLS[code] for code in symbols_of("ClC[Zr]")]
    ['Cl', 'C', '[', 'X', 'X', ']']
    """
    return [_CODE.get(symbol, _UNKNOWN) for symbol in _SYMBOL.findall(smiles)]


def encode(molecule: Chem.Mol) -> npt.NDArray[np.int64]:
    """Codes of a molecule's canonical SMILES, with its end and padding; shape (350,).

    Raises
    ------
    UnsupportedMoleculeError
        If its SMILES is too long.
    """
    return read_text(Chem.MolToSmiles(molecule))


def read_text(smiles: str) -> npt.NDArray[np.int64]:
    """Codes of a SMILES as it is written; see :func:`encode`."""
    codes = symbols_of(smiles)
    if len(codes) >= LENGTH:
        raise UnsupportedMoleculeError(
            f"ChemNet does not support a SMILES of more than {LENGTH - 1} symbols; this one has {len(codes)}"
        )
    text = np.full(LENGTH, PADDING, dtype=np.int64)
    text[: len(codes)] = codes
    text[len(codes)] = _END
    return text


def collate(encoded: Sequence[npt.NDArray[np.int64]]) -> torch.Tensor:
    """Codes of several molecules, shape (n_molecules, 350)."""
    return torch.from_numpy(np.array(encoded, dtype=np.int64).reshape(-1, LENGTH))


def batch_molecules(molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
    """Read molecules as text; the content is a tensor of codes, shape (n_molecules, 350)."""
    return MoleculeBatch.of(molecules, encode, collate)
