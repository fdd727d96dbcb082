"""Results: where they go, what their names mean, and how files are written whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.errors import InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

STDOUT = "-"
_COMPRESSIONS = (".gz", ".bz2", ".zst", ".zip")

PARTS, MANIFEST = "parts", "manifest.json"
"""Subfolder of the files of an output in parts, and the record of them."""

MODEL_RECORD = "model.json"
"""Record of a model, in its folder."""


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
        write_output(text.encode("utf-8", "backslashreplace") + b"\n")


@dataclass(frozen=True)
class Destination:
    """Where a result goes.

    Attributes
    ----------
    kind : {"file", "folder", "stdout"}
    path : pathlib.Path
    """

    kind: str
    path: Path

    @property
    def file(self) -> Path | None:
        """The path where the result is one file."""
        return self.path if self.kind == "file" else None


def choose_destination(
    output: str | Path,
    endings: Sequence[str] = (),
    *,
    folder: bool = False,
    stdout: bool = False,
    option: str = "-o",
) -> Destination:
    """Say, before any work is done, what ``-o`` means: a file by its ending, a folder, or standard output.

    Parameters
    ----------
    output : str or pathlib.Path
    endings : sequence of str
        Of the files that a command writes, such as ``.csv`` and ``.csv.gz``.
    folder : bool
        Whether it writes folders; a name without an ending is one, and so is a folder that is there.
    stdout : bool
        Whether it writes to standard output (``-``).
    option : str
        The option that it was given by.

    Returns
    -------
    Destination

    Raises
    ------
    UsageError
        If it is nothing that the command writes.
    InputError
        If the place cannot be written to.

    Examples
    --------
    >>> choose_destination("hits", [".csv"], folder=True).kind
    'folder'
    """
    path = Path(output)
    kinds = [f"a file ({', '.join(endings)})"] * bool(endings)
    kinds += ["a folder (a name without an ending)"] * folder + ["- for standard output"] * stdout
    expected = f"it can be {' or '.join(kinds)}"
    if str(output) == STDOUT:
        if not stdout:
            raise UsageError(f"{option} -: no result goes to standard output; {expected}")
        return Destination("stdout", path)
    ending = "" if str(output).endswith("/") or (folder and path.is_dir()) else _ending(path)
    if ending and any(path.name.lower().endswith(known) for known in endings):
        return Destination("file", _check_file(path, option))
    if not ending and folder:
        return Destination("folder", path)
    wrong = f"{ending} is not written" if ending else "it has no ending"
    raise UsageError(f"{option} {output}: {wrong}; {expected}")


def _ending(path: Path) -> str:
    """What a file's name ends with, if that looks like a format: no number, as in ``run.2``.

    >>> [_ending(Path(name)) for name in ("a.csv.gz", "run-0.5", "v1.final-model", "a.CSV")]
    ['.csv.gz', '', '', '.CSV']
    """
    *before, last = ["", *path.suffixes]
    if not re.fullmatch(r"\.[A-Za-z]\w{0,11}", last):
        return ""
    return before[-1] + last if last.lower() in _COMPRESSIONS and before else last


def _check_file(path: Path, option: str) -> Path:
    """Make sure that a file can be written.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written to.
    """
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(
            f"{option} {path}: cannot be written; choose another place or change its permissions"
        )
    return path


def check_output(path: str | Path, endings: Sequence[str], option: str = "-o") -> Path:
    """Make sure, before any work is done, that a result can be written to the file `path`.

    Parameters
    ----------
    path : str or pathlib.Path
    endings : sequence of str
    option : str
        The option that it was given by.

    Raises
    ------
    UsageError
        If its ending is not one of `endings`.
    InputError
        If the folder does not exist or cannot be written to.
    """
    return choose_destination(path, endings, option=option).path


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


@contextmanager
def written_atomically(path: Path) -> Iterator[Callable[[bytes], None]]:
    """A function that takes the content of a file piece by piece; the file is there once all was taken.

    Content is compressed where the name ends with ``.gz``.

    Raises
    ------
    InputError
        If the file system refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")

    def write(content: bytes) -> None:
        try:
            stream.write(content)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from error

    try:
        with partial.open("wb") as file:
            stream: Any = file
            if path.suffix.lower() == ".gz":
                stream = gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0)
            yield write
            if stream is not file:
                stream.close()
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, compressed where the name ends with ``.gz``; see :func:`write_atomically`.

    Raises
    ------
    InputError
        If the file system refuses.
    """
    write_atomically(path, as_bytes(text, path))


def as_bytes(text: str, path: Path) -> bytes:
    """Text as the bytes of a file of that name; equal texts are equal bytes."""
    content = text.encode("utf-8", "backslashreplace")
    return gzip.compress(content, mtime=0) if path.suffix.lower() == ".gz" else content


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

    return arrow_bytes(pa.Table.from_pandas(frame, preserve_index=False), run)


def arrow_bytes(table: pa.Table, run: dict[str, Any]) -> bytes:
    """An Arrow table as Parquet, with the record of the run in the metadata."""
    import pyarrow.parquet as pq

    metadata = {**(table.schema.metadata or {}), b"molrate": json.dumps(run).encode()}
    sink = BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return sink.getvalue()
