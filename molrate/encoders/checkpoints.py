"""Weights that are hashed, tensors only, complete and with their settings before they are used."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.cards import EncoderCard, encoder_cards
from molrate.errors import WeightsError
from molrate.files.output import make_folder, write_atomically

if TYPE_CHECKING:
    import torch

_METADATA = "molrate"
"""Key of what molrate says of weights in the metadata of safetensors."""
_FORMAT = 1

TRAINING_MOLECULES = "training.smi"
"""File of a fine-tuned model with the molecules its encoder was trained on, beside the encoder's weights."""


class DamagedWeightsError(WeightsError):
    """Weights that cannot be read; nothing says that anybody means harm."""


def read_pickle(path: Path, allowed: Sequence[Any] = (), advice: str = "Use the published file") -> Any:
    """Read what ``torch.save`` wrote; nothing stored in it is ever executed.

    Parameters
    ----------
    path : pathlib.Path
        In the present or the legacy format, from any device.
    allowed : sequence
        Types it may hold beside tensors and plain values, or pairs of one with the name it is stored by.
    advice : str
        What to do where it is refused.

    Raises
    ------
    DamagedWeightsError
        If the file is damaged.
    WeightsError
        If it holds anything else, or carries code.
    """
    import torch

    try:
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: refused, it is damaged or holds more than tensors, possibly code; nothing in it was "
            f"run. {advice}.{_refusal(str(error))}"
        ) from error
    except Exception as error:
        # A damaged file fails wherever its parser happens to be, with any of a dozen exceptions.
        raise DamagedWeightsError(
            f"{path}: cannot be read as a checkpoint, it is damaged: {error!r}"
        ) from error


def _refusal(text: str) -> str:
    """What was refused; torch's own text begins and ends with advice to run the file's code all the same."""
    told = [line.strip() for line in text.splitlines() if "unsupported" in line.lower()]
    return f" ({told[0].removeprefix('WeightsUnpickler error: ').partition('. Please ')[0]})" if told else ""


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
    if card.by_hand is not None:
        raise WeightsError(
            f"{card.name}: no digest of its weights is known, so that they are not downloaded; get the file "
            f"from {card.by_hand} and name it with --weights FILE"
        )
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
        raise DamagedWeightsError(f"{path}: cannot be read as safetensors, it is damaged: {error}") from error


def write_state(
    path: Path, state: dict[str, torch.Tensor], family: str, settings: dict[str, Any], **about: Any
) -> None:
    """Write tensors as ``.safetensors`` with the architecture and settings they are weights of.

    Parameters
    ----------
    path : pathlib.Path
        In a folder that is made unless it is there.
    state : dict of str to Tensor
    family : str
        Of encoders.
    settings : dict
        Plain values, with which the family builds its network.
    **about
        What else is to be known of the weights.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    from safetensors.torch import save

    record = {"format": _FORMAT, "family": family, "settings": settings, **about}
    make_folder(path.parent)
    write_atomically(path, save(_apart(state), {_METADATA: json.dumps(record)}))


def _apart(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that share no memory, as tied weights do; a file holds each of them."""
    storages: set[int] = set()
    apart = {}
    for name, value in state.items():
        tensor = value.contiguous().cpu()
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    return apart


def read_about(path: Path) -> dict[str, Any] | None:
    """What molrate wrote of weights into a ``.safetensors``, or None where it wrote nothing.

    Raises
    ------
    WeightsError
        If the file is damaged, or of a format to come.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as stored:
            metadata = stored.metadata() or {}
        if _METADATA not in metadata:
            return None
        about: dict[str, Any] = json.loads(metadata[_METADATA])
        layout = about["format"]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedWeightsError(f"{path}: cannot be read as safetensors, it is damaged: {error}") from error
    if layout != _FORMAT or not isinstance(about.get("settings"), dict):
        raise WeightsError(f"{path}: its settings are of format {layout}; this version reads {_FORMAT}")
    return about


def read_settings(path: Path, family: str) -> dict[str, Any] | None:
    """Settings of the network that a ``.safetensors`` holds, from the file or the card that names it.

    A card that has the file's very SHA-256 says what is in it; None where neither says.

    Raises
    ------
    WeightsError
        If the file is damaged, or of another family.
    """
    about = read_about(path)
    if about is None:
        card = known_card(path)
        if card is None:
            return None
        about = {"family": card.family, "settings": card.config}
    if about["family"] != family:
        raise WeightsError(f"{path}: weights of the family {about['family']}, not of {family}")
    return dict(about["settings"])


def known_card(path: Path) -> EncoderCard | None:
    """The card that names a file by its very SHA-256, if there is one."""
    return _card_of_digest(hashlib.sha256(path.read_bytes()).hexdigest())


def _card_of_digest(digest: str) -> EncoderCard | None:
    cards = (card for card in encoder_cards().values() if (card.weights or {}).get("sha256") == digest)
    return next(cards, None)


def card_of_file(name: str, path: Path, family: str, config: dict[str, Any]) -> EncoderCard:
    """Card of an encoder named by a file: what a card says that has the file's very SHA-256, if there is one.

    Parameters
    ----------
    name : str
        ``FAMILY:FILE``.
    path : pathlib.Path
    family : str
    config : dict
        Settings of the network.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    given = {"given": str(path), "sha256": digest, "size": path.stat().st_size}
    known = _card_of_digest(digest)
    if known is not None and known.family == family:
        return replace(known, name=name, config=config, weights=given)
    return EncoderCard(
        name=name,
        title=f"{path.name}, read as {family}",
        description=f"The {family} encoder in the file {path}.",
        family=family,
        kind="pretrained",
        config=config,
        weights=given,
        labels_seen=[] if _tells_labels(path) else None,
    )


def _tells_labels(path: Path) -> bool:
    """Whether it is known what a file of no card was trained on: molrate pretrained or fine-tuned it."""
    if path.with_name(TRAINING_MOLECULES).is_file():
        return True
    return path.suffix == ".safetensors" and "pretraining" in (read_about(path) or {})


def check_settings(path: Path, settings: dict[str, Any], expected: dict[str, Any], name: str) -> None:
    """Make sure that weights are of the architecture and settings of the encoder that takes them.

    Raises
    ------
    WeightsError
        With each setting that differs.
    """
    differing = [
        f"{key} {settings.get(key)!r}, not {expected.get(key)!r}"
        for key in sorted(settings.keys() | expected.keys())
        if settings.get(key) != expected.get(key)
    ]
    if differing:
        raise WeightsError(f"{path}: not weights of {name}; it has {'; '.join(differing)}")


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
