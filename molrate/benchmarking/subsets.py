"""Agreement of predictors with fine-tuning among some of the encoders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from molrate.benchmarking.agreement import TOP, weighted
from molrate.benchmarking.read import DatasetOutcome

NOTHING = "nothing"


def leave_out(outcomes: Sequence[DatasetOutcome], name: str, by: str) -> pd.DataFrame:
    """Mean weighted tau over datasets, without each encoder or family in turn.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
    name : str
        Name of a predictor.
    by : {"encoders", "families"}

    Returns
    -------
    pandas.DataFrame
        Columns ``left out``, ``encoders`` (the smallest number that remains in a dataset) and ``weighted
        tau``. The first row leaves nothing out; the rows after it begin with the smallest tau. NaN where
        fewer than three encoders remain in some dataset.
    """
    everything = np.mean([weighted(outcome.predictors[name], outcome.mean_truth) for outcome in outcomes])
    least = min(len(outcome.encoders) for outcome in outcomes)
    whole = {"left out": NOTHING, "encoders": least, "weighted tau": float(everything)}
    rows = []
    for left_out in sorted({group for outcome in outcomes for group in getattr(outcome, by)}):
        kept = [np.array([group != left_out for group in getattr(outcome, by)]) for outcome in outcomes]
        least = min(int(mask.sum()) for mask in kept)
        row = {"left out": left_out, "encoders": least, "weighted tau": float("nan")}
        if least >= TOP:
            taus = [
                weighted(outcome.predictors[name][mask], outcome.mean_truth[mask])
                for outcome, mask in zip(outcomes, kept, strict=True)
            ]
            row["weighted tau"] = float(np.mean(taus))
        rows.append(row)
    ordered = pd.DataFrame(rows).sort_values("weighted tau", kind="stable")
    return pd.concat([pd.DataFrame([whole]), ordered], ignore_index=True)


def subset_table(outcomes: Sequence[DatasetOutcome], names: Sequence[str]) -> pd.DataFrame:
    """Mean weighted tau of predictors over pretrained encoders alone, and within families.

    Parameters
    ----------
    outcomes : sequence of DatasetOutcome
    names : sequence of str
        Of predictors.

    Returns
    -------
    pandas.DataFrame
        Columns ``predictor``, ``all``, ``pretrained`` and ``within families``: there, means over datasets of
        the mean over families. NaN where no dataset has three such encoders.
    """
    rows = []
    for name in names:
        taus: dict[str, list[float]] = {"all": [], "pretrained": [], "within families": []}
        for outcome in outcomes:
            kinds, families = np.array(outcome.kinds), np.array(outcome.families)
            groups = [families == family for family in sorted(set(outcome.families))]
            taus["all"] += _mean_tau(outcome, name, [np.ones(len(kinds), dtype=bool)])
            taus["pretrained"] += _mean_tau(outcome, name, [kinds == "pretrained"])
            taus["within families"] += _mean_tau(outcome, name, groups)
        rows.append(
            {"predictor": name, **{key: float(np.mean(v)) if v else np.nan for key, v in taus.items()}}
        )
    return pd.DataFrame(rows)


def _mean_tau(outcome: DatasetOutcome, name: str, groups: Sequence[npt.NDArray[np.bool_]]) -> list[float]:
    """Mean over the groups of three or more encoders, in a list; empty where there is none."""
    taus = [
        weighted(outcome.predictors[name][group], outcome.mean_truth[group])
        for group in groups
        if group.sum() >= TOP
    ]
    return [float(np.mean(taus))] if taus else []
