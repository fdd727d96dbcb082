"""What competes: baselines, and networks of the shortlist, frozen and fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from molrate.encoders.base import load_encoder
from molrate.finetuning.comparison import BASELINES
from molrate.finetuning.config import Transfer

NETWORKS = 5
"""How many encoders of the score's order are raced beside the baselines."""

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

    Examples
    --------
    >>> Candidate("minimol", "frozen", descriptors=True).name
    'minimol + descriptors, frozen'
    """

    encoder: str
    mode: str
    descriptors: bool = False

    @property
    def model(self) -> str:
        """Its row in the leaderboard."""
        return f"{self.encoder} + descriptors" if self.descriptors else self.encoder

    @property
    def name(self) -> str:
        """What it is called."""
        return self.model if self.mode == ESTIMATED else f"{self.model}, {self.mode}"

    @property
    def transfer(self) -> Transfer:
        """Settings of its fine-tuning."""
        return Transfer(frozen=self.mode == FROZEN, descriptors=self.descriptors)

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
    """

    encoder: str
    tier: int | None
    seconds: float
    trainable: bool
    licence: str = ""

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def make_shortlist(frame: pd.DataFrame, seed: int = 0) -> list[Entry]:
    """The baselines, and the encoders that the score puts first.

    The rule: both baselines, then the first :data:`NETWORKS` others by their mean rank over targets.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of a :class:`molrate.ranking.ranking.Ranking`; empty where nothing was ranked.
    seed : int
        Of encoders that are drawn.

    Returns
    -------
    list of Entry
        Baselines first, then in the score's order.
    """
    ranked = frame[frame["rank"].notna()] if len(frame) else frame
    order: list[str] = []
    if len(ranked):
        mean_ranks = ranked.groupby("encoder", sort=False)["rank"].mean()
        order = [str(name) for name in mean_ranks.sort_values(kind="stable").index]
    others = [name for name in order if name not in BASELINES][:NETWORKS]
    return [_entry(name, ranked, seed) for name in (*BASELINES, *others)]


def _entry(name: str, ranked: pd.DataFrame, seed: int) -> Entry:
    rows = ranked[ranked["encoder"] == name] if len(ranked) else ranked
    tier, seconds = None, 0.0
    if len(rows):
        tier = int(np.round(rows["tier"].astype(float).mean()))
        seconds = float((rows["seconds"] / rows["n"]).max())
    encoder = load_encoder(name, seed=seed)
    return Entry(name, tier, seconds, encoder.n_transferable > 0, encoder.card.licence)


def make_candidates(shortlist: Sequence[Entry]) -> list[Candidate]:
    """Candidates in the order in which they are tried: cheap ones first, then as the score has them.

    Examples
    --------
    >>> entries = [Entry("ecfp4", 3, 0.0, False), Entry("minimol", 1, 0.0, True)]
    >>> [candidate.name for candidate in make_candidates(entries)]
    ['ecfp4', 'minimol, frozen', 'minimol, fine-tuned']
    """
    return [
        *(Candidate(entry.encoder, ESTIMATED) for entry in shortlist if not entry.trainable),
        *(Candidate(entry.encoder, FROZEN) for entry in shortlist if entry.trainable),
        *(Candidate(entry.encoder, FINE_TUNED) for entry in shortlist if entry.trainable),
    ]
