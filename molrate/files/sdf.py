"""Records of SDF files: a structure, a title, and data fields as columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO

from molrate.errors import InputError
from molrate.files.columns import ID_NAMES, usual
from molrate.files.formats import DAMAGED, Fields
from molrate.files.text import spoiled

FIELDS_SEEN_WITHIN = 1000
"""Records among which a field that is asked for must first occur."""

_RECORD_END, _STRUCTURE_END = b"$$$$", b"M  END"
_FIELD = re.compile(rb">[^<]*<([^>]*)>")

_Parts = tuple[int, int, str, str, dict[str, str], str]
"""Number, line, structure, identifier, data fields and what is wrong."""


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
        Data fields that follow; by default all, in the order in which they first occur.

    Raises
    ------
    InputError
        If none of the first ``FIELDS_SEEN_WITHIN`` records has one of the fields that were asked for.
    """
    parts = _records(path, stream)
    ahead: list[_Parts] = []
    if fields is None:
        ahead = list(parts)
        names = list(dict.fromkeys(name for part in ahead for name in part[4]))
    else:
        names = [name.strip() for name in fields]
        _look_for(path, names, parts, ahead)
    header = ("structure" if "smiles" in names else "smiles", "title" if "id" in names else "id", *names)
    return header, _rows(chain(ahead, parts), names)


def _look_for(path: str, names: Sequence[str], parts: Iterator[_Parts], ahead: list[_Parts]) -> None:
    """Read records until every field was seen."""
    missing = set(names)
    while missing and len(ahead) < FIELDS_SEEN_WITHIN:
        part = next(parts, None)
        if part is None:
            break
        ahead.append(part)
        missing -= part[4].keys()
    if missing:
        seen = ", ".join(dict.fromkeys(name for part in ahead for name in part[4])) or "none"
        raise InputError(
            f"{path}: its first {len(ahead)} records have no data field "
            f"{', '.join(map(repr, sorted(missing)))}; their fields are {seen}"
        )


def _rows(parts: Iterator[_Parts], names: Sequence[str]) -> Iterator[Fields]:
    for number, line, structure, identifier, values, error in parts:
        if error:
            yield number, line, (), error, ""
            continue
        texts = [values.get(name, "") for name in names]
        yield number, line, (structure, identifier, *texts), "", spoiled(list(values), list(values.values()))


def _records(path: str, stream: IO[bytes]) -> Iterator[_Parts]:
    """Records up to and with their end mark; the rest of the file, unless blank, is a record without."""
    lines: list[bytes] = []
    number, first = 0, 1
    try:
        for line_number, line in enumerate(stream, start=1):
            if line.rstrip() == _RECORD_END:
                number += 1
                yield number, first, *_parts(lines)
                lines, first = [], line_number + 1
            else:
                lines.append(line)
    except DAMAGED as problem:
        raise InputError(f"{path}: damaged or cut off after row {number}: {problem}") from problem
    if any(line.strip() for line in lines):
        yield number + 1, first, *_parts(lines)


def _parts(lines: list[bytes]) -> tuple[str, str, dict[str, str], str]:
    end = next((place for place, line in enumerate(lines) if line.startswith(_STRUCTURE_END)), None)
    if end is None:
        # Without its end mark a structure goes up to the first data field.
        end = next((place for place, line in enumerate(lines) if _FIELD.match(line)), len(lines)) - 1
    if not any(line.strip() for line in lines[: end + 1]):
        return "", "", {}, "empty record"
    structure = _text(lines[: end + 1])
    fields = _data_fields(lines[end + 1 :])
    title = structure.split("\n", 1)[0].strip()
    return structure, title or _usual_id(fields), fields, ""


def _data_fields(lines: Sequence[bytes]) -> dict[str, str]:
    """Values by name; a value is the lines up to a blank one or the next name."""
    fields: dict[str, list[bytes]] = {}
    value: list[bytes] | None = None
    for line in lines:
        match = _FIELD.match(line)
        if match is not None:
            value = fields[_text([match[1]]).strip()] = []
        elif not line.strip():
            value = None
        elif value is not None:
            value.append(line)
    return {name: _text(lines).strip("\n") for name, lines in fields.items()}


def _usual_id(fields: dict[str, str]) -> str:
    named = {usual(name): value for name, value in fields.items()}
    return next((named[name].strip() for name in ID_NAMES if named.get(name, "").strip()), "")


def _text(lines: Sequence[bytes]) -> str:
    r"""Lines as text with ``\n`` between them, bytes that are not UTF-8 as lone surrogates."""
    return "".join(line.rstrip(b"\r\n").decode("utf-8", "surrogateescape") + "\n" for line in lines)
