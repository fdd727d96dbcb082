"""How far a ranking holds when the settings that nobody can justify are changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from molrate.measures.base import Measure
from molrate.measures.transrate import EPSILON_SQUARED, TransRate
from molrate.ranking.candidates import AUTO, Candidate, CommonDimension, Gradients, ScoredTarget
from molrate.ranking.ranking import rank_targets
from molrate.statistics.intervals import Replicates
from molrate.statistics.resampling import make_resampling

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
    scored_targets: Sequence[ScoredTarget],
    measures: Sequence[Measure],
    base: Mapping[Key, Replicates],
    rank_by: str,
    pooled: Mapping[str, Callable[[], Sequence[Candidate]]],
    common_dimension: CommonDimension = AUTO,
) -> pd.DataFrame:
    """Kendall's tau between the ranking and those under other settings.

    Parameters
    ----------
    candidates, scored_targets, measures, rank_by, common_dimension
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
    from scipy.stats import kendalltau

    rows = []
    for setting, value, variant in _variants(candidates, scored_targets, measures, pooled):
        _, replicates = rank_targets(*variant, rank_by, common_dimension)
        votes = dict.fromkeys((target, measure) for target, measure, _, _ in replicates)
        for target, measure in votes:
            keys = [key for key in base if key[:2] == (target, measure) and key in replicates]
            before = np.array([base[key].excess for key in keys])
            after = np.array([replicates[key].excess for key in keys])
            if len(keys) < 2:
                continue
            first, now = keys[int(before.argmax())], keys[int(after.argmax())]
            rows.append(
                {
                    "target": target,
                    "measure": measure,
                    "setting": setting,
                    "to": value,
                    "tau": float(kendalltau(before, after).statistic),
                    "same_best": first == now,
                    "best": " ".join(now[2:]),
                }
            )
    return pd.DataFrame(rows)


_Variant = tuple[Sequence[Candidate], Sequence[ScoredTarget], Sequence[Measure]]


def _variants(
    candidates: Sequence[Candidate],
    scored_targets: Sequence[ScoredTarget],
    measures: Sequence[Measure],
    pooled: Mapping[str, Callable[[], Sequence[Candidate]]],
) -> Iterator[tuple[str, str, _Variant]]:
    for measure in measures:
        if type(measure) is TransRate and measure.epsilon_squared == EPSILON_SQUARED:
            for epsilon in EPSILONS:
                other = TransRate(epsilon_squared=epsilon, scale_by_dimension=measure.scale_by_dimension)
                yield "epsilon squared", f"{epsilon:g}", (candidates, scored_targets, [other])
    binned = [measure for measure in measures if measure.reads == "bins"]
    regression = [
        scored_target for scored_target in scored_targets if scored_target.target.task == "regression"
    ]
    if binned and regression:
        for bins in BINS:
            yield (
                "bins",
                str(bins),
                (candidates, [_rebinned(scored_target, bins) for scored_target in regression], binned),
            )
    for pooling, make in pooled.items():
        yield "pooling", pooling, (make(), scored_targets, measures)
    for draw in range(SUBSAMPLES):
        fewer = [_subsample(scored_target, draw) for scored_target in scored_targets]
        yield "subsample", f"{SUBSAMPLE:.0%}, draw {draw + 1}", (candidates, fewer, measures)


def _rebinned(scored_target: ScoredTarget, bins: int) -> ScoredTarget:
    resampling = scored_target.resampling
    other = make_resampling(resampling.values, resampling.task, bins=bins, groups=resampling.groups)
    return replace(scored_target, resampling=other)


def _subsample(scored_target: ScoredTarget, draw: int) -> ScoredTarget:
    """Half of the blocks, drawn at random: every class keeps its share."""
    resampling = scored_target.resampling
    generator = np.random.default_rng(draw)
    blocks = generator.permutation(resampling.n_blocks)[: max(2, round(resampling.n_blocks * SUBSAMPLE))]
    keep = np.flatnonzero(np.isin(resampling.blocks, blocks))
    fewer = make_resampling(resampling.values[keep], resampling.task, groups=resampling.groups[keep])

    def gradients(*, controls: bool = True) -> dict[tuple[str, str], Gradients]:
        whole = scored_target.make_gradients(controls=controls)
        return {key: Gradients(one.sketches[keep], one.seconds) for key, one in whole.items()}

    return ScoredTarget(scored_target.target.take(keep), scored_target.rows[keep], fewer, gradients)
