"""Predictions for a table, one output row per input row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.embedding.embed import Progress
from molrate.errors import InputError
from molrate.files.output import parquet_bytes, write_atomically, write_record
from molrate.files.tables import find_smiles_column, read_table
from molrate.models.model import TunedModel

if TYPE_CHECKING:
    import pandas as pd

WRITABLE = (".csv", ".parquet")


@dataclass(frozen=True)
class PredictedTable:
    """A table's own columns, then ``canonical_smiles``, predictions, ``status`` and ``error``.

    Attributes
    ----------
    frame : pandas.DataFrame
    run : dict
        The model and the arguments.
    """

    frame: pd.DataFrame
    run: dict[str, Any]

    @property
    def n_failed(self) -> int:
        """Rows without a prediction."""
        return int((self.frame["status"] != "ok").sum())

    def summary(self) -> str:
        """One line: how many rows were predicted and which failed first."""
        text = f"{len(self.frame) - self.n_failed} of {len(self.frame)} rows predicted"
        if not self.n_failed:
            return text + "."
        row = int((self.frame["status"] != "ok").to_numpy().argmax())
        reason = self.frame["error"].iloc[row]
        return f"{text}; {self.n_failed} without, the first in row {row + 1}: {reason}."

    def write(self, path: Path) -> None:
        """Write ``.csv``, with the record of the run beside it, or ``.parquet``.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        if path.suffix.lower() == ".parquet":
            write_atomically(path, parquet_bytes(self.frame, self.run))
            return
        write_atomically(path, self.frame.to_csv(index=False).encode())
        write_record(path, self.run)


def predict_table(
    path: str | Path,
    model: TunedModel,
    smiles_column: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> PredictedTable:
    """Predict the molecules of a table file.

    Parameters
    ----------
    path : str or pathlib.Path
        See :func:`molrate.files.tables.read_table`.
    model : TunedModel
    smiles_column : str, optional
        Found by its usual names when not given.
    device : str
    progress : callable, optional

    Raises
    ------
    InputError
        If the table cannot be used, or already has a column of the name of a prediction.
    """
    table = read_table(path)
    column = find_smiles_column(table, str(path), smiles_column)
    texts = [value.strip() if isinstance(value, str) else "" for value in table[column]]
    predicted = model.predict(texts, device, progress).drop(columns="smiles")
    taken = [name for name in predicted if name in table]
    if taken:
        raise InputError(
            f"{path}: it has a column {taken[0]!r} already, where predictions would stand; rename it"
        )
    for name in predicted:
        table[name] = predicted[name].to_numpy()
    record = {key: model.record[key] for key in ("dataset", "encoder", "task", "versions")}
    return PredictedTable(table, {"model": record, "table": str(path)})
