"""One order from several measures and targets, by mean rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.statistics.intervals import LEVEL, Replicates, holm, tiers

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, str, str]
_DRAWS = 10_000


def consensus_table(frame: pd.DataFrame, replicates: Mapping[Key, Replicates]) -> pd.DataFrame:
    """Candidates by their mean rank over measures and targets.

    Every measure of every target is a vote; raw scores are never added, as their scales differ. Only
    candidates that every vote ranked take part, and ranks are taken among them.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of a :class:`molrate.Ranking`.
    replicates : mapping
        Of the same ranking: what each (target, measure, encoder, layer) is ordered by.

    Returns
    -------
    pandas.DataFrame
        Columns rank, tier, encoder, kind, layer, mean_rank, low, high, borda (share of the others it beats,
        over all votes) and votes. The molecules are resampled for ``low`` and ``high``, a 95 % interval of
        the mean rank, and for ``tier``: the first of a tier stays before all of those below in the resampled
        mean ranks, at 95 % for all pairs together. ``attrs["agreement"]`` is the mean Kendall's tau between
        votes.
    """
    import pandas as pd

    ranked = frame[frame["rank"].notna()]
    table = ranked.pivot_table(
        index=["encoder", "kind", "layer"], columns=["target", "measure"], values="rank", sort=False
    ).dropna()
    ranks = table.astype(float).rank(axis=0, method="average").to_numpy()
    n_candidates, votes = ranks.shape
    mean = ranks.mean(axis=1)
    names = table.index.to_frame(index=False)
    ballots: list[Any] = table.columns.tolist()
    by_vote = [
        [
            replicates[target, measure, encoder, layer]
            for encoder, layer in zip(names["encoder"], names["layer"], strict=True)
        ]
        for target, measure in ballots
    ]
    draws = _resampled_ranks(by_vote, [target for target, _ in ballots])
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(draws, [tail, 100 - tail], axis=0) if n_candidates else (mean, mean)
    result = pd.DataFrame(
        {
            "rank": pd.Series(mean).rank(method="min").astype(int),
            "tier": tiers(-mean, _order_p_values(mean, draws)),
            "encoder": names["encoder"],
            "kind": names["kind"],
            "layer": names["layer"],
            "mean_rank": mean,
            "low": np.minimum(low, mean),
            "high": np.maximum(high, mean),
            "borda": (n_candidates - mean) / max(1, n_candidates - 1),
            "votes": votes,
        }
    )
    result.attrs["agreement"] = _agreement(ranks)
    return result.sort_values("rank", kind="stable").reset_index(drop=True)


def _resampled_ranks(
    by_vote: Sequence[Sequence[Replicates]], targets: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Mean ranks over votes if other molecules had been drawn, shape (draws, K).

    All candidates by all measures of a target move together, as they share its molecules: random weights of
    its blocks and permutations, the same for all, move every excess by its own deviations. The weights of a
    draw are divided by a common chi, as the deviations are estimated from few blocks.
    """
    count = len(by_vote[0])
    total = np.zeros((_DRAWS, count))
    if not count:
        return total
    generator = np.random.default_rng(0)
    weights: dict[str, npt.NDArray[np.float64]] = {}
    for target, candidates in zip(targets, by_vote, strict=True):
        deviations = np.array([candidate.deviations() for candidate in candidates])
        parts = deviations.shape[1]
        if target not in weights:
            degrees = len(candidates[0].deletions) - 2
            chi = np.sqrt(generator.chisquare(degrees, _DRAWS) / degrees)
            weights[target] = generator.normal(size=(_DRAWS, parts)) / chi[:, None]
        excess = np.array([candidate.excess for candidate in candidates])
        moved = excess + weights[target][:, :parts] @ deviations.T
        total += np.argsort(np.argsort(-moved, axis=1), axis=1) + 1
    return total / len(by_vote)


def _order_p_values(mean: npt.NDArray[np.float64], draws: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Corrected p-values of all pairs: how often resampled mean ranks turn an order round, shape (K, K)."""
    pairs = list(combinations(range(len(mean)), 2))
    turned = [
        (np.sum((draws[:, j] - draws[:, i]) * np.sign(mean[j] - mean[i]) <= 0) + 1) / (len(draws) + 1)
        for i, j in pairs
    ]
    table = np.ones((len(mean), len(mean)))
    corrected = holm(np.minimum(2 * np.array(turned), 1.0))
    for (i, j), p_value in zip(pairs, corrected, strict=True):
        table[i, j] = table[j, i] = p_value
    return table


def _agreement(ranks: np.ndarray) -> float:
    """Mean Kendall's tau between the columns of ranks (candidates x votes)."""
    from scipy.stats import kendalltau

    n_candidates, votes = ranks.shape
    if n_candidates < 2:
        return float("nan")
    taus = [kendalltau(ranks[:, i], ranks[:, j]).statistic for i in range(votes) for j in range(i)]
    finite = [tau for tau in taus if np.isfinite(tau)]
    return float(np.mean(finite)) if finite else float("nan")
