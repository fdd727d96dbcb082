"""The MiniMol encoder of Kläser et al. (2024), published or untrained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from molrate.encoders.base import Encoder
from molrate.encoders.batch import MINIMOL, MoleculeBatch
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
    from rdkit import Chem
    from torch import Tensor, nn
    from torch_geometric.data import Data

    from molrate.encoders.minimol.network import MiniMol
    from molrate.encoders.trainable import Trainable


class MiniMolEncoder(Encoder):
    """The MiniMol network with published, given or untrained weights.

    Layers are ``input`` (128 dimensions of each atom), ``layer-1`` ... ``layer-15`` (336) and ``layer-16``
    (512). The published fingerprint is the last layer with max pooling.

    Parameters
    ----------
    card : EncoderCard
    weights : pathlib.Path, optional
        File to use in place of the published one, without comparing digests.
    seed : int
        Seed of the weights if the card has none.
    """

    level = "node"
    featurisation = MINIMOL

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        self.card = card
        self.seed = seed
        self.layers = ("input", *(f"layer-{depth + 1}" for depth in range(card.config["n_layers"])))
        self.weights = choose_weights(card, weights)

    @cached_property
    def _digest(self) -> str:
        return weights_digest(self.weights, self.seed)

    def identity(self) -> dict[str, str]:
        """Return weights, architecture and input featurisation."""
        config = ", ".join(f"{key}={value}" for key, value in sorted(self.card.config.items()))
        return {"weights": self._digest, "config": config, "featurisation": self.featurisation}

    def prepare(self) -> None:
        """Read the weights, or draw them if the card has none."""
        _ = self.module

    @cached_property
    def module(self) -> MiniMol:
        """The network in evaluation mode and float32, read from the weights or drawn with the seed."""
        from molrate.encoders.minimol.checkpoint import rename
        from molrate.encoders.minimol.network import MiniMol

        if self.weights is None:
            with seeded(self.seed):
                return MiniMol(**self.card.config).eval()
        if self.weights.suffix == ".safetensors":
            settings = read_settings(self.weights, self.card.family)
            check_settings(self.weights, settings or self.card.config, self.card.config, self.name)
        # What is drawn is replaced by what is read.
        with seeded(0):
            module = MiniMol(**self.card.config)
        load_strictly(module, rename(load_state(self.weights)), self.weights)
        return module.eval()

    @property
    def n_transferable(self) -> int:
        """Number of convolutions; the embeddings of atoms and bonds go with the first."""
        return int(self.card.config["n_layers"])

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.minimol.network import MiniMol, TrainableMiniMol, layer_number
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(lambda: MiniMol(**self.card.config), seed)
        transfer(network, self.module.state_dict(), layer_number, n_layers)
        return TrainableMiniMol(network, pooling)

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write ``.safetensors`` with its architecture in it, which this encoder takes as weights."""
        write_state(path, network.state_dict(), self.card.family, self.card.config)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Build a PyG graph of all molecules; see :mod:`molrate.encoders.minimol.graphs`."""
        from molrate.encoders.minimol.graphs import batch_molecules

        return batch_molecules(molecules)

    def forward(self, content: Data, device: str = "cpu") -> dict[str, Tensor]:
        """Compute the node embeddings of every layer, each of shape (n_atoms, d), in one pass."""
        import torch

        module = self.module.to(device)
        with torch.inference_mode():
            hidden = module(content.to(device))
        return dict(zip(self.layers, hidden, strict=True))
