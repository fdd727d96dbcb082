"""Layers of encoders by depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from molrate.ranking.ranking import Ranking
from molrate.report.charts import SERIES, Chart, lines
from molrate.report.page import Block, Section
from molrate.report.rows import headed, measure_title
from molrate.report.tables import Table, interval, number

if TYPE_CHECKING:
    import pandas as pd


def layer_section(ranking: Ranking) -> Section | None:
    """Encoders of several layers by depth, and where to cut them; None where there are none."""
    layers = ranking.layers
    several = layers[layers["layers"] > 1]
    if several.empty:
        return None
    blocks: list[Block] = []
    targets = list(dict.fromkeys(several["target"]))
    for place, target in enumerate(targets):
        own = several[(several["target"] == target) & (several["measure"] == ranking.measure)]
        if own.empty:
            continue
        decimals = ranking.verdict.choice_for(str(target)).decimals
        drawn: list[Block] = [_layer_chart(ranking, place, str(target), own), _layer_table(own, decimals)]
        blocks += headed(len(targets) > 1, str(target), drawn)
    return Section("layers", "Layers", blocks)


def _layer_chart(ranking: Ranking, place: int, target: str, layers: pd.DataFrame) -> Chart:
    best = layers.sort_values("rank_by_best").head(len(SERIES))
    names = [str(name) for name in best["encoder"]]
    rows = [
        {"series": name, "label": point.layer, "x": point.depth, **_bounds(point)}
        for name in names
        for point in ranking.layer_profile(name, target).itertuples()
    ]
    title = measure_title(ranking)
    caption = (
        f"{title}, excess, by depth, with 95 % intervals, of the {len(names)} best encoders of several "
        "layers. The last point of a line is the encoder's last layer."
    )
    numbers = Table(
        "excess by layer",
        ["encoder", "layer", "depth", "excess", "95 %"],
        [
            [
                str(r["series"]),
                str(r["label"]),
                str(r["x"]),
                number(r["value"]),
                interval(r["low"], r["high"]),
            ]
            for r in rows
        ],
        frozenset(["encoder", "layer"]),
    )
    description = f"Lines of {title} by layer for {', '.join(names)}."
    return Chart(
        f"layers-{place}", caption, description, lines(rows, names, "layer by depth", title), numbers
    )


def _bounds(point: Any) -> dict[str, float]:
    return {"value": point.value, "low": point.low, "high": point.high}


def _layer_table(layers: pd.DataFrame, decimals: int) -> Table:
    rows = [
        [
            str(row["encoder"]),
            str(row["cut_at"]),
            str(row["best_layer"]),
            str(row["last_layer"]),
            number(row["gain"], 2),
            interval(row["gain_low"], row["gain_high"], 2),
            number(row["frozen_best"], decimals),
            number(row["frozen_last"], decimals),
        ]
        for _, row in layers.sort_values("rank_by_best").iterrows()
    ]
    header = ["encoder", "cut at", "best layer", "last layer", "gain of best", "95 %", "frozen, best"]
    caption = (
        "Where to cut: at the best layer where it is clearly above the last and its expected error no "
        "higher, else at the last"
    )
    left = frozenset(["encoder", "cut at", "best layer", "last layer"])
    return Table(caption, [*header, "frozen, last"], rows, left)
