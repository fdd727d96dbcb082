"""How far the orders of measures agree."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from molrate.ranking.ranking import Ranking
from molrate.report.charts import Chart, grid
from molrate.report.page import Block, Section
from molrate.report.rows import headed
from molrate.report.tables import Table, number

if TYPE_CHECKING:
    import pandas as pd


_MOST_MEASURES = 20
_LEAST_CANDIDATES = 3


def agreement_section(ranking: Ranking) -> Section:
    """Kendall's tau between measures, expected errors and the prior, for each target."""
    blocks: list[Block] = []
    targets = list(dict.fromkeys(ranking.frame["target"]))
    for place, target in enumerate(targets):
        table = ranking_table(ranking, str(target))
        if table.shape[1] < 2 or len(table) < _LEAST_CANDIDATES:
            continue
        blocks += headed(len(targets) > 1, str(target), [_agreement_chart(place, table)])
    return Section("agreement", "Agreement of measures", blocks)


def ranking_table(ranking: Ranking, target: str) -> pd.DataFrame:
    """What candidates of a target are ordered by, a column for each order, more is better.

    Parameters
    ----------
    ranking : Ranking
    target : str

    Returns
    -------
    pandas.DataFrame
        Candidates that every measure ranked by measures; then expected errors and the prior, as far as
        they are known.
    """
    frame = ranking.frame[(ranking.frame["target"] == target) & ranking.frame["rank"].notna()]
    ranks = frame.pivot_table(index=["encoder", "layer"], columns="measure", values="rank", sort=False)
    orders = -ranks.astype(float).dropna()
    once = frame.drop_duplicates(["encoder", "layer"]).set_index(["encoder", "layer"]).loc[orders.index]
    best = once["finetuned"].where(once["finetuned"].notna(), once["frozen"])
    higher = (once["metric"] == "auroc").to_numpy()
    orders["expected error"] = np.where(higher, best, -best)
    orders["prior"] = -once["prior"].astype(float)
    enough = orders.notna().sum() >= _LEAST_CANDIDATES
    return orders.loc[:, enough & (orders.nunique() > 1)].iloc[:, :_MOST_MEASURES]


def _agreement_chart(place: int, orders: pd.DataFrame) -> Chart:
    from scipy.stats import kendalltau

    names = [str(name) for name in orders.columns]
    rows = []
    for one, other in product(names, names):
        both = orders[[one, other]].dropna() if one != other else orders[[one]].dropna()
        tau = kendalltau(both.iloc[:, 0], both.iloc[:, -1]).statistic if len(both) > 1 else np.nan
        if np.isfinite(tau):
            rows.append({"one": one, "other": other, "value": float(tau)})
    table = Table(
        "Kendall's tau between orders",
        ["order", *names],
        [
            [one]
            + [
                next((number(r["value"], 2) for r in rows if (r["one"], r["other"]) == (one, other)), "")
                for other in names
            ]
            for one in names
        ],
        frozenset(["order"]),
    )
    caption = (
        f"Kendall's tau between orders of {len(orders)} candidates: 1 the same order, 0 none in common, -1 "
        "the reverse. Expected error and prior are orders too."
    )
    description = f"Grid of Kendall's tau between {', '.join(names)}."
    return Chart(f"agreement-{place}", caption, description, grid(rows, names, "Kendall's tau"), table)
