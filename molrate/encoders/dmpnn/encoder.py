"""D-MPNN encoders: those of Chemprop v2, trained on some task or pretrained (CheMeleon), published or yours.

Layers are ``step-1`` ... ``step-DEPTH``: what the output layer makes of each atom and of the messages that
reach it in that step. The last is Chemprop's own output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.base import POOLING_NAMES
from molrate.encoders.batch import DMPNN as FEATURISATION
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import check_settings
from molrate.encoders.dmpnn.checkpoint import read_class_head, read_weights
from molrate.encoders.network_encoder import NetworkEncoder

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import Tensor

    from molrate.encoders.class_head import ClassHead
    from molrate.encoders.dmpnn.network import DMPNN
    from molrate.encoders.trainable import Trainable

_AGGREGATION = "aggregation"


class DMPNNEncoder(NetworkEncoder):
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

    featurisation = FEATURISATION

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        super().__init__(card, weights, seed)
        self.layers = tuple(f"step-{step + 1}" for step in range(card.config["depth"]))

    @classmethod
    def file_config(cls, weights: Path) -> dict[str, Any]:
        """Settings that are in a model's file."""
        return read_weights(weights)[1]

    @property
    def network_config(self) -> dict[str, Any]:
        """All settings but how the published model pools."""
        return {key: value for key, value in self.card.config.items() if key != _AGGREGATION}

    def build(self) -> DMPNN:
        """Build the network; see :meth:`NetworkEncoder.build`."""
        from molrate.encoders.dmpnn.network import DMPNN

        return DMPNN(**self.network_config)

    def read_state(self, weights: Path) -> dict[str, Tensor]:
        """Read a file, which tells its own settings."""
        tensors, config = read_weights(weights)
        config.pop(_AGGREGATION, None)
        check_settings(weights, config, self.network_config, self.name)
        return tensors

    def class_head(self) -> ClassHead | None:
        """Head of a model of binary tasks, as it was published; see :meth:`Encoder.class_head`."""
        head = None if self.weights is None else read_class_head(self.weights)
        return head if head is not None and head.pooling in POOLING_NAMES else None

    @property
    def n_transferable(self) -> int:
        """Input, hidden and output layer; all steps share the hidden one."""
        return 3

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network; see :meth:`Encoder.trainable`."""
        from molrate.encoders.dmpnn.network import TrainableDMPNN, layer_number
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(self.build, seed)
        transfer(network, self.module.state_dict(), layer_number, n_layers)
        return TrainableDMPNN(network, pooling)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Join all molecules into one graph; see :mod:`molrate.encoders.dmpnn.graphs`."""
        from molrate.encoders.dmpnn.graphs import batch_molecules

        return batch_molecules(molecules)
