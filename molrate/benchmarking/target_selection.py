"""Which of several targets one encoder will do well on (the paper's appendix B.6)."""

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
        One a target; encoders of all of them count.
    predictors : sequence of str
        Those that some trial has not are left out.

    Returns
    -------
    pandas.DataFrame
        One row a predictor: Kendall's ``tau`` and ``pearson`` over targets, means over encoders, with the
        lowest (``low``) and highest (``high``) tau. Encoders share the targets, so that the means are no
        surer than so few targets allow. Empty with fewer than three.
    """
    encoders = [name for name in outcomes[0].encoders if all(name in trial.encoders for trial in outcomes)]
    columns = ["predictor", "targets", "encoders", "tau", "low", "high", "pearson"]
    if len(outcomes) < _FEWEST or not encoders:
        return pd.DataFrame(columns=columns)
    skill = np.array([trial.skill[_rows(trial, encoders)] for trial in outcomes])
    rows = []
    for name in predictors:
        if all(name in trial.predictors for trial in outcomes):
            scores = np.array([trial.predictors[name][_rows(trial, encoders)] for trial in outcomes])
            pairs = list(zip(scores.T, skill.T, strict=True))
            taus = [kendall(*pair) for pair in pairs]
            correlation = float(np.mean([pearson(*pair) for pair in pairs]))
            found = [float(np.mean(taus)), min(taus), max(taus), correlation]
            rows.append([name, len(outcomes), len(encoders), *found])
    return pd.DataFrame(rows, columns=columns)


def _rows(trial: DatasetOutcome, encoders: Sequence[str]) -> list[int]:
    return [trial.encoders.index(name) for name in encoders]
