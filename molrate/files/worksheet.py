"""Records of Excel workbooks: the first worksheet that has any."""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from molrate.errors import InputError, UsageError
from molrate.files.formats import EMPTY_LINE, NO_ARCHIVE, OLD_WORKBOOK, Fields, Records, damaged

logger = logging.getLogger(__name__)

_UNREADABLE = (*NO_ARCHIVE, KeyError, IndexError, TypeError, AttributeError, SyntaxError)
"""What openpyxl raises besides, of parts that are missing or no XML (a SyntaxError)."""

_SAVE_AGAIN = "open and save it in a spreadsheet program, or save it as csv"

_TEXT_OF_FORMULA = "str"
"""Type of a cell without a value that is left where an empty text was stored."""


@dataclass(frozen=True)
class _NotStored:
    """A formula whose value the workbook does not have."""

    formula: str


def worksheet_records(path: str) -> Records:
    """Header and records of the first worksheet of a workbook that has a header.

    Raises
    ------
    UsageError
        If openpyxl is not installed.
    InputError
        If it is no workbook, or a formula's value is not stored in it.
    """
    book, formulas = _open(path)
    sheets = [
        sheet
        for sheet in book.worksheets
        if next(_lines(path, sheet, formulas[sheet.title]), None) is not None
    ]
    if not sheets:
        raise InputError(f"{path}: the workbook has no cells; a header row and rows are expected")
    sheet, *others = sheets
    if others:
        logger.warning(
            "%s: worksheet %r is read, not %s", path, sheet.title, ", ".join(repr(o.title) for o in others)
        )
    lines = _lines(path, sheet, formulas[sheet.title])
    first = next(lines)
    _require_stored(path, "the header", first)
    header = tuple(_text(value) for value in first)
    while header and not header[-1]:
        header = header[:-1]
    if not header:
        raise InputError(
            f"{path}: the first row of worksheet {sheet.title!r} is blank; a header is expected there"
        )
    return Records(path, header, _rows(path, lines, len(header)))


def _open(path: str) -> tuple[Any, Any]:
    """A workbook with the values of its formulas, and with the formulas themselves.

    Raises
    ------
    UsageError
        If openpyxl is not installed.
    InputError
        If it is no workbook.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise UsageError(f'{path}: workbooks are read by openpyxl: pip install "molrate[excel]"') from error
    _require_archive(path)
    try:
        with warnings.catch_warnings():
            # Of styles and validation rules that openpyxl leaves out; none changes a cell.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            formulas = openpyxl.load_workbook(path, read_only=True)
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read as a workbook: {error}; {_SAVE_AGAIN}") from error
    for sheet in (*book.worksheets, *formulas.worksheets):
        # Programs that write row by row leave the size of the first rows, at which openpyxl would stop.
        sheet.reset_dimensions()
    return book, formulas


def _require_archive(path: str) -> None:
    """Refuse what is named .xlsx and is another file.

    Raises
    ------
    InputError
        If it is one.
    """
    with Path(path).open("rb") as file:
        start = file.read(4)
        if start == OLD_WORKBOOK:
            raise InputError(
                f"{path}: it is an Excel workbook of the old format (.xls) or one with a password; save it "
                "as .xlsx without one"
            )
        if start[:2] != b"PK":
            raise InputError(f"{path}: it is no Excel workbook (.xlsx); name it by what it is, such as .csv")
        if not zipfile.is_zipfile(file):
            raise InputError(f"{path}: damaged or cut off: a workbook without its end; get it again")


def _lines(path: str, sheet: Any, written: Any) -> Iterator[list[object]]:
    """Rows of a sheet up to the last that has a value or a formula without one; they may differ in length."""
    blank: list[list[object]] = []
    for cells, formulas in zip_longest(_cells(path, sheet), _cells(path, written), fillvalue=()):
        line = [_value(cell, formula) for cell, formula in zip_longest(cells, formulas)]
        if all(value is None for value in line):
            blank.append(line)
            continue
        yield from blank
        blank = []
        yield line


def _cells(path: str, sheet: Any) -> Iterator[Sequence[Any]]:
    """Rows of cells as openpyxl reads them.

    Raises
    ------
    InputError
        If it cannot read on.
    """
    n_lines = 0
    try:
        for cells in sheet.iter_rows():
            n_lines += 1
            yield cells
    except _UNREADABLE as error:
        raise damaged(path, max(0, n_lines - 1), f"{error}; {_SAVE_AGAIN}") from error


def _value(cell: Any, formula: Any) -> object:
    """A cell's value; None where it is blank, or has a formula whose value is an empty text."""
    if cell is not None and cell.value is not None:
        return cell.value
    if formula is None or formula.value is None or (cell is not None and cell.data_type == _TEXT_OF_FORMULA):
        return None
    # A formula of several cells is an object.
    return _NotStored(str(getattr(formula.value, "text", formula.value)))


def _require_stored(path: str, where: str, values: Sequence[object]) -> None:
    missing = next((value for value in values if isinstance(value, _NotStored)), None)
    if missing is not None:
        raise InputError(
            f"{path}: {where} has a formula whose value is not stored ({missing.formula}); {_SAVE_AGAIN}"
        )


def _rows(path: str, lines: Iterator[list[object]], n_fields: int) -> Iterator[Fields]:
    for number, values in enumerate(lines, start=1):
        _require_stored(path, f"row {number}", values)
        cells = [_text(value) for value in values]
        extra = [cell for cell in cells[n_fields:] if cell]
        cells = [*cells[:n_fields], *[""] * (n_fields - len(cells))]
        line = number + 1
        if extra:
            yield number, line, (), f"{n_fields + len(extra)} cells where the header has {n_fields}", cells[0]
        elif not any(cells):
            yield number, line, (), EMPTY_LINE, ""
        else:
            yield number, line, cells, "", ""


def _text(value: object) -> str:
    """A cell as text; numbers with all their digits, whole ones without a point."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    return str(value)
