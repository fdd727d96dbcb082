"""What is lost when only the first encoders of an order are fine-tuned, and validation keeps one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from molrate.benchmarking.agreement import Floats, loss
from molrate.benchmarking.comparison import RANDOM
from molrate.benchmarking.read import DatasetOutcome

LENGTHS = (1, 2, 3, 5, 10)
_ORDERS = 200


def shortlist_table(
    outcomes: Sequence[DatasetOutcome], names: Sequence[str], lengths: Sequence[int] = LENGTHS, seed: int = 0
) -> pd.DataFrame:
    """Regret of the encoder that validation keeps of the first few of an order.

    Each seed in turn is the one in which a user fine-tunes; its validation metric keeps one encoder, whose
    mean test metric under the other seeds is compared with the best one's.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
        Those with several seeds and validation metrics count.
    names : sequence of str
        Of predictors.
    lengths : sequence of int
        How many encoders are fine-tuned.
    seed : int
        Draws random orders.

    Returns
    -------
    pandas.DataFrame
        Columns ``predictor`` and the lengths: the mean regret over datasets and seeds, a share of the best
        encoder's metric. The last row is of a random order. Empty where no dataset counts.
    """
    outcomes = [one for one in outcomes if len(one.seeds) > 1 and np.isfinite(one.validation).all()]
    if not outcomes:
        return pd.DataFrame(columns=["predictor", *lengths])
    rows = [
        {
            "predictor": name,
            **_means(outcomes, [outcome.predictors[name][None] for outcome in outcomes], lengths),
        }
        for name in names
    ]
    generator = np.random.default_rng(seed)
    orders = [generator.random((_ORDERS, len(outcome.encoders))) for outcome in outcomes]
    return pd.DataFrame([*rows, {"predictor": RANDOM, **_means(outcomes, orders, lengths)}])


def _means(
    outcomes: Sequence[DatasetOutcome], orders: Sequence[Floats], lengths: Sequence[int]
) -> dict[int, float]:
    """Mean regret by length; each dataset has an array of orders, whose rows are scores of its encoders."""
    return {
        length: float(
            np.mean(
                [
                    np.mean(list(_regrets(outcome, scores, length)))
                    for outcome, scores in zip(outcomes, orders, strict=True)
                ]
            )
        )
        for length in lengths
    }


def _regrets(outcome: DatasetOutcome, scores: Floats, length: int) -> Iterator[float]:
    for ordered in np.argsort(-scores, axis=1, kind="stable")[:, :length]:
        for seed in range(len(outcome.seeds)):
            rest = np.delete(outcome.truth, seed, axis=1).mean(axis=1)
            kept = ordered[int(outcome.validation[ordered, seed].argmax())]
            yield loss(float(rest[kept]), rest)
