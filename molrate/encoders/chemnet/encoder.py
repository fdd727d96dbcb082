"""The ChemNet encoder of Preuer et al. (2018), published or untrained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.batch import CHEMNET, MoleculeBatch
from molrate.encoders.network_encoder import NetworkEncoder

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import Tensor

    from molrate.encoders.chemnet.network import ChemNet
    from molrate.encoders.trainable import Trainable


class ChemNetEncoder(NetworkEncoder):
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

    featurisation = CHEMNET
    layers = ("conv-1", "conv-2", "lstm-1", "lstm-2")

    def build(self) -> ChemNet:
        """Build the network; see :meth:`NetworkEncoder.build`."""
        from molrate.encoders.chemnet.network import ChemNet

        return ChemNet(**self.network_config)

    def read_state(self, weights: Path) -> dict[str, Tensor]:
        """Read a file; see :func:`molrate.encoders.chemnet.checkpoint.read_weights`."""
        from molrate.encoders.chemnet.checkpoint import read_weights

        self.check_file(weights)
        return read_weights(weights)

    @property
    def n_transferable(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.chemnet.network import TrainableChemNet, layer_number
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(self.build, seed)
        transfer(network, self.module.state_dict(), layer_number, n_layers)
        return TrainableChemNet(network, pooling)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Read molecules as text; see :mod:`molrate.encoders.chemnet.text`."""
        from molrate.encoders.chemnet.text import batch_molecules

        return batch_molecules(molecules)

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
