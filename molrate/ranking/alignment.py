"""Rows of features and of labels from different files: which belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from molrate.data.targets import MIN_LABELLED
from molrate.errors import InputError
from molrate.files.columns import ID_NAMES, SMILES_NAMES
from molrate.files.matrices import FeatureFile

Keys = dict[str, tuple[FeatureFile, list[str]]]
"""Columns that say which molecule each row is, by their usual names, each with the first file that has it."""

_Joined = tuple[list[int] | None, list[str]]
_Texts = tuple[tuple[Path, Sequence[str]], tuple[Path, Sequence[str]]]

_PARSED = 1000
"""Rows of unlike SMILES, spread over the file, that are read to see whether their molecules are the same."""


def common_keys(files: Sequence[FeatureFile]) -> Keys:
    """Columns that say which molecule each row is, which have to be the same in all files that have them.

    Raises
    ------
    InputError
        At the first row that differs.
    """
    first_keys: Keys = {}
    seen = set()
    for file in files:
        if file.path in seen:
            continue
        seen.add(file.path)
        for name, keys in file.keys().items():
            if any(keys):
                first, expected = first_keys.setdefault(name, (file, keys))
                _refuse_difference(name, str(first.path), expected, str(file.path), keys)
    return first_keys


def molecules_of_rows(keys: Mapping[str, Sequence[str]]) -> tuple[str, list[str]] | None:
    """Which molecule each row is, as far as columns tell: rows of one molecule have one text.

    SMILES say it as they stand, canonical ones first, else identifiers. A name that a few rows or all of them
    share, as of a series, is no identifier.

    Parameters
    ----------
    keys : mapping of str to sequence of str
        By the usual names of columns, one text a row.

    Returns
    -------
    (str, list of str) or None
        The column, and a text for each row; None where no column tells.

    Examples
    --------
    >>> molecules_of_rows({"smiles": ["CCO", "CC", "CCO", ""]})
    ('smiles', ['CCO', 'CC', 'CCO', 'row 4'])
    """
    for name in ("canonical_smiles", *SMILES_NAMES, *ID_NAMES):
        texts = keys.get(name, ())
        if not any(texts) or (name in ID_NAMES and len(set(texts)) < MIN_LABELLED):
            continue
        return name, [text or f"row {row}" for row, text in enumerate(texts, start=1)]
    return None


def matching_rows(of_features: Keys, of_labels: Mapping[str, Sequence[str]], path: Path) -> _Joined:
    """Rows of a table of labels in the order of the rows of features.

    Rows are joined by the first column of identifiers that both have. Where both have SMILES too, up to a
    thousand rows that differ in them are then looked at, spread over the file: they are to have the same
    elements. Without identifiers, what both have (SMILES, row numbers) is to agree row by row.

    Parameters
    ----------
    of_features : dict of str to (FeatureFile, list of str)
        See :func:`common_keys`.
    of_labels : mapping of str to sequence of str
        Likewise of the labels.
    path : pathlib.Path
        Of the labels.

    Returns
    -------
    list of int, or None
        For each row of features the row of labels, -1 where there is none; None where the order is the same
        or no column tells.
    list of str
        Notes.

    Raises
    ------
    InputError
        At the first row that differs, where rows cannot be joined; or whose identifier stands for another
        molecule.
    """
    shared = [name for name, keys in of_labels.items() if any(keys) and name in of_features]
    for name in shared:
        file, keys = of_features[name]
        others = of_labels[name]
        if name in ID_NAMES and keys == others and len(set(keys)) == len(keys):
            joined: _Joined = None, []
        elif name in ID_NAMES and keys != others and _can_join(keys, others):
            joined = _join(name, keys, others, path)
        else:
            _refuse_difference(name, str(file.path), keys, str(path), others)
            continue
        structures = [column for column in SMILES_NAMES if column in of_features]
        others_structures = [column for column in SMILES_NAMES if any(of_labels.get(column, ()))]
        if structures and others_structures:
            described, smiles = of_features[structures[0]]
            texts = (described.path, smiles), (path, of_labels[others_structures[0]])
            places = range(len(keys)) if joined[0] is None else joined[0]
            _refuse_other_molecules(name, keys, texts, places)
        return joined
    return None, []


def _can_join(keys: Sequence[str], others: Sequence[str]) -> bool:
    """Whether identifiers tell rows apart on both sides, and some are on both."""
    apart = len(set(keys)) == len(keys) and len(set(others)) == len(others)
    return apart and "" not in keys and not set(keys).isdisjoint(others)


def _join(name: str, keys: Sequence[str], others: Sequence[str], path: Path) -> _Joined:
    place = {key: row for row, key in enumerate(others)}
    order = [place.get(key, -1) for key in keys]
    n_joined = sum(row >= 0 for row in order)
    note = f"Labels of {path.name} joined to the features by {name}"
    if n_joined < len(keys) or n_joined < len(others):
        note += f": {n_joined} of {len(keys)} rows of features, and of {len(others)} of labels"
    return order, [note + "."]


def _refuse_other_molecules(name: str, keys: Sequence[str], texts: _Texts, places: Sequence[int]) -> None:
    """Refuse identifiers that count the rows of two files in different orders.

    Of molecules that tools write in their own ways (charges, stereo, salts, tautomers) the elements of the
    largest fragment stay the same.

    Raises
    ------
    InputError
        At the first row looked at whose SMILES have other elements.
    """
    from molrate.data.molecules import standardise

    (path, own), (other_path, others) = texts
    pairs = [(row, own[row], others[place]) for row, place in enumerate(places) if place >= 0]
    unlike = [pair for pair in pairs if pair[1] and pair[2] and pair[1] != pair[2]]
    unlike = unlike[:: -(-len(unlike) // _PARSED) or 1]
    first = standardise([one for _, one, _ in unlike]).canonical
    second = standardise([other for _, _, other in unlike]).canonical
    for place in np.flatnonzero((first != second) & (first != "") & (second != "")):
        if _elements(first[place]) == _elements(second[place]):
            continue
        row, one, other = unlike[place]
        raise InputError(
            f"row {row + 1}: {name} {keys[row]} is {one} in {path} but {other} in {other_path}; where {name} "
            "only counts rows, bring the rows of both files into one order"
        )


def _elements(canonical: str) -> Counter[int]:
    """How many atoms of each element a molecule has, hydrogens aside."""
    from molrate.data.molecules import parse_canonical

    return Counter(atom.GetAtomicNum() for atom in parse_canonical(canonical).GetAtoms())


def _refuse_difference(name: str, path: str, keys: Sequence[str], other: str, others: Sequence[str]) -> None:
    """Refuse rows that differ.

    Raises
    ------
    InputError
        At the first of them.
    """
    for row, (key, beside) in enumerate(zip(keys, others, strict=False), start=1):
        if key != beside:
            raise InputError(
                f"row {row}: {name} {key} in {path} but {beside} in {other}; bring the rows into one order, "
                "or give both a column of identifiers in which each occurs once"
            )
