"""The MolCLR encoders of Wang et al. (2022).

Layers are ``input`` (the atom embeddings, hydrogens included), ``layer-1`` ... ``layer-5`` and ``features``,
the linear map to 512 dimensions that the authors fine-tune from. The head of the contrastive loss behind it
is no part of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.batch import MOLCLR, MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import load_state, read_settings
from molrate.encoders.network_encoder import NetworkEncoder
from molrate.errors import WeightsError

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import Tensor, nn

    from molrate.encoders.molclr.network import MolCLR
    from molrate.encoders.trainable import Trainable

_HEAD = "out_lin."


class MolCLREncoder(NetworkEncoder):
    """A MolCLR network with published or given weights.

    Parameters
    ----------
    card : EncoderCard
    weights : pathlib.Path, optional
        File to use in place of the published one, without comparing digests.
    seed : int
        Seed of the weights if the card has none.
    """

    featurisation = MOLCLR

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        super().__init__(card, weights, seed)
        n_layers = card.config["n_layers"]
        self.layers = ("input", *(f"layer-{depth + 1}" for depth in range(n_layers)), "features")

    @classmethod
    def file_config(cls, weights: Path) -> dict[str, Any]:
        """Architecture of a checkpoint, from the file or from the names and shapes of its tensors."""
        if weights.suffix == ".safetensors":
            settings = read_settings(weights, "molclr")
            if settings is not None:
                return settings
        state = load_state(weights)
        kinds = {"gin": "gnns.0.mlp.0.weight", "gcn": "gnns.0.weight"}
        found = [kind for kind, name in kinds.items() if name in state]
        if len(found) != 1 or "feat_lin.weight" not in state or "gnns.0.edge_embedding1.weight" not in state:
            raise WeightsError(f"{weights}: not a checkpoint of MolCLR's GIN or GCN")
        n_features, width = state["feat_lin.weight"].shape
        n_layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("gnns."))
        return {"architecture": found[0], "n_layers": n_layers, "width": width, "n_features": n_features}

    def build(self) -> MolCLR:
        """Build the network; see :meth:`NetworkEncoder.build`."""
        from molrate.encoders.molclr.network import MolCLR

        return MolCLR(**self.network_config)

    def read_state(self, weights: Path) -> dict[str, Tensor]:
        """Read a file without the head of the contrastive loss."""
        state = super().read_state(weights)
        return {name: value for name, value in state.items() if not name.startswith(_HEAD)}

    def finish(self, module: nn.Module) -> nn.Module:
        """In float64, for the reason that the one of pretrain-gnns is."""
        return module.double()

    @property
    def n_transferable(self) -> int:
        """Number of convolutions; the atom embeddings go with the first, the linear map with the last."""
        return int(self.card.config["n_layers"])

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.molclr.network import TrainableMolCLR
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(self.build, seed)
        transfer(network, self.module.state_dict(), network.layer_number, n_layers)
        return TrainableMolCLR(network, pooling)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Join all molecules into one graph; see :mod:`molrate.encoders.molclr.graphs`."""
        from molrate.encoders.molclr.graphs import batch_molecules

        return batch_molecules(molecules)
