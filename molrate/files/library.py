"""Libraries of any size, read as chunks of rows; a row that cannot be read is a row with the reason."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from molrate.errors import InputError, UsageError
from molrate.files.columns import find_column, find_id
from molrate.files.formats import STDIN, Fields, Records, required_format, shown_path
from molrate.files.records import open_records
from molrate.files.sources import Sources
from molrate.files.tables import Table, smiles_place
from molrate.files.text import not_utf_8, visible

logger = logging.getLogger(__name__)

_NAMED = 10
"""Files that are passed over and named in a warning."""


class Row(NamedTuple):
    """One row of a library.

    Attributes
    ----------
    source : str
        File it stands in.
    number : int
        From 1 in each file.
    id : str
    text : str
        SMILES, or the block of an SDF record; of a row that cannot be read, what stands for it.
    error : str
        Why the row cannot be read; empty if it can.
    label : str
        Known activity, where a column of them was named.
    note : str
        What of it was lost.
    structure : bool
        Whether the text is the block of an SDF record.
    """

    source: str
    number: int
    id: str
    text: str
    error: str
    label: str = ""
    note: str = ""
    structure: bool = False


@dataclass(frozen=True)
class Places:
    """Where the columns of a row stand in a header.

    Attributes
    ----------
    smiles : int
    id, label : int, optional
    structures : bool
        Whether the molecules are blocks of an SDF.
    """

    smiles: int
    id: int | None
    label: int | None
    structures: bool

    @classmethod
    def find(
        cls,
        records: Records | Table,
        smiles_column: str | None,
        id_column: str | None,
        label_column: str | None = None,
    ) -> Places:
        """Places by usual names, or by the ones given.

        Raises
        ------
        InputError
            If a column is not there, or there are two of the same name.
        """
        header, source = records.header, records.source
        smiles = smiles_place(header, source, records.structures, smiles_column)
        identifier = 1 if records.structures and id_column is None else find_id(header, source, id_column)
        label = None
        if label_column is not None:
            label = find_column(header, label_column, source, "--label-column")
        return cls(smiles, identifier, label, records.structures)

    def rows(self, shown: str, records: Iterator[Fields]) -> Iterator[Row]:
        """Rows of a file's records."""
        smiles, identifier, label, structures = self.smiles, self.id, self.label, self.structures
        # A named tuple's own constructor takes twice the time, of each row.
        new = tuple.__new__
        for number, line, cells, error, remark in records:
            if error:
                where = f" (line {line})" if line and line != number else ""
                yield new(Row, (shown, number, "", remark, error + where, "", "", False))
                continue
            text = cells[smiles] if structures else cells[smiles].strip()
            name = "" if identifier is None else cells[identifier].strip()
            known = "" if label is None else visible(cells[label].strip())
            if not text.isprintable():
                error = "" if structures else not_utf_8(text)
                text = visible(text) if error else text
            yield new(
                Row, (shown, number, visible(name), text, error, known, "" if error else remark, structures)
            )


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows, a unit of work.

    Attributes
    ----------
    index : int
        From 0.
    rows : list of Row
    labelled : bool
        Whether rows are to have labels.
    """

    index: int
    rows: list[Row]
    labelled: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of all that the rows hold."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update("\x1f".join(map(str, row)).encode("utf-8", "surrogateescape") + b"\x1e")
        return digest.hexdigest()


@dataclass
class Library:
    """Files of molecules, in the order they are read.

    Attributes
    ----------
    sources : list of str
        Paths, or ``-`` for standard input.
    smiles_column, id_column : str, optional
        Found by their usual names if not given.
    label_column : str, optional
    input_format : {"csv", "tsv", "smi", "sdf"}
        Of standard input.
    passed_over : list of str
        What was in the folders and is not read, with the reason.
    """

    sources: list[str]
    smiles_column: str | None = None
    id_column: str | None = None
    label_column: str | None = None
    input_format: str = "csv"
    passed_over: list[str] = field(default_factory=list)
    _n_read: int = field(default=0, init=False, repr=False)
    _share_of_file: Callable[[], float] = field(default=lambda: 0.0, init=False, repr=False)

    @property
    def share_read(self) -> float | None:
        """How much of all files has been read, by their sizes on disk; None of standard input."""
        if STDIN in self.sources:
            return None
        sizes = [Path(source).stat().st_size for source in self.sources]
        read = sum(sizes[: self._n_read])
        if self._n_read < len(sizes):
            read += round(sizes[self._n_read] * self._share_of_file())
        return read / max(1, sum(sizes))

    @classmethod
    def find(cls, names: Sequence[str], output: Path | None = None, **options: Any) -> Library:
        """The files that paths, folders and globs stand for.

        Folders are searched to any depth, in natural order of names. Hidden files, results of other runs and
        links to folders are not read, and results that a pattern matches neither; what is not read is said in
        a warning, hidden files aside.

        Parameters
        ----------
        names : sequence of str
        output : pathlib.Path, optional
            A folder or a file of results.
        **options
            Attributes of the library.

        Raises
        ------
        InputError
            If there is none, or a format is unknown.
        UsageError
            If standard input is to be read beside files, a file twice, or one that is the output.
        """
        if STDIN in names and len(names) > 1:
            raise UsageError("standard input (-) is read alone")
        found = Sources(output)
        sources = [source for name in names for source in found.find(name)]
        passed_over = found.passed_over
        times = Counter(Path(source).resolve() for source in sources)
        repeated = next((path for path, count in times.items() if count > 1), None)
        if repeated is not None:
            raise UsageError(f"{repeated} is named twice; its rows would be read twice")
        if passed_over:
            more = f" and {len(passed_over) - _NAMED} more" if len(passed_over) > _NAMED else ""
            logger.warning("not read: %s%s", ", ".join(passed_over[:_NAMED]), more)
        return cls(sources, passed_over=passed_over, **options)

    def rows(self) -> Iterator[Row]:
        """All rows in order.

        Raises
        ------
        InputError
            If a file is missing or damaged, or has no column of SMILES.
        """
        self._n_read = 0
        for source in self.sources:
            self._share_of_file = lambda: 0.0
            yield from self._rows_of(source)
            self._n_read += 1

    def chunks(self, size: int, broken: bool = False) -> Iterator[Chunk]:
        """All rows in chunks of `size`; the last one has what is left, the only one none if there is no row.

        Parameters
        ----------
        size : int
        broken : bool
            Where reading fails, give the rows before as a chunk, which is shorter than it would have been.

        Raises
        ------
        InputError
            If reading fails.
        """
        index, rows = 0, list[Row]()
        try:
            for row in self.rows():
                rows.append(row)
                if len(rows) == size:
                    yield self._chunk(index, rows)
                    index, rows = index + 1, []
        except InputError:
            if broken and rows:
                yield self._chunk(index, rows)
            raise
        if rows or index == 0:
            yield self._chunk(index, rows)

    def _chunk(self, index: int, rows: list[Row]) -> Chunk:
        return Chunk(index, rows, self.label_column is not None)

    def _rows_of(self, source: str) -> Iterator[Row]:
        form = required_format(source, self.input_format)
        fields = [name for name in (self.id_column, self.label_column) if name is not None]

        def keep(share: Callable[[], float]) -> None:
            self._share_of_file = share

        with open_records(source, form, fields, keep) as records:
            places = Places.find(records, self.smiles_column, self.id_column, self.label_column)
            if records.choose is not None:
                chosen = (places.smiles, places.id, places.label)
                records.choose([place for place in chosen if place is not None])
            yield from places.rows(shown_path(source), records.rows)
