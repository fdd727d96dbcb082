"""What errors that are expected of encoders came to when they were fine-tuned, in the study that ships."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from molrate.data.targets import MAIN_METRIC
from molrate.measures.leave_one_out import LeaveOneOut
from molrate.measures.tangent import Tangent
from molrate.ranking.prior import relatives
from molrate.ranking.study import read_evidence

if TYPE_CHECKING:
    import pandas as pd


_FEWEST = 2
"""Datasets that a power can be tried on that it was not fitted to."""


@dataclass(frozen=True)
class Relation:
    """Losses after fine-tuning as a power of expected ones, both as shares of what a guess loses.

    Where features say nothing (a share of 1), so does the relation.

    Attributes
    ----------
    power : float
        More than 1 where fine-tuning gains more than was expected.
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
        """Loss after fine-tuning of an encoder with this loss expected, both as shares of a guess's."""
        return float(share**self.power)


@cache
def forecast_table() -> pd.DataFrame | None:
    """Expected losses of the study's networks beside those that came, means over seeds.

    Returns
    -------
    pandas.DataFrame or None
        Columns as in ``evidence/README.md``; None where the study's files are not here.
    """
    table = read_evidence("forecasts.csv")
    return None if table is None else table[table["kind"] == "pretrained"]


@cache
def relation_of(measure: str, task: str, dataset: str = "") -> Relation | None:
    """How fine-tuned losses went with those that a measure expects, on other datasets than the one at hand.

    Of ``loo`` a power of what is expected, if that comes nearer in datasets it was not fitted to; else what
    is expected. ``tangent`` is taken as it is: a power of it came nearer in the mean, by what weak encoders
    gain, and promised far too much of the strong ones that are proposed.

    Parameters
    ----------
    measure : {"loo", "tangent"}
        Of the frozen encoder, or of linearised fine-tuning.
    task : {"classification", "regression"}
    dataset : str
        Its name; it, and what shares molecules with it, is left out.

    Returns
    -------
    Relation or None
        None where the study does not say it of any dataset, or of one alone what frozen losses come to.
    """
    table = forecast_table()
    if table is None:
        return None
    rows = table[(table["metric"] == MAIN_METRIC[task]) & ~table["dataset"].isin(relatives(dataset))]
    losses = _logarithms(rows, measure)
    n_datasets = losses["dataset"].nunique()
    if n_datasets < (_FEWEST if measure == LeaveOneOut.name else 1):
        return None
    counts = n_datasets, losses["encoder"].nunique()
    as_expected = Relation(1.0, _scatter(losses, losses["x"]), *counts)
    if measure == Tangent.name:
        return as_expected
    # How far the power of the other datasets is off is what it will be off here.
    left_out = losses["dataset"].map(
        {name: _power(losses[losses["dataset"] != name]) for name in losses["dataset"].unique()}
    )
    by_power = Relation(_power(losses), _scatter(losses, left_out * losses["x"]), *counts)
    return min(as_expected, by_power, key=lambda relation: relation.scatter)


@cache
def forecasts_off() -> dict[str, float]:
    """How far forecasts of fine-tuning were off, as a share of what came, by metric; means over datasets."""
    table = forecast_table()
    if table is None:
        return {}
    by_dataset = forecast_errors(table).groupby(["metric", "dataset"])["off"].mean()
    return {str(metric): float(off) for metric, off in by_dataset.groupby("metric").mean().items()}


def forecast_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Forecasts of fine-tuned errors or areas by ``tangent``, no worse than frozen, beside those that came.

    Parameters
    ----------
    table : pandas.DataFrame
        Of :func:`forecast_table`.

    Returns
    -------
    pandas.DataFrame
        The table with ``forecast``, and ``off``, its difference from ``finetuned`` as a share of that.
    """
    expected = table[[LeaveOneOut.name, Tangent.name]]
    forecast = expected.min(axis=1).where(table["metric"] == "rmse", expected.max(axis=1))
    return table.assign(forecast=forecast, off=(forecast / table["finetuned"] - 1).abs())


def _logarithms(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Expected and fine-tuned losses as shares of a guess's, their logarithms ``x`` and ``y``."""
    areas = (rows["metric"] != "rmse").to_numpy()
    losses = {name: np.where(areas, 1 - rows[name], rows[name]) for name in (measure, "finetuned", "guess")}
    x, y = (np.log(losses[name] / losses["guess"]) for name in (measure, "finetuned"))
    return rows[["dataset", "encoder"]].assign(x=x, y=y)


def _power(losses: pd.DataFrame) -> float:
    """Least squares; every dataset counts the same, however many of its networks were fine-tuned."""
    weights = 1 / losses.groupby("dataset")["dataset"].transform("count")
    return float((weights * losses["x"] * losses["y"]).sum() / (weights * losses["x"] ** 2).sum())


def _scatter(losses: pd.DataFrame, expected: pd.Series) -> float:
    """Root mean square about what is expected, every dataset counting the same."""
    squares = (losses["y"] - expected) ** 2
    return float(np.sqrt(squares.groupby(losses["dataset"]).mean().mean()))
