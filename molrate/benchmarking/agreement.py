"""How far scores order encoders as fine-tuning did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, pearsonr, weightedtau

Floats = npt.NDArray[np.float64]

TOP = 3


def pearson(scores: Floats, truth: Floats) -> float:
    """Pearson's correlation; 0 where either is constant."""
    if np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return 0.0
    return float(pearsonr(scores, truth).statistic)


def kendall(scores: Floats, truth: Floats) -> float:
    """Kendall's tau-b; 0 where either is constant."""
    return _defined(kendalltau(scores, truth).statistic)


def weighted(scores: Floats, truth: Floats) -> float:
    """Weighted tau, in which exchanges among the best weigh more; 0 where either is constant."""
    return _defined(weightedtau(scores, truth, rank=True).statistic)


def _defined(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0


def weighted_rows(scores: Floats, truth: Floats) -> Floats:
    """:func:`weighted` of each row of two matrices, shape (n_rows, n_encoders), all rows at once.

    Pairs weigh 1 / r + 1 / s by the ranks r and s of the two; the mean of ranks by score and by truth, as
    ``scipy.stats.weightedtau(rank=True)`` has it (Vigna 2015).
    """
    order_scores, order_truth = (np.sign(x[:, :, None] - x[:, None, :]) for x in (scores, truth))
    taus = []
    for keys in ((truth, scores), (scores, truth)):
        ranked = np.lexsort(keys, axis=-1)[:, ::-1]
        weight = np.empty(scores.shape)
        np.put_along_axis(weight, ranked, 1 / np.arange(1.0, scores.shape[1] + 1)[None], axis=1)
        pairs = weight[:, :, None] + weight[:, None, :]
        both, one, other = (
            (pairs * signs).sum(axis=(1, 2))
            for signs in (order_scores * order_truth, np.abs(order_scores), np.abs(order_truth))
        )
        scale = np.sqrt(one * other)
        taus.append(np.divide(both, scale, out=np.zeros_like(both), where=scale > 0))
    return np.mean(taus, axis=0)


def top_recall(scores: Floats, truth: Floats) -> float:
    """Share of the three best encoders among the three of the highest scores, expected where scores tie."""
    best = np.argsort(-truth, kind="stable")[:TOP]
    return float(_chance_of_top(scores)[best].sum() / TOP)


def _chance_of_top(scores: Floats) -> Floats:
    """Chance of each to be among the three of the highest scores, if ties are broken at random."""
    above = (scores[None, :] > scores[:, None]).sum(axis=1)
    level = (scores[None, :] == scores[:, None]).sum(axis=1)
    return np.clip((TOP - above) / level, 0.0, 1.0)


def regret(scores: Floats, truth: Floats) -> float:
    """Relative top-1 regret: what the encoder of the highest score loses to the best one.

    Where several share the highest score it is their mean. In units of the best one's metric: 0.05 is
    5 % of its area under the curve or of its error.
    """
    return loss(float(truth[scores == scores.max()].mean()), truth)


def regret_of_three(scores: Floats, truth: Floats) -> float:
    """What the best of the three encoders of the highest scores loses to the best of all.

    Where scores tie at the third place, the mean over which of them is taken.
    """
    third = np.sort(scores)[-min(TOP, len(scores))]
    sure, tied = np.flatnonzero(scores > third), np.flatnonzero(scores == third)
    places = min(TOP, len(scores)) - len(sure)
    bests = [truth[[*sure, *chosen]].max() for chosen in combinations(tied, places)]
    return loss(float(np.mean(bests)), truth)


def loss(chosen: float, truth: Floats) -> float:
    """What a choice of some performance loses to the best encoder, as a share of the best one's metric."""
    return float((truth.max() - chosen) / abs(truth.max()))


METRICS: Mapping[str, Callable[[Floats, Floats], float]] = {
    "pearson": pearson,
    "tau": kendall,
    "weighted tau": weighted,
    "top-3 recall": top_recall,
    "regret": regret,
    "regret of best of 3": regret_of_three,
}

EXPECTED_OF_TIES = ("top-3 recall", "regret", "regret of best of 3")
"""Metrics that give, of equal scores, what an order drawn at random is expected to reach."""
