"""Target columns: what kind of task they are, their labels, and quantile bins for regression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real

import numpy as np
import numpy.typing as npt

from molrate.data.classes import describe_spellings, find_class, positive_class
from molrate.data.numbers import explain_numbers, is_missing, read_number, split_qualifier
from molrate.errors import InputError, UsageError
from molrate.files.columns import MISSING

TASKS = ("classification", "regression")
MAIN_METRIC = {"classification": "auroc", "regression": "rmse"}
"""What models of each task are compared by."""
CENSORED = ("drop", "bound")
MIN_LABELLED = 20
_MAX_CLASSES, _SHOWN = 20, 3
_FEW_VALUES = 5
"""Up to so many whole numbers may be classes."""
_LARGEST_CODE = 2**64
_LARGEST = 1e100


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
    positive : str, optional
        The class that is sought; of two classes it has code 1. None where neither the labels nor the user
        say which it is.
    notes : tuple of str
        What is to be said of how its cells were read.
    error : str
        Why the column cannot be used, where other targets of its table can; no value is measured then.
    unit : str
        Of the values, in words; empty where it is not known.
    """

    name: str
    task: str
    values: npt.NDArray[np.float64]
    classes: tuple[str, ...] = ()
    positive: str | None = None
    notes: tuple[str, ...] = ()
    error: str = ""
    unit: str = ""

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Mask of rows that were measured, shape (n,)."""
        return ~np.isnan(self.values)

    def take(self, rows: npt.NDArray[np.intp]) -> Target:
        """The same target for some rows."""
        return replace(self, values=self.values[rows])

    def where(self, usable: npt.NDArray[np.bool_]) -> Target:
        """The same target, measured in the rows of a mask (n,) only."""
        return replace(self, values=np.where(usable, self.values, np.nan))

    def with_positive(self, label: str) -> Target:
        """The same target with another class sought; of two classes that one gets code 1.

        Raises
        ------
        UsageError
            If it has no such class.
        """
        name = find_class(self.classes, label)
        if name is None:
            has = f"its classes are {', '.join(self.classes)}" if self.classes else "it holds numbers"
            raise UsageError(f"target {self.name!r} has no class {label!r} (--positive); {has}")
        if len(self.classes) == 2 and name == self.classes[0]:
            return replace(self, values=1 - self.values, classes=self.classes[::-1], positive=name)
        return replace(self, positive=name)


@dataclass(frozen=True)
class TargetPolicy:
    """How columns of a table are read as targets.

    Attributes
    ----------
    task : {"classification", "regression"}, optional
        What the values suggest if not given.
    positive : str, optional
        The class that is sought, in the targets that have it.
    censored : {"drop", "bound"}, optional
        See :func:`parse_target`.
    """

    task: str | None = None
    positive: str | None = None
    censored: str | None = None

    def read(self, columns: Mapping[str, Sequence[object]]) -> tuple[Target, ...]:
        """Targets of columns by name.

        A column among several that cannot be read becomes a target with its `error`, so that the others
        can be used.

        Raises
        ------
        UsageError
            If an option is unknown, or no target has the class.
        InputError
            If none of the columns can be read.
        """
        targets, errors = [], []
        for name, column in columns.items():
            try:
                targets.append(parse_target(name, column, self.task, censored=self.censored))
            except InputError as error:
                errors.append(error)
                unread = np.full(len(column), np.nan)
                targets.append(Target(name, self.task or "regression", unread, error=error.args[0]))
        if errors and len(errors) == len(targets):
            raise errors[0]
        return tuple(targets) if self.positive is None else seek(targets, self.positive)


def seek(targets: Sequence[Target], positive: str) -> tuple[Target, ...]:
    """Targets with a class sought in those that have it.

    Raises
    ------
    UsageError
        If none has it.
    """
    having = [find_class(target.classes, positive) is not None for target in targets]
    if not any(having):
        # The first target that could be read says what it has.
        next(target for target in targets if not target.error).with_positive(positive)
    return tuple(
        target.with_positive(positive) if has else target for target, has in zip(targets, having, strict=True)
    )


def parse_target(
    name: str,
    column: Sequence[object],
    task: str | None = None,
    positive: str | None = None,
    censored: str | None = None,
) -> Target:
    """Read a column as a target.

    Without `task`, two distinct numbers, booleans and text labels mean classification and other numbers
    regression. Text of which more than half looks like numbers is refused.

    Parameters
    ----------
    name : str
    column : sequence, length n
        Numbers, booleans or text; None, NaN, NA, NaT, empty cells and the words of :data:`MISSING` mean
        "not measured".
    task : {"classification", "regression"}, optional
    positive : str, optional
        The class that is sought. Known pairs such as active and inactive need none, nor do two numbers.
    censored : {"drop", "bound"}, optional
        What becomes of ``<10`` and ``~10``: not measured, or 10. They are refused if not given.

    Returns
    -------
    Target

    Raises
    ------
    UsageError
        If the task or policy is unknown, or there is no such class.
    InputError
        If nothing was measured, cells are neither numbers nor text, a regression target has cells that are
        not finite numbers, or a text column has too many different values to be class labels.

    Examples
    --------
    >>> target = parse_target("y", ["active", "inactive", "NA"])
    >>> target.classes, target.positive, target.values.tolist()
    (('inactive', 'active'), 'active', [1.0, 0.0, nan])
    """
    _check_options(task, censored)
    texts = _texts(name, column)
    measured = [row for row, text in enumerate(texts) if text.casefold() not in MISSING]
    notes = _missing_notes(texts)
    if not measured:
        raise InputError(f"target {name!r} has no measured value in any of its {len(texts)} rows")
    numbers, failed = _numbers(texts, measured)
    n_measured = len(measured)
    if censored is not None and task != "classification":
        failed, note = _read_censored(texts, numbers, failed, censored)
        notes += [note] if note else []
        task = "regression" if note else task
        if not failed and np.isnan(numbers).all():
            raise InputError(f"target {name!r} has bounds only; with --censored drop no value is left")
    inferred = task is None
    if task is None:
        task = _infer_task(name, texts, numbers, failed, n_measured)
    if task == "classification":
        target = _classes(name, texts, measured, exact=not failed)
        cells = [column[row] for row in measured] if failed else []
        notes += describe_spellings([cell for cell in cells if isinstance(cell, str)])
        target = replace(target, notes=tuple(notes))
        return target if positive is None else target.with_positive(positive)
    if failed:
        raise InputError(_not_numeric(name, texts, failed, n_measured))
    if inferred and (note := _few_values_note(numbers)):
        notes.append(note)
    target = Target(name, "regression", numbers, notes=tuple(notes))
    return target if positive is None else target.with_positive(positive)


def _check_options(task: str | None, censored: str | None) -> None:
    if task is not None and task not in TASKS:
        raise UsageError(f"unknown task {task!r} (--task); known: {', '.join(TASKS)}")
    if censored is not None and censored not in CENSORED:
        raise UsageError(f"unknown policy {censored!r} (--censored); known: {', '.join(CENSORED)}")
    if censored is not None and task == "classification":
        raise UsageError("--censored is for numbers; --task classification takes cells as they are")


def _texts(name: str, column: Sequence[object]) -> list[str]:
    """Cells as text without blanks at their ends, empty where a value is missing.

    Raises
    ------
    InputError
        If a cell is a date, a list or another thing that is no measurement.
    """
    texts = []
    for row, value in enumerate(column):
        if isinstance(value, str):
            texts.append(value.strip())
        elif is_missing(value):
            texts.append("")
        elif isinstance(value, (bool, np.bool_)):
            texts.append(str(bool(value)))
        elif isinstance(value, (Real, Decimal, np.number)) and not isinstance(value, np.timedelta64):
            texts.append(str(value if isinstance(value, (int, float, np.number, Decimal)) else float(value)))
        else:
            kind = type(value).__name__
            raise InputError(
                f"target {name!r} has a {kind} in row {row + 1} ({str(value)[:40]!r}); a target holds "
                "numbers, booleans or text (--target)"
            )
    return texts


def _missing_notes(texts: list[str]) -> list[str]:
    counts = Counter(text for text in texts if text and text.casefold() in MISSING)
    if not counts:
        return []
    cells = ", ".join(
        f"{count} cell{'s' if count > 1 else ''} {word!r}" for word, count in counts.most_common()
    )
    return [f"{cells} {'was' if counts.total() == 1 else 'were'} read as not measured"]


def _numbers(texts: list[str], measured: list[int]) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Cells as numbers, and the rows whose cell is not a finite number."""
    numbers = np.full(len(texts), np.nan)
    failed = []
    for row in measured:
        number = read_number(texts[row])
        if number is None:
            failed.append(row)
        else:
            numbers[row] = number
    return numbers, failed


def _read_censored(
    texts: list[str], numbers: npt.NDArray[np.float64], failed: list[int], policy: str
) -> tuple[list[int], str]:
    """Fill in what bounds mean; the rows that failed still, and what was done."""
    left, censored = [], []
    for row in failed:
        qualifier, text = split_qualifier(texts[row])
        bound = read_number(text)
        if bound is None:
            left.append(row)
            continue
        if qualifier:
            censored.append(row)
        if not qualifier or policy == "bound":
            numbers[row] = bound
    if not censored:
        return left, ""
    done = "read as not measured" if policy == "drop" else "read as their bound"
    some = "1 value that is a bound" if len(censored) == 1 else f"{len(censored)} values that are bounds"
    return left, f"{some}, the first in row {censored[0] + 1} ({texts[censored[0]]!r}), {done}"


def _few_values_note(numbers: npt.NDArray[np.float64]) -> str:
    """Say that numbers may stand for classes, where they are few and whole."""
    values = np.unique(numbers[~np.isnan(numbers)])
    if len(values) > _FEW_VALUES or (values % 1).any():
        return ""
    shown = ", ".join(f"{value:g}" for value in values)
    return f"its values are {shown}: read as numbers; --task classification makes classes of them"


def _infer_task(
    name: str, texts: list[str], numbers: npt.NDArray[np.float64], failed: list[int], n_measured: int
) -> str:
    if not failed:
        return "classification" if len(np.unique(numbers[~np.isnan(numbers)])) == 2 else "regression"
    reasons = explain_numbers(dict.fromkeys(texts[row] for row in failed))
    n_like = n_measured - len(failed) + sum(texts[row] in reasons for row in failed)
    if len(failed) < n_measured or 2 * n_like > n_measured:
        raise InputError(_not_numeric(name, texts, failed, n_measured))
    labels = {texts[row] for row in failed}
    if len(labels) > _MAX_CLASSES:
        raise InputError(
            f"target {name!r} is not numeric and has {len(labels)} different values, too many for "
            f"class labels: {_show(texts, failed)}; pass --task classification if they are"
        )
    return "classification"


def _classes(name: str, texts: list[str], measured: list[int], exact: bool) -> Target:
    """A target of classes; `exact` where all labels are numbers."""
    # "1" and "1.0" are one class, so numeric labels are told apart by value and not by spelling.
    read: Callable[[str], object] = Decimal if exact else str
    labels = {text: read(text) for text in dict.fromkeys(texts[row] for row in measured)}
    ordered = sorted(set(labels.values()))  # type: ignore[type-var]
    codes = {label: code for code, label in enumerate(ordered)}
    values = np.full(len(texts), np.nan)
    values[measured] = [codes[labels[texts[row]]] for row in measured]
    classes = tuple(_number_label(label) if isinstance(label, Decimal) else str(label) for label in ordered)
    target = Target(name, "classification", values, classes)
    positive = positive_class(classes)
    return target if positive is None else target.with_positive(positive)


def _number_label(number: Decimal) -> str:
    if number == number.to_integral_value() and abs(number) < _LARGEST_CODE:
        return str(int(number))
    return repr(float(number))


def _not_numeric(name: str, texts: list[str], failed: list[int], n_measured: int) -> str:
    """What is wrong with a column of numbers, with the first cell of each fault, and the ways out."""
    reasons = explain_numbers(dict.fromkeys(texts[row] for row in failed))
    first: dict[str, int] = {}
    for row in failed:
        first.setdefault(reasons.get(texts[row], "is text"), row)
    shown = [f"row {row + 1} {texts[row]!r} {reason}" for reason, row in list(first.items())[:_SHOWN]]
    if len(failed) > len(shown):
        shown.append(f"and {len(failed) - len(shown)} more of {n_measured} measured cells")
    what = "is not numeric" if len(failed) == n_measured else "mixes numbers and text"
    ways = [
        "Write plain numbers such as -1.5",
        "leave cells empty that were not measured",
        "or pass --task classification if these are class labels",
    ]
    if any(split_qualifier(texts[row])[0] for row in failed):
        ways.insert(2, "pass --censored drop to leave out bounds or --censored bound to take them as values")
    return f"target {name!r} {what}: {', '.join(shown)}. {', '.join(ways)}"


def _show(texts: list[str], rows: list[int]) -> str:
    shown = ", ".join(f"row {row + 1} {texts[row]!r}" for row in rows[:_SHOWN])
    return shown + (f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")


def check_target(target: Target, molecules: npt.ArrayLike | None = None) -> None:
    """Refuse a target that no measure could rank by.

    Parameters
    ----------
    target : Target
    molecules : array_like, shape (n,), optional
        What rows of one molecule share; each row is a molecule if not given.

    Raises
    ------
    InputError
        If its column could not be read, fewer than ``MIN_LABELLED`` molecules are labelled, all labels are
        equal, or they are too large or too close to be squared.
    """
    if target.error:
        raise InputError(target.error)
    values = target.values[target.labelled]
    _check_count(target, len(values), len(values))
    if len(np.unique(values)) < 2:
        shown = target.classes[int(values[0])] if target.classes else f"{values[0]:g}"
        what = "class" if target.classes else "value"
        raise InputError(f"target {target.name!r} has one {what} only ({shown}); there is nothing to predict")
    if molecules is not None:
        _check_count(target, len(np.unique(np.asarray(molecules)[target.labelled])), len(values))
    if not target.classes:
        largest, difference = np.abs(values).max(), np.ptp(values)
        if largest > _LARGEST or difference < 1 / _LARGEST:
            raise InputError(
                f"target {target.name!r} has values up to {largest:.3g} that differ by {difference:.3g}; "
                "squares of such are beyond what a computer holds. Multiply it by a power of ten"
            )


def _check_count(target: Target, n_molecules: int, n_rows: int) -> None:
    if n_molecules < MIN_LABELLED:
        of_rows = f" in {n_rows} rows" if n_molecules < n_rows else ""
        raise InputError(
            f"target {target.name!r} has {n_molecules} labelled valid molecules{of_rows}; at least "
            f"{MIN_LABELLED} are needed for a ranking that means anything"
        )


def check_targets(targets: Sequence[Target]) -> None:
    """Refuse targets that are to be learned together if one of them cannot be.

    Raises
    ------
    InputError
        If :func:`check_target` refuses one; it names each of them.
    """
    errors = []
    for target in targets:
        try:
            check_target(target)
        except InputError as error:
            errors.append(error.args[0])
    if errors:
        way_out = "; leave such a target out (--target)" if len(targets) > 1 else ""
        raise InputError("; ".join(errors) + way_out)


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
