"""Scores of encoders under other settings than a ranking's own: fewer molecules, other distortions.

For the paper's questions whether a measure still predicts fine-tuning from few molecules (section 4.6) and
with another distortion (appendix B.5), and what it costs (Table 5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from molrate.measures.base import MEASURES, Measure
from molrate.measures.transrate import EPSILON_SQUARED, TransRate
from molrate.ranking.candidates import Candidate, ScoredTarget
from molrate.ranking.ranking import rank_targets
from molrate.statistics.resampling import make_resampling

if TYPE_CHECKING:
    import pandas as pd

VARIED = ("transrate", "transrate-icml", "logme", "h-score", "ridge")
SIZES = (50, 100, 200, 400, 800)
EPSILONS = (0.01, 0.5, 1.0, 5.0, 10.0)
COLUMNS = ("encoder", "measure", "setting", "to", "n", "value", "excess", "embedding_seconds", "seconds")


def variant_table(candidates: Sequence[Candidate], trial: ScoredTarget, seed: int) -> pd.DataFrame:
    """Score candidates with fewer molecules, other distortions, and as they are.

    Parameters
    ----------
    candidates : sequence of Candidate
    trial : ScoredTarget
    seed : int
        Draws the molecules, the same for all candidates.

    Returns
    -------
    pandas.DataFrame
        Columns ``COLUMNS``. ``setting`` is ``molecules`` (``to`` is how many, infinite for all; none where
        all those drawn have one label) or ``epsilon squared``; ``embedding_seconds`` is what all layers of
        the encoder took, ``seconds`` what the measure took with null and interval, alone where all molecules
        are scored.
    """
    import pandas as pd

    rows = [
        {"setting": setting, "to": to, **_cells(row, candidate)}
        for candidate in candidates
        for setting, to, varied, measures in _variants(trial, seed)
        for row in rank_targets([replace(candidate, seconds=0.0)], [varied], measures)[0]
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _cells(row: dict[str, Any], candidate: Candidate) -> dict[str, Any]:
    kept = ("encoder", "measure", "n", "value", "excess", "seconds")
    return {name: row[name] for name in kept} | {"embedding_seconds": candidate.seconds}


def _variants(trial: ScoredTarget, seed: int) -> Iterator[tuple[str, float, ScoredTarget, Sequence[Measure]]]:
    measures = [MEASURES[name]() for name in VARIED]
    for measure in measures:
        yield "molecules", float("inf"), trial, [measure]
    for size in SIZES:
        fewer = _fewer(trial, size, seed) if size < len(trial.rows) else None
        if fewer is not None:
            yield "molecules", size, fewer, measures
    for epsilon in EPSILONS:
        yield "epsilon squared", epsilon, trial, [TransRate(epsilon_squared=epsilon)]
    yield "epsilon squared", EPSILON_SQUARED, trial, [TransRate()]


def _fewer(trial: ScoredTarget, size: int, seed: int) -> ScoredTarget | None:
    """Some molecules of a trial, drawn at random; None if all of them have the same label."""
    generator = np.random.default_rng([seed, size])
    keep = np.sort(generator.permutation(len(trial.rows))[:size])
    resampling = trial.resampling
    if len(np.unique(resampling.values[keep])) < 2:
        return None
    fewer = make_resampling(resampling.values[keep], resampling.task, groups=resampling.groups[keep])
    return ScoredTarget(trial.target.take(keep), trial.rows[keep], fewer)
