"""Tables with one row for each row of a library: what it is, what was computed for it, and why not."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.data.molecules import Molecules, standardise
from molrate.data.structures import MAX_ATOMS, NoSmiles, limit_atoms, smiles_of_rows
from molrate.embedding.embed import Progress, embed_one
from molrate.embedding.result import Embedding
from molrate.encoders.base import Encoder
from molrate.errors import InputError
from molrate.files.library import Library, Row
from molrate.files.output import parquet_bytes, write_atomically, write_record, write_text
from molrate.files.text import visible

if TYPE_CHECKING:
    import pandas as pd

WRITABLE = (".csv", ".csv.gz", ".parquet", ".npz")
_VERSIONS = ("molrate", "torch", "torch-geometric", "rdkit", "numpy")

_NAME = 200
"""Characters of the name of a structure that cannot be read."""


@dataclass(frozen=True)
class RowMolecules:
    """Rows of a library with their molecules.

    Attributes
    ----------
    rows : list of Row
    molecules : Molecules
    without : dict of int to NoSmiles
        Why rows have no SMILES, by position.
    """

    rows: list[Row]
    molecules: Molecules
    without: dict[int, NoSmiles]

    @classmethod
    def read(
        cls, rows: Iterable[Row], standardisation: str, max_atoms: int = MAX_ATOMS, keep: bool = False
    ) -> RowMolecules:
        """Parse and standardise the molecules of rows; `keep` as of :func:`standardise`."""
        rows = list(rows)
        texts, without = smiles_of_rows(rows, max_atoms)
        return cls(rows, limit_atoms(standardise(texts, standardisation, keep), max_atoms), without)

    def table(
        self, columns: Mapping[str, npt.NDArray[Any]], failed: Mapping[int, str], labelled: bool = False
    ) -> pd.DataFrame:
        """One row for each row, in order.

        Parameters
        ----------
        columns : mapping of str to ndarray
            What was computed, a value for each row.
        failed : mapping of int to str
            Why it could not be computed for a valid molecule, by position.
        labelled : bool
            Whether the library has known activities.

        Returns
        -------
        pandas.DataFrame
            Columns source, row, id, label (where there are some), smiles (as given; of an SDF record as RDKit
            reads it), canonical_smiles, those computed, status (``ok``, ``unreadable``, ``invalid`` or
            ``unsupported``), error, and note: what of a row was lost.
        """
        import pandas as pd

        rows, molecules = self.rows, self.molecules
        about: dict[str, Any] = {
            "source": [row.source for row in rows],
            "row": np.array([row.number for row in rows], dtype=np.int64),
            "id": [row.id for row in rows],
            **({"label": [row.label for row in rows]} if labelled else {}),
            "smiles": [_shown(text, row) for text, row in zip(molecules.smiles, rows, strict=True)],
            "canonical_smiles": molecules.canonical,
        }
        status, errors = self.outcome(failed)
        return pd.DataFrame({**about, **columns, "status": status, "error": errors, "note": self.notes()})

    def outcome(self, failed: Mapping[int, str]) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
        """Status and error of every row."""
        status = np.where(self.molecules.valid, "ok", "invalid").astype(object)
        errors = self.molecules.errors.copy()
        status[list(self.molecules.unsupported)] = "unsupported"
        for position, reason in failed.items():
            status[position], errors[position] = "unsupported", reason
        for position, why in self.without.items():
            status[position], errors[position] = why
        return status, errors

    def notes(self) -> list[str]:
        """What of each row was lost; empty where nothing was."""
        lost, dropped = self.molecules.notes, self.molecules.dropped
        fragments = {row: f"smaller fragments left out: {smiles}" for row, smiles in dropped.items()}
        return [
            "; ".join(filter(None, (row.note, lost.get(n, ""), fragments.get(n, ""))))
            for n, row in enumerate(self.rows)
        ]


def _shown(text: str, row: Row) -> str:
    """SMILES as given, in one line; what stands for a row that cannot be read, of a structure its name."""
    if not text:
        text = row.text.split("\n", 1)[0][:_NAME] if row.structure else row.text
    return visible(text)


def failures(molecules: Molecules, embedding: Embedding) -> dict[int, str]:
    """Why valid molecules have no embedding, by row."""
    failed: dict[int, str] = {}
    for layer in embedding.layers:
        failed |= embedding.not_finite(layer, molecules.valid)
    return failed | embedding.errors


def describe_failures(table: pd.DataFrame, what: str) -> str:
    """One line: how many rows are `what` and which failed first."""
    failed = table[table["status"] != "ok"]
    text = f"{len(table) - len(failed)} of {len(table)} rows {what}"
    if failed.empty:
        return text + "."
    number = failed["row"].iloc[0] if "row" in table else failed.index[0] + 1
    return f"{text}; {len(failed)} without, the first in row {number}: {failed['error'].iloc[0]}."


@dataclass(frozen=True)
class EmbeddedTable:
    """Rows of a table with status, reason and embedding.

    Attributes
    ----------
    rows : pandas.DataFrame
        As of :meth:`RowMolecules.table`, without columns that are computed.
    embedding : Embedding
        Its matrices have a row for each of `rows`.
    run : dict
        Versions, digests and arguments.
    """

    rows: pd.DataFrame
    embedding: Embedding
    run: dict[str, Any]

    @property
    def n_failed(self) -> int:
        """Rows without an embedding."""
        return int((self.rows["status"] != "ok").sum())

    def summary(self) -> str:
        """One line: how many rows were embedded and which failed first."""
        return describe_failures(self.rows, "embedded")

    def only_embedded(self) -> EmbeddedTable:
        """The table without the rows that have no embedding."""
        keep = np.flatnonzero(self.rows["status"] == "ok")
        layers = {name: vectors[keep] for name, vectors in self.embedding.layers.items()}
        return EmbeddedTable(self.rows.iloc[keep].reset_index(drop=True), Embedding(layers), self.run)

    def write(self, path: Path) -> None:
        """Write one layer with a column a dimension, or as ``.npz`` an array for each layer.

        The record of the run is in the metadata of Parquet, in the array ``run`` of NPZ, and beside a
        CSV in ``PATH.run.json``.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        suffix = path.suffix.lower()
        if suffix == ".npz":
            write_atomically(path, self._npz())
        elif suffix == ".parquet":
            write_atomically(path, parquet_bytes(self._wide(), self.run))
        else:
            write_text(path, self._wide().to_csv(index=False))
            write_record(path, self.run)

    def _wide(self) -> pd.DataFrame:
        import pandas as pd

        (vectors,) = self.embedding.layers.values()
        columns = [f"x{dimension}" for dimension in range(vectors.shape[1])]
        values = pd.DataFrame(vectors, columns=columns)
        end = self.rows.columns.get_loc("status")
        return pd.concat([self.rows.iloc[:, :end], values, self.rows.iloc[:, end:]], axis=1)

    def _npz(self) -> bytes:
        arrays: dict[str, Any] = {"run": np.array(json.dumps(self.run))}
        for name in self.rows:
            column = self.rows[name].to_numpy()
            arrays[str(name)] = column if name == "row" else column.astype(str)
        taken = next((layer for layer in self.embedding.layers if layer in arrays), None)
        if taken is not None:
            raise InputError(
                f"layer {taken!r} has the name of a column about rows, which an .npz holds beside it; "
                "give the layer of the encoder another name"
            )
        arrays.update(self.embedding.layers)
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)
        return stream.getvalue()


def embed_table(
    path: str | Path,
    encoder: Encoder,
    layer: str = "last",
    pooling: str = "mean",
    smiles_column: str | None = None,
    standardisation: str = "largest-fragment",
    device: str = "auto",
    on_invalid: str = "keep",
    progress: Progress | None = None,
    *,
    id_column: str | None = None,
    input_format: str = "csv",
    max_atoms: int = MAX_ATOMS,
) -> EmbeddedTable:
    """Embed the molecules of one file, in memory.

    Parameters
    ----------
    path : str or pathlib.Path
        See :mod:`molrate.files.formats`; ``-`` is standard input.
    encoder : Encoder
    layer : str
        ``last``, ``all`` or a layer's name.
    pooling, standardisation, device : str
        As for :func:`molrate.embed`.
    smiles_column, id_column : str, optional
        Found by their usual names if not given.
    on_invalid : {"keep", "fail"}
        Rows without an embedding: keep them with NaN and the reason, or stop.
    progress : callable, optional
    input_format : str
        Of standard input.
    max_atoms : int
        Larger molecules are not embedded.

    Raises
    ------
    InputError
        If the table cannot be used, or a row has no embedding and `on_invalid` is ``fail``.
    """
    library = Library(
        [str(path)], smiles_column=smiles_column, id_column=id_column, input_format=input_format
    )
    entries = RowMolecules.read(library.rows(), standardisation, max_atoms)
    if not entries.rows:
        raise InputError(f"{path}: the table has no rows")
    molecules, layers = entries.molecules, encoder.select_layers(layer)
    embedding = embed_one(molecules, encoder, layers, pooling, device, progress=progress)
    rows = entries.table({}, failures(molecules, embedding))
    failed = rows[rows["status"] != "ok"]
    if len(failed) == len(rows):
        raise InputError(f"{path}: no molecule in it can be embedded; row 1: {rows['error'][0]}")
    if on_invalid == "fail" and len(failed):
        first = failed.iloc[0]
        raise InputError(
            f"{path}: row {first['row']} {first['smiles']!r}: {first['error']} (--on-invalid fail)"
        )
    run = {
        "encoder": encoder.name,
        "identity": encoder.identity(),
        "device": embedding.device,
        "molecules": molecules.digest,
        "arguments": {
            "table": str(path),
            "layer": layer,
            "pooling": pooling,
            "standardisation": standardisation,
            "on_invalid": on_invalid,
            "max_atoms": max_atoms,
        },
        "versions": {name: version(name) for name in _VERSIONS},
    }
    return EmbeddedTable(rows, embedding, run)
