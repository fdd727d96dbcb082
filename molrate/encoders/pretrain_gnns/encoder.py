"""The pretrain-gnns encoders of Hu et al. (2020), published or untrained.

The network itself is imported at first use: an encoder whose embeddings are cached needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.base import Encoder
from molrate.encoders.batch import PRETRAIN_GNNS, MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import (
    check_settings,
    choose_weights,
    load_strictly,
    read_settings,
    weights_digest,
    write_state,
)
from molrate.encoders.pretrain_gnns.checkpoint import read_config, read_network
from molrate.randomness import seeded

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import Tensor, nn
    from torch_geometric.data import Data

    from molrate.encoders.pretrain_gnns.network import PretrainGNN
    from molrate.encoders.trainable import Trainable


class PretrainGNNEncoder(Encoder):
    """The pretrain-gnns network with published, given or untrained weights.

    Layers are ``input`` (the atom embeddings) and ``layer-1`` ... ``layer-5``.

    Parameters
    ----------
    card : EncoderCard
    weights : pathlib.Path, optional
        File to use in place of the published one, without comparing digests.
    seed : int
        Seed of the weights if the card has none.
    """

    level = "node"
    featurisation = PRETRAIN_GNNS

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        self.card = card
        self.seed = seed
        self.layers = ("input", *(f"layer-{depth + 1}" for depth in range(card.config["n_layers"])))
        self.weights = choose_weights(card, weights)

    @classmethod
    def file_config(cls, weights: Path) -> dict[str, Any]:
        """Architecture of a file; see :func:`molrate.encoders.pretrain_gnns.checkpoint.read_config`."""
        return read_config(weights)

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
    def module(self) -> PretrainGNN:
        """The network in evaluation mode, read from the weights or drawn with the seed.

        It is in float64: the released networks amplify rounding, in float32 up to 1e-3 of a node
        embedding, and the rest of a batch decides how sums round.
        """
        from molrate.encoders.pretrain_gnns.network import PretrainGNN

        if self.weights is None:
            with seeded(self.seed):
                return PretrainGNN(**self.card.config).double().eval()
        if self.weights.suffix == ".safetensors":
            # Other files have no place for it; names and shapes of tensors tell all of this architecture.
            settings = read_settings(self.weights, self.card.family)
            check_settings(self.weights, settings or self.card.config, self.card.config, self.name)
        # What is drawn is replaced by what is read.
        with seeded(0):
            module = PretrainGNN(**self.card.config)
        load_strictly(module, read_network(self.weights), self.weights)
        return module.double().eval()

    @property
    def n_transferable(self) -> int:
        """Number of convolutions; the atom embeddings go with the first."""
        return int(self.card.config["n_layers"])

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.pretrain_gnns.network import PretrainGNN, TrainableGNN, layer_number
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(lambda: PretrainGNN(**self.card.config), seed)
        transfer(network, self.module.state_dict(), layer_number, n_layers)
        return TrainableGNN(network, pooling)

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write ``.safetensors`` with its architecture in it, which this encoder takes as weights."""
        write_state(path, network.state_dict(), self.card.family, self.card.config)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Build a PyG graph of all molecules; see :mod:`molrate.encoders.pretrain_gnns.graphs`."""
        from molrate.encoders.pretrain_gnns.graphs import batch_molecules

        return batch_molecules(molecules)

    def forward(self, content: Data, device: str = "cpu") -> dict[str, Tensor]:
        """Compute the node embeddings of every layer, each of shape (n_atoms, 300), in one pass."""
        import torch

        module = self.module.to(device)
        with torch.inference_mode():
            hidden = module(content.to(device))
        return dict(zip(self.layers, hidden, strict=True))
