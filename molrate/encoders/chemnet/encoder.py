"""The ChemNet encoder of Preuer et al. (2018), published or untrained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.base import Encoder
from molrate.encoders.batch import CHEMNET, MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import (
    check_settings,
    choose_weights,
    load_strictly,
    read_settings,
    weights_digest,
    write_state,
)
from molrate.randomness import seeded

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import Tensor, nn

    from molrate.encoders.chemnet.network import ChemNet
    from molrate.encoders.trainable import Trainable


class ChemNetEncoder(Encoder):
    """The ChemNet network with published, given or untrained weights.

    Layers are ``conv-1`` and ``conv-2`` (32 dimensions of each position of the SMILES), ``lstm-1`` (128) and
    ``lstm-2`` (512), the last state, which the Fréchet ChemNet distance compares. Pooling is over positions
    and has no effect on ``lstm-2``. The network reads text: it is the canonical SMILES, however a molecule
    was written.

    Parameters
    ----------
    card : EncoderCard
    weights : pathlib.Path, optional
        File to use in place of the published one, without comparing digests.
    seed : int
        Seed of the weights if the card has none.
    """

    level = "node"
    featurisation = CHEMNET
    layers = ("conv-1", "conv-2", "lstm-1", "lstm-2")

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        self.card = card
        self.seed = seed
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
    def module(self) -> ChemNet:
        """The network in evaluation mode and float32, read from the weights or drawn with the seed."""
        from molrate.encoders.chemnet.checkpoint import read_weights
        from molrate.encoders.chemnet.network import ChemNet

        if self.weights is None:
            with seeded(self.seed):
                return ChemNet(**self.card.config).eval()
        if self.weights.suffix == ".safetensors":
            settings = read_settings(self.weights, self.card.family)
            check_settings(self.weights, settings or self.card.config, self.card.config, self.name)
        # What is drawn is replaced by what is read.
        with seeded(0):
            module = ChemNet(**self.card.config)
        load_strictly(module, read_weights(self.weights), self.weights)
        return module.eval()

    @property
    def n_transferable(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.chemnet.network import ChemNet, TrainableChemNet, layer_number
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(lambda: ChemNet(**self.card.config), seed)
        transfer(network, self.module.state_dict(), layer_number, n_layers)
        return TrainableChemNet(network, pooling)

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write ``.safetensors`` with its architecture in it, which this encoder takes as weights."""
        write_state(path, network.state_dict(), self.card.family, self.card.config)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Read molecules as text; see :mod:`molrate.encoders.chemnet.text`."""
        from molrate.encoders.chemnet.text import batch_molecules

        return batch_molecules(molecules)

    def forward(self, content: Tensor, device: str = "cpu") -> dict[str, Tensor]:
        """Compute states of all layers, (n_molecules, n_positions, d), and the last, (n_molecules, d)."""
        import torch

        module = self.module.to(device)
        with torch.inference_mode():
            hidden = module(content.to(device))
        return dict(zip(self.layers, hidden, strict=True))

    def embed(
        self, content: Tensor, layers: Sequence[str], pooling: str, device: str = "cpu"
    ) -> dict[str, Any]:
        """Compute the molecule embeddings of some layers in one pass; see :meth:`Encoder.embed`."""
        from molrate.encoders.chemnet.network import stands_for_symbols
        from molrate.encoders.pooling import POOLINGS

        pool = POOLINGS[pooling]
        hidden = self.forward(content, device)
        embeddings = {}
        for layer in layers:
            states = hidden[layer]
            if states.dim() == 3:
                positions = stands_for_symbols(content.to(device), states.shape[1])
                states = pool(states[positions], positions.nonzero()[:, 0], len(states))
            embeddings[layer] = states.cpu().numpy()
        return embeddings
