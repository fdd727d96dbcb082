"""Libraries of any size, read as chunks of rows; a row that cannot be read is a row with the reason.

A row is a line of text (below the header of csv and tsv), a record of an SDF, or a row of Parquet, so that
row numbers are those an editor shows. Fields that hold line breaks are therefore not supported in text
formats: their lines are reported.
"""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import os
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from molrate.errors import InputError, UsageError
from molrate.files.output import MANIFEST, PARTS
from molrate.files.tables import SMILES_NAMES

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".tsv", ".smi", ".sdf", ".parquet")
STDIN = "-"

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_ID_NAMES = ("id", "name", "molecule", "mol_id", "compound_id", "chembl_id", "zinc_id")
_READABLE = "csv, tsv, smi and sdf, also as .gz, and parquet"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_RECORD_END = b"$$$$"
_SHOWN = 200
"""Characters of an unreadable line that are repeated in the output."""
_DAMAGED = (EOFError, OSError, zlib.error)


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
        SMILES, or the block of an SDF record.
    error : str
        Why the row cannot be read; empty if it can.
    label : str
        Known activity, where a column of them was named.
    """

    source: str
    number: int
    id: str
    text: str
    error: str
    label: str = ""


_Fields = tuple[int, str, str, str, str]
"""Number, id, text, error and label of a row."""


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
        Of csv, tsv and parquet.
    stdin_format : str
        Of standard input: a suffix of ``FORMATS`` other than ``.parquet``.
    """

    sources: list[str]
    smiles_column: str | None = None
    id_column: str | None = None
    label_column: str | None = None
    stdin_format: str = ".csv"
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
        """The files that paths, folders and globs stand for; folders are searched to any depth.

        Parameters
        ----------
        names : sequence of str
        output : pathlib.Path, optional
            A folder whose files are results; these, and outputs of other runs, are no libraries.
        **options
            Attributes of the library.

        Raises
        ------
        InputError
            If there is none, or a format is unknown.
        UsageError
            If standard input is to be read beside files, or a file twice.
        """
        if STDIN in names and len(names) > 1:
            raise UsageError("standard input (-) is read alone")
        sources = [source for name in names for source in _expand(name, output)]
        times = Counter(Path(source).resolve() for source in sources)
        repeated = next((path for path, count in times.items() if count > 1), None)
        if repeated is not None:
            raise UsageError(f"{repeated} is named twice; its rows would be screened twice")
        return cls(sources, **options)

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
        """All rows in chunks of `size`; the last one has what is left.

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
        if rows:
            yield self._chunk(index, rows)

    def _chunk(self, index: int, rows: list[Row]) -> Chunk:
        return Chunk(index, rows, self.label_column is not None)

    def _rows_of(self, source: str) -> Iterator[Row]:
        suffix = self.stdin_format if source == STDIN else suffix_of(source)
        number = 0
        try:
            parquet = suffix == ".parquet"
            rows = self._parquet_rows(source) if parquet else self._text_rows(source, suffix)
            shown = os.fsencode(source).decode("utf-8", "backslashreplace")
            for number, identifier, text, error, label in rows:
                if suffix != ".sdf" and _CONTROL.search(text):
                    text, error = _escaped(text), error or "contains a control character"
                yield Row(shown, number, _escaped(identifier), text, error, _escaped(label))
        except FileNotFoundError as error:
            raise InputError(f"{source}: no such file") from error
        except _DAMAGED as error:
            raise InputError(f"{source}: damaged or cut off after row {number}: {error}") from error

    def _text_rows(self, source: str, suffix: str) -> Iterator[_Fields]:
        if self.label_column is not None and suffix not in _SEPARATORS:
            raise InputError(f"{source}: {suffix} has no column {self.label_column!r} (--label-column)")
        with self._open(source) as stream:
            if suffix == ".smi":
                yield from _smi_rows(stream)
            elif suffix == ".sdf":
                yield from _sdf_rows(stream)
            else:
                yield from self._separated_rows(source, stream, _SEPARATORS[suffix])

    @contextmanager
    def _open(self, source: str) -> Iterator[IO[bytes]]:
        if source == STDIN:
            yield sys.stdin.buffer
            return
        with Path(source).open("rb") as file:
            size = max(1, Path(source).stat().st_size)
            self._share_of_file = lambda: file.tell() / size
            if source.lower().endswith(".gz"):
                yield cast("IO[bytes]", gzip.GzipFile(fileobj=file))
            else:
                yield file

    def _separated_rows(self, source: str, stream: IO[bytes], separator: str) -> Iterator[_Fields]:
        header, error = _fields(stream.readline().removeprefix(b"\xef\xbb\xbf"), separator)
        if error:
            raise InputError(f"{source}: its header cannot be read: {error}")
        columns = self._columns(source, header)
        for number, line in enumerate(stream, start=1):
            fields, error = _fields(line, separator)
            if not error and len(fields) != len(header):
                error = f"{len(fields)} fields where the header has {len(header)}"
            if error:
                yield number, "", _shown(line), error, ""
            else:
                smiles, identifier, label = (
                    "" if column is None else fields[column].strip() for column in columns
                )
                yield number, identifier, smiles, "", label

    def _parquet_rows(self, source: str) -> Iterator[_Fields]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            # A damaged page may decode, to other molecules.
            file = pq.ParquetFile(source, page_checksum_verification=True)
        except pa.ArrowInvalid as error:
            raise InputError(f"{source}: not a Parquet file: {error}") from error
        header = file.schema_arrow.names
        if len(set(header)) < len(header):
            raise InputError(f"{source}: two of its columns have one name: {', '.join(header)}")
        names = [None if column is None else header[column] for column in self._columns(source, header)]
        number, n_rows = 0, max(1, file.metadata.num_rows)
        self._share_of_file = lambda: number / n_rows
        try:
            for batch in file.iter_batches(columns=[name for name in names if name is not None]):
                columns = (
                    [""] * len(batch) if name is None else _strings(batch.column(name)) for name in names
                )
                for smiles, identifier, label in zip(*columns, strict=True):
                    number += 1
                    yield number, identifier, smiles, "", label
        except pa.ArrowException as error:
            raise InputError(f"{source}: damaged after row {number}: {error}") from error

    def _columns(self, source: str, header: Sequence[str]) -> tuple[int, int | None, int | None]:
        """Where SMILES, identifiers and labels stand.

        Raises
        ------
        InputError
            If a column is not there.
        """
        smiles = _find(source, header, self.smiles_column, SMILES_NAMES, "--smiles-column")
        if smiles is None:
            raise InputError(
                f"{source}: no SMILES column found; its columns are {', '.join(header)}. "
                "Name it with --smiles-column"
            )
        identifier = _find(source, header, self.id_column, _ID_NAMES, "--id-column")
        return smiles, identifier, _find(source, header, self.label_column, (), "--label-column")


def _strings(column: pa.Array) -> list[str]:
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast("binary").to_pylist()
    return [_string(value).strip() for value in values]


def _string(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _escaped(text: str) -> str:
    """Text without characters that would tear a line of the output."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def suffix_of(source: str) -> str:
    """Suffix that tells the format, in lower case and without ``.gz``."""
    name = source.lower().removesuffix(".gz")
    return Path(name).suffix


def _expand(name: str, output: Path | None) -> list[str]:
    """Files that a path, folder or glob stands for.

    Raises
    ------
    InputError
        If there is none, or its format is unknown.
    """
    if name == STDIN:
        return [name]
    path = Path(name)
    if path.is_dir():
        found = sorted(
            str(one)
            for one in path.rglob("*")
            if one.is_file() and _is_readable(str(one)) and not _is_result(one, path, output)
        )
        if not found:
            raise InputError(f"{name}: no library in this folder; molrate reads {_READABLE}")
        return found
    if not path.exists() and glob.has_magic(name):
        found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute one)
        if not found:
            raise InputError(f"{name}: no file matches")
        return [one for match in found for one in _expand(match, output)]
    if not path.exists():
        raise InputError(f"{name}: no such file or folder")
    if not _is_readable(name):
        raise InputError(f"{name}: unknown format; molrate reads {_READABLE}")
    return [name]


def _is_readable(name: str) -> bool:
    """Whether a file's name has an ending that is read; Parquet is compressed within."""
    return suffix_of(name) in FORMATS and not name.lower().endswith(".parquet.gz")


def _is_result(path: Path, root: Path, output: Path | None) -> bool:
    """Whether a file below a folder is of the output to be written, or of another run's."""
    between = path.parents[: path.parents.index(root)]
    if output is not None and output.resolve() in (path.resolve(), *path.resolve().parents):
        return True
    return any((folder / MANIFEST).is_file() and (folder / PARTS).is_dir() for folder in between)


def _find(
    source: str, header: Sequence[str], wanted: str | None, usual: Sequence[str], option: str
) -> int | None:
    if wanted is not None:
        if wanted not in header:
            raise InputError(
                f"{source}: no column {wanted!r} ({option}); its columns are {', '.join(header)}"
            )
        return list(header).index(wanted)
    lowered = [name.strip().casefold() for name in header]
    return next((lowered.index(name) for name in usual if name in lowered), None)


def _decoded(line: bytes) -> tuple[str, str]:
    """A line as text, and what is wrong with it."""
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return "", f"not UTF-8 text (byte {line[error.start]:#04x} at {error.start + 1})"
    if "\0" in text:
        return "", "contains a NUL character"
    if "\r" in text:
        return "", "contains a carriage return within the line"
    return text, "" if text.strip() else "empty line"


def _fields(line: bytes, separator: str) -> tuple[list[str], str]:
    text, error = _decoded(line)
    if error or '"' not in text:
        return text.split(separator), error
    try:
        return next(csv.reader([text], delimiter=separator, strict=True)), ""
    except csv.Error as problem:
        return [], f"quotes: {problem}"


def _shown(line: bytes) -> str:
    """What can be shown of a line that cannot be read."""
    return _escaped(line.decode("utf-8", "backslashreplace").rstrip("\r\n"))[:_SHOWN]


def _smi_rows(stream: IO[bytes]) -> Iterator[_Fields]:
    for number, line in enumerate(stream, start=1):
        text, error = _decoded(line)
        if error:
            yield number, "", _shown(line), error, ""
        else:
            smiles, *rest = text.split(None, 1)
            yield number, rest[0].strip() if rest else "", smiles, "", ""


def _sdf_rows(stream: IO[bytes]) -> Iterator[_Fields]:
    """Records up to and with their end mark; the rest of the file, unless blank, is a record without."""
    lines: list[bytes] = []
    number = 0
    for line in stream:
        if line.rstrip() == _RECORD_END:
            number += 1
            yield _record(number, lines)
            lines = []
        else:
            lines.append(line)
    if any(line.strip() for line in lines):
        yield _record(number + 1, lines)


def _record(number: int, lines: list[bytes]) -> _Fields:
    decoded = [_decoded(line) for line in lines]
    error = next((error for _, error in decoded if error and error != "empty line"), "")
    if error:
        return number, "", "", error, ""
    texts = [text for text, _ in decoded]
    if not any(texts):
        return number, "", "", "empty record", ""
    return number, texts[0].strip(), "\n".join(texts) + "\n", "", ""
