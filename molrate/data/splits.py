"""Which molecules train, which choose, and which only measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError, UsageError

SPLITS = ("random", "scaffold")

TRAINING_SHARE, VALIDATION_SHARE = 0.7, 0.1
"""The paper trains on 80 % (A.2); an eighth of that is kept here to stop early and choose settings by."""


@dataclass(frozen=True)
class Split:
    """Rows of a dataset by use.

    Attributes
    ----------
    train, validation, test : ndarray of int
        Disjoint rows.
    """

    train: npt.NDArray[np.intp]
    validation: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]

    def record(self) -> dict[str, list[int]]:
        """Rows as plain lists."""
        return {name: getattr(self, name).tolist() for name in ("train", "validation", "test")}


def split_molecules(canonical: Sequence[str], method: str = "random", seed: int = 0) -> Split:
    """Split molecules 70 : 10 : 20.

    Rows of the same molecule always fall on the same side.

    Parameters
    ----------
    canonical : sequence of str, length n
        Canonical SMILES; rows with an empty one are in no part.
    method : {"random", "scaffold"}
        ``scaffold`` keeps molecules of one Bemis-Murcko scaffold together, the commonest scaffolds in
        training (deepchem's ``ScaffoldSplitter``); it does not depend on the seed.
    seed : int

    Raises
    ------
    UsageError
        If the method is unknown, or deepchem is not there for scaffolds.
    InputError
        If a part would be empty.
    """
    if method not in SPLITS:
        raise UsageError(f"unknown split {method!r} (--split); known: {', '.join(SPLITS)}")
    rows: dict[str, list[int]] = {}
    for row, smiles in enumerate(canonical):
        if smiles:
            rows.setdefault(smiles, []).append(row)
    molecules = list(rows)
    parts = _random(len(molecules), seed) if method == "random" else _scaffold(molecules)
    split = Split(
        *(
            np.array([row for place in part for row in rows[molecules[place]]], dtype=np.intp)
            for part in parts
        )
    )
    for name, part in split.record().items():
        if not part:
            raise InputError(f"{len(molecules)} different molecules are too few to split: no {name} part")
    return split


def _random(n: int, seed: int) -> list[Sequence[int]]:
    order = np.random.default_rng([seed, 0]).permutation(n).tolist()
    first, second = round(TRAINING_SHARE * n), round((TRAINING_SHARE + VALIDATION_SHARE) * n)
    return [order[:first], order[first:second], order[second:]]


def _scaffold(molecules: list[str]) -> list[Sequence[int]]:
    try:
        from deepchem.data import NumpyDataset
        from deepchem.splits import ScaffoldSplitter
    except ModuleNotFoundError as error:
        raise UsageError(
            '--split scaffold needs deepchem (Python below 3.12): pip install "molrate[moleculenet]"'
        ) from error
    dataset = NumpyDataset(np.zeros((len(molecules), 1)), ids=np.array(molecules))
    test_share = 1 - TRAINING_SHARE - VALIDATION_SHARE
    parts: list[Sequence[int]] = [
        [int(row) for row in part]
        for part in ScaffoldSplitter().split(dataset, TRAINING_SHARE, VALIDATION_SHARE, test_share)
    ]
    return parts
