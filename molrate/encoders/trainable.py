"""Encoders on their way to being fine-tuned: molecules in, one differentiable embedding each out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from rdkit import Chem
from torch import Tensor, nn

from molrate.encoders.pooling import POOLINGS
from molrate.errors import UsageError

Network = TypeVar("Network", bound=nn.Module)


class Trainable(nn.Module, ABC):
    """An encoder's network with its last layer pooled.

    Attributes
    ----------
    network : torch.nn.Module
        In float32; its state is what the encoder reads as weights.
    width : int
        Dimension d of the pooled layer.
    pooling : str
        Of :data:`molrate.encoders.pooling.POOLINGS`.
    """

    network: nn.Module
    width: int

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling = POOLINGS[pooling]

    @abstractmethod
    def encode(self, molecule: Chem.Mol) -> Any:
        """What :meth:`collate` needs of a molecule, computed once.

        Raises
        ------
        UnsupportedMoleculeError
            If the encoder does not support the molecule.
        """

    @abstractmethod
    def collate(self, encoded: Sequence[Any]) -> Any:
        """Join molecules into a batch."""

    @abstractmethod
    def forward(self, batch: Any) -> Tensor:
        """Pooled last layer of each molecule, shape (n_molecules, d)."""


def transfer(
    network: nn.Module, pretrained: dict[str, Tensor], layer_number: Callable[[str], int], n_layers: int
) -> None:
    """Give a network the pretrained weights of its first layers; the others stay as they were drawn.

    Parameters
    ----------
    network : torch.nn.Module
    pretrained : dict of str to Tensor
        A complete state of the network.
    layer_number : callable
        Layer of a parameter, counted from 1.
    n_layers : int
        The paper's K (section 4.3); with 0 nothing is transferred.
    """
    state = network.state_dict()
    for name, value in pretrained.items():
        if layer_number(name) <= n_layers:
            state[name] = value.to(state[name].dtype)
    network.load_state_dict(state)


def check_layers(name: str, n_layers: int | None, limit: int) -> int:
    """How many layers to transfer; all if not given.

    Raises
    ------
    UsageError
        If the encoder has fewer.
    """
    if n_layers is None:
        return limit
    if not 0 <= n_layers <= limit:
        raise UsageError(f"--layers {n_layers}: {name} has 0 to {limit} layers to transfer")
    return n_layers


def draw(build: Callable[[], Network], seed: int) -> Network:
    """A network with weights of a seed, without touching the state of torch's generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
