"""Models of Chemprop v2, CheMeleon's file, and safetensors: settings and tensors of the message passing.

Chemprop pickles its models with the classes of its loss, metrics and transforms. Nothing of that is imported
or run here: torch's reader for tensors alone reads the file, and each class it finds named is an empty
stand-in.
"""

from __future__ import annotations

import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.checkpoints import DamagedWeightsError, load_state, read_pickle, read_settings
from molrate.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from molrate.encoders.class_head import ClassHead

FAMILY = "chemprop"

_PREFIX = "message_passing."
_PACKAGES = ("chemprop", "lightning", "numpy", "pytorch_lightning", "torch", "torchmetrics")
"""Packages whose classes are named in models; a file that names anything else is refused."""

_BOND_MESSAGES = "BondMessagePassing"
_PLAIN = "Identity"
_BINARY, _FFN = "BinaryClassificationFFN", "predictor.ffn."
_AGGREGATIONS = {"MeanAggregation": "mean", "SumAggregation": "sum", "NormAggregation": "norm"}
_SLOPE = 0.1
"""Of LeakyReLU where Chemprop knows it by its name alone."""


class _StandIn:
    """What an object of some other package was made with, and its attributes; it does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a message passing network and its settings; nothing in the file is run.

    Parameters
    ----------
    path : pathlib.Path
        ``.pt`` or ``.ckpt`` of Chemprop v2; a file of the form of CheMeleon's, which is the message passing
        alone; or ``.safetensors`` that :meth:`DMPNNEncoder.write_weights` wrote.

    Returns
    -------
    tensors : dict of str to Tensor
    config : dict
        Arguments of :class:`molrate.encoders.dmpnn.network.DMPNN`, and ``aggregation``: how the model itself
        pools atoms.

    Raises
    ------
    WeightsError
        If the file is damaged, carries code, or holds another kind of model.
    """
    if path.suffix == ".safetensors":
        config = read_settings(path, FAMILY)
        if config is None:
            raise WeightsError(f"{path}: the settings of its network are not in it; use the file of Chemprop")
        return load_state(path), config
    stored = _read(path)
    if isinstance(stored, dict) and isinstance(stored.get("args"), Namespace | _StandIn):
        raise WeightsError(
            f"{path}: a model of Chemprop v1. Chemprop v2 turns it into one of its own: chemprop convert, "
            "with the conversion v1_to_v2"
        )
    try:
        settings, tensors = dict(stored["hyper_parameters"]), dict(stored["state_dict"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a model of Chemprop v2: it has no hyper_parameters and state_dict"
        ) from error
    if "message_passing" in settings:
        passing, aggregation = settings["message_passing"], settings.get("agg") or {}
        tensors = {
            name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)
        }
    else:
        passing, aggregation = settings, {}
    return _without_transforms(tensors), _config(passing, aggregation, path)


def read_class_head(path: Path) -> ClassHead | None:
    """Read the head of a model of binary tasks; None where the file has no head, or another.

    Parameters
    ----------
    path : pathlib.Path
        As of :func:`read_weights`, which says what is wrong with a file.

    Raises
    ------
    WeightsError
        If the file is damaged, or carries code.
    """
    from molrate.encoders.class_head import ClassHead

    if path.suffix == ".safetensors":
        return None
    stored = _read(path)
    settings, tensors = dict(stored["hyper_parameters"]), dict(stored["state_dict"])
    predictor = settings.get("predictor") or {}
    if getattr(predictor.get("cls"), "__name__", "") != _BINARY or settings.get("batch_norm"):
        return None
    names = sorted(name for name in tensors if name.startswith(_FFN) and name.endswith(".weight"))
    weights = [(tensors[name], tensors[name.removesuffix("weight") + "bias"]) for name in names]
    width = settings["message_passing"]["d_h"]
    rectified = _activation(predictor.get("activation", "relu"), path) == {"activation": "relu"}
    if not weights or weights[0][0].shape[1] != width or not rectified:
        # A head that reads descriptors of the molecule too, or bends in another way.
        return None
    aggregation, _, norm = _aggregation(settings.get("agg") or {}).partition("/")
    return ClassHead(weights, aggregation, float(norm or 1.0))


def _read(path: Path) -> Any:
    """Read a pickle in which classes of known packages are stand-ins."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    names: list[str] = []
    if zipfile.is_zipfile(path):
        try:
            names = get_unsafe_globals_in_checkpoint(path)
        except Exception as error:
            # A damaged file fails wherever its parser happens to be.
            raise DamagedWeightsError(
                f"{path}: cannot be read as a checkpoint, it is damaged: {error!r}"
            ) from error
    return read_pickle(path, list(_stand_ins(names)), advice="Use a file that Chemprop itself saved")


def _stand_ins(names: list[str]) -> Iterator[tuple[Any, str]]:
    """Pairs of a class and the name it stands for."""
    for name in names:
        package, _, _ = name.partition(".")
        if name.endswith(".AttributeDict"):
            yield OrderedDict, name
        elif package in _PACKAGES or name == "argparse.Namespace":
            yield type(name.rpartition(".")[2], (_StandIn,), {}), name


def _without_transforms(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the network; the scales of extra features are in the file under these names too."""
    return {name: value for name, value in tensors.items() if not name.startswith("graph_transform.")}


def _config(passing: dict[str, Any], aggregation: dict[str, Any], path: Path) -> dict[str, Any]:
    """Settings of the network from those of Chemprop."""
    from molrate.encoders.dmpnn.network import SCHEME_OF_WIDTH

    try:
        n_atom, n_bond = passing["d_v"], passing["d_e"]
        width, depth, bias = passing["d_h"], passing["depth"], passing["bias"]
    except (KeyError, TypeError) as error:
        raise WeightsError(
            f"{path}: the settings of its message passing lack {error}; models of one molecule at a time "
            "are supported, not of several components"
        ) from error
    _refuse_others(passing, path)
    if n_atom not in SCHEME_OF_WIDTH or n_bond != _n_bond_features():
        raise WeightsError(
            f"{path}: it reads {n_atom} atom and {n_bond} bond features. Chemprop's own of v2 (72), v1 (133) "
            "and organic (44) with 14 of bonds are supported; extra features and RIGR are not"
        )
    config = {
        "width": int(width),
        "depth": int(depth),
        "bias": bool(bias),
        "features": SCHEME_OF_WIDTH[n_atom],
        **_activation(passing.get("activation", "relu"), path),
    }
    config["aggregation"] = _aggregation(aggregation)
    return config


def _aggregation(aggregation: dict[str, Any]) -> str:
    """How a model pools atoms: ``mean``, ``sum``, ``sum/100``, or the name of what is none of these."""
    name = getattr(aggregation.get("cls"), "__name__", "MeanAggregation")
    pooling = _AGGREGATIONS.get(name, name)
    return f"sum/{float(aggregation.get('norm', 100)):g}" if pooling == "norm" else pooling


def _n_bond_features() -> int:
    from molrate.encoders.dmpnn.network import N_BOND_FEATURES

    return N_BOND_FEATURES


def _refuse_others(passing: dict[str, Any], path: Path) -> None:
    """Make sure that messages go along directed bonds, from Chemprop's own features alone."""
    name = getattr(passing.get("cls"), "__name__", _BOND_MESSAGES)
    problems = {
        f"its messages are those of {name}; {_BOND_MESSAGES} is supported": name != _BOND_MESSAGES,
        "its messages go along undirected bonds": bool(passing.get("undirected")),
        "it reads extra descriptors of atoms": bool(passing.get("d_vd")),
        "it scales features of atoms or bonds": not _is_plain(passing.get("graph_transform")),
    }
    for problem, present in problems.items():
        if present:
            raise WeightsError(f"{path}: {problem}; not supported")


def _is_plain(transform: Any) -> bool:
    """Whether a transform of graphs leaves them as they are."""
    if transform is None:
        return True
    modules = getattr(transform, "attributes", {}).get("_modules") or {}
    return all(type(module).__name__ == _PLAIN for module in modules.values())


def _activation(stored: Any, path: Path) -> dict[str, Any]:
    """Name and slope of an activation, which is stored by its name, as Chemprop's, or as torch's module."""
    from molrate.encoders.dmpnn.network import ACTIVATIONS

    if isinstance(stored, str):
        name, attributes = stored, {"negative_slope": _SLOPE}
    elif isinstance(stored, _StandIn) and type(stored).__name__ == "Activation":
        name, attributes = str(stored.arguments[0]), {"negative_slope": _SLOPE}
    else:
        name, attributes = type(stored).__name__, getattr(stored, "attributes", {})
    name = name.lower()
    if name not in ACTIVATIONS or attributes.get("alpha", 1.0) != 1.0:
        raise WeightsError(f"{path}: its activation {name} is not supported; {', '.join(ACTIVATIONS)} are")
    if name == "leakyrelu":
        return {"activation": name, "slope": float(attributes["negative_slope"])}
    return {"activation": name}
