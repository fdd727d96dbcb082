"""Connectivity of molecules, by which they are known whatever their stereo marks, charges and isotopes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rdkit import Chem, rdBase

_BLOCK = 14
_inchi_key: Callable[[Chem.Mol], str] = Chem.MolToInchiKey


def skeletons(smiles: Iterable[str]) -> frozenset[str]:
    """First blocks of the InChIKeys of molecules; what cannot be read has none.

    Parameters
    ----------
    smiles : iterable of str

    Returns
    -------
    frozenset of str

    Examples
    --------
    >>> skeletons(["CCO", "OCC", "C[CH2]O"])
    frozenset({'LFQSCWFLJHTTHZ'})
    """
    with rdBase.BlockLogs():
        molecules = (Chem.MolFromSmiles(text) for text in smiles)
        keys = (_inchi_key(molecule) for molecule in molecules if molecule is not None)
        return frozenset(key[:_BLOCK] for key in keys if key)
