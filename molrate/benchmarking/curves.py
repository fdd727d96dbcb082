"""Agreement with fine-tuning, and its cost, by number of molecules and by distortion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from molrate.benchmarking.agreement import weighted
from molrate.benchmarking.read import DatasetOutcome


def agreement_curves(outcomes: Sequence[DatasetOutcome]) -> pd.DataFrame:
    """Weighted tau of measures scored under other settings (the paper's sections 4.6 and B.5).

    Scores of a single seed, which is what a user has, are compared with fine-tuning averaged over seeds.

    Returns
    -------
    pandas.DataFrame
        One row for each setting, its value ``to``, and measure, with ``weighted tau``, the mean over
        datasets and seeds; ``deviation`` between seeds within a dataset; and ``datasets``, the number of
        datasets. ``to`` is infinite where all molecules are scored. Empty without variants.
    """
    rows = []
    for outcome in outcomes:
        truth = dict(zip(outcome.encoders, outcome.mean_truth, strict=True))
        keys = ["setting", "to", "measure"]
        for (*names, _), group in outcome.variants.groupby([*keys, "seed"], sort=True):
            scores = group.drop_duplicates("encoder").dropna(subset="excess")
            if len(scores) == len(outcome.encoders):
                ordered = np.array([truth[name] for name in scores["encoder"]])
                tau = weighted(scores["excess"].to_numpy(), ordered)
                rows.append({**dict(zip(keys, names, strict=True)), "dataset": outcome.name, "tau": tau})
    if not rows:
        return pd.DataFrame(columns=["setting", "to", "measure", "weighted tau", "deviation", "datasets"])
    by_dataset = pd.DataFrame(rows).groupby(["setting", "to", "measure", "dataset"])["tau"]
    means, deviations = by_dataset.mean(), by_dataset.std()
    levels = ["setting", "to", "measure"]
    table = pd.DataFrame(
        {
            "weighted tau": means.groupby(level=levels).mean(),
            "deviation": deviations.groupby(level=levels).mean(),
            "datasets": means.groupby(level=levels).count(),
        }
    )
    return table.reset_index()


def time_table(outcomes: Sequence[DatasetOutcome], measure: str) -> pd.DataFrame:
    """Mean seconds that fine-tuning, embedding and the measure take for an encoder (the paper's Table 5).

    Returns
    -------
    pandas.DataFrame
        One row for each dataset that has variants, with the seconds ``finetuning``, ``embedding`` and
        ``scoring``, and the ratios of fine-tuning to embedding and measure together (``speed-up``) and to
        the measure alone (``measure alone``).
    """
    rows = []
    for outcome in outcomes:
        frame = outcome.variants[
            (outcome.variants["measure"] == measure) & (outcome.variants["to"] == np.inf)
        ]
        if frame.empty:
            continue
        embedding, scoring = float(frame["embedding_seconds"].mean()), float(frame["seconds"].mean())
        rows.append(
            {
                "dataset": outcome.name,
                "finetuning": outcome.seconds,
                "embedding": embedding,
                "scoring": scoring,
                "speed-up": outcome.seconds / (embedding + scoring),
                "measure alone": outcome.seconds / scoring,
            }
        )
    return pd.DataFrame(rows)
