"""Tables and molecules that are in memory already: data frames of any library, SMILES, RDKit molecules."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from molrate.data.numbers import is_missing
from molrate.errors import InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

FRAME = "the data frame"
"""What a frame is called where a file would be named."""


def is_frame(source: object) -> bool:
    """Whether an object is a data frame: of pandas, or one that offers its columns to others.

    A single column, such as a Series of polars or an array of Arrow, offers itself in the same way.
    """
    kind = type(source)
    if kind.__module__.startswith("rdkit"):
        return False
    has_columns = any(hasattr(kind, name) for name in ("columns", "column_names", "schema"))
    is_column = hasattr(kind, "__iter__") and not has_columns
    return hasattr(kind, "__dataframe__") or (hasattr(kind, "__arrow_c_stream__") and not is_column)


def to_pandas(frame: Any) -> pd.DataFrame:
    """A data frame of any library as one of pandas.

    Parameters
    ----------
    frame : pandas.DataFrame, or an object with ``__arrow_c_stream__`` or ``__dataframe__``
        polars, pyarrow, cudf, ...

    Returns
    -------
    pandas.DataFrame
        pandas' own as it is; others through Arrow, whose integers with gaps stay integers.

    Examples
    --------
    >>> import pyarrow
    >>> to_pandas(pyarrow.table({"smiles": ["CCO"]}))["smiles"].tolist()
    ['CCO']
    """
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        return frame
    if hasattr(frame, "__arrow_c_stream__"):
        import pyarrow as pa

        return pa.table(frame).to_pandas(integer_object_nulls=True)
    return pd.api.interchange.from_dataframe(frame)


def smiles_of(molecules: Iterable[object]) -> list[str]:
    """SMILES of molecules in order.

    Parameters
    ----------
    molecules : iterable of str, rdkit.Chem.Mol or None
        None and NaN are rows without a molecule.

    Returns
    -------
    list of str
        Empty where there is none.

    Raises
    ------
    UsageError
        If an item is something else, or all is one string.

    Examples
    --------
    >>> from rdkit import Chem
    >>> smiles_of(["CCO", Chem.MolFromSmiles("OCC"), None])
    ['CCO', 'CCO', '']
    """
    if isinstance(molecules, str) or getattr(molecules, "shape", (0,)) == ():
        raise UsageError(
            f"{molecules!r} is one string where a sequence of molecules is expected; put a SMILES into a "
            "list, and read a file into a data frame"
        )
    return [_smiles(item, row) for row, item in enumerate(_items(molecules), start=1)]


def _items(values: Any) -> list[Any]:
    """Items of a sequence as Python has them, where Arrow has objects of its own."""
    for method in ("to_pylist", "tolist"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    return list(values)


def _smiles(item: object, row: int) -> str:
    if isinstance(item, str):
        return item.strip()
    if is_missing(item):
        return ""
    # Only who has RDKit loaded can have a molecule of it.
    chem = sys.modules.get("rdkit.Chem")
    if chem is not None and isinstance(item, chem.Mol):
        return str(chem.MolToSmiles(item))
    if isinstance(item, bytes):
        return item.decode("utf-8", "backslashreplace").strip()
    raise UsageError(f"row {row} is a {type(item).__name__}; a SMILES or an RDKit molecule is expected")


def named_columns(values: Any, n_rows: int) -> dict[str, Sequence[object]]:
    """Measured values by target.

    Parameters
    ----------
    values : mapping of str to sequence, or array_like, shape (n,) or (n, n_targets)
        Unnamed targets are called ``y``, or ``y1``, ``y2``, ...
    n_rows : int
        How many there have to be.

    Raises
    ------
    InputError
        If their number is another.
    """
    columns: dict[str, Sequence[object]]
    if is_frame(values):
        values = to_pandas(values)
        columns = {str(name): values[name].tolist() for name in values.columns}
    elif isinstance(values, Mapping):
        columns = {str(name): list(column) for name, column in values.items()}
    else:
        rows, name = _items(values), getattr(values, "name", None)
        if rows and isinstance(rows[0], list | tuple):
            columns = {f"y{k}": list(column) for k, column in enumerate(zip(*rows, strict=True), 1)}
        else:
            columns = {"y" if name in (None, "") else str(name): rows}
    for name, column in columns.items():
        if len(column) != n_rows:
            raise InputError(f"target {name!r} has {len(column)} values for {n_rows} molecules")
    return columns
