"""D-MPNN encoders: those of Chemprop v2, trained on some task or pretrained (CheMeleon), published or yours.

Layers are ``step-1`` ... ``step-DEPTH``: what the output layer makes of each atom and of the messages that
reach it in that step. The last is Chemprop's own output.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.base import Encoder
from molrate.encoders.batch import DMPNN as FEATURISATION
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import (
    check_settings,
    choose_weights,
    load_strictly,
    weights_digest,
    write_state,
)
from molrate.encoders.dmpnn.checkpoint import read_weights
from molrate.randomness import seeded

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import Tensor, nn
    from torch_geometric.data import Data

    from molrate.encoders.dmpnn.network import DMPNN
    from molrate.encoders.trainable import Trainable

_AGGREGATION = "aggregation"


class DMPNNEncoder(Encoder):
    """A directed message passing network with published, given or untrained weights.

    The card's ``aggregation`` tells how the published model pools atoms: ``mean``, or ``sum/100``, which is
    100 times less than what ``--pooling sum`` gives.

    Parameters
    ----------
    card : EncoderCard
    weights : pathlib.Path, optional
        File to use in place of the published one, without comparing digests.
    seed : int
        Seed of the weights if the card has none.
    """

    level = "node"
    featurisation = FEATURISATION

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        self.card = card
        self.seed = seed
        self.layers = tuple(f"step-{step + 1}" for step in range(card.config["depth"]))
        self.weights = choose_weights(card, weights)

    @classmethod
    def file_config(cls, weights: Path) -> dict[str, Any]:
        """Settings that are in a model's file."""
        return read_weights(weights)[1]

    @cached_property
    def _digest(self) -> str:
        return weights_digest(self.weights, self.seed)

    @property
    def _network_config(self) -> dict[str, Any]:
        return {key: value for key, value in self.card.config.items() if key != _AGGREGATION}

    def identity(self) -> dict[str, str]:
        """Return weights, architecture and input featurisation."""
        config = ", ".join(f"{key}={value}" for key, value in sorted(self._network_config.items()))
        return {"weights": self._digest, "config": config, "featurisation": self.featurisation}

    def prepare(self) -> None:
        """Read the weights, or draw them if the card has none."""
        _ = self.module

    @cached_property
    def module(self) -> DMPNN:
        """The network in evaluation mode, read from the weights or drawn with the seed."""
        from molrate.encoders.dmpnn.network import DMPNN

        # What is drawn is replaced by what is read.
        with seeded(0 if self.weights else self.seed):
            module = DMPNN(**self._network_config)
        if self.weights is not None:
            tensors, config = read_weights(self.weights)
            config.pop(_AGGREGATION, None)
            check_settings(self.weights, config, self._network_config, self.name)
            load_strictly(module, tensors, self.weights)
        return module.eval()

    @property
    def n_transferable(self) -> int:
        """Input, hidden and output layer; all steps share the hidden one."""
        from molrate.encoders.dmpnn.network import N_LAYERS

        return N_LAYERS

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network; see :meth:`Encoder.trainable`."""
        from molrate.encoders.dmpnn.network import DMPNN, TrainableDMPNN, layer_number
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(lambda: DMPNN(**self._network_config), seed)
        transfer(network, self.module.state_dict(), layer_number, n_layers)
        return TrainableDMPNN(network, pooling)

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write ``.safetensors`` with its settings in it, which this encoder takes as weights."""
        write_state(path, network.state_dict(), self.card.family, self.card.config)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Build a PyG graph of all molecules; see :mod:`molrate.encoders.dmpnn.graphs`."""
        from molrate.encoders.dmpnn.graphs import batch_molecules

        return batch_molecules(molecules)

    def forward(self, content: Data, device: str = "cpu") -> dict[str, Tensor]:
        """Compute the atom embeddings of every layer, each of shape (n_atoms, width), in one pass."""
        import torch

        module = self.module.to(device)
        with torch.inference_mode():
            hidden = module(content.to(device))
        return dict(zip(self.layers, hidden, strict=True))
