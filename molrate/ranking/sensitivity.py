"""How far a ranking holds when the settings that nobody can justify are changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from molrate.measures.base import Measure
from molrate.measures.transrate import EPSILON_SQUARED, TransRate
from molrate.ranking.candidates import Candidate, Replicates, Trial
from molrate.ranking.layers import kendall_tau
from molrate.ranking.ranking import rank_trials
from molrate.statistics.resampling import make_design

if TYPE_CHECKING:
    import pandas as pd

EPSILONS = (0.01, 1.0)
BINS = (5, 20)
SUBSAMPLE = 0.5
SUBSAMPLES = 3
POOLINGS = ("mean", "sum", "max")

Key = tuple[str, str, str, str]


def sensitivity_table(
    candidates: Sequence[Candidate],
    trials: Sequence[Trial],
    measures: Sequence[Measure],
    base: Mapping[Key, Replicates],
    rank_by: str,
    pooled: Mapping[str, Callable[[], Sequence[Candidate]]],
) -> pd.DataFrame:
    """Kendall's tau between the ranking and those under other settings.

    Parameters
    ----------
    candidates, trials, measures, rank_by
        Of the ranking.
    base : dict
        What its candidates are ordered by.
    pooled : dict of str to callable
        For each other pooling, the candidates it gives; none where features have no atoms to pool.

    Returns
    -------
    pandas.DataFrame
        One row per target, measure, setting and its value: ``tau`` with the ranking, ``same_best``
        whether the same candidate comes first, and ``best``, which does.
    """
    import pandas as pd

    rows = []
    for setting, value, variant in _variants(candidates, trials, measures, pooled):
        _, replicates = rank_trials(*variant, rank_by)
        votes = dict.fromkeys((target, measure) for target, measure, _, _ in replicates)
        for target, measure in votes:
            keys = [key for key in base if key[:2] == (target, measure) and key in replicates]
            before = np.array([base[key][0] for key in keys])
            after = np.array([replicates[key][0] for key in keys])
            if len(keys) < 2:
                continue
            first, now = keys[int(before.argmax())], keys[int(after.argmax())]
            rows.append(
                {
                    "target": target,
                    "measure": measure,
                    "setting": setting,
                    "to": value,
                    "tau": kendall_tau(before, after),
                    "same_best": first == now,
                    "best": " ".join(now[2:]),
                }
            )
    return pd.DataFrame(rows)


_Variant = tuple[Sequence[Candidate], Sequence[Trial], Sequence[Measure]]


def _variants(
    candidates: Sequence[Candidate],
    trials: Sequence[Trial],
    measures: Sequence[Measure],
    pooled: Mapping[str, Callable[[], Sequence[Candidate]]],
) -> Iterator[tuple[str, str, _Variant]]:
    for measure in measures:
        if type(measure) is TransRate and measure.epsilon_squared == EPSILON_SQUARED:
            for epsilon in EPSILONS:
                other = TransRate(epsilon_squared=epsilon, scale_by_dimension=measure.scale_by_dimension)
                yield "epsilon squared", f"{epsilon:g}", (candidates, trials, [other])
    binned = [measure for measure in measures if measure.uses == "bins"]
    regression = [trial for trial in trials if trial.target.task == "regression"]
    if binned and regression:
        for bins in BINS:
            yield "bins", str(bins), (candidates, [_rebinned(trial, bins) for trial in regression], binned)
    for pooling, make in pooled.items():
        yield "pooling", pooling, (make(), trials, measures)
    for draw in range(SUBSAMPLES):
        fewer = [_subsample(trial, draw) for trial in trials]
        yield "subsample", f"{SUBSAMPLE:.0%}, draw {draw + 1}", (candidates, fewer, measures)


def _rebinned(trial: Trial, bins: int) -> Trial:
    design = trial.design
    other = make_design(design.values, design.task, bins=bins, groups=design.groups)
    return replace(trial, design=other)


def _subsample(trial: Trial, draw: int) -> Trial:
    """Half of the blocks, drawn at random: every class keeps its share."""
    design = trial.design
    generator = np.random.default_rng(draw)
    blocks = generator.permutation(design.n_blocks)[: max(2, round(design.n_blocks * SUBSAMPLE))]
    keep = np.flatnonzero(np.isin(design.blocks, blocks))
    fewer = make_design(design.values[keep], design.task, groups=design.groups[keep])
    return Trial(trial.target.take(keep), trial.rows[keep], fewer)
