"""Settings of a pretraining run, from a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from molrate.errors import UsageError


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
        Lightning's: ``32-true``, ``bf16-mixed``.
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

    def record(self) -> dict[str, Any]:
        """All settings, as plain values."""
        return asdict(self)


def read_config(path: Path) -> PretrainingConfig:
    """Read settings.

    Raises
    ------
    UsageError
        If the file is no TOML, has a key nobody knows, lacks one of the encoder's, or a value is of the
        wrong type.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as TOML (--config): {error}") from error
    defaults = PretrainingConfig()
    for key, value in settings.items():
        if not hasattr(defaults, key):
            known = ", ".join(defaults.record())
            raise UsageError(f"{path}: unknown key {key!r}; known: {known}")
        expected = type(getattr(defaults, key))
        if not isinstance(value, expected) and not (expected is float and isinstance(value, int)):
            raise UsageError(f"{path}: {key} is to be of type {expected.__name__}, not {value!r}")
    missing = {"width", "depth", "n_heads", "n_blocks"} - set(settings.get("encoder", {}))
    if missing:
        raise UsageError(f"{path}: the table [encoder] lacks {', '.join(sorted(missing))}")
    return PretrainingConfig(**settings)
