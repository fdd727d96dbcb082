"""GROVER encoders (Rong et al. 2020): released, our own, given, or untrained.

Layers, in the order data flows: ``atom-input`` and ``bond-input`` (the projected features);
``atom-block-1``, ``bond-block-1``, ... (each block of the node and of the edge view); the branches
``atom-from-atom``, ``atom-from-bond``, ``bond-from-atom``, ``bond-from-bond``; and the released code's
fingerprints ``atom`` (both branches to atoms), ``bond`` (both to bonds) and ``both``. Layers of bonds pool
over directed bonds, and are zero for a molecule without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.base import Encoder
from molrate.encoders.batch import GROVER, MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import check_settings, choose_weights, load_strictly, weights_digest
from molrate.encoders.grover.checkpoint import (
    complete,
    file_config,
    read_config,
    read_padding,
    read_weights,
    write_weights,
)
from molrate.errors import UsageError
from molrate.randomness import seeded

if TYPE_CHECKING:
    import torch
    from rdkit import Chem
    from torch import Tensor, nn

    from molrate.encoders.graph import Graph
    from molrate.encoders.grover.network import Grover
    from molrate.encoders.trainable import Trainable

OFFICIAL_SLOTS = 4
"""Neighbour slots of the released tables in nearly every batch: the largest degree of drug-like molecules."""

PRECISIONS = ("fp32", "bf16")

_BRANCHES = {
    "atom": ("atom-from-atom", "atom-from-bond"),
    "bond": ("bond-from-atom", "bond-from-bond"),
}


class GroverEncoder(Encoder):
    """A GROVER network with released, given or untrained weights.

    Parameters
    ----------
    card : EncoderCard
    weights : pathlib.Path, optional
        Used in place of the card's, without comparing digests. It brings its own architecture and settings:
        a file of the released code in its args, safetensors in its metadata.
    seed : int
        Draws the weights where the card has none.
    padding : {"official", "batch", "none"} or int, optional
        What the empty slots of the released code's neighbour tables add to every sum. ``official``: as
        many slots as in nearly every released batch, 4, or the molecule's largest degree; a number: at
        least so many; ``batch``: as released, the batch's largest degree, so that embeddings depend on
        batches; ``none``: nothing. By default as the weights given say, else the card.
    precision : {"fp32", "bf16"}
        Of weights and hidden states.
    """

    level = "node"
    featurisation = GROVER
    options = ("padding", "precision")

    def __init__(
        self,
        card: EncoderCard,
        weights: Path | None = None,
        seed: int = 0,
        padding: str | int | None = None,
        precision: str = "fp32",
    ) -> None:
        self.card = card
        self.seed = seed
        if precision not in PRECISIONS:
            raise UsageError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
        self.precision = precision
        config = dict(card.config)
        of_card = config.pop("padding", "none")
        self.weights = choose_weights(card, weights)
        self.config = complete(config) if weights is None else read_config(weights)
        if padding is None:
            padding = of_card if weights is None else read_padding(weights)
        self._padding, self.padding = padding, _slots(padding)
        self.layers = _layers(self.config["n_blocks"], self.config["output"])

    @classmethod
    def file_config(cls, weights: Path) -> dict[str, Any]:
        """Settings of a file; see :func:`molrate.encoders.grover.checkpoint.file_config`."""
        return file_config(weights)

    @cached_property
    def _digest(self) -> str:
        return weights_digest(self.weights, self.seed)

    def identity(self) -> dict[str, str]:
        """Weights, architecture, input featurisation, padding and precision."""
        config = ", ".join(f"{key}={value}" for key, value in sorted(self.config.items()))
        return {
            "weights": self._digest,
            "config": config,
            "featurisation": self.featurisation,
            "padding": str(self.padding),
            "precision": self.precision,
        }

    @cached_property
    def module(self) -> Grover:
        """The network in evaluation mode, read from the weights or drawn with the seed."""
        import torch

        module = self._plain()
        module.fuse_linears()
        return module.to(torch.bfloat16 if self.precision == "bf16" else torch.float32).eval()

    def _plain(self) -> Grover:
        """The network as its weights are stored, consecutive linear layers apart."""
        return self._untrained() if self.weights is None else self._trained(self.weights)

    @property
    def n_transferable(self) -> int:
        """Blocks, and the branches after them."""
        return int(self.config["n_blocks"]) + 1

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """The network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.grover.trainable import TrainableGrover
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(lambda: self._network(self.config), seed)
        transfer(network, self._plain().state_dict(), network.layer_number, n_layers)
        return TrainableGrover(network, _parts(self.layers[-1]), self.padding, pooling)

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write ``.safetensors`` with its settings in it, which this encoder takes as weights."""
        write_weights(path, network.state_dict(), self.config, self._padding)

    def prepare(self) -> None:
        """Read or draw the weights."""
        _ = self.module

    def _network(self, config: dict[str, Any]) -> Grover:
        from molrate.encoders.grover.network import Grover

        return Grover(**{key: value for key, value in config.items() if key != "output"})

    def _untrained(self) -> Grover:
        with seeded(self.seed):
            return self._network(self.config)

    def _trained(self, weights: Path) -> Grover:
        state, config = read_weights(weights)
        check_settings(weights, config, self.config, self.name)
        # What is drawn is replaced by what is read.
        with seeded(0):
            module = self._network(config)
        load_strictly(module, state, weights)
        return module

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """One graph of all molecules; see :func:`molrate.encoders.grover.graphs.batch_molecules`."""
        from molrate.encoders.grover.graphs import batch_molecules

        return batch_molecules(molecules)

    def forward(self, content: Graph, device: str = "cpu") -> dict[str, Tensor]:
        """Embeddings of atoms or of directed bonds, by layer; the fingerprints have none.

        Returns
        -------
        dict of str to Tensor of float32, shape (n_atoms or n_edges, width)
        """
        nodes = [layer for layer in self.layers if _parts(layer) == (layer,)]
        return self._nodes(content, nodes, device)

    def _nodes(self, content: Graph, layers: Sequence[str], device: str) -> dict[str, Tensor]:
        import torch

        from molrate.encoders.grover.deduplication import BRANCHES, deduplicate_batch
        from molrate.encoders.grover.network import node_folds

        parts = [part for layer in layers for part in _parts(layer)]
        branches = [branch for branch in BRANCHES if branch in parts]
        module = self.module.to(device)
        batch = deduplicate_batch(content, module.depth, module.n_blocks, self.padding, branches).to(device)
        folds = node_folds(batch)
        with torch.inference_mode():
            hidden = module(batch)
            return {part: hidden[part].float()[folds[part]] for part in dict.fromkeys(parts)}

    def embed(
        self, content: Graph, layers: Sequence[str], pooling: str, device: str = "cpu"
    ) -> dict[str, Any]:
        """Pool atoms or directed bonds, and join the parts of fingerprints."""
        import numpy as np

        from molrate.encoders.pooling import POOLINGS

        pooled = {}
        for part, rows in self._nodes(content, layers, device).items():
            index: torch.Tensor = content.batch if part.startswith("atom") else content.bond_batch
            pooled[part] = POOLINGS[pooling](rows, index.to(device), content.num_graphs).cpu().numpy()
        return {layer: np.concatenate([pooled[part] for part in _parts(layer)], axis=1) for layer in layers}


def _slots(padding: str | int) -> int | str | None:
    """The padding as :func:`molrate.encoders.grover.deduplication.deduplicate_batch` takes it."""
    named: dict[str | int, int | str | None] = {"official": OFFICIAL_SLOTS, "batch": "batch", "none": None}
    if padding in named:
        return named[padding]
    if isinstance(padding, int) and padding > 0:
        return padding
    raise UsageError(
        f"unknown padding {padding!r}; known: {', '.join(map(str, named))}, or a number of slots"
    )


def _parts(layer: str) -> tuple[str, ...]:
    """Node-level layers a layer joins: itself, or the branches of a fingerprint."""
    if layer == "both":
        return _BRANCHES["atom"] + _BRANCHES["bond"]
    return _BRANCHES.get(layer, (layer,))


def _layers(n_blocks: int, output: str) -> tuple[str, ...]:
    blocks = [f"{view}-block-{number + 1}" for number in range(n_blocks) for view in ("atom", "bond")]
    kinds = ("atom", "bond") if output == "both" else (output,)
    branches = [branch for kind in kinds for branch in _BRANCHES[kind]]
    fingerprints = ("atom", "bond", "both") if output == "both" else (output,)
    return ("atom-input", "bond-input", *blocks, *branches, *fingerprints)
