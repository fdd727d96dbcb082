"""Which layer of an encoder to transfer, beside the rule that needs no data: the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from molrate.ranking.ranking import Ranking


def layer_table(ranking: Ranking) -> pd.DataFrame:
    """Best and last layer of every encoder that was ranked by several.

    Parameters
    ----------
    ranking : Ranking
        Layers of an encoder count as deeper in the order they were scored.

    Returns
    -------
    pandas.DataFrame
        One row per target, measure and encoder: ``best_layer`` and ``last_layer`` with what they are
        ordered by; ``gain`` of the best over the last with its paired interval ``gain_low``,
        ``gain_high``; ``depth_tau``, Kendall's tau of depth and order (1: deeper is better throughout);
        ``rank_by_best`` and ``rank_by_last`` among encoders.

    References
    ----------
    Frustratingly Easy Transferability Estimation, section 4.3.
    """
    import pandas as pd

    rows = []
    found: dict[tuple[str, str, str], list[tuple[str, float]]] = {}
    for (target, measure, encoder, layer), replicates in ranking.replicates.items():
        found.setdefault((target, measure, encoder), []).append((layer, float(replicates[0])))
    for (target, measure, encoder), layers in found.items():
        names, values = zip(*layers, strict=True)
        best = names[int(np.argmax(values))]
        gain, low, high = ranking.difference(target, measure, (encoder, best), (encoder, names[-1]))
        rows.append(
            {
                "target": target,
                "measure": measure,
                "encoder": encoder,
                "layers": len(names),
                "best_layer": best,
                "best": max(values),
                "last_layer": names[-1],
                "last": values[-1],
                "gain": gain,
                "gain_low": low,
                "gain_high": high,
                "depth_tau": kendall_tau(np.arange(len(values)), np.array(values)),
            }
        )
    table = pd.DataFrame(rows)
    for column in ("best", "last"):
        by_vote = table.groupby(["target", "measure"], sort=False)[column]
        table[f"rank_by_{column}"] = by_vote.rank(ascending=False, method="min").astype("Int64")
    return table


def kendall_tau(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-b; NaN if either is constant."""
    product = np.sign(one[:, None] - one) * np.sign(other[:, None] - other)
    untied = [np.count_nonzero(values[:, None] != values) for values in (one, other)]
    return float(product.sum() / np.sqrt(untied[0] * untied[1])) if min(untied) else float("nan")
