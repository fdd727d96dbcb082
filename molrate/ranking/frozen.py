"""How errors of fine-tuned encoders went with those of frozen ones, in the study that ships with molrate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from molrate.ranking.prior import relatives
from molrate.ranking.study import study_rows

if TYPE_CHECKING:
    import pandas as pd


_FEWEST = 2


@dataclass(frozen=True)
class Relation:
    """Losses after fine-tuning as a power of losses before, both as shares of what a guess loses.

    Where features say nothing (a share of 1), so does the relation.

    Attributes
    ----------
    power : float
        More than 1 where fine-tuning helps.
    scatter : float
        Standard deviation of logarithms of fine-tuned losses about it, in datasets it was not fitted to.
    datasets, encoders : int
        What it was fitted to.
    """

    power: float
    scatter: float
    datasets: int
    encoders: int

    def loss(self, share: float) -> float:
        """Loss after fine-tuning of an encoder with this loss before, both as shares of a guess's."""
        return float(share**self.power)


@cache
def frozen_table() -> pd.DataFrame | None:
    """Losses of the study's networks as they are and fine-tuned, means over seeds; None without its files."""
    rows = study_rows()
    if rows is None:
        return None
    networks = rows[~rows["frozen"]].assign(finetuned=rows["test"], frozen=rows["frozen_test"])
    networks["task"] = networks["task"].where(networks["task"] == "regression", "classification")
    keys = ["dataset", "task", "encoder", "kind"]
    return networks.groupby(keys)[["deviation", "frozen", "finetuned"]].mean().reset_index()


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
    # How far the power of the other datasets is off is what it will be off here.
    squares = [
        np.mean((own["y"] - _power(losses[losses["dataset"] != name]) * own["x"]) ** 2)
        for name, own in losses.groupby("dataset")
    ]
    scatter = float(np.sqrt(np.mean(squares)))
    return Relation(_power(losses), scatter, rows["dataset"].nunique(), rows["encoder"].nunique())


def _power(losses: pd.DataFrame) -> float:
    """Least squares; every dataset counts the same, however many of its networks were fine-tuned."""
    weights = 1 / losses.groupby("dataset")["dataset"].transform("count")
    return float((weights * losses["x"] * losses["y"]).sum() / (weights * losses["x"] ** 2).sum())
