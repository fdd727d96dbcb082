"""Parts that a table names itself: by a column of words, by dates, or by a file of its own to test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.datasets import Dataset, as_dataset
from molrate.data.frames import FRAME, is_frame, to_pandas
from molrate.data.numbers import is_missing
from molrate.data.splits import (
    TRAINING_SHARE,
    VALIDATION_SHARE,
    Split,
    SplitError,
    check_training,
    fold_molecules,
)
from molrate.data.targets import Target
from molrate.errors import InputError, UsageError
from molrate.files.columns import find_column
from molrate.files.tables import read_table

_WORDS = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
_PARTS = ("train", "validation", "test")
_VALIDATION_FOLDS = 8
"""Of molecules to train on, one in so many is for validation where none is named."""


@dataclass(frozen=True)
class Assignment:
    """A part for each row of a dataset.

    Attributes
    ----------
    parts : ndarray of str, shape (n,)
        ``train``, ``validation``, ``test``, or nothing for rows in no part.
    method : str
        How they were assigned, in a few words.
    notes : tuple of str
        What is to be said of them.
    """

    parts: npt.NDArray[np.object_]
    method: str
    notes: tuple[str, ...] = field(default=())

    def apart(self, canonical: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
        """Canonical SMILES under which a molecule is another one in each part; empty for rows in no part."""
        known = (self.parts != "") & (canonical != "")
        return np.where(known, self.parts + " " + canonical, "")


def read_split_column(source: Any, column: str) -> Assignment:
    """Parts that a column names, ``train``, ``validation`` and ``test`` or their usual other words.

    Parameters
    ----------
    source : str, pathlib.Path or data frame
        Of the dataset.
    column : str

    Raises
    ------
    InputError
        If there is no such column, or a cell is another word.
    """
    cells = _cells(source, column, "--split-column")
    words = [cell.strip().lower() for cell in cells]
    for row, word in enumerate(words, start=1):
        if word and word not in _WORDS:
            raise InputError(
                f"{_shown(source)}: row {row} of column {column!r} is {cells[row - 1]!r}; a split column "
                "(--split-column) holds train, validation and test"
            )
    parts = np.array([_WORDS.get(word, "") for word in words], dtype=object)
    left_out = words.count("")
    notes = (f"{left_out} rows have no part in column {column!r} and are left out",) if left_out else ()
    return Assignment(parts, f"column {column!r}", notes)


def read_date_column(source: Any, column: str) -> Assignment:
    """Parts by date: the oldest 70 % to train on, the next 10 % to choose by, the newest to measure on.

    Rows of one date stay together: a cut moves to the nearest change of date. Where that leaves no rows to
    choose by, :func:`split_as_assigned` draws them. A date of so many rows that less than half would be left
    to train on, or less than a twentieth to measure on, is cut through in the table's order, which is said.

    Parameters
    ----------
    source : str, pathlib.Path or data frame
    column : str
        Dates, or numbers such as years, that order the rows.

    Raises
    ------
    InputError
        If there is no such column, or a cell is neither.
    """
    import pandas as pd

    cells = [cell.strip() for cell in _cells(source, column, "--date-column")]
    texts = pd.Series(cells, dtype=object).where(np.array(cells) != "")
    moments = pd.to_numeric(texts, errors="coerce")
    if (moments.isna() & texts.notna()).any():
        dates = pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=True)
        wrong = np.flatnonzero(dates.isna() & texts.notna())
        if len(wrong):
            raise InputError(
                f"{_shown(source)}: row {wrong[0] + 1} of column {column!r} is {cells[wrong[0]]!r}; dates "
                "(--date-column) are written 2024-03-31, or are numbers such as years"
            )
        moments = dates.astype("int64").where(dates.notna()).astype(float)
    known = np.flatnonzero(moments.notna())
    ordered = known[np.argsort(moments.to_numpy(dtype=float)[known], kind="stable")]
    parts = np.full(len(cells), "", dtype=object)
    first, second, whole = _cuts(moments.to_numpy(dtype=float)[ordered])
    for name, rows in zip(("train", "validation", "test"), np.split(ordered, [first, second]), strict=True):
        parts[rows] = name
    left_out = len(cells) - len(known)
    notes = [f"{left_out} rows have no date in column {column!r} and are left out"] if left_out else []
    if second < len(ordered):
        since = f"those from {cells[ordered[first]]} on chosen by, " if first < second else ""
        newest = cells[ordered[second]]
        notes.append(f"by column {column!r}, {since}those from {newest} on measured on")
        if not whole:
            notes.append(
                f"so many rows are of {newest} that it is cut through, in the order of the table: some are "
                "measured on, and older parts have others"
            )
    return Assignment(parts, f"dates in column {column!r}", tuple(notes))


def _cuts(moments: npt.NDArray[np.float64]) -> tuple[int, int, bool]:
    """Where ascending dates are cut, to choose by and to measure on; whether dates stay whole."""
    n = len(moments)
    first, second = round(TRAINING_SHARE * n), round((TRAINING_SHARE + VALIDATION_SHARE) * n)
    changes = np.flatnonzero(np.diff(moments)) + 1
    usable = changes[(changes >= n / 2) & (changes <= 0.95 * n)]
    if not len(usable):
        return first, second, False
    first, second = (int(usable[np.argmin(np.abs(usable - cut))]) for cut in (first, second))
    return first, second, True


def read_test(
    test: Any,
    dataset: Dataset,
    smiles: str | None = None,
    task: str | None = None,
    censored: str | None = None,
) -> Dataset:
    """The table to measure on, with the targets of the dataset, read as those are.

    Parameters
    ----------
    test : str, pathlib.Path, Dataset or data frame
    dataset : Dataset
        To train on.
    smiles, task, censored : str, optional
        As the dataset was read with.

    Raises
    ------
    UsageError
        If it is no table: the measured values that are given belong to the dataset's molecules.
    InputError
        If it cannot be read.
    """
    names = [target.name for target in dataset.targets]
    if isinstance(test, Dataset):
        return as_dataset(test, names)
    if not isinstance(test, str | Path) and not is_frame(test):
        raise UsageError(
            f"test is a table with the columns of the dataset, not a {type(test).__name__}; make one of "
            "molecules and their values: molrate.Dataset.from_molecules(molecules, {'y': values})"
        )
    tasks = {target.task for target in dataset.targets}
    # Two different numbers, or whole ones, would suggest classes by themselves.
    task = tasks.pop() if len(tasks) == 1 else task
    return as_dataset(test, names, smiles, task, censored=censored)


def add_test(dataset: Dataset, test: Dataset) -> tuple[Dataset, Assignment]:
    """A dataset with the rows of another behind its own, to measure on.

    Parameters
    ----------
    dataset, test : Dataset
        With the same targets.

    Raises
    ------
    InputError
        If a target cannot be read or is of another task, or the test has a class that the dataset lacks.
    """
    names = [target.name for target in dataset.targets]
    pairs = zip(dataset.targets, test.select(names).targets, strict=True)
    targets = tuple(_joined(own, other, test.name) for own, other in pairs)
    joined = replace(
        dataset,
        smiles=np.concatenate([dataset.smiles, test.smiles]),
        targets=targets,
        ids=np.concatenate([dataset.ids, test.ids]),
        source=f"{dataset.source}, tested on {test.source}",
    )
    parts = np.array(["train"] * len(dataset) + ["test"] * len(test), dtype=object)
    return joined, Assignment(parts, f"file {test.name}")


def _joined(own: Target, other: Target, name: str) -> Target:
    if other.error:
        raise InputError(f"{name}: {other.error}")
    if own.task != other.task:
        raise InputError(f"{name}: target {own.name!r} is {other.task}, and {own.task} where it is learned")
    values = other.values
    if own.task == "classification":
        unknown = [label for label in other.classes if label not in own.classes]
        if unknown:
            raise InputError(
                f"{name}: target {own.name!r} has the class {unknown[0]!r}, which the training table lacks"
            )
        codes = np.array([own.classes.index(label) for label in other.classes], dtype=float)
        values = np.where(np.isnan(values), np.nan, codes[np.nan_to_num(values).astype(int)])
    return replace(own, values=np.concatenate([own.values, values]))


def split_as_assigned(
    canonical: Sequence[str], assignment: Assignment, seed: int = 0, targets: Sequence[Target] = ()
) -> tuple[Split, list[str]]:
    """The split that an assignment makes of molecules, and what is to be said of it.

    A molecule of the test part is in no other; one to validate by is in no training part. Where no molecule
    is to validate by, an eighth of those to train on is drawn.

    Parameters
    ----------
    canonical : sequence of str, length n
        Canonical SMILES; rows with an empty one are in no part.
    assignment : Assignment
    seed : int
    targets : sequence of Target
        Of the n rows.

    Raises
    ------
    SplitError
        If a part would be empty, or a target could not be learned from the training part.
    """
    smiles = np.array(canonical, dtype=object)
    usable = smiles != ""
    rows = {part: np.flatnonzero((assignment.parts == part) & usable) for part in _PARTS}
    notes = list(assignment.notes)
    for part, later in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared = np.isin(smiles[rows[part]].astype(str), smiles[rows[later]].astype(str))
        if shared.any():
            notes.append(
                f"{shared.sum()} rows of the {part} part are molecules of the {later} part as well; they are "
                f"left out of the {part} part"
            )
        rows[part] = rows[part][~shared]
    if not len(rows["validation"]) and len(rows["train"]):
        known = rows["train"]
        own = [target.take(known) for target in targets]
        drawn = np.sort(fold_molecules(smiles[known].tolist(), _VALIDATION_FOLDS, seed, own)[0])
        rows["validation"], rows["train"] = known[drawn], np.delete(known, drawn)
        notes.append(f"{len(drawn)} of the rows to train on were drawn to validate by")
    for part, found in rows.items():
        if not len(found):
            raise SplitError(f"{assignment.method}: no molecule that can be used is in the {part} part")
    check_training(targets, rows["train"], assignment.method)
    return Split(rows["train"], rows["validation"], rows["test"]), notes


def _cells(source: Any, column: str, option: str) -> list[str]:
    """Cells of a column of the table that a dataset is read from, as text."""
    if is_frame(source):
        table = to_pandas(source)
        place = find_column([str(name) for name in table.columns], column, FRAME, option)
        return ["" if is_missing(cell) else str(cell) for cell in table.iloc[:, place]]
    if not isinstance(source, str) and not hasattr(source, "__fspath__"):
        raise UsageError(f"{option} names a column of a table; give a file or a data frame")
    path = str(source)
    if "." not in path:
        raise UsageError(f"{option} names a column of a table; {path} is a dataset by name")
    return read_table(path).column(column, option)


def _shown(source: Any) -> str:
    return FRAME if is_frame(source) else str(source)


def assign(
    source: Any,
    dataset: Dataset,
    split_column: str | None = None,
    date_column: str | None = None,
    test: Dataset | None = None,
) -> tuple[Dataset, Assignment | None]:
    """A dataset, with a test set behind it where one is given, and the parts that its table names, if any.

    Parameters
    ----------
    source : str, pathlib.Path or data frame
        The table of the dataset.
    dataset : Dataset
    split_column, date_column : str, optional
        Columns of the table.
    test : Dataset, optional

    Raises
    ------
    UsageError
        If more than one of them is given.
    InputError
        If a column or the test set cannot be used.
    """
    given = {"--split-column": split_column, "--date-column": date_column, "--test-file": test}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} both say what to test on; give one")
    if split_column is not None:
        return dataset, read_split_column(source, split_column)
    if date_column is not None:
        return dataset, read_date_column(source, date_column)
    return (dataset, None) if test is None else add_test(dataset, test)
