"""Checkpoints of the pretrain-gnns layout: its own, and those of the methods that train the same network.

GraphCL, JOAO, GraphMAE, MGSSL, SimGRACE and others save the network alone, or in a larger model beside heads,
under a prefix such as ``gnn.`` or ``module.gnn.``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.checkpoints import load_state, read_pickle, read_settings
from molrate.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

FAMILY = "pretrain-gnns"

_ATOMS = "x_embedding1.weight"
_BONDS = "gnns.0.edge_embedding1.weight"
_SIGNS = {
    ("gin",): "gnns.0.mlp.0.weight",
    ("gat",): "gnns.0.att",
    ("gcn", "graphsage"): "gnns.0.linear.weight",
}
"""Tensors by which networks are told apart; GCN and GraphSAGE have the same."""
_KINDS = [kind for kinds in _SIGNS for kind in kinds]


def read_network(path: Path) -> dict[str, Tensor]:
    """Tensors of the network in a checkpoint, without the prefix they have and the heads beside it.

    Raises
    ------
    WeightsError
        If the file is damaged, carries code, or holds several such networks.
    """
    state = load_state(path) if path.suffix == ".safetensors" else _tensors_of(read_pickle(path), path)
    prefixes = sorted(name.removesuffix(_ATOMS) for name in state if name.endswith(_ATOMS))
    if len(prefixes) > 1:
        shown = ", ".join(repr(prefix) for prefix in prefixes)
        raise WeightsError(f"{path}: holds several networks, under {shown}; save the one that is meant")
    if not prefixes or not prefixes[0]:
        return state
    (prefix,) = prefixes
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _tensors_of(stored: Any, path: Path) -> dict[str, Tensor]:
    """The state of a network, at the top of a checkpoint or in the one part of it that has atoms."""
    if _is_state(stored):
        return stored
    parts = [part for part in stored.values() if _is_state(part)] if isinstance(stored, dict) else []
    networks = [part for part in parts if any(name.endswith(_ATOMS) for name in part)]
    if len(networks) == 1:
        return networks[0]
    raise WeightsError(f"{path}: a dictionary of tensors is expected, not {type(stored).__name__}")


def _is_state(stored: Any) -> bool:
    import torch

    return isinstance(stored, dict) and all(isinstance(value, torch.Tensor) for value in stored.values())


def read_config(path: Path, kind: str | None = None) -> dict[str, Any]:
    """Architecture of a checkpoint, from the file or from the names and shapes of its tensors.

    Parameters
    ----------
    path : pathlib.Path
    kind : {"gin", "gcn", "gat", "graphsage"}, optional
        Which network it is. Only GCN and GraphSAGE, which have the same tensors, need to be told apart.

    Raises
    ------
    UsageError
        If the file is not of that kind.
    WeightsError
        If it is of another layout, or of one that two architectures share.
    """
    from molrate.encoders.pretrain_gnns.graphs import N_ATOM_TYPES, N_BOND_TYPES

    if path.suffix == ".safetensors":
        settings = read_settings(path, FAMILY)
        if settings is not None:
            _check_kind(path, kind, (settings["architecture"],))
            return settings
    state = read_network(path)
    if _ATOMS not in state or _BONDS not in state:
        raise WeightsError(f"{path}: not of the pretrain-gnns layout, it has no {_ATOMS} or no {_BONDS}")
    (n_atoms, width), n_bonds = state[_ATOMS].shape, len(state[_BONDS])
    if (n_atoms, n_bonds) != (N_ATOM_TYPES, N_BOND_TYPES):
        raise WeightsError(
            f"{path}: its tables have {n_atoms} atoms and {n_bonds} bonds, not the {N_ATOM_TYPES} and "
            f"{N_BOND_TYPES} of pretrain-gnns; it reads molecules in another form"
        )
    found = [kinds for kinds, name in _SIGNS.items() if name in state]
    if len(found) != 1:
        raise WeightsError(f"{path}: none of the networks of pretrain-gnns ({', '.join(_KINDS)})")
    (kinds,) = found
    _check_kind(path, kind, kinds)
    if kind is None and len(kinds) > 1:
        raise WeightsError(
            f"{path}: GCN and GraphSAGE have the same tensors, so the file does not say which it is; say it: "
            f"-e '{FAMILY}:{path}?kind=gcn' or ?kind=graphsage"
        )
    n_layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("gnns."))
    return {"architecture": kind or kinds[0], "n_layers": n_layers, "width": int(width)}


def _check_kind(path: Path, kind: str | None, kinds: tuple[str, ...]) -> None:
    if kind is not None and kind not in kinds:
        raise UsageError(f"{path}: it is {' or '.join(kinds)}, not {kind} (?kind=)")
