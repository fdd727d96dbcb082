"""Records of Excel workbooks: the first worksheet that has any."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

from molrate.errors import InputError, UsageError
from molrate.files.formats import EMPTY_LINE, Fields, Records

logger = logging.getLogger(__name__)


def worksheet_records(path: str) -> Records:
    """Header and records of the first worksheet of a workbook that has a header.

    Raises
    ------
    UsageError
        If openpyxl is not installed.
    InputError
        If it is no workbook, or a formula's value is not stored in it.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise UsageError(f'{path}: workbooks are read by openpyxl: pip install "molrate[excel]"') from error
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings():
            # Of styles and validation rules that openpyxl leaves out; none changes a cell.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            formulas = openpyxl.load_workbook(path, read_only=True)
    except (InvalidFileException, KeyError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a workbook: {error}") from error
    sheets = [sheet for sheet in book.worksheets if next(_lines(sheet), None) is not None]
    if not sheets:
        raise InputError(f"{path}: the workbook has no cells; a header row and rows are expected")
    sheet, *others = sheets
    if others:
        logger.warning(
            "%s: worksheet %r is read, not %s", path, sheet.title, ", ".join(repr(o.title) for o in others)
        )
    lines = _lines(sheet)
    header = tuple(_text(value) for value in next(lines))
    while header and not header[-1]:
        header = header[:-1]
    if not header:
        raise InputError(
            f"{path}: the first row of worksheet {sheet.title!r} is blank; a header is expected there"
        )
    rows = _rows(path, lines, _lines(formulas[sheet.title]), len(header))
    return Records(path, header, rows)


def _lines(sheet: Any) -> Iterator[tuple[Any, ...]]:
    """Rows of a sheet up to the last that has a value."""
    blank: list[tuple[Any, ...]] = []
    for line in sheet.iter_rows(values_only=True):
        if all(value is None for value in line):
            blank.append(line)
            continue
        yield from blank
        blank = []
        yield line


def _rows(
    path: str, lines: Iterator[tuple[Any, ...]], formulas: Iterator[tuple[Any, ...]], n_fields: int
) -> Iterator[Fields]:
    next(formulas, None)
    for number, values in enumerate(lines, start=1):
        written = next(formulas, ())
        for value, formula in zip(values, written, strict=False):
            if value is None and formula is not None:
                raise InputError(
                    f"{path}: row {number} has a formula whose value is not stored ({formula}); open and "
                    "save it in a spreadsheet program, or save it as csv"
                )
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
