"""The released weights of ChemNet: a list of layers, each with its tensors and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from molrate.encoders.checkpoints import load_state, read_pickle
from molrate.errors import WeightsError

_PLACES = ("convolutions.0.", "convolutions.1.", "lstms.0.", "lstms.1.")
_CONVOLUTION = {
    "kernel_size": 4,
    "stride": 2,
    "padding": 0,
    "dilation": (1,),
    "bias": False,
    "activation": "selu",
}
_LSTM = {"batch_first": True, "reverse": True}
_LAYERS = (
    ("Conv1d", {**_CONVOLUTION, "in_channels": 35, "out_channels": 32}, "same"),
    ("Conv1d", {**_CONVOLUTION, "in_channels": 32, "out_channels": 32}, "same"),
    ("LSTM", {**_LSTM, "input_size": 32, "hidden_size": 128, "last": False}, None),
    ("LSTM", {**_LSTM, "input_size": 128, "hidden_size": 512, "last": True}, None),
)
"""Kind, settings and padding of the layers that the released weights are of."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the released weights, or those that molrate wrote, as tensors of molrate's network.

    Raises
    ------
    WeightsError
        If the file is damaged, carries code, or its layers are not ChemNet's.
    """
    if path.suffix == ".safetensors":
        return load_state(path)
    stored = read_pickle(path)
    if not isinstance(stored, list) or len(stored) != len(_LAYERS):
        raise WeightsError(f"{path}: a list of the {len(_LAYERS)} layers of ChemNet is expected")
    state = {}
    for number, (layer, expected) in enumerate(zip(stored, _LAYERS, strict=True)):
        try:
            kind, (tensors, arguments, about) = layer
            found = (kind, *_settings(arguments, about))
        except (TypeError, ValueError) as error:
            raise WeightsError(f"{path}: layer {number + 1} is not one of ChemNet: {error}") from error
        if found != expected:
            raise WeightsError(f"{path}: layer {number + 1} is {found}, and that of ChemNet is {expected}")
        state.update({_PLACES[number] + name: tensor for name, tensor in tensors.items()})
    return state


def _settings(arguments: dict[str, Any], about: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Settings of a layer, and how its input is padded."""
    about = dict(about)
    padding = about.pop("padding", None)
    return {**arguments, **about}, padding
