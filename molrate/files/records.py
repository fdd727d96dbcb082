"""Records of files: one notion of a row for all that reads rows, in memory or as a stream.

A record is a line of csv, tsv or smi, in csv several lines where a quoted cell holds line breaks; a record of
an SDF; a row of Parquet or of a worksheet. Records are numbered from 1 below the header. Cells are text, as
the file has them. What cannot be read of a file is a record with the reason, and touches no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from molrate.errors import InputError
from molrate.files.formats import DAMAGED, Format, Records, opened
from molrate.files.sdf import sdf_rows
from molrate.files.separated import SMI_HEADER, separated_records, smi_rows


@contextmanager
def open_records(
    path: str,
    form: Format,
    fields: Sequence[str] | None = None,
    tell_share: Callable[[Callable[[], float]], None] | None = None,
) -> Iterator[Records]:
    """Open a file and read its header; records come as they are asked for.

    Parameters
    ----------
    path : str
        ``-`` is standard input.
    form : Format
    fields : sequence of str, optional
        Of an SDF, the data fields to have beside structure and identifier; by default all, for which the file
        is read to its end.
    tell_share : callable, optional
        Given a function that says how much of the file has been read.

    Raises
    ------
    InputError
        If the file is missing, damaged, or has no header.
    """
    with ExitStack() as stack:
        try:
            records = _open(stack, path, form, fields, tell_share)
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file") from error
        except IsADirectoryError as error:
            raise InputError(f"{path}: it is a folder, not a file") from error
        except DAMAGED as error:
            raise InputError(f"{path}: damaged or cut off: {error}") from error
        yield records


def _open(
    stack: ExitStack,
    path: str,
    form: Format,
    fields: Sequence[str] | None,
    tell_share: Callable[[Callable[[], float]], None] | None,
) -> Records:
    if form.name == "parquet":
        from molrate.files.columnar import parquet_records

        return parquet_records(path, tell_share)
    if form.name == "xlsx":
        from molrate.files.worksheet import worksheet_records

        return worksheet_records(path)
    stream = stack.enter_context(opened(path, form, tell_share))
    if form.name == "smi":
        return Records(path, SMI_HEADER, smi_rows(path, stream))
    if form.name == "sdf":
        header, rows = sdf_rows(path, stream, fields)
        return Records(path, header, rows, structures=True)
    return separated_records(path, form.name, stream)
