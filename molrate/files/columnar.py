"""Records of Parquet files, read by Arrow: an index that pandas wrote is a column like any other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from molrate.errors import InputError
from molrate.files.formats import Fields, Records, damaged

POSITIONS = "__index_level_0__"
"""Name that pandas gives to an index without one."""


def open_parquet(path: str) -> pq.ParquetFile:
    """Open a Parquet file, whose pages are compared with their checksums where they have them.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        # A damaged page may decode, to other molecules.
        return pq.ParquetFile(path, page_checksum_verification=True)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file: {error}") from error


def parquet_records(path: str, tell_share: Callable[[Callable[[], float]], None] | None) -> Records:
    """Header and records; columns that are not chosen are not read."""
    file = open_parquet(path)
    names = file.schema_arrow.names
    ranges = index_ranges(file.schema_arrow, file.metadata.num_rows)
    header = (*names, *ranges)
    position, n_rows = [0], max(1, file.metadata.num_rows)
    if tell_share is not None:
        tell_share(lambda: position[0] / n_rows)
    chosen: list[int] = list(range(len(header)))

    def rows() -> Iterator[Fields]:
        number = 0
        # Without a column of the file a batch would not tell how many rows it has.
        wanted = [place for place in chosen if place < len(names)] or [0]
        everything = len(wanted) == len(names)
        try:
            for batch in file.iter_batches(
                columns=None if everything else [names[place] for place in wanted]
            ):
                columns: list[Sequence[str]] = [[""] * len(batch)] * len(names)
                for place in wanted:
                    columns[place] = texts(batch.column(place if everything else names[place]))
                columns += [list(map(str, span[number : number + len(batch)])) for span in ranges.values()]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, 0, cells, "", ""
                position[0] = number
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, number, error) from error

    def choose(places: Sequence[int]) -> None:
        chosen[:] = sorted(set(places))

    return Records(path, header, rows(), index_names(file.schema_arrow, ranges), choose=choose)


def index_ranges(schema: pa.Schema, n_rows: int) -> dict[str, range]:
    """Index of a pandas frame that is a range and no column of the file, by name.

    An index that has a name was set, and one that does not count rows from 0 was filtered: other data may be
    joined by either.
    """
    ranges = {}
    for level in pandas_index(schema):
        if isinstance(level, dict) and level.get("kind") == "range":
            span, name = range(level["start"], level["stop"], level["step"]), level.get("name")
            if len(span) == n_rows and (name is not None or (span.start, span.step) != (0, 1)):
                ranges[POSITIONS if name is None else str(name)] = span
    return {name: span for name, span in ranges.items() if name not in schema.names}


def index_names(schema: pa.Schema, ranges: Mapping[str, range]) -> tuple[str, ...]:
    """Names of the columns that were the index of a pandas frame."""
    return (*(level for level in pandas_index(schema) if isinstance(level, str)), *ranges)


def pandas_index(schema: pa.Schema) -> list[Any]:
    """What pandas says of the index in a schema: names of columns, or a range as its start, stop and step."""
    try:
        described = json.loads((schema.metadata or {})[b"pandas"])
        return list(described["index_columns"])
    except (KeyError, ValueError, TypeError):
        return []


def texts(column: pa.Array | pa.ChunkedArray) -> list[str]:
    """Cells as text: of numbers all digits, of binary cells their text, nothing of null."""
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast("binary").to_pylist()
    return [text_of(value) for value in values]


def text_of(value: object) -> str:
    """A value as text.

    >>> [text_of(value) for value in (None, b"CCO", 9007199254740993, 0.1)]
    ['', 'CCO', '9007199254740993', '0.1']
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)
