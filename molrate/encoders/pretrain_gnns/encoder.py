"""The pretrain-gnns encoders of Hu et al. (2020), published or untrained.

The network itself is imported at first use: an encoder whose embeddings are cached needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.batch import PRETRAIN_GNNS, MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.encoders.network_encoder import NetworkEncoder
from molrate.encoders.pretrain_gnns.checkpoint import read_config, read_network

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import Tensor, nn

    from molrate.encoders.pretrain_gnns.network import PretrainGNN
    from molrate.encoders.trainable import Trainable


class PretrainGNNEncoder(NetworkEncoder):
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

    featurisation = PRETRAIN_GNNS
    file_options = ("kind",)

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        super().__init__(card, weights, seed)
        self.layers = ("input", *(f"layer-{depth + 1}" for depth in range(card.config["n_layers"])))

    @classmethod
    def file_config(cls, weights: Path, kind: str | None = None) -> dict[str, Any]:
        """Architecture of a file; see :func:`molrate.encoders.pretrain_gnns.checkpoint.read_config`."""
        return read_config(weights, kind)

    def build(self) -> PretrainGNN:
        """Build the network; see :meth:`NetworkEncoder.build`."""
        from molrate.encoders.pretrain_gnns.network import PretrainGNN

        return PretrainGNN(**self.network_config)

    def read_state(self, weights: Path) -> dict[str, Tensor]:
        """Read a file; see :func:`molrate.encoders.pretrain_gnns.checkpoint.read_network`."""
        self.check_file(weights)
        return read_network(weights)

    def finish(self, module: nn.Module) -> nn.Module:
        """In float64: the released networks amplify rounding.

        In float32 it is up to 1e-3 of a node embedding, and the rest of a batch decides how sums round.
        """
        return module.double()

    @property
    def n_transferable(self) -> int:
        """Number of convolutions; the atom embeddings go with the first."""
        return int(self.card.config["n_layers"])

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.pretrain_gnns.network import TrainableGNN, layer_number
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(self.build, seed)
        transfer(network, self.module.state_dict(), layer_number, n_layers)
        return TrainableGNN(network, pooling)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Join all molecules into one graph; see :mod:`molrate.encoders.pretrain_gnns.graphs`."""
        from molrate.encoders.pretrain_gnns.graphs import batch_molecules

        return batch_molecules(molecules)
