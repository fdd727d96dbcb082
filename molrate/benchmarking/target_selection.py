"""Predicting on which of several targets an encoder will do well (the paper's appendix B.6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from molrate.benchmarking.agreement import kendall, pearson
from molrate.benchmarking.read import DatasetOutcome

_FEWEST = 3


def target_selection(outcomes: Sequence[DatasetOutcome], predictors: Sequence[str]) -> pd.DataFrame:
    """Agreement between an encoder's scores for targets and its skill on them, over encoders.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
        One outcome for each target; only the encoders that all of them have count.
    predictors : sequence of str
        Names of predictors; those that some outcome lacks are left out.

    Returns
    -------
    pandas.DataFrame
        One row for each predictor: Kendall's ``tau`` and ``pearson`` over targets, means over encoders, with
        the lowest (``low``) and highest (``high``) tau. Encoders share the targets, so that the means are no
        more certain than so few targets allow. Empty with fewer than three targets.
    """
    encoders = [
        name for name in outcomes[0].encoders if all(name in outcome.encoders for outcome in outcomes)
    ]
    columns = ["predictor", "targets", "encoders", "tau", "low", "high", "pearson"]
    if len(outcomes) < _FEWEST or not encoders:
        return pd.DataFrame(columns=columns)
    skill = np.array([outcome.skill[_rows(outcome, encoders)] for outcome in outcomes])
    rows = []
    for name in predictors:
        if all(name in outcome.predictors for outcome in outcomes):
            scores = np.array([outcome.predictors[name][_rows(outcome, encoders)] for outcome in outcomes])
            pairs = list(zip(scores.T, skill.T, strict=True))
            taus = [kendall(*pair) for pair in pairs]
            correlation = float(np.mean([pearson(*pair) for pair in pairs]))
            figures = [float(np.mean(taus)), min(taus), max(taus), correlation]
            rows.append([name, len(outcomes), len(encoders), *figures])
    return pd.DataFrame(rows, columns=columns)


def _rows(outcome: DatasetOutcome, encoders: Sequence[str]) -> list[int]:
    return [outcome.encoders.index(name) for name in encoders]
