"""Encoders for fine-tuning: molecules go in, and each gets a differentiable embedding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from rdkit import Chem
from torch import Tensor, nn

from molrate.encoders.pooling import POOLINGS
from molrate.errors import UsageError
from molrate.randomness import seeded

Network = TypeVar("Network", bound=nn.Module)


class NotApartError(Exception):
    """Rows cannot be told apart by molecule; a batch of fewer molecules can help."""


BATCH_ERRORS = (NotApartError, MemoryError, torch.OutOfMemoryError)
"""What a network raises that may run with fewer molecules; no fault of the network's."""


@dataclass(frozen=True)
class SeparateBatch:
    """Molecules joined so that no row that a linear map reads stands for several of them.

    Attributes
    ----------
    content : object
        What :meth:`Trainable.forward` takes.
    owners : tuple of Tensor of int64
        For each kind of rows that the network's linear maps read (atoms, bonds, ...), the molecule of each
        row, counted from 0. A row for each molecule goes without saying.
    """

    content: Any
    owners: tuple[Tensor, ...]


class Trainable(nn.Module, ABC):
    """An encoder's network with its last layer pooled.

    Attributes
    ----------
    network : torch.nn.Module
        Network in float32; the encoder reads its state as weights.
    width : int
        Dimension d of the pooled layer.
    pooling : callable
        One of :data:`molrate.encoders.pooling.POOLINGS`; the constructor takes its name.
    batch_atoms : dict of str to int
        By device, the atoms in a batch of gradients, where others than those of embeddings are quicker.
    """

    network: nn.Module
    width: int
    batch_atoms: ClassVar[dict[str, int]] = {}

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling = POOLINGS[pooling]

    @abstractmethod
    def encode(self, molecule: Chem.Mol) -> Any:
        """Compute what :meth:`collate` needs from a molecule; this is done once for each molecule.

        Raises
        ------
        UnsupportedMoleculeError
            If the encoder does not support the molecule.
        """

    @abstractmethod
    def collate(self, encoded: Sequence[Any]) -> Any:
        """Join encoded molecules into a batch."""

    def separate(self, encoded: Sequence[Any]) -> SeparateBatch:
        """Join encoded molecules so that each row belongs to one of them, and say to which.

        A family that does not say has its molecules passed one at a time where that has to be known.
        """
        return SeparateBatch(self.collate(encoded), ())

    @abstractmethod
    def forward(self, batch: Any) -> Tensor:
        """Pooled last layer of each molecule, shape (n_molecules, d)."""


def transfer(
    network: nn.Module, pretrained: dict[str, Tensor], layer_number: Callable[[str], int], n_layers: int
) -> None:
    """Give a network the pretrained weights of its first layers; the other layers keep their weights.

    Parameters
    ----------
    network : torch.nn.Module
    pretrained : dict of str to Tensor
        A complete state of the network.
    layer_number : callable
        Function from the name of a parameter to its layer, counted from 1.
    n_layers : int
        Number of layers to transfer, the paper's K (section 4.3); with 0 nothing is transferred.
    """
    state = network.state_dict()
    for name, value in pretrained.items():
        if layer_number(name) <= n_layers:
            state[name] = value.to(state[name].dtype)
    network.load_state_dict(state)


def check_layers(name: str, n_layers: int | None, limit: int) -> int:
    """Number of layers to transfer; all `limit` layers if it is not given.

    Raises
    ------
    UsageError
        If the encoder has fewer layers.
    """
    if n_layers is None:
        return limit
    if not 0 <= n_layers <= limit:
        raise UsageError(f"--layers {n_layers}: {name} has 0 to {limit} layers to transfer")
    return n_layers


def draw(build: Callable[[], Network], seed: int) -> Network:
    """Build a network with weights drawn from a seed; the state of torch's generator does not change."""
    with seeded(seed):
        return build()
