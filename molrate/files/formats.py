"""File formats of rows: which there are, how a name tells them, and how their bytes are opened."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from molrate.errors import InputError

STDIN = "-"

TEXT_FORMATS = ("csv", "tsv", "smi", "sdf")
FORMATS = (*TEXT_FORMATS, "parquet", "xlsx")
COMPRESSIONS = ("gz", "bz2", "zst", "zip")
READABLE = "csv, tsv, smi and sdf, also as .gz, .bz2, .zst or .zip; parquet and xlsx"

DAMAGED = (EOFError, OSError, zlib.error, zipfile.BadZipFile, lzma.LZMAError)
"""What the libraries raise that read damaged or cut-off files."""

NO_ARCHIVE = (*DAMAGED, ValueError, RuntimeError)
"""What besides is raised of archives of arrays or sheets: of other content, and (RuntimeError) of encryption
and of ways to compress that Python does not know."""

Fields = tuple[int, int, Sequence[str], str, str]
"""A record as readers give it: its number from 1; the line it begins in, 0 where a format has none; its cells
in the order of the header, of which bytes that are not UTF-8 are lone surrogates; why it cannot be read,
empty if it can; and a remark: what stands for a record that cannot be read, or what is to be noted of
others."""

EMPTY_LINE = "empty line"


@dataclass
class Records:
    """Header and records of an open file.

    Attributes
    ----------
    source : str
    header : tuple of str
        Names of columns, unchanged.
    rows : iterator of Fields
    index : tuple of str
        Columns that were the index of a pandas frame.
    structures : bool
        Whether the first column holds blocks of an SDF in place of SMILES.
    choose : callable, optional
        Of formats that store columns: says which to read, before the first record; the others are empty.
    """

    source: str
    header: tuple[str, ...]
    rows: Iterator[Fields]
    index: tuple[str, ...] = ()
    structures: bool = False
    choose: Callable[[Sequence[int]], None] | None = None


def damaged(path: str, number: int, problem: object) -> InputError:
    """The error of a file that ends or breaks after a record."""
    return InputError(f"{path}: damaged or cut off after row {number}: {problem}")


OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
"""How Excel workbooks begin that are of the old format, or encrypted."""

_SIGNATURES = {
    b"\x1f\x8b": ("gzip data", "{format}.gz"),
    b"BZh": ("bzip2 data", "{format}.bz2"),
    b"\x28\xb5\x2f\xfd": ("Zstandard data", "{format}.zst"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", ".zip or .xlsx"),
    b"PAR1": ("Parquet", ".parquet"),
    OLD_WORKBOOK: ("an Excel workbook of the old format or with a password (save it as .xlsx without)", ""),
}
_UNPACK = "unpack it with another program, and name the file in it"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Format:
    """How a file is read.

    Attributes
    ----------
    name : str
        One of ``FORMATS``.
    compression : str
        One of ``COMPRESSIONS``; empty if there is none.
    """

    name: str
    compression: str = ""

    @property
    def ending(self) -> str:
        """How names of such files end.

        >>> Format("csv", "gz").ending
        '.csv.gz'
        """
        return f".{self.name}" + (f".{self.compression}" if self.compression else "")


def format_of(path: str | Path) -> Format | None:
    """The format that a file's name tells, or None where molrate reads no such file.

    A ``.zip`` is of the format of its one member unless the name says it, as ``.csv.zip`` does.

    >>> format_of("library.SMI.gz")
    Format(name='smi', compression='gz')
    """
    suffixes = [suffix.lower().removeprefix(".") for suffix in Path(path).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    name = suffixes[-1] if suffixes else ""
    if compression == "zip" and name not in TEXT_FORMATS:
        name = _member_format(Path(path))
    if name not in FORMATS or (compression and name not in TEXT_FORMATS):
        return None
    return Format(name, compression)


def _member_format(path: Path) -> str:
    """Format of the member of a zip archive; empty where it is none that is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            endings = {Path(name).suffix.lower().removeprefix(".") for name in _members(archive)}
    except (*DAMAGED, NotImplementedError, UnicodeDecodeError):
        # What is wrong with it is told where it is opened.
        return "csv"
    return next((name for name in TEXT_FORMATS if name in endings), "")


def _members(archive: zipfile.ZipFile) -> list[str]:
    """Names of the files of an archive, without what macOS adds."""
    return [
        name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]


def required_format(path: str | Path, standard_input: str = "csv") -> Format:
    """As :func:`format_of`; of standard input the one named.

    Raises
    ------
    InputError
        If molrate reads no such file.
    """
    if str(path) == STDIN:
        return Format(standard_input)
    found = format_of(path)
    if found is None:
        raise InputError(f"{path}: unknown format; molrate reads {READABLE}")
    return found


def shown_path(path: str | Path) -> str:
    """A path as text that can be written as UTF-8, whatever the locale."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def opened(
    path: str, form: Format, tell_share: Callable[[Callable[[], float]], None] | None = None
) -> Iterator[IO[bytes]]:
    """The bytes of a text file or of standard input, decompressed, without a mark of their byte order.

    Parameters
    ----------
    path : str
    form : Format
    tell_share : callable, optional
        Given a function that says how much of the file has been read.

    Raises
    ------
    InputError
        If they are no text: compressed without being named so, UTF-16, an archive of several files.
    """
    if path == STDIN:
        yield _checked(sys.stdin.buffer, path, form.name)
        return
    with Path(path).open("rb") as file:
        size = max(1, Path(path).stat().st_size)
        if tell_share is not None:
            tell_share(lambda: file.tell() / size)
        with _decompressed(file, path, form.compression) as stream:
            yield _checked(stream, path, form.name)


@contextmanager
def _decompressed(file: IO[bytes], path: str, compression: str) -> Iterator[IO[bytes]]:
    if compression == "gz":
        # Lines of a buffered reader come several times faster than those of GzipFile itself.
        yield io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=file)), 1 << 17)
    elif compression == "bz2":
        yield io.BufferedReader(cast("io.RawIOBase", bz2.BZ2File(file)), 1 << 17)
    elif compression == "zst":
        import pyarrow as pa

        yield io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"), 1 << 17)
    elif compression == "zip":
        with _member(file, path) as stream:
            yield stream
    else:
        yield file


@contextmanager
def _member(file: IO[bytes], path: str) -> Iterator[IO[bytes]]:
    """The one file in an archive.

    Raises
    ------
    InputError
        If there are several, or Python cannot unpack it.
    """
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(file))
            members = _members(archive)
            if len(members) != 1:
                names = ", ".join(members[:8]) or "none"
                raise InputError(
                    f"{path}: an archive of {len(members)} files ({names}); molrate reads archives of one"
                )
            member = stack.enter_context(archive.open(members[0]))
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: damaged: a name in this archive is no text ({error})") from error
        except NotImplementedError as error:
            # Of ways to compress such as Deflate64.
            raise InputError(f"{path}: Python cannot unpack it ({error}); {_UNPACK}") from error
        except RuntimeError as error:
            raise InputError(f"{path}: it is encrypted; {_UNPACK}") from error
        yield member


def _checked(stream: IO[bytes], path: str, name: str) -> IO[bytes]:
    """The stream after a UTF-8 mark, having made sure that text begins there.

    Raises
    ------
    InputError
        If it does not.
    """
    # A pipe gives what is there: peeking does not wait for more.
    buffered = cast("io.BufferedReader", stream if hasattr(stream, "peek") else io.BufferedReader(stream))
    start = buffered.peek(4)[:4]
    for signature, (what, ending) in _SIGNATURES.items():
        if start.startswith(signature):
            advice = f"; name it {ending.format(format=Format(name).ending)}" if ending else ""
            if path == STDIN:
                advice = "; decompress it first, or name the file"
            raise InputError(f"{path}: it is {what}, not text{advice}")
    if start.startswith(_UTF_16):
        raise InputError(f"{path}: its text is UTF-16; save it as UTF-8")
    if start.startswith(_UTF_8_MARK):
        buffered.read(len(_UTF_8_MARK))
    return buffered
