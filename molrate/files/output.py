"""Tables in and out, their format told by the suffix."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.errors import InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

PARTS, MANIFEST = "parts", "manifest.json"
"""Subfolder of the files of an output in parts, and the record of them."""


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
