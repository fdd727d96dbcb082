"""Metrics of how well scores order encoders as fine-tuning did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, pearsonr, weightedtau

Floats = npt.NDArray[np.float64]

TOP = 3
RANDOM = "random order"


def pearson(scores: Floats, truth: Floats) -> float:
    """Pearson's correlation; 0 if either array is constant."""
    if np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return 0.0
    return float(pearsonr(scores, truth).statistic)


def kendall(scores: Floats, truth: Floats) -> float:
    """Kendall's tau-b; 0 if either array is constant."""
    return _defined(kendalltau(scores, truth).statistic)


def weighted(scores: Floats, truth: Floats) -> float:
    """Weighted tau, in which exchanges among the best weigh more; 0 if either array is constant."""
    return _defined(weightedtau(scores, truth, rank=True).statistic)


def _defined(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0


def weighted_rows(scores: Floats, truth: Floats) -> Floats:
    """:func:`weighted` of each row of two matrices, shape (n_rows, n_encoders), for all rows at once.

    A pair weighs 1 / r + 1 / s, where r and s are the ranks of its two encoders. The result is the mean of
    the taus with ranks by score and with ranks by truth, as ``scipy.stats.weightedtau(rank=True)`` has it
    (Vigna 2015).
    """
    order_scores, order_truth = (np.sign(x[:, :, None] - x[:, None, :]) for x in (scores, truth))
    taus = []
    for keys in ((truth, scores), (scores, truth)):
        ranked = np.lexsort(keys, axis=-1)[:, ::-1]
        weight = np.empty(scores.shape)
        np.put_along_axis(weight, ranked, 1 / np.arange(1.0, scores.shape[1] + 1)[None], axis=1)
        pairs = weight[:, :, None] + weight[:, None, :]
        product, square_scores, square_truth = (
            (pairs * signs).sum(axis=(1, 2))
            for signs in (order_scores * order_truth, np.abs(order_scores), np.abs(order_truth))
        )
        scale = np.sqrt(square_scores * square_truth)
        taus.append(np.divide(product, scale, out=np.zeros_like(product), where=scale > 0))
    return np.mean(taus, axis=0)


def top_recall(scores: Floats, truth: Floats) -> float:
    """Share of the three best encoders that are among the three highest scores; expected value for ties."""
    best = np.argsort(-truth, kind="stable")[:TOP]
    return float(_chance_of_top(scores)[best].sum() / TOP)


def _chance_of_top(scores: Floats) -> Floats:
    """Chance that each encoder is among the three highest scores, if ties are broken at random."""
    above = (scores[None, :] > scores[:, None]).sum(axis=1)
    level = (scores[None, :] == scores[:, None]).sum(axis=1)
    return np.clip((TOP - above) / level, 0.0, 1.0)


def regret(scores: Floats, truth: Floats) -> float:
    """Relative top-1 regret: what the encoder with the highest score loses to the best encoder.

    If several encoders share the highest score, it is their mean. It is a share of the best encoder's
    metric: 0.05 is 5 % of its area under the curve or of its error.
    """
    return loss(float(truth[scores == scores.max()].mean()), truth)


def regret_of_three(scores: Floats, truth: Floats) -> float:
    """Loss of the best of the three encoders with the highest scores to the best of all encoders.

    If scores tie at the third place, it is the mean over the choices among the tied encoders.
    """
    third = np.sort(scores)[-min(TOP, len(scores))]
    sure, tied = np.flatnonzero(scores > third), np.flatnonzero(scores == third)
    places = min(TOP, len(scores)) - len(sure)
    bests = [truth[[*sure, *chosen]].max() for chosen in combinations(tied, places)]
    return loss(float(np.mean(bests)), truth)


def loss(chosen: float, truth: Floats) -> float:
    """Loss of a chosen performance to the best encoder, as a share of the best encoder's metric."""
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
"""Metrics that, for equal scores, give the value that a random order is expected to reach."""
