"""Records of text files: csv and tsv with a header, smi without.

Quotes in csv are those of RFC 4180: a cell that begins with one ends with the next single one, and may hold
separators, doubled quotes and line breaks. A cell with line breaks counts as such if its record has as many
fields as the header and ends within ``LOOK_AHEAD_LINES`` lines and ``LOOK_AHEAD_BYTES`` bytes; otherwise the
quote is stray, its line is a record with the reason, and the next line is read as if nothing had been. In tsv
a quote is a character like any other.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO

from molrate.errors import InputError
from molrate.files.formats import DAMAGED, EMPTY_LINE, Fields, Records, damaged
from molrate.files.text import spoiled, visible

LOOK_AHEAD_LINES = 1000
LOOK_AHEAD_BYTES = 1 << 16

SMI_HEADER = ("smiles", "id")

_SEPARATORS = {"csv": ",", "tsv": "\t"}
_BLANKS = " \t\r\n"
_SHOWN = 200
"""Characters of an unreadable line that are repeated in the output."""


def separated_records(path: str, form: str, stream: IO[bytes]) -> Records:
    """Header and records of csv or tsv.

    Raises
    ------
    InputError
        If there is no header.
    """
    separator = _SEPARATORS[form]
    lines = _Lines(stream)
    raw = lines.next()
    if raw is None:
        raise InputError(f"{path}: the file is empty; a header line and rows are expected")
    first, n_lines, error = _cells(raw, lines, separator)
    if not error and not raw.strip():
        error = EMPTY_LINE
    if not error and any("\r" in name for name in first):
        error = "its lines end with carriage returns only; save it with the line ends of another system"
    if error:
        raise InputError(f"{path}: its header cannot be read: {error}")
    header = tuple(visible(name) for name in first)
    if len(header) == 1:
        mark = next((mark for mark in ";\t,|" if mark in header[0] and mark != separator), None)
        if mark is not None:
            raise InputError(
                f"{path}: its fields seem to be separated by {mark!r}; separate them by {separator!r}"
            )
    return Records(path, header, _separated_rows(path, lines, separator, header, n_lines))


class _Lines:
    """Lines of a stream, of which those looked ahead at come again."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.held = iter(stream), deque[bytes]()

    def next(self) -> bytes | None:
        """The next line; None after the last."""
        return self.held.popleft() if self.held else next(self.stream, None)

    def ahead(self) -> Iterator[bytes]:
        """Lines to come, as far as is looked ahead, without taking them."""
        size = 0
        for position in range(LOOK_AHEAD_LINES):
            if position == len(self.held):
                line = next(self.stream, None)
                if line is None:
                    return
                self.held.append(line)
            size += len(self.held[position])
            if size > LOOK_AHEAD_BYTES:
                return
            yield self.held[position]


def _separated_rows(
    path: str, lines: _Lines, separator: str, header: Sequence[str], line: int
) -> Iterator[Fields]:
    """Records below a header that takes `line` lines."""
    number, held, stream, n_fields = 0, lines.held, lines.stream, len(header)
    quoting = separator == _SEPARATORS["csv"]
    try:
        while True:
            # This loop is most of the time that reading takes: a line without quotes is cut and given.
            raw = held.popleft() if held else next(stream, None)
            if raw is None:
                return
            number += 1
            line += 1
            text = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
            n_lines, error = 1, ""
            if quoting and '"' in text:
                cells, n_lines, error = _quoted(raw, lines, n_fields)
            else:
                cells = text.split(separator)
            if len(cells) != n_fields or error or (not text and n_fields == 1):
                yield number, line, *_unread(text, cells, n_fields, error)
            else:
                yield number, line, cells, "", "" if text.isascii() else spoiled(header, cells)
            line += n_lines - 1
    except DAMAGED as problem:
        raise damaged(path, number, problem) from problem


def _unread(text: str, cells: Sequence[str], n_fields: int, error: str) -> tuple[tuple[str, ...], str, str]:
    if not error and not text.strip():
        return (), EMPTY_LINE, ""
    fields = f"{len(cells)} field{'s' if len(cells) > 1 else ''} where the header has {n_fields}"
    return (), error or fields, visible(text)[:_SHOWN]


def _cells(raw: bytes, lines: _Lines, separator: str) -> tuple[list[str], int, str]:
    """Cells of a header, how many lines it takes, and what is wrong with it."""
    text = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
    if separator == _SEPARATORS["csv"] and '"' in text:
        return _quoted(raw, lines, None)
    return text.split(separator), 1, ""


def _quoted(raw: bytes, lines: _Lines, n_fields: int | None) -> tuple[list[str], int, str]:
    """Cells of a csv record that has quotes, how many lines it takes, and what is wrong with it."""
    reader = csv.reader(_texts(raw, lines), strict=True)
    try:
        cells = next(reader)
    except csv.Error as problem:
        return [], 1, f"stray quote: {problem}"
    n_lines = reader.line_num
    if n_lines > 1:
        if n_fields is not None and len(cells) != n_fields:
            return [], 1, f"stray quote: the cell it opens would take in {n_lines - 1} more lines"
        for _ in range(n_lines - 1):
            lines.held.popleft()
    return cells, n_lines, ""


def _texts(raw: bytes, lines: _Lines) -> Iterator[str]:
    for line in chain([raw], lines.ahead()):
        yield line.decode("utf-8", "surrogateescape")


def smi_rows(path: str, stream: IO[bytes]) -> Iterator[Fields]:
    """Records of smi: a SMILES, with its CXSMILES extension if it has one, and what follows as identifier."""
    number = 0
    try:
        for number, raw in enumerate(stream, start=1):
            text = raw.decode("utf-8", "surrogateescape").strip(_BLANKS)
            smiles, _, rest = text.partition(" ")
            if "\t" in smiles:
                smiles = smiles.partition("\t")[0]
                rest = text[len(smiles) + 1 :]
            if rest.lstrip(_BLANKS).startswith("|"):
                smiles, rest = _with_extension(text, smiles)
            if smiles:
                cells = smiles, rest.strip(_BLANKS)
                yield number, number, cells, "", "" if text.isascii() else spoiled(SMI_HEADER, cells)
            else:
                yield number, number, (), EMPTY_LINE, ""
    except DAMAGED as problem:
        raise damaged(path, number, problem) from problem


def _with_extension(text: str, smiles: str) -> tuple[str, str]:
    """SMILES with its CXSMILES block, which is up to the next bar, and what follows."""
    start = text.index("|", len(smiles))
    end = text.find("|", start + 1)
    if end < 0:
        # Cut off: it goes with the SMILES, so that it is seen.
        return text, ""
    return text[: end + 1], text[end + 1 :]
