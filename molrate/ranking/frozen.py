"""How errors of fine-tuned encoders went with those of frozen ones, in the study that ships with molrate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from molrate.paths import EVIDENCE, shipped
from molrate.ranking.prior import relatives

if TYPE_CHECKING:
    import pandas as pd


_FEWEST = 2


@dataclass(frozen=True)
class Relation:
    """A line through logarithms of losses, each a share of what a guess loses.

    Attributes
    ----------
    offset, slope : float
    scatter : float
        Standard deviation of fine-tuned losses about it.
    datasets, encoders : int
        What it was fitted to.
    """

    offset: float
    slope: float
    scatter: float
    datasets: int
    encoders: int

    def loss(self, share: float) -> float:
        """Loss after fine-tuning of an encoder with this loss before, both as shares of a guess's."""
        return float(np.exp(self.offset + self.slope * np.log(max(share, 1e-6))))


@cache
def frozen_table() -> pd.DataFrame | None:
    """Rows of the study: losses of networks as they are and fine-tuned; None where they are not here."""
    import pandas as pd

    path = shipped(EVIDENCE) / "frozen.csv"
    return pd.read_csv(path) if path.is_file() else None


@cache
def frozen_relation(task: str, dataset: str = "") -> Relation | None:
    """The relation for a kind of target, from other datasets than the one that is ranked.

    Parameters
    ----------
    task : {"classification", "regression"}
    dataset : str
        Its name; it, and what shares molecules with it, is left out.

    Returns
    -------
    Relation or None
        None where the study's rows are not here.
    """
    import pandas as pd

    table = frozen_table()
    if table is None:
        return None
    rows = table[
        (table["task"] == task) & (table["kind"] == "pretrained") & ~table["dataset"].isin(relatives(dataset))
    ]
    if rows["dataset"].nunique() < _FEWEST:
        return None
    if task == "regression":
        before, after = rows["frozen"] / rows["deviation"], rows["finetuned"] / rows["deviation"]
    else:
        before, after = (1 - rows["frozen"]) / 0.5, (1 - rows["finetuned"]) / 0.5
    losses = pd.DataFrame({"dataset": rows["dataset"], "x": np.log(before), "y": np.log(after)})
    offset, slope = _line(losses)
    # How far a line through the other datasets is off is what it will be off here.
    squares = [
        np.mean((own["y"] - _line(losses[losses["dataset"] != name]) @ [np.ones(len(own)), own["x"]]) ** 2)
        for name, own in losses.groupby("dataset")
    ]
    scatter = float(np.sqrt(np.mean(squares)))
    return Relation(offset, slope, scatter, rows["dataset"].nunique(), rows["encoder"].nunique())


def _line(losses: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Offset and slope; every dataset counts the same, however many of its networks were fine-tuned."""
    weights = 1 / losses.groupby("dataset")["dataset"].transform("count").to_numpy(dtype=np.float64)
    slope, offset = np.polyfit(losses["x"], losses["y"], 1, w=np.sqrt(weights))
    return np.array([offset, slope])
