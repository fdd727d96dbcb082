"""Errors that scores expect beside those that came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from molrate.benchmarking.agreement import TOP, Floats, kendall
from molrate.benchmarking.read import EXPECTED, DatasetOutcome


def expectation_table(outcomes: Sequence[DatasetOutcome]) -> pd.DataFrame:
    """Expected errors of encoders beside those that came.

    Returns
    -------
    pandas.DataFrame
        One row for each dataset whose scores expect errors: ``metric``, ``encoders``; mean ``frozen off`` and
        ``finetuned off``, shares of what came; Kendall's ``frozen tau`` and ``finetuned tau``; ``frozen
        scatter`` and ``finetuned scatter``, the root mean square of the logarithm of expected by real losses,
        an error or what an area lacks of 1.
    """
    rows = []
    for outcome in outcomes:
        table = outcome.expected.dropna()
        if len(table) < TOP:
            continue
        row: dict[str, Any] = {"dataset": outcome.name, "metric": outcome.metric, "encoders": len(table)}
        for name in EXPECTED:
            expected, came = table[f"{name} expected"].to_numpy(), table[name].to_numpy()
            row[f"{name} off"] = float(np.mean(np.abs(expected / came - 1)))
            row[f"{name} tau"] = kendall(expected, came)
            losses = np.array([expected, came] if outcome.metric == "rmse" else [1 - expected, 1 - came])
            # A loss of nothing has no logarithm.
            before, after = losses[:, (losses > 0).all(axis=0)]
            row[f"{name} scatter"] = _root_mean_square(np.log(before / after))
        rows.append(row)
    return pd.DataFrame(rows)


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")
