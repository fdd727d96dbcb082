"""Tables of molecules, their format told by the suffix."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


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


SMILES_NAMES = ("smiles", "mol", "canonical_smiles", "structure")


def find_smiles_column(table: pd.DataFrame, path: str, smiles_column: str | None = None) -> str:
    """Name of the SMILES column: the one given, else the first with a usual name.

    Raises
    ------
    InputError
        If the table has no such column.
    """
    if smiles_column is not None:
        require_columns(table, path, [smiles_column], "--smiles-column")
        return smiles_column
    by_name = {str(column).strip().casefold(): str(column) for column in reversed(list(table.columns))}
    for name in SMILES_NAMES:
        if name in by_name:
            return by_name[name]
    raise InputError(
        f"{path}: no SMILES column found; its columns are {column_names(table)}. Name it with --smiles-column"
    )


def require_columns(table: pd.DataFrame, path: str, columns: Sequence[str], option: str) -> None:
    """Make sure that a table has the columns that an option names.

    Raises
    ------
    InputError
        If one is missing.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(map(repr, missing))} ({option}); "
            f"its columns are {column_names(table)}"
        )


def column_names(table: pd.DataFrame) -> str:
    """Names of a table's columns, for messages."""
    return ", ".join(map(str, table.columns))
