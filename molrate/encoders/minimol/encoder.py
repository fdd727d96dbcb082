"""The MiniMol encoder of Kläser et al. (2024), published or untrained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from molrate.encoders.batch import MINIMOL, MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.encoders.network_encoder import NetworkEncoder

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import Tensor

    from molrate.encoders.minimol.network import MiniMol
    from molrate.encoders.trainable import Trainable


class MiniMolEncoder(NetworkEncoder):
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

    featurisation = MINIMOL

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        super().__init__(card, weights, seed)
        self.layers = ("input", *(f"layer-{depth + 1}" for depth in range(card.config["n_layers"])))

    def build(self) -> MiniMol:
        """Build the network; see :meth:`NetworkEncoder.build`."""
        from molrate.encoders.minimol.network import MiniMol

        return MiniMol(**self.network_config)

    def read_state(self, weights: Path) -> dict[str, Tensor]:
        """Read a file; the published one has other names."""
        from molrate.encoders.minimol.checkpoint import rename

        return rename(super().read_state(weights))

    @property
    def n_transferable(self) -> int:
        """Number of convolutions; the embeddings of atoms and bonds go with the first."""
        return int(self.card.config["n_layers"])

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.minimol.network import TrainableMiniMol, layer_number
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(self.build, seed)
        transfer(network, self.module.state_dict(), layer_number, n_layers)
        return TrainableMiniMol(network, pooling)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Join all molecules into one graph; see :mod:`molrate.encoders.minimol.graphs`."""
        from molrate.encoders.minimol.graphs import batch_molecules

        return batch_molecules(molecules)
