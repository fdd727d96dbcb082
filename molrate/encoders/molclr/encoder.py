"""The MolCLR encoders of Wang et al. (2022).

Layers are ``input`` (the atom embeddings, hydrogens included), ``layer-1`` ... ``layer-5`` and ``features``,
the linear map to 512 dimensions that the authors fine-tune from. The head of the contrastive loss behind it
is no part of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.base import Encoder
from molrate.encoders.batch import MOLCLR, MoleculeBatch
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
from molrate.errors import WeightsError
from molrate.randomness import seeded

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import Tensor, nn
    from torch_geometric.data import Data

    from molrate.encoders.molclr.network import MolCLR
    from molrate.encoders.trainable import Trainable

_HEAD = "out_lin."


class MolCLREncoder(Encoder):
    """A MolCLR network with published or given weights.

    Parameters
    ----------
    card : EncoderCard
    weights : pathlib.Path, optional
        File to use in place of the published one, without comparing digests.
    seed : int
        Seed of the weights if the card has none.
    """

    level = "node"
    featurisation = MOLCLR

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        self.card = card
        self.seed = seed
        n_layers = card.config["n_layers"]
        self.layers = ("input", *(f"layer-{depth + 1}" for depth in range(n_layers)), "features")
        self.weights = choose_weights(card, weights)

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
    def module(self) -> MolCLR:
        """The network in evaluation mode, in float64 for the reason that the one of pretrain-gnns is."""
        from molrate.encoders.molclr.network import MolCLR

        if self.weights is None:
            with seeded(self.seed):
                return MolCLR(**self.card.config).double().eval()
        if self.weights.suffix == ".safetensors":
            settings = read_settings(self.weights, self.card.family)
            check_settings(self.weights, settings or self.card.config, self.card.config, self.name)
        # What is drawn is replaced by what is read.
        with seeded(0):
            module = MolCLR(**self.card.config)
        state = {
            name: value for name, value in load_state(self.weights).items() if not name.startswith(_HEAD)
        }
        load_strictly(module, state, self.weights)
        return module.double().eval()

    @property
    def n_transferable(self) -> int:
        """Number of convolutions; the atom embeddings go with the first, the linear map with the last."""
        return int(self.card.config["n_layers"])

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.molclr.network import MolCLR, TrainableMolCLR
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(lambda: MolCLR(**self.card.config), seed)
        transfer(network, self.module.state_dict(), network.layer_number, n_layers)
        return TrainableMolCLR(network, pooling)

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write ``.safetensors`` with its architecture in it, which this encoder takes as weights."""
        write_state(path, network.state_dict(), self.card.family, self.card.config)

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Build a PyG graph of all molecules; see :mod:`molrate.encoders.molclr.graphs`."""
        from molrate.encoders.molclr.graphs import batch_molecules

        return batch_molecules(molecules)

    def forward(self, content: Data, device: str = "cpu") -> dict[str, Tensor]:
        """Compute the node embeddings of every layer in one pass, each of shape (n_atoms, width or 512)."""
        import torch

        module = self.module.to(device)
        with torch.inference_mode():
            hidden = module(content.to(device))
        return dict(zip(self.layers, hidden, strict=True))
