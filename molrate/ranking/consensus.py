"""One order from several measures and targets, by mean rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from molrate.statistics.intervals import LEVEL, student_quantile

if TYPE_CHECKING:
    import pandas as pd


def consensus_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Candidates by their mean rank over measures and targets.

    Every measure of every target is a vote; raw scores are never added, as their scales differ. Only
    candidates that every vote ranked take part, and ranks are taken among them.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of a :class:`molrate.Ranking`.

    Returns
    -------
    pandas.DataFrame
        Columns rank, encoder, kind, layer, mean_rank, low, high (Student's t over votes: how far they
        agree, not how certain each is), borda (share of the others it beats, over all votes) and votes.
        ``attrs["agreement"]`` is the mean Kendall's tau between votes.
    """
    import pandas as pd

    ranked = frame[frame["rank"].notna()]
    table = ranked.pivot_table(
        index=["encoder", "kind", "layer"], columns=["target", "measure"], values="rank", sort=False
    ).dropna()
    ranks = table.astype(float).rank(axis=0, method="average").to_numpy()
    n_candidates, votes = ranks.shape
    mean = ranks.mean(axis=1)
    reach = np.full(n_candidates, np.nan)
    if votes > 1:
        reach = student_quantile(votes - 1, LEVEL) * ranks.std(axis=1, ddof=1) / np.sqrt(votes)
    names = table.index.to_frame(index=False)
    result = pd.DataFrame(
        {
            "rank": pd.Series(mean).rank(method="min").astype(int),
            "encoder": names["encoder"],
            "kind": names["kind"],
            "layer": names["layer"],
            "mean_rank": mean,
            "low": np.maximum(mean - reach, 1.0),
            "high": np.minimum(mean + reach, n_candidates),
            "borda": (n_candidates - mean) / max(1, n_candidates - 1),
            "votes": votes,
        }
    )
    result.attrs["agreement"] = _agreement(ranks)
    return result.sort_values("rank", kind="stable").reset_index(drop=True)


def _agreement(ranks: np.ndarray) -> float:
    """Mean Kendall's tau between the columns of ranks (candidates x votes)."""
    from scipy.stats import kendalltau

    votes = ranks.shape[1]
    taus = [kendalltau(ranks[:, i], ranks[:, j]).statistic for i in range(votes) for j in range(i)]
    finite = [tau for tau in taus if np.isfinite(tau)]
    return float(np.mean(finite)) if finite else float("nan")
