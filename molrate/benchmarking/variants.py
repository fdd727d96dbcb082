"""Scores of encoders under settings that differ from a ranking's: fewer molecules, other distortions.

They answer questions of the paper: whether a measure still predicts fine-tuning from few molecules (section
4.6) and with another distortion (appendix B.5), and what it costs (Table 5).
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

VARIED = ("transrate", "transrate-icml", "logme", "h-score", "loo")
SIZES = (50, 100, 200, 400, 800)
EPSILONS = (0.01, 0.5, 1.0, 5.0, 10.0)
COLUMNS = ("encoder", "measure", "setting", "to", "n", "value", "excess", "embedding_seconds", "seconds")


def variant_table(candidates: Sequence[Candidate], target: ScoredTarget, seed: int) -> pd.DataFrame:
    """Score candidates with fewer molecules, with other distortions, and with the settings of a ranking.

    Parameters
    ----------
    candidates : sequence of Candidate
    target : ScoredTarget
    seed : int
        Seed of the draw of molecules, which is the same for all candidates.

    Returns
    -------
    pandas.DataFrame
        Columns ``COLUMNS``. ``setting`` is ``molecules`` or ``epsilon squared``. For ``molecules``, ``to`` is
        their number, infinite for all; a number is left out if all molecules drawn have the same label.
        ``embedding_seconds`` is the time of all layers of the encoder. ``seconds`` is the time of the
        measure with null and interval; where all molecules are scored, the measure is timed alone.
    """
    import pandas as pd

    rows = [
        {"setting": setting, "to": to, **_cells(row, candidate)}
        for candidate in candidates
        for setting, to, varied, measures in _variants(target, seed)
        for row in rank_targets([replace(candidate, seconds=0.0)], [varied], measures)[0]
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _cells(row: dict[str, Any], candidate: Candidate) -> dict[str, Any]:
    kept = ("encoder", "measure", "n", "value", "excess", "seconds")
    return {name: row[name] for name in kept} | {"embedding_seconds": candidate.seconds}


def _variants(
    target: ScoredTarget, seed: int
) -> Iterator[tuple[str, float, ScoredTarget, Sequence[Measure]]]:
    measures = [MEASURES[name]() for name in VARIED]
    for measure in measures:
        yield "molecules", float("inf"), target, [measure]
    for size in SIZES:
        fewer = _fewer(target, size, seed) if size < len(target.rows) else None
        if fewer is not None:
            yield "molecules", size, fewer, measures
    for epsilon in EPSILONS:
        yield "epsilon squared", epsilon, target, [TransRate(epsilon_squared=epsilon)]
    yield "epsilon squared", EPSILON_SQUARED, target, [TransRate()]


def _fewer(target: ScoredTarget, size: int, seed: int) -> ScoredTarget | None:
    """Random molecules of a target; None if all of them have the same label."""
    generator = np.random.default_rng([seed, size])
    keep = np.sort(generator.permutation(len(target.rows))[:size])
    resampling = target.resampling
    if len(np.unique(resampling.values[keep])) < 2:
        return None
    fewer = make_resampling(resampling.values[keep], resampling.task, groups=resampling.groups[keep])
    return ScoredTarget(target.target.take(keep), target.rows[keep], fewer)
