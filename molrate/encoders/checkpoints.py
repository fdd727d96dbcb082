"""Encoder cards, and weights that are hashed, tensors only and complete before they are used."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.cards import EncoderCard
from molrate.errors import WeightsError

if TYPE_CHECKING:
    import torch


def read_pickle(path: Path, allowed: Sequence[Any] = ()) -> Any:
    """Read what ``torch.save`` wrote; nothing stored in it is ever executed.

    Parameters
    ----------
    path : pathlib.Path
        In the present or the legacy format, from any device.
    allowed : sequence
        Types it may hold beside tensors and plain values, or pairs of one with the name it is stored by.

    Raises
    ------
    WeightsError
        If the file is damaged, holds anything else, or carries code.
    """
    import torch

    try:
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: refused, it is damaged or holds more than tensors, possibly code; nothing in it was "
            f"run. Use the published file. ({str(error).splitlines()[0]})"
        ) from error
    except Exception as error:
        # A damaged file fails wherever its parser happens to be, with any of a dozen exceptions.
        raise WeightsError(f"{path}: cannot be read as a checkpoint, it is damaged: {error!r}") from error


def choose_weights(card: EncoderCard, given: Path | None) -> Path | None:
    """The file an encoder is read from: the one given, else the card's, verified; None if it is untrained.

    Raises
    ------
    WeightsError
        If the file given does not exist, or the card's cannot be had.
    """
    if given is not None:
        if not given.is_file():
            raise WeightsError(f"{given}: no such file (--weights)")
        return given
    return None if card.artifact is None else card.artifact.locate()


def weights_digest(weights: Path | None, seed: int) -> str:
    """What identifies an encoder's weights: the file's digest, or what untrained ones are drawn with."""
    if weights is None:
        return f"untrained, seed {seed}, torch {version('torch')}"
    return "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a checkpoint as tensors by name.

    Parameters
    ----------
    path : pathlib.Path
        ``.safetensors``, or a file that ``torch.save`` wrote.

    Raises
    ------
    WeightsError
        If the file is damaged, holds anything but tensors, or carries code.
    """
    import torch

    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    state = read_pickle(path)
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path}: a dictionary of tensors is expected, not {type(state).__name__}")
    return state


def _load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors, it is damaged: {error}") from error


def load_strictly(module: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Put tensors into a module; every name and shape must agree.

    Raises
    ------
    WeightsError
        Listing the missing, unexpected and misshapen tensors.
    """
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{path}: not weights of this architecture. {error}") from error
