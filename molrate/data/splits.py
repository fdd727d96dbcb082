"""Which molecules train, which choose, and which only measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

from molrate.data.molecules import parse_canonical
from molrate.data.targets import Target
from molrate.errors import InputError, UsageError

SPLITS = ("random", "scaffold")

TRAINING_SHARE, VALIDATION_SHARE = 0.7, 0.1
"""The paper trains on 80 % (A.2); an eighth of that is kept here to choose epoch and settings by."""


class SplitError(InputError):
    """Molecules that cannot be split so that every target can be learned."""


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


def split_molecules(
    canonical: Sequence[str], method: str = "random", seed: int = 0, targets: Sequence[Target] = ()
) -> Split:
    """Split molecules 70 : 10 : 20.

    Rows of the same molecule always fall on the same side. A random split is stratified by the classes of
    all targets at once, as far as that goes (Sechidis, Tsoumakas and Vlahavas 2011).

    Parameters
    ----------
    canonical : sequence of str, length n
        Canonical SMILES; rows with an empty one are in no part.
    method : {"random", "scaffold"}
        ``scaffold`` keeps molecules of one Bemis-Murcko scaffold together, the commonest scaffolds in
        training, as deepchem's ``ScaffoldSplitter`` does; it does not depend on the seed.
    seed : int
    targets : sequence of Target
        Of the n rows.

    Raises
    ------
    UsageError
        If the method is unknown.
    SplitError
        If a part would be empty, or a target could not be learned from the training part.
    """
    if method not in SPLITS:
        raise UsageError(f"unknown split {method!r} (--split); known: {', '.join(SPLITS)}")
    rows = _by_molecule(canonical)
    molecules = list(rows)
    present = _class_presence(list(rows.values()), targets)
    if method == "scaffold":
        parts = _scaffold(molecules)
    elif present.size:
        parts = _stratified(present, seed)
    else:
        parts = _random(len(molecules), seed)
    split = Split(*(_rows_of(part, list(rows.values())) for part in parts))
    for name, part in split.record().items():
        if not part:
            raise SplitError(f"{len(molecules)} different molecules are too few to split: no {name} part")
    check_training(targets, split.train, method)
    return split


def fold_molecules(
    canonical: Sequence[str], n_folds: int, seed: int = 0, targets: Sequence[Target] = ()
) -> list[npt.NDArray[np.intp]]:
    """Rows of equally large folds, stratified by classes, each molecule in one of them.

    Parameters
    ----------
    canonical : sequence of str, length n
    n_folds, seed : int
    targets : sequence of Target
        Of classes, of the n rows.

    Raises
    ------
    InputError
        If there are fewer molecules than folds.
    """
    rows = _by_molecule(canonical)
    if len(rows) < n_folds:
        raise InputError(f"{len(rows)} different molecules are too few; {n_folds} are the least")
    present = _class_presence(list(rows.values()), targets)
    sizes = np.full(n_folds, len(rows) / n_folds)
    wanted = np.tile(present.sum(axis=0) / n_folds, (n_folds, 1))
    parts = _stratify(present, sizes, wanted, np.random.default_rng([seed, 0]))
    return [_rows_of(part, list(rows.values())) for part in parts]


def check_training(targets: Sequence[Target], train: npt.NDArray[np.intp], method: str) -> None:
    """Refuse a training part that lacks a class, or has one value only.

    Parameters
    ----------
    targets : sequence of Target
    train : ndarray of int
    method : str

    Raises
    ------
    SplitError
        If a target cannot be learned from these rows.
    """
    for target in targets:
        values = target.values[train]
        learned = np.unique(values[~np.isnan(values)])
        if target.task == "regression":
            if len(learned) < 2:
                raise SplitError(
                    f"target {target.name!r} has {len(learned)} different values in the training part of the "
                    f"{method} split; {_way_out(method)}"
                )
            continue
        for code in np.setdiff1d(np.unique(target.values[target.labelled]), learned):
            n = int((target.values == code).sum())
            raise SplitError(
                f"target {target.name!r}: the training part of the {method} split has no molecule of class "
                f"{target.classes[int(code)]!r} ({n} row{'s' if n > 1 else ''} in all); "
                f"{_way_out(method)}"
            )


def _way_out(method: str) -> str:
    other = " split at random (--split random)," if method == "scaffold" else ""
    return f"add such molecules,{other} or leave the target out (--target)"


def part_notes(targets: Sequence[Target], split: Split) -> list[str]:
    """Sentences on validation and test parts that cannot judge a target, or lack a class of it."""
    notes = []
    for target in targets:
        present = np.unique(target.values[target.labelled])
        for part in ("validation", "test"):
            values = target.values[getattr(split, part)]
            codes = np.unique(values[~np.isnan(values)])
            if not len(codes):
                notes.append(f"{target.name}: the {part} part has no measured molecule, and no metric")
            elif target.classes and len(codes) < len(present):
                missing = [target.classes[int(code)] for code in np.setdiff1d(present, codes)]
                notes.append(
                    f"{target.name}: the {part} part has no molecule of class {', '.join(missing)}, so that "
                    "it gives no AUROC"
                )
    return notes


def rows_by_molecule(canonical: Sequence[str]) -> list[list[int]]:
    """Rows of each molecule, in the order of their first rows.

    Parameters
    ----------
    canonical : sequence of str
        Canonical SMILES; rows with an empty one are of none.

    Examples
    --------
    >>> rows_by_molecule(["C", "CC", "C"])
    [[0, 2], [1]]
    """
    return list(_by_molecule(canonical).values())


def describe_sizes(parts: Mapping[str, Any]) -> str:
    """How many molecules each part has, and how many rows where these are more.

    Parameters
    ----------
    parts : mapping
        Rows of ``train``, ``validation`` and ``test``, and under ``molecules`` how many each has.

    Examples
    --------
    >>> describe_sizes({"train": [0, 1, 2], "validation": [3], "test": [4]})
    '3 train, 1 validation, 1 test molecules'
    """
    rows = {part: len(parts[part]) for part in ("train", "validation", "test")}
    molecules = parts.get("molecules", rows)
    sizes = ", ".join(f"{molecules[part]:,} {part}" for part in rows)
    in_rows = f" in {', '.join(f'{n:,}' for n in rows.values())} rows" if molecules != rows else ""
    return f"{sizes} molecules{in_rows}"


def _by_molecule(canonical: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, smiles in enumerate(canonical):
        if smiles:
            rows.setdefault(smiles, []).append(row)
    return rows


def _rows_of(molecules: Sequence[int], rows: Sequence[Sequence[int]]) -> npt.NDArray[np.intp]:
    return np.array([row for molecule in molecules for row in rows[molecule]], dtype=np.intp)


def _class_presence(rows: Sequence[Sequence[int]], targets: Sequence[Target]) -> npt.NDArray[np.bool_]:
    """Which classes of which targets each molecule has, shape (n_molecules, n_classes of all targets)."""
    columns = []
    for target in targets:
        if target.task == "classification":
            codes = target.values[:, None] == np.arange(len(target.classes))
            columns.append(np.array([codes[of_molecule].any(axis=0) for of_molecule in rows]))
    return np.concatenate(columns, axis=1) if columns else np.zeros((len(rows), 0), dtype=bool)


def _random(n: int, seed: int) -> list[Sequence[int]]:
    order = np.random.default_rng([seed, 0]).permutation(n).tolist()
    first, second = round(TRAINING_SHARE * n), round((TRAINING_SHARE + VALIDATION_SHARE) * n)
    return [order[:first], order[first:second], order[second:]]


def _stratified(present: npt.NDArray[np.bool_], seed: int) -> list[Sequence[int]]:
    """Training, validation and test molecules with the same share of each class, where it has enough."""
    shares = np.array([TRAINING_SHARE, VALIDATION_SHARE, 1 - TRAINING_SHARE - VALIDATION_SHARE])
    counts = present.sum(axis=0)
    wanted = shares[:, None] * counts
    # A class of three or more is to be in every part, as a part of one class measures nothing.
    wanted[1:] = np.maximum(wanted[1:], 1)
    wanted[0] = counts - wanted[1:].sum(axis=0)
    wanted[:, counts < 3] = np.array([[1.0], [0.0], [1.0]])
    return _stratify(present, shares * len(present), wanted, np.random.default_rng([seed, 0]))


def _stratify(
    present: npt.NDArray[np.bool_],
    sizes: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
    generator: np.random.Generator,
) -> list[Sequence[int]]:
    """Share molecules out, those of the rarest class first, each to the part that lacks it most.

    Parameters
    ----------
    present : ndarray of bool, shape (n, n_classes)
    sizes : ndarray, shape (n_parts,)
        How many molecules each part is to have.
    wanted : ndarray, shape (n_parts, n_classes)
        How many of each class.
    generator : numpy.random.Generator
        Draws the order of molecules.

    References
    ----------
    Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data, ECML PKDD 2011.
    """
    sizes, wanted = sizes.copy(), wanted.copy()
    parts: list[list[int]] = [[] for _ in sizes]
    left = generator.permutation(len(present))
    while len(left):
        counts = present[left].sum(axis=0)
        if counts.any():
            rarest = int(np.argmin(np.where(counts > 0, counts, len(present) + 1)))
            having = present[left, rarest]
        else:
            rarest, having = -1, np.ones(len(left), dtype=bool)
        for molecule in left[having].tolist():
            need = sizes if rarest < 0 else wanted[:, rarest]
            part = int(np.lexsort((sizes, need))[-1])
            parts[part].append(molecule)
            sizes[part] -= 1
            wanted[part, present[molecule]] -= 1
        left = left[~having]
    return list(parts)


def _scaffold(molecules: list[str]) -> list[Sequence[int]]:
    """Whole scaffolds, largest first, into training until it is full, then validation, then test.

    Of scaffolds of one size the one met last comes first, as deepchem's ``ScaffoldSplitter`` has it.
    """
    by_scaffold: dict[str, list[int]] = {}
    for place, smiles in enumerate(molecules):
        by_scaffold.setdefault(_scaffold_of(smiles), []).append(place)
    train: list[int] = []
    validation: list[int] = []
    test: list[int] = []
    for group in sorted(by_scaffold.values(), key=lambda group: (len(group), group[0]), reverse=True):
        if len(train) + len(group) <= TRAINING_SHARE * len(molecules):
            train += group
        elif len(train) + len(validation) + len(group) <= (TRAINING_SHARE + VALIDATION_SHARE) * len(
            molecules
        ):
            validation += group
        else:
            test += group
    return [train, validation, test]


def _scaffold_of(canonical: str) -> str:
    """Bemis-Murcko scaffold without stereo marks; empty where there is no ring."""
    try:
        molecule = parse_canonical(canonical)
    except InputError:
        # It shares no scaffold then; the encoder reports the molecule.
        return canonical
    scaffold: str = MurckoScaffoldSmiles(mol=molecule)  # type: ignore[no-untyped-call]
    return scaffold
