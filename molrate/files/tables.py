"""Tables held in memory: the records of one file, or columns that are there already."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.errors import InputError
from molrate.files.columns import find_column, find_smiles
from molrate.files.formats import EMPTY_LINE, NO_ARCHIVE, Fields, Format, damaged, required_format
from molrate.files.records import open_records
from molrate.files.text import utf_8

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """Records with their header.

    Attributes
    ----------
    source : str
        Where they are from, for messages.
    header : tuple of str
        Names of columns, unchanged; two may be equal.
    records : list of Fields
        In order; an empty line is a record without values.
    structures : bool
        Whether the first column holds blocks of an SDF in place of SMILES.
    index : tuple of str
        Columns that were the index of a pandas frame.
    arrow : pyarrow.Table, optional
        The columns with the types they have in a Parquet file.

    Examples
    --------
    >>> table = Table.from_columns({"smiles": ["C", "CC"], "y": [1, None]})
    >>> table.column("y")
    ['1', '']
    """

    source: str
    header: tuple[str, ...]
    records: list[Fields] = field(repr=False)
    structures: bool = False
    index: tuple[str, ...] = ()
    arrow: pa.Table | None = field(default=None, repr=False)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[object]], source: str = "table") -> Table:
        """A table of columns by name, each a sequence of equally many values.

        Raises
        ------
        InputError
            If they are not equally many.
        """
        from molrate.files.columnar import text_of

        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InputError(f"{source}: columns of unequal length: {shown}")
        rows = zip(*(map(text_of, column) for column in columns.values()), strict=True)
        records: list[Fields] = [(number, 0, cells, "", "") for number, cells in enumerate(rows, start=1)]
        return cls(source, tuple(columns), records)

    def __len__(self) -> int:
        return len(self.records)

    def column(self, name: str, option: str = "column") -> list[str]:
        """Cells of the column of that name, without the blanks around them.

        Raises
        ------
        InputError
            If there is none, or more than one.
        """
        return self.cells(find_column(self.header, name, self.source, option))

    def cells(self, place: int) -> list[str]:
        """Cells of the column at a place of the header, without the blanks around them.

        Blocks of an SDF stay as they are: their first line may be blank.
        """
        if self.structures and place == 0:
            return [cells[0] if cells else "" for _, _, cells, _, _ in self.records]
        return [utf_8(cells[place].strip()) if cells else "" for _, _, cells, _, _ in self.records]

    def smiles_place(self, smiles_column: str | None = None, option: str = "--smiles-column") -> int:
        """Place of the SMILES: the column that the option names, else the first of a usual name.

        Raises
        ------
        InputError
            If there is none, or more than one.
        """
        return smiles_place(self.header, self.source, self.structures, smiles_column, option)


def smiles_place(
    header: Sequence[str],
    source: str,
    structures: bool,
    smiles_column: str | None = None,
    option: str = "--smiles-column",
) -> int:
    """Place of the molecules in a header; of an SDF they are its structures.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    if not structures:
        return find_smiles(header, source, smiles_column, option)
    if smiles_column not in (None, header[0]):
        raise InputError(
            f"{source}: the molecules of an SDF are its structures, not a field {smiles_column!r} ({option})"
        )
    return 0


def read_table(path: str | Path, input_format: str = "csv", *, keep_unreadable: bool = False) -> Table:
    """Read a whole file.

    Parameters
    ----------
    path : str or pathlib.Path
        See :mod:`molrate.files.formats`; ``-`` is standard input.
    input_format : {"csv", "tsv", "smi", "sdf"}
        Of standard input.
    keep_unreadable : bool
        Whether records that cannot be read stay, with their reason; otherwise they end the reading.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged or of an unknown format, or a record cannot be read; the
        message names its row and line.
    """
    path = str(path)
    form = required_format(path, input_format)
    table = _read_columns(path) if form.name == "parquet" else _read_records(path, form)
    if not table.records:
        raise InputError(f"{path}: the table has no rows")
    if not keep_unreadable:
        check_records(path, table.records)
    remarks = [(record[0], record[4]) for record in table.records if record[4] and not record[3]]
    if remarks:
        number, remark = remarks[0]
        logger.warning(
            "%s: %d row%s with bytes that are not UTF-8, the first row %d: %s",
            path, len(remarks), "s" if len(remarks) > 1 else "", number, remark,
        )  # fmt: skip
    return table


def _read_records(path: str, form: Format) -> Table:
    with open_records(path, form) as records:
        return Table(path, records.header, list(records.rows), records.structures, records.index)


def _read_columns(path: str) -> Table:
    """A Parquet file with the types of its columns; an index that pandas set or filtered is a column, too."""
    import pyarrow as pa

    from molrate.files.columnar import index_names, index_ranges, open_parquet, texts

    try:
        arrow = open_parquet(path).read()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, 0, error) from error
    ranges = index_ranges(arrow.schema, arrow.num_rows)
    columns = [texts(column) for column in arrow.columns]
    columns += [list(map(str, span)) for span in ranges.values()]
    rows = zip(*columns, strict=True) if columns else ()
    records: list[Fields] = [(number, 0, cells, "", "") for number, cells in enumerate(rows, start=1)]
    header = (*arrow.column_names, *ranges)
    return Table(path, header, records, index=index_names(arrow.schema, ranges), arrow=arrow)


def has_column(path: str | Path, name: str) -> bool:
    """Whether a file's header has a column of that name; of an SDF, no field is one.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with open_records(str(path), required_format(path), fields=()) as records:
        return name.strip() in map(str.strip, records.header)


def check_records(source: str, records: Sequence[Fields]) -> None:
    """Refuse records of which one cannot be read; empty lines are rows without values.

    Raises
    ------
    InputError
        If there is one.
    """
    unread = [record for record in records if record[3] not in ("", EMPTY_LINE)]
    if unread:
        number, line, _, error, shown = unread[0]
        where = f"row {number}" + (f" (line {line})" if line else "")
        more = f"; {len(unread) - 1} more rows cannot be read" if len(unread) > 1 else ""
        what = f": {shown!r}" if shown else ""
        raise InputError(f"{source}: {where}: {error}{what}{more}. Correct the file")


def read_arrays(path: str | Path, option: str) -> dict[str, Any]:
    """Arrays of an ``.npz`` file by name.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (*NO_ARCHIVE, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as an .npz of arrays ({option}): {error}") from error
