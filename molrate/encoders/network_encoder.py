"""What encoders have in common whose network is built from the settings on their card."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.base import Encoder
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import (
    check_settings,
    choose_weights,
    load_state,
    load_strictly,
    read_settings,
    weights_digest,
    write_state,
)
from molrate.randomness import seeded

if TYPE_CHECKING:
    from torch import Tensor, nn


class NetworkEncoder(Encoder):
    """An encoder with published, given or untrained weights, whose network gives all layers in one pass.

    The network itself is imported at first use: an encoder whose embeddings are cached needs no torch.

    Parameters
    ----------
    card : EncoderCard
    weights : pathlib.Path, optional
        File to use in place of the published one, without comparing digests.
    seed : int
        Seed of the weights if the card has none.
    """

    level = "node"

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        self.card = card
        self.seed = seed
        self.weights = choose_weights(card, weights)

    @property
    def network_config(self) -> dict[str, Any]:
        """Settings that the network is built from."""
        return self.card.config

    @abstractmethod
    def build(self) -> nn.Module:
        """Build the network with weights drawn from torch's generator."""

    def read_state(self, weights: Path) -> dict[str, Tensor]:
        """Read the tensors of a file by the network's names, once its settings are found right."""
        self.check_file(weights)
        return load_state(weights)

    def check_file(self, weights: Path) -> None:
        """Make sure that a file was written with this encoder's settings, where it tells them.

        Raises
        ------
        WeightsError
            If they are others.
        """
        if weights.suffix == ".safetensors":
            # Other files have no place for settings.
            settings = read_settings(weights, self.card.family)
            check_settings(weights, settings or self.card.config, self.card.config, self.name)

    def finish(self, module: nn.Module) -> nn.Module:
        """Bring the network into the precision that it computes in."""
        return module

    @cached_property
    def _digest(self) -> str:
        return weights_digest(self.weights, self.seed)

    def identity(self) -> dict[str, str]:
        """Return weights, architecture and input featurisation."""
        config = ", ".join(f"{key}={value}" for key, value in sorted(self.network_config.items()))
        return {"weights": self._digest, "config": config, "featurisation": self.featurisation}

    def prepare(self) -> None:
        """Read the weights, or draw them if the card has none."""
        _ = self.module

    @cached_property
    def module(self) -> Any:
        """The network in evaluation mode, read from the weights or drawn with the seed."""
        state = None if self.weights is None else self.read_state(self.weights)
        # What is drawn is replaced by what is read.
        with seeded(self.seed if state is None else 0):
            module = self.build()
        if state is not None and self.weights is not None:
            load_strictly(module, state, self.weights)
        return self.finish(module).eval()

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write ``.safetensors`` with its architecture in it, which this encoder takes as weights."""
        write_state(path, network.state_dict(), self.card.family, self.card.config)

    def forward(self, content: Any, device: str = "cpu") -> dict[str, Tensor]:
        """Compute the node embeddings of every layer, each of shape (n_nodes, d), in one pass."""
        import torch

        module = self.module.to(device)
        with torch.inference_mode():
            hidden = module(content.to(device))
        return dict(zip(self.layers, hidden, strict=True))
