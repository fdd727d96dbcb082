"""What is known of encoders before any look at a dataset: how they did on the other datasets of the study."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

import numpy as np

from molrate.data.datasets import public_name
from molrate.ranking.study import largest_table, study_rows

_RELATED = ({"b3db", "b3db_2000", "bbbp", "logbb"},)
"""Datasets that share molecules and what was measured, so that one tells of the other."""


def relatives(dataset: str) -> frozenset[str]:
    """A dataset, and those of the study that share molecules with it."""
    name = public_name(dataset)
    return frozenset({name}.union(*(group for group in _RELATED if name in group)))


def mean_standing(
    performance: Mapping[str, Mapping[str, float]], without: Collection[str] = ()
) -> dict[str, float]:
    """Mean standardised performance of each encoder over datasets.

    Parameters
    ----------
    performance : mapping of str to mapping of str to float
        By dataset and encoder; higher is better.
    without : collection of str
        Datasets that do not count, by the names of :func:`molrate.data.datasets.public_name`.

    Returns
    -------
    dict of str to float
        In standard deviations over the encoders of a dataset. Empty where no dataset is left.

    Examples
    --------
    >>> mean_standing({"a": {"x": 1.0, "y": 3.0}, "b": {"x": 0.0, "y": 9.0}}, without=["b"])
    {'x': -1.0, 'y': 1.0}
    """
    found: dict[str, list[float]] = {}
    for dataset, by_encoder in performance.items():
        values = np.array(list(by_encoder.values()))
        # Baselines may have been fitted where no encoder was trained yet.
        spread = values.std() if len(values) else 0.0
        if public_name(dataset) in without or spread == 0:
            continue
        for encoder, value in zip(by_encoder, (values - values.mean()) / spread, strict=True):
            found.setdefault(encoder, []).append(float(value))
    return {encoder: float(np.mean(values)) for encoder, values in found.items()}


@cache
def study_performance() -> dict[str, dict[str, float]]:
    """Mean test performance of the study's encoders by dataset, higher is better; empty without its files.

    Of each dataset the encoders and seeds of :func:`~molrate.ranking.study.largest_table`.
    """
    rows = study_rows()
    if rows is None:
        return {}
    signed = rows.assign(test=rows["test"].where(rows["task"] != "regression", -rows["test"]))
    performance = {}
    for dataset, own in signed.groupby("dataset"):
        by_seed = own.pivot_table(index="encoder", columns="seed", values="test")
        means = largest_table(by_seed).mean(axis=1)
        performance[str(dataset)] = {str(encoder): float(mean) for encoder, mean in means.items()}
    return performance


@cache
def prior_places(dataset: str = "") -> dict[str, int]:
    """Place of each encoder of the study by its mean standing on other datasets, 1 the best.

    Parameters
    ----------
    dataset : str
        The one that is ranked; it, and what shares molecules with it, is left out.
    """
    standing = mean_standing(study_performance(), relatives(dataset))
    ordered = sorted(standing, key=lambda encoder: -standing[encoder])
    return {encoder: place for place, encoder in enumerate(ordered, start=1)}
