"""How well a screen puts the known actives of a library first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit.ML.Scoring import Scoring
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from molrate.errors import InputError

_ACTIVE = ("1", "1.0", "true", "yes", "active")
_INACTIVE = ("0", "0.0", "false", "no", "inactive")
_FRACTIONS = (0.01, 0.05)
_ALPHA = 20.0


@dataclass(frozen=True)
class Enrichment:
    """What a ranking of molecules of known activity is worth.

    Attributes
    ----------
    n, n_active : int
        Molecules with a label and a prediction, and actives among them.
    ef_1, ef_5 : float
        Enrichment factor: actives in the first 1 or 5 %, over what chance gives.
    bedroc : float
        Boltzmann-enhanced discrimination with alpha = 20, from 0 to 1 (Truchon and Bayly 2007).
    auroc, auprc : float
        Areas under the ROC curve and under precision against recall.
    """

    n: int
    n_active: int
    ef_1: float
    ef_5: float
    bedroc: float
    auroc: float
    auprc: float

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def describe(self) -> str:
        """One line."""
        return (
            f"{self.n_active} actives of {self.n}: EF 1 % {self.ef_1:.2f}, EF 5 % {self.ef_5:.2f}, BEDROC "
            f"{self.bedroc:.3f}, AUROC {self.auroc:.3f}, AUPRC {self.auprc:.3f}"
        )


def known_activities(tables: Iterable[pd.DataFrame], column: str) -> tuple[npt.NDArray[Any], ...]:
    """Scores and activities (0 or 1) of the rows that have both.

    Raises
    ------
    InputError
        If a label is none of those known, or there are not both actives and inactives.
    """
    scores, active = [], []
    for table in tables:
        done = table[(table["status"] == "ok") & table["label"].notna()]
        labels = done["label"].astype(str).str.strip().str.casefold()
        done, labels = done[labels != ""], labels[labels != ""]
        unknown = labels[~labels.isin(_ACTIVE + _INACTIVE)]
        if len(unknown):
            row = done.loc[unknown.index[0]]
            raise InputError(
                f"{row['source']} row {row['row']}: label {row['label']!r} is none of {', '.join(_ACTIVE)}; "
                f"{', '.join(_INACTIVE)} (--label-column)"
            )
        scores.append(done[column].to_numpy(dtype=float))
        active.append(labels.isin(_ACTIVE).to_numpy())
    found = np.concatenate([np.empty(0), *scores])
    activities = np.concatenate([np.empty(0), *active]).astype(int)
    if not 0 < activities.sum() < len(activities):
        raise InputError(
            f"{activities.sum()} actives among {len(activities)} labelled rows: enrichment needs both kinds "
            "(--label-column)"
        )
    return found, activities


def measure_enrichment(
    scores: npt.NDArray[np.float64], active: npt.NDArray[np.int_], smallest: bool = False
) -> Enrichment:
    """Measure how far actives come first.

    Parameters
    ----------
    scores : ndarray, shape (n,)
    active : ndarray of int, shape (n,)
        1 or 0.
    smallest : bool
        Lower scores come first.
    """
    oriented = -scores if smallest else scores
    # Of equal scores the inactives come first, so that ties do not flatter.
    order = np.lexsort((active, -oriented))
    ranked = active[order]
    ef_1, ef_5 = (_enrichment_factor(ranked, fraction) for fraction in _FRACTIONS)
    return Enrichment(
        len(active),
        int(active.sum()),
        ef_1,
        ef_5,
        float(Scoring.CalcBEDROC(ranked[:, None].tolist(), 0, _ALPHA)),  # type: ignore[no-untyped-call]
        float(roc_auc_score(active, oriented)),
        float(average_precision_score(active, oriented)),
    )


def _enrichment_factor(ranked: npt.NDArray[np.int_], fraction: float) -> float:
    """Share of actives among the first, at least one, over their share in all."""
    first = ranked[: max(1, math.ceil(fraction * len(ranked)))]
    return float(first.mean() / ranked.mean())


def curves(
    scores: npt.NDArray[np.float64], active: npt.NDArray[np.int_], smallest: bool = False
) -> dict[str, pd.DataFrame]:
    """Points of the ROC and precision-recall curves."""
    oriented = -scores if smallest else scores
    false_positive, true_positive, _ = roc_curve(active, oriented)
    precision, recall, _ = precision_recall_curve(active, oriented)
    return {
        "roc": pd.DataFrame({"false_positive_rate": false_positive, "true_positive_rate": true_positive}),
        "precision_recall": pd.DataFrame({"recall": recall, "precision": precision}),
    }
