"""Records of SDF files: a structure, a title, and data fields as columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, NamedTuple

from molrate.errors import InputError
from molrate.files.columns import ID_NAMES, usual
from molrate.files.formats import DAMAGED, Fields
from molrate.files.text import spoiled, utf_8

FIELDS_SEEN_WITHIN = 1000
"""Records among which a field that is asked for must first occur."""

_RECORD_END, _STRUCTURE_END = b"$$$$", b"M  END"
_FIELD = re.compile(rb">[^<]*<(.*)>")
"""A name goes up to the last bracket of its line, as RDKit reads it; a number may follow."""

_HEAD = ("title", "program line", "comment")
"""Lines above the structure itself."""

_Key = tuple[str, int]
"""Name of a data field, and how many of that name stand before it in the record."""


class _Part(NamedTuple):
    """A record.

    Attributes
    ----------
    number, line : int
    structure, identifier : str
    fields : dict of _Key to str
    error : str
        What is wrong; empty if nothing is.
    remark : str
        Which of its lines have bytes that are not UTF-8.
    """

    number: int
    line: int
    structure: str
    identifier: str
    fields: dict[_Key, str]
    error: str = ""
    remark: str = ""


def sdf_rows(
    path: str, stream: IO[bytes], fields: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Iterator[Fields]]:
    """Header and records of an SDF, of V2000 or V3000.

    The first two columns are the structure, as its block, and the identifier: the title, or where that is
    blank the first data field of a usual name. They are called ``smiles`` and ``id``, unless fields have
    these names, and then ``structure`` and ``title``.

    Parameters
    ----------
    path : str
        For messages.
    stream : binary file
    fields : sequence of str, optional
        Data fields that follow; by default all, in the order in which they first occur, and as often as
        records have them. A record that has one of the fields asked for twice cannot be read.

    Raises
    ------
    InputError
        If none of the first ``FIELDS_SEEN_WITHIN`` records has one of the fields that were asked for.
    """
    parts = _records(path, stream)
    ahead: list[_Part] = []
    if fields is None:
        ahead = list(parts)
        keys = list(dict.fromkeys(key for part in ahead for key in part.fields))
    else:
        keys = [(name.strip(), 0) for name in fields]
        _look_for(path, keys, parts, ahead)
    names = [name for name, _ in keys]
    header = ("structure" if "smiles" in names else "smiles", "title" if "id" in names else "id", *names)
    return header, _rows(chain(ahead, parts), keys)


def _look_for(path: str, keys: Sequence[_Key], parts: Iterator[_Part], ahead: list[_Part]) -> None:
    """Read records until every field was seen."""
    missing = set(keys)
    while missing and len(ahead) < FIELDS_SEEN_WITHIN:
        part = next(parts, None)
        if part is None:
            break
        ahead.append(part)
        missing -= part.fields.keys()
    if missing:
        seen = ", ".join(dict.fromkeys(name for part in ahead for name, _ in part.fields)) or "none"
        raise InputError(
            f"{path}: its first {len(ahead)} records have no data field "
            f"{', '.join(repr(name) for name, _ in sorted(missing))}; their fields are {seen}"
        )


def _rows(parts: Iterable[_Part], keys: Sequence[_Key]) -> Iterator[Fields]:
    known = set(keys)
    for part in parts:
        again = [(name, n + 1) for name, n in keys if (name, n + 1) in part.fields]
        twice = next((name for name, n in again if (name, n) not in known), None)
        error = part.error if twice is None else f"two data fields are named {twice}; rename one"
        if error:
            yield part.number, part.line, (), error, part.structure.split("\n", 1)[0]
            continue
        texts = [part.fields.get(key, "") for key in keys]
        yield part.number, part.line, (part.structure, part.identifier, *texts), "", part.remark


def _records(path: str, stream: IO[bytes]) -> Iterator[_Part]:
    """Records up to and with their end mark; the rest of the file, unless blank, is a record without."""
    lines: list[bytes] = []
    number, first = 0, 1
    try:
        for line_number, line in enumerate(stream, start=1):
            if line.rstrip() == _RECORD_END:
                number += 1
                yield _part(number, first, lines)
                lines, first = [], line_number + 1
            else:
                lines.append(line)
    except DAMAGED as problem:
        raise InputError(f"{path}: damaged or cut off after row {number}: {problem}") from problem
    if any(line.strip() for line in lines):
        yield _part(number + 1, first, lines)


def _part(number: int, first: int, lines: list[bytes]) -> _Part:
    end = next((place for place, line in enumerate(lines) if line.startswith(_STRUCTURE_END)), None)
    if end is None:
        # Without its end mark a structure goes up to the first data field.
        end = next((place for place, line in enumerate(lines) if _FIELD.match(line)), len(lines)) - 1
    if not any(line.strip() for line in lines[: end + 1]):
        return _Part(number, first, "", "", {}, "empty record")
    n_head = min(len(_HEAD), end + 1)
    head = [_text([line]) for line in lines[:n_head]]
    structure = utf_8("".join(head)) + _text(lines[n_head : end + 1])
    fields = _data_fields(lines[end + 1 :])
    title = structure.split("\n", 1)[0].strip()
    remark = spoiled((*_HEAD[:n_head], *(name for name, _ in fields)), (*head, *fields.values()))
    return _Part(number, first, structure, title or _usual_id(fields), fields, remark=remark)


def _data_fields(lines: Sequence[bytes]) -> dict[_Key, str]:
    """Values by name; a value is the lines up to a blank one or the next name."""
    fields: dict[_Key, list[bytes]] = {}
    value: list[bytes] | None = None
    for line in lines:
        match = _FIELD.match(line)
        if match is not None:
            name = utf_8(_text([match[1]]).strip())
            n_before = next(n for n in range(len(fields) + 1) if (name, n) not in fields)
            value = fields[name, n_before] = []
        elif not line.strip():
            value = None
        elif value is not None:
            value.append(line)
    return {key: _text(lines).strip("\n") for key, lines in fields.items()}


def _usual_id(fields: dict[_Key, str]) -> str:
    """The first value of the first usual name that has one."""
    named: dict[str, str] = {}
    for (name, _), value in fields.items():
        if value.strip():
            named.setdefault(usual(name), value.strip())
    return next((named[name] for name in ID_NAMES if name in named), "")


def _text(lines: Sequence[bytes]) -> str:
    r"""Lines as text with ``\n`` between them, bytes that are not UTF-8 as lone surrogates."""
    return "".join(line.rstrip(b"\r\n").decode("utf-8", "surrogateescape") + "\n" for line in lines)
