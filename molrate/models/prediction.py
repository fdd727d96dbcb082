"""Predictions of a model with their uncertainty, for the rows of a table or of a library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from molrate.data.molecules import Molecules
from molrate.data.structures import MAX_ATOMS
from molrate.embedding.embed import Progress, choose_device
from molrate.embedding.table import RowMolecules, describe_failures
from molrate.errors import InputError
from molrate.files.columns import names_beside
from molrate.files.library import Places
from molrate.files.output import arrow_bytes, write_atomically, write_record, write_text
from molrate.files.tables import Table, read_table
from molrate.files.text import utf_8
from molrate.models.applicability import Domain
from molrate.models.model import TunedModel

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

WRITABLE = (".csv", ".csv.gz", ".parquet")
_BLOCK = 1000
"""Rows whose molecules are in memory together, at some 40 kB each."""

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Predictor:
    """A model, and what it was trained on, ready to be asked.

    Attributes
    ----------
    model : TunedModel
    level : float
        Share of values to lie within the bounds.
    device : str
    """

    model: TunedModel
    level: float = 0.9
    device: str = "cpu"

    @cached_property
    def _domain(self) -> Domain:
        return Domain(self.model.training)

    @property
    def standardisation(self) -> str:
        """Form that molecules are brought into."""
        return str(self.model.settings["standardisation"])

    def prepare(self) -> None:
        """Read weights and the fingerprints of training molecules.

        Raises
        ------
        WeightsError
            If they are damaged.
        """
        for encoder, _ in self.model.members:
            encoder.prepare()
        assert self._domain

    def columns(self, molecules: Molecules) -> tuple[Columns, dict[int, str]]:
        """Predictions, their bounds or label sets, ``similarity``, and why there are none, by row."""
        outputs = self.model.outputs(molecules, self.device, cache=False)
        columns: Columns = self.model.prediction_columns(outputs, self.level)
        columns["similarity"] = self._domain.nearest(molecules)
        return columns, outputs.errors


@dataclass(frozen=True)
class PredictedTable:
    """A table's own columns as they were, then what ``molrate screen`` writes of each row.

    Attributes
    ----------
    table : Table
    cells : list of list of str
        Its columns as text; of an SDF, SMILES in place of structures.
    results : pandas.DataFrame
        Columns canonical_smiles, predictions with their bounds or label sets, similarity, status, error and
        note.
    names : dict of str to str
        What these columns are called beside the table's own: ``molrate_status`` where that has a status.
    run : dict
        The model and the arguments.
    """

    table: Table
    cells: list[list[str]] = field(repr=False)
    results: pd.DataFrame
    names: dict[str, str]
    run: dict[str, Any] = field(repr=False)

    @property
    def n_failed(self) -> int:
        """Rows without a prediction."""
        return int((self.results["status"] != "ok").sum())

    @property
    def frame(self) -> pd.DataFrame:
        """All columns, the table's as text; two of them may have one name."""
        import pandas as pd

        own = pd.DataFrame(dict(enumerate(self.cells)), dtype=object)
        own.columns = pd.Index(self.table.header, dtype=object)
        return pd.concat([own, self.results.rename(columns=self.names)], axis=1)

    def summary(self) -> str:
        """One line: how many rows were predicted and which failed first."""
        return describe_failures(self.results, "predicted")

    def to_csv(self) -> str:
        """As csv, with the cells of the table as they were read."""
        return str(self.frame.to_csv(index=False))

    def write(self, path: Path) -> None:
        """Write ``.csv`` or ``.csv.gz``, with the record of the run beside it, or ``.parquet``.

        Raises
        ------
        InputError
            If the file cannot be written, or is Parquet and two columns have one name.
        """
        if path.suffix.lower() == ".parquet":
            write_atomically(path, arrow_bytes(self._arrow(), self.run))
            return
        write_text(path, self.to_csv())
        write_record(path, self.run)

    def _arrow(self) -> pa.Table:
        """All columns, those of a Parquet file with the types and the index that they have there.

        Raises
        ------
        InputError
            If two have one name.
        """
        import pyarrow as pa

        check_names(self.table)
        own = self.table.arrow
        if own is None:
            own = pa.Table.from_arrays(
                [pa.array(cells, pa.string()) for cells in self.cells], self.table.header
            )
        results = pa.Table.from_pandas(self.results.rename(columns=self.names), preserve_index=False)
        return pa.Table.from_arrays(
            [*own.columns, *results.columns],
            names=[*own.column_names, *results.column_names],
            metadata=own.schema.metadata,
        )


def check_names(table: Table) -> None:
    """Refuse a table that Parquet cannot hold: nothing reads a file of it with two columns of one name.

    Raises
    ------
    InputError
        If it is one; with the names.
    """
    twice = [repr(name) for name, count in Counter(table.header).items() if count > 1]
    if twice:
        raise InputError(
            f"{table.source}: several of its columns are named {', '.join(twice)}, which Parquet cannot "
            "hold; rename them, or write .csv"
        )


def predict_table(
    path: str | Path,
    model: TunedModel,
    smiles_column: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    *,
    level: float = 0.9,
    input_format: str = "csv",
    max_atoms: int = MAX_ATOMS,
    for_parquet: bool = False,
) -> PredictedTable:
    """Predict the molecules of a table file.

    Parameters
    ----------
    path : str or pathlib.Path
        See :mod:`molrate.files.formats`; ``-`` is standard input.
    model : TunedModel
    smiles_column : str, optional
        Found by its usual names when not given.
    device : str
    progress : callable, optional
        Called with the number of rows finished since the last call.
    level : float
        Share of values to lie within the bounds.
    input_format : str
        Of standard input.
    max_atoms : int
        Larger molecules are not predicted.
    for_parquet : bool
        Whether the predictions are to be written as Parquet.

    Raises
    ------
    InputError
        If the table cannot be used or written, or already has a column of the name of a prediction.
    """
    import pandas as pd

    table = read_table(path, input_format, keep_unreadable=True)
    if for_parquet:
        check_names(table)
    places = Places.find(table, smiles_column, None)
    model.note_coverage(level)
    predictor = Predictor(model, level, choose_device(device))
    rows = list(places.rows(table.source, iter(table.records)))
    blocks = []
    for start in range(0, len(rows), _BLOCK):
        entries = RowMolecules.read(
            rows[start : start + _BLOCK], predictor.standardisation, max_atoms, keep=True
        )
        blocks.append(entries.table(*predictor.columns(entries.molecules)))
        if progress is not None:
            progress(len(entries.rows))
    whole = pd.concat(blocks, ignore_index=True)
    results = whole.drop(columns=["source", "row", "id", "smiles"])
    names = names_beside(list(map(str, results)), table.header, str(path))
    cells = _own_cells(table)
    if table.structures:
        cells[0] = whole["smiles"].tolist()
    record = {key: model.record[key] for key in ("dataset", "encoder", "task", "settings", "versions")}
    arguments = {"coverage": level, "max_atoms": max_atoms}
    return PredictedTable(
        table, cells, results, names, {"model": record, "table": str(path), "arguments": arguments}
    )


def _own_cells(table: Table) -> list[list[str]]:
    """Columns of a table as they were read; a record that cannot be read stands in the first."""
    columns: list[list[str]] = [[] for _ in table.header]
    for _, _, cells, error, shown in table.records:
        values: Sequence[str] = cells if cells else [shown if error else ""] + [""] * (len(columns) - 1)
        for column, value in zip(columns, values, strict=True):
            column.append(utf_8(value))
    return columns
