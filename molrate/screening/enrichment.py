"""How well a screen puts the known actives of a library first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit.ML.Scoring import Scoring
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from molrate.data.classes import find_class, polarity, positive_class
from molrate.errors import InputError
from molrate.files.columns import MISSING
from molrate.models.head import RankingColumn

_ACTIVE = ("1", "true", "yes", "active", "positive", "+")
_INACTIVE = ("0", "false", "no", "inactive", "negative", "-")
"""Labels that messages name; :mod:`molrate.data.classes` has them all."""
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


def known_activities(
    tables: Iterable[pd.DataFrame], ranking: RankingColumn
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int_]]:
    """Scores and activities (1 or 0) of the rows that have both.

    A label of the class that is sought is active and one of the target's other classes inactive; 1 and 0,
    active and inactive and the other pairs of :mod:`molrate.data.classes` are what they say.

    Parameters
    ----------
    tables : iterable of pandas.DataFrame
    ranking : RankingColumn
        What molecules are ranked by.

    Raises
    ------
    InputError
        If a label is none of those known, or there are not both actives and inactives.
    """
    scores: list[npt.NDArray[np.float64]] = []
    labels: list[str] = []
    places: dict[str, str] = {}
    for table in tables:
        done = table[(table["status"] == "ok") & table["label"].notna()]
        texts = done["label"].astype(str).str.strip()
        done = done[~texts.str.casefold().isin(MISSING)]
        scores.append(done[ranking.name].to_numpy(dtype=float))
        for source, row, label in zip(done["source"], done["row"], texts[done.index], strict=True):
            labels.append(label)
            places.setdefault(label, f"{source} row {row}")
    meaning = _meaning(places, ranking)
    activities = np.array([meaning[label] for label in labels], dtype=int)
    if not 0 < activities.sum() < len(activities):
        raise InputError(
            f"{activities.sum()} actives among {len(activities)} labelled rows: enrichment needs both kinds "
            "(--label-column)"
        )
    return np.concatenate(scores), activities


def _meaning(places: Mapping[str, str], ranking: RankingColumn) -> dict[str, bool]:
    """Whether each label means an active, given where each stands first.

    Raises
    ------
    InputError
        If a label says neither.
    """
    pair = positive_class(list(places))
    meaning = {}
    for label, place in places.items():
        known = polarity(label)
        if find_class([ranking.positive or "", *ranking.negatives], label):
            meaning[label] = find_class([ranking.positive or ""], label) is not None
        elif known is not None:
            # Where the negative one of two classes is sought, a 1 is still what the target calls positive.
            meaning[label] = known != ranking.reverse
        elif pair is not None and not ranking.negatives:
            meaning[label] = label == pair
        else:
            classes = f"; {ranking.positive}; {', '.join(ranking.negatives)}" if ranking.positive else ""
            raise InputError(
                f"{place}: label {label!r} is none of {', '.join(_ACTIVE)}; {', '.join(_INACTIVE)}{classes} "
                "(--label-column)"
            )
    return meaning


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
