"""What competes: baselines, and networks of the shortlist, frozen at a layer and fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from molrate.encoders.base import load_encoder
from molrate.finetuning.comparison import BASELINES
from molrate.finetuning.config import Transfer
from molrate.ranking.expected import Expectations, Performance
from molrate.statistics.intervals import LEVEL

NETWORKS = 5
"""How many encoders are raced beside the baselines."""
_BY_SCORE = 3
"""How many of them the score's order alone chooses."""

LAST = "last"
ESTIMATED, FROZEN, FINE_TUNED = "estimated", "frozen", "fine-tuned"
"""How a candidate is fitted: a forest, boosting or a linear model on what has nothing to train; a head on an
encoder that stays as it is; or both trained."""


@dataclass(frozen=True)
class Candidate:
    """An encoder, and what is done with it.

    Attributes
    ----------
    encoder : str
    mode : {"estimated", "frozen", "fine-tuned"}
    descriptors : bool
        Whether RDKit's descriptors stand beside the embedding.
    layer : str
        Whose embeddings a frozen encoder gives.

    Examples
    --------
    >>> Candidate("minimol", "frozen", descriptors=True).name
    'minimol + descriptors, frozen'
    >>> Candidate("minimol", "frozen", layer="layer-8").name
    'minimol layer-8, frozen'
    """

    encoder: str
    mode: str
    descriptors: bool = False
    layer: str = LAST

    @property
    def model(self) -> str:
        """Its row in the leaderboard."""
        encoder = self.encoder if self.layer == LAST else f"{self.encoder} {self.layer}"
        return f"{encoder} + descriptors" if self.descriptors else encoder

    @property
    def name(self) -> str:
        """What it is called."""
        return self.model if self.mode == ESTIMATED else f"{self.model}, {self.mode}"

    @property
    def transfer(self) -> Transfer:
        """Settings of its fine-tuning."""
        return Transfer(frozen=self.mode == FROZEN, layer=self.layer, descriptors=self.descriptors)

    @property
    def with_descriptors(self) -> Candidate:
        """The same with descriptors beside its embedding."""
        return replace(self, descriptors=True)


@dataclass(frozen=True)
class Entry:
    """An encoder of the shortlist.

    Attributes
    ----------
    encoder : str
    tier : int, optional
        Of the score; None for what was not ranked.
    seconds : float
        To embed one molecule.
    trainable : bool
    licence : str
        Of the weights; empty where there are none.
    layer : str
        One that the score expects a clearly better frozen model of than of the last; the last if of none.
    metric : str
        Of what is expected; empty where nothing is, as of several targets at once.
    frozen, fine_tuned : float, optional
        The error or area that the score expects, of the last layer.
    """

    encoder: str
    tier: int | None
    seconds: float
    trainable: bool
    licence: str = ""
    layer: str = LAST
    metric: str = ""
    frozen: float | None = None
    fine_tuned: float | None = None

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def expected(self, candidate: Candidate, metric: str) -> float:
        """What the score expects of a candidate of this encoder; NaN of what it says nothing of.

        Examples
        --------
        >>> entry = Entry("minimol", 1, 0.01, True, metric="rmse", frozen=1.1, fine_tuned=0.9)
        >>> entry.expected(Candidate("minimol", FINE_TUNED), "rmse")
        0.9
        >>> entry.expected(Candidate("minimol", FROZEN, descriptors=True), "rmse")
        nan
        """
        value = self.fine_tuned if candidate.mode == FINE_TUNED else self.frozen
        is_told = self.metric == metric and candidate.layer == LAST and not candidate.descriptors
        return value if is_told and value is not None else float("nan")


def make_shortlist(frame: pd.DataFrame, seed: int = 0) -> list[Entry]:
    """The baselines, and the encoders that a score speaks for.

    The rule: both baselines; the first three others in the score's order; the one of the least expected
    error and the one of the best place in the study, if they are not among them; and more in the score's
    order, until there are :data:`NETWORKS`. Of several targets, ranks are averaged.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of a :class:`molrate.ranking.ranking.Ranking`; empty where nothing was ranked.
    seed : int
        Of encoders that are drawn.

    Returns
    -------
    list of Entry
        Baselines first, then encoders in the order in which they were chosen.

    Examples
    --------
    >>> names = ["rdkit-descriptors", "ecfp4", "gcn-untrained", "gin-untrained"]
    >>> frame = pd.DataFrame({"encoder": names, "rank": [2, 4, 3, 1], "tier": 1, "seconds": 1.0, "n": 10})
    >>> [entry.encoder for entry in make_shortlist(frame)]
    ['rdkit-descriptors', 'ecfp4', 'gin-untrained', 'gcn-untrained']
    """
    ranked = frame[frame["rank"].notna()] if len(frame) else frame
    chosen = _chosen(ranked[~ranked["encoder"].isin(BASELINES)]) if len(ranked) else []
    return [_entry(name, ranked, seed) for name in (*BASELINES, *chosen)]


def _chosen(ranked: pd.DataFrame) -> list[str]:
    """Encoders that are no baselines, in the order in which they are chosen."""
    by_score = _in_order(ranked, ranked["rank"])
    chosen = by_score[:_BY_SCORE]
    if "frozen" in ranked:
        error = ranked["finetuned"].fillna(ranked["frozen"]) if "finetuned" in ranked else ranked["frozen"]
        lower_is_better = ranked["metric"] == "rmse"
        chosen += _in_order(ranked, error.where(lower_is_better, -error).groupby(ranked["target"]).rank())[:1]
    if "prior" in ranked:
        chosen += _in_order(ranked, ranked["prior"])[:1]
    return list(dict.fromkeys([*chosen, *by_score]))[:NETWORKS]


def _in_order(ranked: pd.DataFrame, places: pd.Series) -> list[str]:
    """Names of encoders by their mean place; those without one are left out."""
    means = places.astype(float).groupby(ranked["encoder"], sort=False).mean().dropna()
    return [str(name) for name in means.sort_values(kind="stable").index]


def _entry(name: str, ranked: pd.DataFrame, seed: int) -> Entry:
    rows = ranked[ranked["encoder"] == name] if len(ranked) else ranked
    tier, seconds = None, 0.0
    if len(rows):
        tier = int(np.round(rows["tier"].astype(float).mean()))
        seconds = float((rows["seconds"] / rows["n"]).max())
    encoder = load_encoder(name, seed=seed)
    entry = Entry(name, tier, seconds, encoder.n_transferable > 0, encoder.card.licence)
    return replace(entry, **_expected(rows)) if len(rows) == 1 and "frozen" in rows else entry


def _expected(rows: pd.DataFrame) -> dict[str, Any]:
    """What the score expects of an encoder, of whose one target the row is."""
    row = rows.iloc[0]
    values = {"frozen": row["frozen"], "fine_tuned": row["finetuned"]}
    told = {name: float(value) for name, value in values.items() if not pd.isna(value)}
    return {"metric": str(row["metric"]), **told} if told else {}


def better_layers(expectations: Expectations, last: Mapping[str, str]) -> dict[str, str]:
    """The layer of each network that is expected to be clearly better frozen than its last.

    The rule: better than the last on every target, by an interval that leaves out zero on one of them, at
    95 % divided among targets and other layers (Bonferroni). Of several such layers it is the best by the
    mean over targets of what it gains, as a share of the last layer's loss.

    Parameters
    ----------
    expectations : Expectations
        Of all layers of the networks.
    last : mapping of str to str
        Name of the last layer of each network.

    Returns
    -------
    dict of str to str
        By encoder, without those of which no layer is clearly better.
    """
    better = {}
    for encoder, deepest in last.items():
        frozen: dict[str, dict[str, Performance]] = {}
        for (target, name, layer), expected in expectations.by_candidate.items():
            if name == encoder:
                frozen.setdefault(layer, {})[target] = expected.frozen
        of_last = frozen.pop(deepest, {})
        level = 1 - (1 - LEVEL) / max(1, len(frozen) * len(of_last))
        gains = {layer: _clear_gain(own, of_last, level) for layer, own in frozen.items()}
        best = max(gains, key=lambda layer: gains[layer], default=deepest)
        if gains.get(best, 0.0) > 0:
            better[encoder] = best
    return better


def _clear_gain(own: Mapping[str, Performance], of_last: Mapping[str, Performance], level: float) -> float:
    """Mean over targets of what a layer gains on the last, as a share of its loss; 0 if not clearly any."""
    if not of_last or own.keys() != of_last.keys():
        return 0.0
    gains = [own[target].gain_over(reference, level) for target, reference in of_last.items()]
    if any(gain <= 0 for gain, _, _ in gains) or not any(low > 0 for _, low, _ in gains):
        return 0.0
    shares = [gain / of_last[target].loss for target, (gain, _, _) in zip(of_last, gains, strict=True)]
    return float(np.mean(shares))


def make_candidates(shortlist: Sequence[Entry]) -> list[Candidate]:
    """Candidates in the order in which they are tried: cheap ones first, then as the score has them.

    Examples
    --------
    >>> entries = [Entry("ecfp4", 3, 0.0, False), Entry("minimol", 1, 0.0, True)]
    >>> [candidate.name for candidate in make_candidates(entries)]
    ['ecfp4', 'minimol, frozen', 'minimol, fine-tuned']
    """
    networks = [entry for entry in shortlist if entry.trainable]
    return [
        *(Candidate(entry.encoder, ESTIMATED) for entry in shortlist if not entry.trainable),
        *(Candidate(entry.encoder, FROZEN) for entry in networks),
        *(Candidate(entry.encoder, FROZEN, layer=entry.layer) for entry in networks if entry.layer != LAST),
        *(Candidate(entry.encoder, FINE_TUNED) for entry in networks),
    ]
