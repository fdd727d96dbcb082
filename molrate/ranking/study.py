"""The rows of the study that ships with molrate: fine-tunings for real, frozen and trained as a whole."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from molrate.paths import EVIDENCE, shipped

if TYPE_CHECKING:
    import pandas as pd


def read_evidence(file: str) -> pd.DataFrame | None:
    """A table of the study that ships with molrate; None where its files are not here."""
    import pandas as pd

    path = shipped(EVIDENCE) / file
    return pd.read_csv(path, dtype={"dataset": str, "encoder": str}) if path.is_file() else None


@cache
def study_rows() -> pd.DataFrame | None:
    """Fine-tunings on random splits, but for those of encoders that may have seen the labels.

    Returns
    -------
    pandas.DataFrame or None
        Columns as in ``evidence/README.md``; None where the study's files are not here.
    """
    from molrate.ranking.contamination import are_suspect

    rows = read_evidence("finetuning.csv")
    if rows is None:
        return None
    rows = rows[(rows["status"] == "ok") & (rows["split"] == "random")]
    return rows[~are_suspect(rows["encoder"], rows["dataset"])]
