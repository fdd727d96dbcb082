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


def largest_table(tested: pd.DataFrame) -> pd.DataFrame:
    """The largest part of a table of encoders by seeds that has no gap, among the fullest seeds.

    Encoders are compared on the same splits, of which some are easier than others. The size of a table is the
    number of encoders times the root of the number of seeds, so that a seed that has few encoders so far does
    not push out the other encoders.

    Parameters
    ----------
    tested : pandas.DataFrame
        Encoders as rows and seeds as columns; NaN where an encoder was not trained.

    Examples
    --------
    >>> import pandas as pd
    >>> tested = pd.DataFrame({0: [1.0, 2.0, 3.0], 1: [1.5, 2.5, None]}, index=["x", "y", "z"])
    >>> largest_table(tested).shape, largest_table(tested.iloc[:2]).shape
    ((3, 1), (2, 2))
    """
    fullest = tested.notna().sum().sort_values(ascending=False, kind="stable").index.tolist()
    tables = [tested[sorted(fullest[:n])].dropna() for n in range(1, len(fullest) + 1)]
    return max(tables, key=lambda table: len(table) * table.shape[1] ** 0.5, default=tested)


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
