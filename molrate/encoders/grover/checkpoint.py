"""GROVER weights: files of the released code, and safetensors with their settings beside them."""

from __future__ import annotations

import hashlib
import json
import re
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molrate.encoders.checkpoints import load_state, load_strictly, read_pickle
from molrate.errors import InputError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_PREFIX = "grover.encoders."

# Stored by the released code in its optimiser's settings, under either of NumPy's module names.
_SCALAR = np.float64(0).__reduce__()[0]
_ALLOWED = [
    Namespace,
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)),
]

_UNUSED = re.compile(r"act_func_(node|edge)\.|(node|edge)_blocks\.[1-9]\d*\.(W_i|layernorm|act_func)\.")
"""Parameters the released code makes and never uses; later blocks project nothing."""


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Read an encoder's tensors and, where the file or its neighbour says so, its settings.

    Parameters
    ----------
    path : pathlib.Path
        ``.safetensors``, with settings in the ``.json`` of the same name if there is one; or a file that
        the released code's trainer saved.

    Raises
    ------
    WeightsError
        If the file is damaged, carries code, or is no GROVER checkpoint.
    """
    if path.suffix == ".safetensors":
        return load_state(path), read_settings(path)
    from molrate.encoders.grover.graphs import N_ATOM_FEATURES, N_BOND_FEATURES

    stored = read_pickle(path, _ALLOWED)
    if not isinstance(stored, dict) or not isinstance(stored.get("args"), Namespace):
        raise WeightsError(f"{path}: no checkpoint of the released GROVER code: it has no args")
    tensors = {
        name.removeprefix(_PREFIX): value
        for name, value in stored.get("state_dict", {}).items()
        if name.startswith(_PREFIX) and not _UNUSED.match(name.removeprefix(_PREFIX))
    }
    config = _config(stored["args"], path)
    for view, n_features in (("node", N_ATOM_FEATURES), ("edge", N_ATOM_FEATURES + N_BOND_FEATURES)):
        if config["width"] == n_features:
            tensors = {name: value for name, value in tensors.items() if not _is_projection(name, view)}
    return tensors, config


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


def settings_path(path: Path) -> Path:
    """The file of settings beside a ``.safetensors``."""
    return path.with_suffix(".json")


def read_settings(path: Path) -> dict[str, Any] | None:
    """Settings beside a ``.safetensors``, or None.

    Raises
    ------
    WeightsError
        If they are no JSON object.
    """
    beside = settings_path(path)
    if not beside.is_file():
        return None
    try:
        config = json.loads(beside.read_text(encoding="utf-8"))["config"]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise WeightsError(f"{beside}: cannot be read as settings of an encoder: {error!r}") from error
    return dict(config)


def write_weights(path: Path, tensors: dict[str, Tensor], config: dict[str, Any], **about: Any) -> None:
    """Write ``.safetensors`` and, beside it, settings that :func:`read_weights` finds."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    record = {"family": "grover", "config": config, **about}
    settings_path(path).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def convert(checkpoint: Path, output: Path) -> None:
    """Write a released checkpoint's encoder as safetensors with settings beside it.

    Raises
    ------
    WeightsError
        If the checkpoint is missing, damaged, carries code, or lacks parameters of its encoder.
    InputError
        If the output cannot be written.
    """
    from molrate.encoders.grover.network import Grover

    if not checkpoint.is_file():
        raise WeightsError(f"{checkpoint}: no such file")
    tensors, config = read_weights(checkpoint)
    if config is None:
        raise WeightsError(f"{checkpoint}: no settings beside it; convert takes files of the released code")
    network = Grover(**{key: value for key, value in config.items() if key != "output"})
    load_strictly(network, tensors, checkpoint)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    try:
        write_weights(output, tensors, config, converted_from={"file": checkpoint.name, "sha256": digest})
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error}") from error
