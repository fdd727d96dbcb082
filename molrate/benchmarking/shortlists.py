"""What is lost when only the first encoders of an order are fine-tuned, and validation keeps one of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
import pandas as pd

from molrate.benchmarking.agreement import RANDOM, TOP, Floats, loss
from molrate.benchmarking.read import DatasetOutcome

LENGTHS = (1, 2, TOP, 5, 10)
_ORDERS = 200


def kept_regret(outcome: DatasetOutcome, scores: Floats, length: int = TOP) -> float:
    """Regret of the encoder that validation keeps of the first few of an order, mean over seeds.

    Each seed in turn is the one in which a user fine-tunes; its validation metric keeps one encoder, whose
    mean test metric under the other seeds, or under the same where there is no other, is compared with the
    best one's. Where scores tie at the last place, it is the mean over choices among the tied encoders.

    Parameters
    ----------
    outcome : DatasetOutcome
    scores : ndarray, shape (n_encoders,)
    length : int
        How many encoders are fine-tuned.

    Returns
    -------
    float
        A share of the best encoder's metric. NaN where validation metrics are not known.
    """
    if not np.isfinite(outcome.validation).all():
        return float("nan")
    firsts = _first(scores, length)
    every = np.arange(len(firsts))
    regrets = []
    for seed in range(len(outcome.seeds)):
        rest = np.delete(outcome.truth, seed, axis=1) if len(outcome.seeds) > 1 else outcome.truth
        judged = rest.mean(axis=1)
        kept = firsts[every, outcome.validation[firsts, seed].argmax(axis=1)]
        regrets.append(loss(float(judged[kept].mean()), judged))
    return float(np.mean(regrets))


def _first(scores: Floats, length: int) -> npt.NDArray[np.intp]:
    """Rows of the first encoders, shape (n_choices, length): one choice where none ties at the last place.

    Of few choices all are there, of many some at random.
    """
    order = np.argsort(-scores, kind="stable")
    last = scores[order[:length][-1]]
    sure, tied = order[scores[order] > last], order[scores[order] == last]
    places = min(length, len(order)) - len(sure)
    if comb(len(tied), places) <= _ORDERS:
        chosen = [list(choice) for choice in combinations(tied, places)]
    else:
        generator = np.random.default_rng(0)
        chosen = [generator.permutation(tied)[:places].tolist() for _ in range(_ORDERS)]
    return np.array([[*sure, *choice] for choice in chosen])


def shortlist_table(
    outcomes: Sequence[DatasetOutcome], names: Sequence[str], lengths: Sequence[int] = LENGTHS, seed: int = 0
) -> pd.DataFrame:
    """:func:`kept_regret` of predictors, and of a random order, by the number of encoders fine-tuned.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
        Those with validation metrics count.
    names : sequence of str
        Of predictors.
    lengths : sequence of int
    seed : int
        Draws random orders.

    Returns
    -------
    pandas.DataFrame
        Columns ``predictor`` and the lengths: means over datasets. Empty where no dataset counts.
    """
    outcomes = [one for one in outcomes if np.isfinite(one.validation).all()]
    if not outcomes:
        return pd.DataFrame(columns=["predictor", *lengths])
    generator = np.random.default_rng(seed)
    orders = {name: [outcome.predictors[name][None] for outcome in outcomes] for name in names}
    orders[RANDOM] = [generator.random((_ORDERS, len(outcome.encoders))) for outcome in outcomes]
    rows = [{"predictor": name, **_means(outcomes, orders[name], lengths)} for name in orders]
    return pd.DataFrame(rows)


def _means(
    outcomes: Sequence[DatasetOutcome], orders: Sequence[Floats], lengths: Sequence[int]
) -> dict[int, float]:
    """Mean regret by length; each dataset has an array of orders, whose rows are scores of its encoders."""
    pairs = list(zip(outcomes, orders, strict=True))
    return {
        length: float(
            np.mean([np.mean([kept_regret(one, row, length) for row in rows]) for one, rows in pairs])
        )
        for length in lengths
    }
