"""Settings of a pretraining run, from a TOML file."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from molrate.errors import UsageError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

_LEAST = {
    **dict.fromkeys(("n_steps", "batch_size", "validate_every", "n_held_out", "devices"), 1),
    **dict.fromkeys(("min_context_count", "n_vocabulary_molecules"), 1),
    **dict.fromkeys(("n_warmup_steps", "n_workers", "seed"), 0),
    **dict.fromkeys(("weight_decay", "group_weight", "property_weight"), 0),
}
_SIZES = ("width", "depth", "n_heads", "n_blocks")
_SWITCHES = ("bias", "dense")


@dataclass(frozen=True)
class PretrainingConfig:
    """Settings of a pretraining run; each is a key of the TOML file, ``encoder`` a table of it.

    Attributes
    ----------
    encoder : dict
        ``width``, ``depth``, ``n_heads``, ``n_blocks``; optionally ``activation``, ``bias``, ``dense``,
        ``dropout``.
    n_steps, batch_size : int
        Optimiser steps, and molecules of each on one device.
    initial_rate, peak_rate, final_rate : float
        Learning rates of the Noam schedule: linear to the peak, then exponential to the final one.
    n_warmup_steps : int
    weight_decay : float
    label_fraction : float
        Share of each molecule's atoms and bonds that is predicted, rounded up.
    mask_inputs : bool
        Hide the features of what is predicted. The released code shows them.
    group_weight : float
        Of the functional groups in the objective, 1 as released. Averaged over 85 groups, their gradient is
        small beside that of contexts.
    property_weight : float
        Of atoms' contributions to logP, molar refractivity, polar and whole surface, and their charges, and
        of the sums of these over a molecule, which GROVER does not predict; 0 leaves them out.
    min_context_count, n_vocabulary_molecules : int
        Contexts rarer than that in so many molecules are outside the vocabularies.
    n_held_out : int
        Molecules never trained on, for the held-out losses.
    validate_every : int
        Steps between held-out losses, and between checkpoints.
    precision : str
        Lightning's, one of :data:`PRECISIONS`.
    n_workers : int
        Processes that make batches.
    devices : int
        GPUs, or CPU processes, to train on.
    seed : int
    """

    encoder: dict[str, Any] = field(default_factory=dict)
    n_steps: int = 2000
    batch_size: int = 64
    initial_rate: float = 1e-4
    peak_rate: float = 1e-3
    final_rate: float = 1e-4
    n_warmup_steps: int = 100
    weight_decay: float = 1e-7
    label_fraction: float = 0.15
    mask_inputs: bool = True
    group_weight: float = 1.0
    property_weight: float = 0.0
    min_context_count: int = 50
    n_vocabulary_molecules: int = 20000
    n_held_out: int = 1024
    validate_every: int = 200
    precision: str = "32-true"
    n_workers: int = 0
    devices: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with.

        Raises
        ------
        UsageError
            If a number is out of its range, or a word unknown.
        """
        for name, least in _LEAST.items():
            if not least <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is to be {least} or more, not {getattr(self, name)}")
        for name in ("initial_rate", "peak_rate", "final_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is to be above zero, not {getattr(self, name)}")
        if not 0 < self.label_fraction <= 1:
            raise UsageError(f"label_fraction is a share above 0 and up to 1, not {self.label_fraction}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"unknown precision {self.precision!r}; known: {', '.join(PRECISIONS)}")

    def record(self) -> dict[str, Any]:
        """All settings, as plain values."""
        return asdict(self)


def read_config(path: Path) -> PretrainingConfig:
    """Read settings.

    Raises
    ------
    UsageError
        If the file is no TOML, has a key nobody knows, lacks one of the encoder's, or a value is of the
        wrong type or out of its range.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as TOML (--config): {error}") from error
    defaults = PretrainingConfig()
    for key, value in settings.items():
        if key not in defaults.record():
            known = ", ".join(defaults.record())
            raise UsageError(f"{path}: unknown key {key!r}; known: {known}")
        expected = type(getattr(defaults, key))
        fits = isinstance(value, expected) or (expected is float and isinstance(value, int))
        if not fits or (isinstance(value, bool) and expected is not bool):
            raise UsageError(f"{path}: {key} is to be of type {expected.__name__}, not {value!r}")
    try:
        _check_encoder(settings.get("encoder", {}))
        return PretrainingConfig(**settings)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _check_encoder(encoder: dict[str, Any]) -> None:
    """Refuse what no network can be built with.

    Raises
    ------
    UsageError
        At the first key or value.
    """
    from molrate.encoders.grover.network import ACTIVATIONS

    known = (*_SIZES, "activation", *_SWITCHES, "dropout")
    unknown = [key for key in encoder if key not in known]
    if unknown:
        raise UsageError(f"unknown key {unknown[0]!r} in [encoder]; known: {', '.join(known)}")
    missing = [key for key in _SIZES if key not in encoder]
    if missing:
        raise UsageError(f"the table [encoder] lacks {', '.join(missing)}")
    for key in _SIZES:
        if type(encoder[key]) is not int or encoder[key] < 1:
            raise UsageError(f"[encoder] {key} is to be a whole number of 1 or more, not {encoder[key]!r}")
    if encoder["width"] % encoder["n_heads"]:
        raise UsageError(
            f"[encoder] width {encoder['width']} is to be a multiple of n_heads {encoder['n_heads']}"
        )
    for key in _SWITCHES:
        if not isinstance(encoder.get(key, False), bool):
            raise UsageError(f"[encoder] {key} is to be true or false, not {encoder[key]!r}")
    if encoder.get("activation", "PReLU") not in ACTIVATIONS:
        raise UsageError(
            f"[encoder] unknown activation {encoder['activation']!r}; known: {', '.join(ACTIVATIONS)}"
        )
    dropout = encoder.get("dropout", 0.0)
    if not isinstance(dropout, float | int) or not 0 <= dropout < 1:
        raise UsageError(f"[encoder] dropout is a share from 0 to below 1, not {dropout!r}")
