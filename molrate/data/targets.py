"""Target columns: what kind of task they are, their labels, and quantile bins for regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError, UsageError

TASKS = ("classification", "regression")
MISSING = frozenset({"", "na", "n/a", "<na>", "nan", "nat", "null", "none"})
MIN_LABELLED = 20
_MAX_CLASSES = 20


@dataclass(frozen=True)
class Target:
    """One measured property of a dataset.

    Attributes
    ----------
    name : str
        Column name.
    task : {"classification", "regression"}
    values : ndarray of float, shape (n,)
        Measured values, or class codes 0 ... C-1; NaN where not measured.
    classes : tuple of str
        Class labels in code order; empty for regression.
    """

    name: str
    task: str
    values: npt.NDArray[np.float64]
    classes: tuple[str, ...] = ()

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Mask of rows that were measured, shape (n,)."""
        return ~np.isnan(self.values)

    def take(self, rows: npt.NDArray[np.intp]) -> Target:
        """The same target for some rows."""
        return Target(self.name, self.task, self.values[rows], self.classes)


def parse_target(name: str, column: Sequence[object], task: str | None = None) -> Target:
    """Read a column as a target.

    Without `task`, two distinct values or text labels mean classification and other numbers
    regression.

    Parameters
    ----------
    name : str
    column : sequence, length n
        Numbers or text; empty cells, NaN, NA, N/A, null and None mean "not measured".
    task : {"classification", "regression"}, optional

    Raises
    ------
    UsageError
        If the task is unknown.
    InputError
        If nothing was measured, a regression target has cells that are not finite numbers, or a text
        column has too many different values to be class labels.
    """
    if task is not None and task not in TASKS:
        raise UsageError(f"unknown task {task!r} (--task); known: {', '.join(TASKS)}")
    texts = ["" if value is None else str(value).strip() for value in column]
    measured = [row for row, text in enumerate(texts) if text.casefold() not in MISSING]
    if not measured:
        raise InputError(f"target {name!r} has no measured value in any of its {len(texts)} rows")
    numbers, not_numbers = _numbers(texts, measured)
    if task is None:
        task = _infer_task(name, texts, measured, not_numbers)
    if task == "classification":
        return _classes(name, texts, measured, numbers if not not_numbers else None)
    if not_numbers:
        raise InputError(
            f"target {name!r} is not numeric: {_show(texts, not_numbers)}. Correct these cells, leave "
            "them empty if they were not measured, or pass the classification task for class labels"
        )
    return Target(name, "regression", numbers)


def _numbers(texts: list[str], measured: list[int]) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Cells as numbers, and the rows whose cell is not a finite number."""
    numbers = np.full(len(texts), np.nan)
    failed = []
    for row in measured:
        try:
            numbers[row] = float(texts[row])
        except ValueError:
            failed.append(row)
            continue
        if not np.isfinite(numbers[row]):
            failed.append(row)
    return numbers, failed


def _infer_task(name: str, texts: list[str], measured: list[int], not_numbers: list[int]) -> str:
    labels = {texts[row] for row in measured}
    if not not_numbers:
        return "classification" if len({float(label) for label in labels}) == 2 else "regression"
    if len(not_numbers) < len(measured):
        raise InputError(
            f"target {name!r} mixes numbers and text: {_show(texts, not_numbers)}. Correct these cells "
            "or leave them empty if they were not measured"
        )
    if len(labels) > _MAX_CLASSES:
        raise InputError(
            f"target {name!r} is not numeric and has {len(labels)} different values, too many for "
            f"class labels: {_show(texts, not_numbers)}"
        )
    return "classification"


def _classes(
    name: str, texts: list[str], measured: list[int], numbers: npt.NDArray[np.float64] | None
) -> Target:
    # "1" and "1.0" are one class, so numeric labels are told apart by value and not by spelling.
    labels = [numbers[row] if numbers is not None else texts[row] for row in measured]
    classes, codes = np.unique(labels, return_inverse=True)
    values = np.full(len(texts), np.nan)
    values[measured] = codes
    return Target(name, "classification", values, tuple(str(label).removesuffix(".0") for label in classes))


def _show(texts: list[str], rows: list[int], limit: int = 3) -> str:
    shown = ", ".join(f"row {row + 1} {texts[row]!r}" for row in rows[:limit])
    return shown + (f" and {len(rows) - limit} more" if len(rows) > limit else "")


def check_target(target: Target) -> None:
    """Refuse a target that no measure could rank by.

    Raises
    ------
    InputError
        If fewer than ``MIN_LABELLED`` rows are labelled or all labels are equal.
    """
    values = target.values[target.labelled]
    if len(values) < MIN_LABELLED:
        raise InputError(
            f"target {target.name!r} has {len(values)} labelled valid molecules; at least {MIN_LABELLED} are "
            "needed for a ranking that means anything"
        )
    if len(np.unique(values)) < 2:
        shown = target.classes[int(values[0])] if target.classes else f"{values[0]:g}"
        what = "class" if target.classes else "value"
        raise InputError(f"target {target.name!r} has one {what} only ({shown}); there is nothing to predict")


def quantile_bins(values: npt.ArrayLike, n_bins: int = 10) -> npt.NDArray[np.intp]:
    """Cut a regression target into ranges that hold equally many molecules.

    The bin of a value is ``floor(k * (midrank - 1/2) / n)``. Equal values share their mid-rank and so
    their bin, and the result does not depend on row order. Ties can leave bins empty; the bins that
    remain are numbered 0, 1, ...

    Parameters
    ----------
    values : array_like of float, shape (n,)
        No NaN.
    n_bins : int
        k, the number of ranges wanted; the paper takes 10.

    Returns
    -------
    ndarray of int, shape (n,)

    References
    ----------
    Frustratingly Easy Transferability Estimation, appendix A.5.
    """
    _, level, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    # Mid-rank minus 1/2 of each distinct value: those below it and half of those equal to it.
    position = (np.cumsum(counts) - counts / 2)[level]
    bins = np.floor(n_bins * position / len(level))
    return np.unique(bins, return_inverse=True)[1]
