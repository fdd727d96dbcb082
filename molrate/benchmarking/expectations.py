"""Errors that scores expect beside those that came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from molrate.benchmarking.agreement import TOP, kendall
from molrate.benchmarking.read import EXPECTED, DatasetOutcome


def expectation_table(outcomes: Sequence[DatasetOutcome]) -> pd.DataFrame:
    """Expected errors of encoders beside those that came.

    Returns
    -------
    pandas.DataFrame
        One row for each dataset whose scores expect errors: ``encoders``; mean ``frozen off`` and ``finetuned
        off``, shares of what came; Kendall's ``frozen tau`` and ``finetuned tau``.
    """
    rows = []
    for outcome in outcomes:
        table = outcome.expected.dropna()
        if len(table) < TOP:
            continue
        row: dict[str, Any] = {"dataset": outcome.name, "encoders": len(table)}
        for name in EXPECTED:
            expected, came = table[f"{name} expected"].to_numpy(), table[name].to_numpy()
            row[f"{name} off"] = float(np.mean(np.abs(expected / came - 1)))
            row[f"{name} tau"] = kendall(expected, came)
        rows.append(row)
    return pd.DataFrame(rows)
