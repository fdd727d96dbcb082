"""GROVER weights: files of the released code, and safetensors with their settings in them."""

from __future__ import annotations

import hashlib
import json
import re
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molrate.encoders.checkpoints import (
    known_card,
    load_state,
    load_strictly,
    read_pickle,
    read_settings,
    write_state,
)
from molrate.errors import WeightsError
from molrate.randomness import seeded

if TYPE_CHECKING:
    from torch import Tensor

_PREFIXES = ("grover.encoders.", "kermt.encoders.", "latent_dist.kermt.encoders.")
"""Under which encoders are kept: by the released code, and by KERMT, which is GROVER with other names."""

# Stored by the released code in its optimiser's settings, under either of NumPy's module names.
_SCALAR = np.float64(0).__reduce__()[0]
_ALLOWED = [
    Namespace,
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)),
]

FAMILY = "grover"
_DEEPCHEM = "model"
"""Where DeepChem keeps tensors."""
_DEFAULTS = {"activation": "PReLU", "bias": False, "dense": False, "dropout": 0.0, "output": "both"}
_NECESSARY = {"width", "depth", "n_heads", "n_blocks"}
Padding = str | int
"""What the empty slots of neighbour tables add to sums."""

_UNUSED = re.compile(r"act_func_(node|edge)\.|(node|edge)_blocks\.[1-9]\d*\.(W_i|layernorm|act_func)\.")
"""Parameters the released code makes and never uses; later blocks project nothing."""


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """Settings with those that were left out."""
    return {**_DEFAULTS, **config}


def read_config(path: Path) -> dict[str, Any]:
    """Settings of the network that weights are of, without padding; see :func:`read_weights`."""
    if path.suffix != ".safetensors":
        return read_weights(path)[1]
    config = read_settings(path, FAMILY)
    if config is None:
        raise _unknown_settings(path)
    config.pop("padding", None)
    return complete(config)


def read_padding(path: Path) -> Padding:
    """The padding that weights were trained with.

    Raises
    ------
    WeightsError
        If a ``.safetensors`` is damaged, or neither it nor a card that knows it by its SHA-256 tells.
    """
    if path.suffix != ".safetensors":
        return "official"
    settings = read_settings(path, FAMILY) or {}
    if "padding" not in settings and (card := known_card(path)) is not None:
        settings = card.config
    if "padding" not in settings:
        raise _unknown_settings(path)
    padding: Padding = settings["padding"]
    return padding


def _unknown_settings(path: Path) -> WeightsError:
    return WeightsError(
        f"{path}: the settings of its network (depth, dense, activation, padding, ...) are not in it, and "
        f"other settings give other embeddings. Make it anew from the checkpoint of the released code, or "
        f"from an older molrate's file with its .json beside it: molrate convert CHECKPOINT -o {path.name}"
    )


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read an encoder's tensors and the settings of its network.

    Parameters
    ----------
    path : pathlib.Path
        ``.safetensors`` with settings in its metadata, or that a card knows by its SHA-256; or a file that
        the released code's trainer saved.

    Raises
    ------
    WeightsError
        If the file is damaged, carries code, is no GROVER checkpoint, or does not tell its settings.
    """
    if path.suffix == ".safetensors":
        return load_state(path), read_config(path)
    from molrate.encoders.grover.graphs import N_ATOM_FEATURES, N_BOND_FEATURES

    stored = read_pickle(path, _ALLOWED)
    if isinstance(stored, dict) and _DEEPCHEM in stored:
        _refuse_deepchem(stored[_DEEPCHEM], path)
    if not isinstance(stored, dict) or not isinstance(stored.get("args"), Namespace):
        raise WeightsError(f"{path}: no checkpoint of the released GROVER code: it has no args")
    tensors = _encoder_tensors(stored.get("state_dict", {}), path)
    config = _config(stored["args"], path)
    for view, n_features in (("node", N_ATOM_FEATURES), ("edge", N_ATOM_FEATURES + N_BOND_FEATURES)):
        if config["width"] == n_features:
            tensors = {name: value for name, value in tensors.items() if not _is_projection(name, view)}
    return tensors, complete(config)


def _refuse_deepchem(state: Any, path: Path) -> None:
    """Say of a checkpoint of DeepChem's GroverModel why it is not read.

    Its blocks compute attention and leave the result out unless ``res_connection`` is set, which the model
    never does; and its batches number the neighbours of atoms from a padding row that the features lack, so
    that each atom has those of the atom before it, and the first of a molecule those of another molecule.
    """
    if isinstance(state, dict) and any(str(name).startswith("embedding.encoders.") for name in state):
        raise WeightsError(
            f"{path}: a GroverModel of DeepChem, which is another network than GROVER: its attention has no "
            "effect, and its embeddings depend on the batch, because its tables of neighbours are shifted by "
            "an atom. Not supported; use a checkpoint of the released code, of KERMT or of molrate pretrain"
        )


def _encoder_tensors(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors of the encoder by the names of the network, without those that no output depends on."""
    used = [prefix for prefix in _PREFIXES if any(name.startswith(prefix) for name in state)]
    if len(used) > 1:
        raise WeightsError(f"{path}: holds several encoders, under {' and '.join(used)}")
    return {
        name.removeprefix(prefix): value
        for prefix in used
        for name, value in state.items()
        if name.startswith(prefix) and not _UNUSED.match(name.removeprefix(prefix))
    }


def file_config(path: Path) -> dict[str, Any]:
    """Settings of an encoder that is nothing but a file, with the padding it was trained with.

    Raises
    ------
    WeightsError
        As :func:`read_weights`.
    """
    return {**read_config(path), "padding": read_padding(path)}


def _is_projection(name: str, view: str) -> bool:
    """Whether a parameter projects inputs; the released code skips that where widths agree."""
    return name.startswith(tuple(f"{view}_blocks.0.{part}." for part in ("W_i", "layernorm", "act_func")))


def _config(args: Namespace, path: Path) -> dict[str, Any]:
    settings = vars(args)
    try:
        config = {
            "width": settings["hidden_size"],
            "depth": settings["depth"],
            "n_heads": settings["num_attn_head"],
            "n_blocks": settings["num_mt_block"],
            "activation": settings["activation"],
            "bias": settings["bias"],
            "dense": settings["dense"],
            "output": settings["embedding_output_type"],
        }
    except KeyError as error:
        raise WeightsError(f"{path}: its args lack {error}, which the released code always saves") from error
    if settings.get("undirected"):
        raise WeightsError(f"{path}: undirected message passing fails in the released code; not supported")
    return config


def write_weights(
    path: Path, tensors: dict[str, Tensor], config: dict[str, Any], padding: Padding, **about: Any
) -> None:
    """Write ``.safetensors`` with settings that :func:`read_weights` and :func:`read_padding` find in it."""
    write_state(path, tensors, FAMILY, {**complete(config), "padding": padding}, **about)


def convert(checkpoint: Path, output: Path) -> None:
    """Write a checkpoint's encoder as safetensors with its settings in it.

    Parameters
    ----------
    checkpoint : pathlib.Path
        Of the released code; or safetensors of an earlier molrate, with settings in the ``.json`` beside it.
    output : pathlib.Path

    Raises
    ------
    WeightsError
        If the checkpoint is missing, damaged, carries code, or lacks settings or parameters of its encoder.
    InputError
        If the output cannot be written.
    """
    from molrate.encoders.grover.network import Grover

    if not checkpoint.is_file():
        raise WeightsError(f"{checkpoint}: no such file")
    beside = checkpoint.with_suffix(".json")
    if checkpoint.suffix == ".safetensors" and beside.is_file():
        tensors, (config, padding) = load_state(checkpoint), _config_beside(beside)
    else:
        tensors, config = read_weights(checkpoint)
        padding = read_padding(checkpoint)
    # What is drawn is replaced by what is read.
    with seeded(0):
        network = Grover(**{key: value for key, value in config.items() if key != "output"})
    load_strictly(network, tensors, checkpoint)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    converted_from = {"file": checkpoint.name, "sha256": digest}
    write_weights(output, tensors, config, padding, converted_from=converted_from)


def _config_beside(path: Path) -> tuple[dict[str, Any], Padding]:
    """Settings as earlier versions of molrate wrote them beside safetensors, and the padding."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        config = complete(record["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: cannot be read as settings of an encoder: {error!r}") from error
    padding = config.pop("padding", None) or _padding_beside(record, path)
    unknown = sorted(config.keys() - _DEFAULTS.keys() - _NECESSARY)
    missing = sorted(_NECESSARY - config.keys())
    if unknown or missing:
        raise WeightsError(f"{path}: not settings of an encoder: {', '.join([*unknown, *missing])}")
    return config, padding


def _padding_beside(record: dict[str, Any], path: Path) -> Padding:
    """The padding that follows from where weights came from; of fine-tuned ones nothing tells."""
    if "converted_from" in record:
        return "official"
    if "pretraining" in record:
        return "none"
    raise WeightsError(
        f'{path}: it does not say which padding its weights were trained with; put "padding": "official" '
        'into its config if they began as a checkpoint of the released code, else "padding": "none"'
    )
