"""Rows of a ranking as pages read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from molrate.measures.base import printed_name
from molrate.ranking.ranking import Ranking
from molrate.report.page import Block, Heading, Text

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("pretrained", "baseline", "control", "features")
MOST_DRAWN = 30
"""Candidates of a chart."""


def main_rows(ranking: Ranking) -> pd.DataFrame:
    """Rows by the measure that orders, each encoder by its best layer."""
    frame = ranking.frame
    rows = frame[(frame["measure"] == ranking.measure) & (frame["encoder"] != "")]
    return rows[(rows["layer_rank"] == 1) | rows["layer_rank"].isna()]


def by_target(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Rows of each target."""
    return [(str(name), of_target) for name, of_target in rows.groupby("target", sort=False)]


def headed(several: bool, name: str, blocks: Sequence[Block]) -> list[Block]:
    """Blocks of a target, with its name above where there are several."""
    return [Heading(name), *blocks] if several and blocks else list(blocks)


def cut_note(number: int, most: int, what: str = "targets") -> list[Block]:
    """That of so many only the first are shown; nothing where all are."""
    return [Text([f"Of {number} {what}, the first {most} are shown."])] if number > most else []


def measure_title(ranking: Ranking) -> str:
    """What the measure that orders is called."""
    return printed_name(ranking.measure)
