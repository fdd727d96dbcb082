"""Tables in and out, their format told by the suffix."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.errors import InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

PARTS, MANIFEST = "parts", "manifest.json"
"""Subfolder of the files of an output in parts, and the record of them."""

READABLE = (".csv", ".tsv", ".smi", ".parquet")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def _suffix(path: str | Path) -> str:
    """Suffix that tells the format, without a trailing ``.gz``."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table of molecules.

    Cells of text formats stay text: what is a number and what is missing is for the target to say.

    Parameters
    ----------
    path : str or pathlib.Path
        ``.csv``, ``.tsv``, ``.smi`` (SMILES, then optionally a name, no header) or ``.parquet``, text
        formats also as ``.gz``; ``-`` reads CSV from standard input.

    Raises
    ------
    InputError
        If the file is missing, empty, malformed or of an unknown format; the message names the line
        where the parser can tell it.
    """
    import pandas as pd

    suffix = ".csv" if str(path) == "-" else _suffix(path)
    if suffix not in READABLE:
        known = ", ".join(READABLE)
        raise InputError(f"{path}: unknown table format {suffix!r}; molrate reads {known}, also as .gz")
    try:
        if suffix == ".parquet":
            # A damaged page may decode, to other molecules.
            table = pd.read_parquet(path, page_checksum_verification=True)
        elif suffix == ".smi":
            table = _read_smi(path)
        else:
            source = sys.stdin if str(path) == "-" else path
            table = _read_separated(source, _SEPARATORS[suffix])
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path}: the file is empty; a header line and rows are expected") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except pd.errors.ParserWarning as error:
        raise InputError(f"{path}: the rows have more fields than the header has names") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {str(error).strip()}") from error
    if table.empty:
        raise InputError(f"{path}: the table has no rows")
    return table


def _read_separated(source: Any, separator: str) -> pd.DataFrame:
    import pandas as pd

    if source is not sys.stdin:
        _check_separator(source, separator)
    with warnings.catch_warnings():
        # pandas only warns when it cuts rows that are longer than the header.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # An empty line is a row without values: dropping it would shift the numbers of all rows below.
        return pd.read_csv(
            source, sep=separator, dtype=str, keep_default_na=False, index_col=False, skip_blank_lines=False
        )


def _check_separator(path: str | Path, separator: str) -> None:
    import pandas as pd

    header = pd.read_csv(path, sep=separator, nrows=0, dtype=str).columns
    other = next((mark for mark in (";", "\t", ",", "|") if len(header) == 1 and mark in header[0]), None)
    if other is not None:
        raise ValueError(f"its fields seem to be separated by {other!r}; separate them by {separator!r}")


def _read_smi(path: str | Path) -> pd.DataFrame:
    import gzip

    import pandas as pd

    opener = gzip.open if str(path).lower().endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as stream:
        lines = [line.rstrip("\n").split(None, 1) for line in stream]
    return pd.DataFrame(
        {
            "smiles": [fields[0] if fields else "" for fields in lines],
            "id": [fields[1] if len(fields) > 1 else "" for fields in lines],
        }
    )


class ReaderGoneError(Exception):
    """Whoever reads standard output has what it wanted, as `head` does."""


def write_output(content: bytes) -> None:
    """Write to standard output.

    Raises
    ------
    ReaderGoneError
        If nobody reads it any more.
    InputError
        If it cannot take more, for example because its disk is full.
    """
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python must not try to flush again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError from error
        raise InputError(f"standard output cannot be written: {error.strerror}") from error


def print_result(text: str) -> None:
    """Write a result and a line's end to standard output.

    Raises
    ------
    InputError
        If standard output cannot take it.
    """
    with suppress(ReaderGoneError):
        write_output(text.encode() + b"\n")


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
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as an .npz of arrays ({option}): {error}") from error


def check_output(path: str | Path, formats: tuple[str, ...]) -> Path:
    """Make sure, before any work is done, that a result can be written to `path`.

    Raises
    ------
    UsageError
        If the suffix is not one of `formats`.
    InputError
        If the folder does not exist or cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in formats:
        raise UsageError(f"-o {path}: the suffix must be one of {', '.join(formats)}")
    if not path.parent.is_dir():
        raise InputError(f"-o {path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"-o {path}: cannot be written; choose another place or change its permissions")
    return path


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises
    ------
    InputError
        If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o {path}: the folder cannot be made: {error.strerror}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either the old one or the whole new one, never a part.

    Raises
    ------
    InputError
        If the file system refuses, for example because it is full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_record(path: Path, run: dict[str, Any]) -> None:
    """Write the record of a run beside a format that has no place for it, as ``PATH.run.json``."""
    write_atomically(path.with_name(f"{path.name}.run.json"), (json.dumps(run, indent=2) + "\n").encode())


def parquet_bytes(frame: pd.DataFrame, run: dict[str, Any]) -> bytes:
    """A frame as Parquet, with the record of the run in the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), b"molrate": json.dumps(run).encode()}
    sink = BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return sink.getvalue()
