"""Cells of the grid encoder x dataset x split x seed, and the file that has a row for each cell."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from molrate.errors import InputError
from molrate.files.output import write_atomically

if TYPE_CHECKING:
    # Reading results needs no Lightning, which this package asks for.
    from molrate.finetuning.config import FinetuningConfig

FINETUNING, SCORES, VARIANTS = "finetuning.csv", "scores", "variants"
"""Names of a file and two folders in a folder of results."""

_NAMES = ("dataset", "split", "encoder", "target", "kind", "family", "weights", "measure")
"""Columns of names that a file of results may have."""

_GAPS = ("", "nan", "NaN", "NA", "N/A", "null", "None")
"""How a number that is not there may be written."""


@dataclass(frozen=True)
class Cell:
    """One fine-tuning of the grid."""

    dataset: str
    split: str
    seed: int
    encoder: str


@dataclass(frozen=True)
class Outcome:
    """Result of one fine-tuning; a row of ``finetuning.csv``.

    Attributes
    ----------
    dataset, split, seed, encoder
        The cell of the grid.
    target, task, kind, family : str
        ``kind`` is pretrained, baseline or control.
    frozen : bool
        Whether only the head was trained, as for fingerprints and descriptors.
    n_parameters, n_layers, dimension : int
        Number of weights of the encoder, number of layers it can transfer, and width of its embedding.
    metric : str
        Name of the metric that `validation` and `test` give: ``auroc`` (higher is better) or ``rmse``.
    validation, test : float
        Of the epoch that validation chose, the encoder as it was among them. An error is in the target's
        unit; of several targets each is divided by its spread in training before their mean is taken.
    frozen_validation, frozen_test : float
        The same metric of a head fitted to the encoder as it was; NaN where nothing of it was trained.
    best_epoch : int
        The epoch kept; 0 is the encoder as it was, and what is not trained has no other.
    device : str
        What it was trained on.
    deviation : float
        Standard deviation of the test part, to which an RMSE compares, in the same unit; NaN for classes.
    learning_rate, weight_decay : float
        Settings that had the best validation metric.
    n_epochs : int
        Number of epochs of all trials together.
    curve : str
        What validation chose the epoch by, small where good, of the frozen encoder and after each epoch of
        the trial kept, as JSON; empty where nothing was trained.
    seconds : float
        Time of all trials together, on one core or one GPU.
    n_train, n_test : int
    weights : str
        Digest of the encoder's weights before fine-tuning.
    settings, versions : str
        Settings of the fine-tuning and versions of packages, as JSON.
    status : str
        ``ok``, or why the cell failed.
    """

    dataset: str
    split: str
    seed: int
    encoder: str
    target: str
    task: str
    kind: str
    family: str
    frozen: bool
    n_parameters: int
    n_layers: int
    dimension: int
    metric: str
    validation: float
    test: float
    frozen_validation: float
    frozen_test: float
    best_epoch: int
    device: str
    deviation: float
    learning_rate: float
    weight_decay: float
    n_epochs: int
    curve: str
    seconds: float
    n_train: int
    n_test: int
    weights: str
    settings: str
    versions: str
    status: str

    def describe(self) -> str:
        """One line: the metric of the test part, or why there is none."""
        result = f"{self.metric} {self.test:.4g}" if self.status == "ok" else self.status
        return f"{self.dataset} {self.split} {self.seed} {self.encoder}: {result} ({self.seconds:.0f} s)"


def settings_text(config: FinetuningConfig, seed: int) -> str:
    """Settings of a cell, as its row has them."""
    return json.dumps(config.record() | {"seed": seed})


_NUMBERS = (
    *(name for name, field in Outcome.__dataclass_fields__.items() if field.type in ("int", "float")),
    *("n", "value", "null_mean", "excess", "relative", "z", "to", "finetuned", "spread"),
)
"""Columns of numbers that a file of results may have."""


def read_rows(path: Path) -> pd.DataFrame:
    """Read a file of results, with names as they are written: a dataset may be called 2024 or NA.

    Raises
    ------
    InputError
        If there is something else where a number belongs.
    """
    header = pd.read_csv(path, nrows=0).columns
    gaps = {name: [""] if name in _NAMES else list(_GAPS) for name in header}
    frame = pd.read_csv(path, dtype=dict.fromkeys(_NAMES, str), keep_default_na=False, na_values=gaps)
    for name in [name for name in _NUMBERS if name in frame]:
        wrong = frame[name].notna() & pd.to_numeric(frame[name], errors="coerce").isna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            cell = frame[name].iloc[row]
            raise InputError(
                f"{path}, line {line_of(frame, row)}, column {name}: {cell!r} is not a number; "
                "mend or delete the row"
            )
    return frame


def line_of(frame: pd.DataFrame, row: int) -> int:
    """Line of the file on which a row begins: the header is the first, and text may have several."""
    before = frame.iloc[:row].select_dtypes(exclude="number").astype(str)
    return 2 + row + int(sum(before[name].str.count("\n").sum() for name in before))


class Rows:
    """The file ``finetuning.csv``, to which whole rows are appended.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    InputError
        If the file has another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns = list(Outcome.__dataclass_fields__)
        if path.is_file():
            self._mend()
        else:
            write_atomically(path, (",".join(self.columns) + "\n").encode())

    def _mend(self) -> None:
        """Drop a last row that a killed run left half written."""
        content = self.path.read_bytes()
        if not content.startswith((",".join(self.columns) + "\n").encode()):
            raise InputError(f"{self.path}: its columns are not those of a benchmark; name another folder")
        if not content.endswith(b"\n"):
            write_atomically(self.path, content[: content.rfind(b"\n") + 1])

    def frame(self) -> pd.DataFrame:
        """All rows."""
        return read_rows(self.path)

    def finished(self) -> set[Cell]:
        """Cells with a row, except those that failed: they are tried again."""
        frame = self.frame()
        frame = frame[frame["status"] == "ok"]
        names = ["dataset", "split", "seed", "encoder"]
        return {Cell(*row) for row in frame[names].itertuples(index=False, name=None)}

    def append(self, outcome: Outcome) -> None:
        """Append a row and flush it to the file."""
        line = io.StringIO()
        csv.DictWriter(line, self.columns, lineterminator="\n").writerow(asdict(outcome))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line.getvalue())
            file.flush()
