"""A table of molecules with their embeddings: one output row per input row."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molrate.data.molecules import standardise
from molrate.embedding.embed import Progress, embed_one
from molrate.embedding.result import Embedding
from molrate.encoders.base import Encoder
from molrate.errors import InputError
from molrate.files.output import parquet_bytes, write_atomically, write_record
from molrate.files.tables import find_smiles_column, read_table

if TYPE_CHECKING:
    import pandas as pd

WRITABLE = (".csv", ".parquet", ".npz")
_VERSIONS = ("molrate", "torch", "torch-geometric", "rdkit", "numpy")


@dataclass(frozen=True)
class EmbeddedTable:
    """Rows of a table with status, reason and embedding.

    Attributes
    ----------
    rows : pandas.DataFrame
        Columns row (from 1), id (where the table has one), smiles, canonical_smiles, status (``ok``,
        ``invalid`` or ``unsupported``), error.
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
        text = f"{len(self.rows) - self.n_failed} of {len(self.rows)} rows embedded"
        if not self.n_failed:
            return text + "."
        first = self.rows[self.rows["status"] != "ok"].iloc[0]
        return f"{text}; {self.n_failed} without, the first in row {first['row']}: {first['error']}."

    def only_embedded(self) -> EmbeddedTable:
        """The table without the rows that have no embedding."""
        keep = np.flatnonzero(self.rows["status"] == "ok")
        layers = {name: vectors[keep] for name, vectors in self.embedding.layers.items()}
        return EmbeddedTable(self.rows.iloc[keep].reset_index(drop=True), Embedding(layers), self.run)

    def write(self, path: Path) -> None:
        """Write ``.csv`` or ``.parquet`` with a column per dimension, or ``.npz`` with an array per layer.

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
            write_atomically(path, self._wide().to_csv(index=False).encode())
            write_record(path, self.run)

    def _wide(self) -> pd.DataFrame:
        import pandas as pd

        (vectors,) = self.embedding.layers.values()
        columns = [f"x{dimension}" for dimension in range(vectors.shape[1])]
        return pd.concat([self.rows, pd.DataFrame(vectors, columns=columns)], axis=1)

    def _npz(self) -> bytes:
        arrays: dict[str, Any] = {"run": np.array(json.dumps(self.run))}
        for name in self.rows:
            column = self.rows[name].to_numpy()
            arrays[str(name)] = column if name == "row" else column.astype(str)
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
) -> EmbeddedTable:
    """Embed the molecules of a table file.

    Parameters
    ----------
    path : str or pathlib.Path
        See :func:`molrate.files.tables.read_table`.
    encoder : Encoder
    layer : str
        ``last``, ``all`` or a layer's name.
    pooling, standardisation, device : str
        As for :func:`molrate.embed`.
    smiles_column : str, optional
    on_invalid : {"keep", "fail"}
        Rows without an embedding: keep them with NaN and the reason, or stop.
    progress : callable, optional

    Raises
    ------
    InputError
        If the table cannot be used, or holds an invalid SMILES and `on_invalid` is ``fail``.
    """
    import pandas as pd

    table = read_table(path)
    column = find_smiles_column(table, str(path), smiles_column)
    texts = [value.strip() if isinstance(value, str) else "" for value in table[column]]
    molecules = standardise(texts, standardisation)
    if on_invalid == "fail" and not molecules.valid.all():
        raise InputError(f"{path}: invalid SMILES: {molecules.describe_invalid()} (--on-invalid fail)")
    layers = encoder.select_layers(layer)
    embedding = embed_one(molecules, encoder, layers, pooling, device, progress=progress)
    errors = molecules.errors.copy()
    status = np.where(molecules.valid, "ok", "invalid").astype(object)
    for row, reason in embedding.errors.items():
        errors[row], status[row] = reason, "unsupported"
    if not (status == "ok").any():
        raise InputError(f"{path}: no molecule in column {column!r} can be embedded; row 1: {errors[0]}")
    if on_invalid == "fail" and embedding.errors:
        row, reason = min(embedding.errors.items())
        raise InputError(f"{path}: row {row + 1} {texts[row]!r}: {reason} (--on-invalid fail)")
    rows = pd.DataFrame({"row": np.arange(1, len(texts) + 1)})
    if "id" in table:
        rows["id"] = table["id"].astype(str).to_numpy()
    rows["smiles"], rows["canonical_smiles"] = molecules.smiles, molecules.canonical
    rows["status"], rows["error"] = status, errors
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
        },
        "versions": {name: version(name) for name in _VERSIONS},
    }
    return EmbeddedTable(rows, embedding, run)
