"""Language models over SMILES (BERT, RoBERTa, ALBERT, ModernBERT, ...) in the format of Hugging Face.

Layers are ``embeddings`` and ``layer-1`` ... ``layer-n``: the hidden states, one row a token. A molecule is
read as its canonical SMILES.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.base import Encoder
from molrate.encoders.batch import HUGGINGFACE, MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import (
    choose_weights,
    load_state,
    load_strictly,
    read_about,
    weights_digest,
    write_state,
)
from molrate.encoders.huggingface.checkpoint import (
    body_of,
    check_vocabulary,
    depth_of,
    find_weights,
    read_model_settings,
    tokeniser_file,
)
from molrate.encoders.huggingface.library import need
from molrate.encoders.huggingface.tokenisers import TOKENISERS, choose_tokeniser, read_tokeniser
from molrate.errors import UnsupportedMoleculeError, UsageError, WeightsError
from molrate.randomness import seeded

if TYPE_CHECKING:
    import numpy as np
    from rdkit import Chem
    from torch import Tensor, nn

    from molrate.encoders.huggingface.tokenisers import Tokeniser
    from molrate.encoders.huggingface.tokens import TokenSequence
    from molrate.encoders.trainable import Trainable

_TOKEN_CHOICES = ("molecule", "all", "first")
_BATCH_TOKENS = {"cpu": 4096, "cuda": 65536}
"""Tokens in one pass, padding included."""


class LanguageModelEncoder(Encoder):
    """A language model with published or given weights.

    Parameters
    ----------
    card : EncoderCard
        With ``architecture`` and ``tokeniser`` in its config, or a source in the hub that has them.
    weights : pathlib.Path, optional
        Used in place of the card's, without comparing digests. A file that molrate wrote brings its own
        settings.
    seed : int
        Draws the weights where the card has none.
    tokens : {"molecule", "all", "first"}, optional
        Pool over the tokens of atoms, bonds, rings and branches; over all tokens, with those that begin and
        end the text; or read the first one. By default as the card says, else ``molecule``.
    tokeniser : {"published", "smiles"}, optional
        Cut SMILES as the published tokeniser does, or by a rule that keeps atoms whole where the vocabulary
        has them. By default as published, and by the rule where only a vocabulary is.
    download : bool
        Whether a model of the hub may be fetched.
    """

    level = "node"
    options = ("tokens", "tokeniser", "download")

    def __init__(
        self,
        card: EncoderCard,
        weights: Path | None = None,
        seed: int = 0,
        tokens: str | None = None,
        tokeniser: str | None = None,
        download: bool = False,
    ) -> None:
        self.card = card
        self.seed = seed
        if weights is None and card.hub_source is not None:
            weights = find_weights(card.hub_source, download)
        self.weights = choose_weights(card, weights)
        self.settings, self._source = self._find_settings(card, weights)
        chosen = tokens or self.settings.get("tokens", "molecule")
        if chosen not in _TOKEN_CHOICES:
            raise UsageError(f"unknown tokens {chosen!r}; known: {', '.join(_TOKEN_CHOICES)}")
        if tokeniser is not None and tokeniser not in TOKENISERS:
            raise UsageError(f"unknown tokeniser {tokeniser!r}; known: {', '.join(TOKENISERS)}")
        self.settings["tokens"] = chosen
        self.settings["tokeniser"] = choose_tokeniser(self.settings["tokeniser"], tokeniser, self._source)
        check_vocabulary(self.tokeniser, self.architecture, self._source)
        self.layers = (
            "embeddings",
            *(f"layer-{k + 1}" for k in range(depth_of(self.architecture, self.name))),
        )
        self.featurisation = f"{HUGGINGFACE}:{_digest(self.settings['tokeniser'])}"
        self._unknown = [0, 0]
        self._lock = threading.Lock()

    @classmethod
    def find_file(cls, source: str, download: bool = False) -> Path:
        """Weights of a folder, or of ``OWNER/NAME[@REVISION]`` of the hub."""
        return find_weights(source, download)

    @classmethod
    def file_config(cls, weights: Path) -> dict[str, Any]:
        """Nothing: the encoder reads the file and those beside it by itself."""
        return {}

    @staticmethod
    def _find_settings(card: EncoderCard, weights: Path | None) -> tuple[dict[str, Any], str]:
        """Architecture and tokeniser, and where the tokeniser comes from."""
        own = weights is not None and weights.suffix == ".safetensors" and read_about(weights) is not None
        if weights is not None and (own or "architecture" not in card.config):
            return read_model_settings(weights), str(tokeniser_file(weights))
        return dict(card.config), card.name

    @property
    def architecture(self) -> dict[str, Any]:
        """Settings of the network."""
        architecture: dict[str, Any] = self.settings["architecture"]
        return architecture

    @cached_property
    def tokeniser(self) -> Tokeniser:
        """What cuts SMILES into tokens."""
        if self.settings["tokeniser"]["kind"] == "published":
            need("tokenizers")
        return read_tokeniser(self.settings["tokeniser"], self._source)

    @property
    def batch_key(self) -> str:
        """Of this encoder alone: what is refused goes by its positions, and it counts unknown tokens."""
        return f"{self.featurisation} {self.name}"

    @cached_property
    def _weights_digest(self) -> str:
        return weights_digest(self.weights, self.seed)

    def identity(self) -> dict[str, str]:
        """Weights, architecture, tokeniser and the tokens that are pooled."""
        return {
            "weights": self._weights_digest,
            "config": json.dumps(self.architecture, sort_keys=True),
            "featurisation": self.featurisation,
            "tokeniser": self.settings["tokeniser"]["kind"],
            "tokens": self.settings["tokens"],
        }

    def prepare(self) -> None:
        """Read the weights and the tokeniser; unknown tokens are counted from here."""
        self._unknown = [0, 0]
        _ = self.module, self.tokeniser

    @cached_property
    def module(self) -> nn.Module:
        """The network in evaluation mode and float32."""
        from molrate.encoders.huggingface.network import build

        if self.weights is None:
            with seeded(self.seed):
                return build(self.architecture, self.name).eval()
        # What is drawn is replaced by what is read.
        with seeded(0):
            module = build(self.architecture, self.name)
        state = body_of(load_state(self.weights), str(module.base_model_prefix))
        load_strictly(module, state, self.weights)
        return module.eval()

    @cached_property
    def _longest(self) -> int | None:
        from molrate.encoders.huggingface.network import longest_text

        return longest_text(self.module)

    @property
    def n_transferable(self) -> int:
        """Number of layers with weights of their own, one where ALBERT's layers share them."""
        if self.architecture["model_type"] == "albert":
            return int(self.architecture.get("num_hidden_groups", 1))
        return len(self.layers) - 1

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network in float32; see :meth:`Encoder.trainable`."""
        from molrate.encoders.huggingface.network import TrainableLanguageModel, build, layer_numbers
        from molrate.encoders.trainable import check_layers, draw, transfer

        n_layers = check_layers(self.name, n_layers, self.n_transferable)
        network = draw(lambda: build(self.architecture, self.name), seed)
        transfer(network, self.module.state_dict(), layer_numbers(network).__getitem__, n_layers)
        return TrainableLanguageModel(network, pooling, self.settings["tokens"], self.encode)

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write ``.safetensors`` with its settings in it, which this encoder takes as weights."""
        write_state(path, network.state_dict(), self.card.family, self.settings)

    def encode(self, molecule: Chem.Mol) -> TokenSequence:
        """Tokens of a molecule's canonical SMILES.

        Raises
        ------
        UnsupportedMoleculeError
            If it has more tokens than the model has positions, or none that the vocabulary has.
        """
        from rdkit import Chem

        return self.encode_text(Chem.MolToSmiles(molecule))

    def encode_text(self, text: str) -> TokenSequence:
        """Tokens of a SMILES as it is written; see :meth:`encode`."""
        import torch

        from molrate.encoders.huggingface.tokens import TokenSequence

        tokens = self.tokeniser.tokenise(text)
        if self._longest is not None and len(tokens.ids) > self._longest:
            raise UnsupportedMoleculeError(
                f"its SMILES has {len(tokens.ids)} tokens, more than the {self._longest} positions "
                f"of {self.name}"
            )
        n_own = tokens.special.count(False)
        if tokens.unknown >= n_own:
            raise UnsupportedMoleculeError(f"no token of {text} is in the vocabulary of {self.name}")
        if tokens.unknown:
            with self._lock:
                self._unknown[0] += 1
                self._unknown[1] += tokens.unknown
        return TokenSequence(torch.tensor(tokens.ids), torch.tensor(tokens.special))

    def remarks(self) -> list[str]:
        """Which tokeniser ran, where its vocabulary lacked tokens of the molecules of this call."""
        n_molecules, n_tokens = self._unknown
        if not n_tokens:
            return []
        return [
            f"{self.name}: {n_tokens} tokens of {n_molecules} molecules are not in its vocabulary "
            f"(tokeniser: {self.settings['tokeniser']['kind']})"
        ]

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Cut the SMILES of molecules into tokens."""
        return MoleculeBatch.of(molecules, self.encode, list)

    def forward(self, content: list[TokenSequence], device: str = "cpu") -> dict[str, Tensor]:
        """Compute the hidden states of every layer in one pass.

        Returns
        -------
        dict of str to Tensor, shape (n_tokens, width)
            Of the tokens that are pooled, molecule by molecule.
        """
        import torch

        passed = list(self._passes(content, self.layers, device))
        molecules = torch.cat([index for index, _ in passed])
        order = torch.argsort(molecules, stable=True)
        return {layer: torch.cat([rows[layer] for _, rows in passed])[order] for layer in self.layers}

    def _passes(
        self, content: list[TokenSequence], layers: Sequence[str], device: str
    ) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """For molecules of about one length at a time: the molecule of each row, and the rows by layer."""
        import torch

        from molrate.encoders.huggingface.network import hidden_states, length_buckets, padding_of
        from molrate.encoders.huggingface.tokens import TOKENS, collate

        module = self.module.to(device)
        limit = _BATCH_TOKENS["cpu" if device == "cpu" else "cuda"]
        for positions in length_buckets(content, limit):
            batch = collate([content[position] for position in positions], padding_of(module)).to(device)
            pooled = TOKENS[self.settings["tokens"]](batch)
            index = torch.from_numpy(positions).to(device).repeat_interleave(pooled.sum(dim=1))
            with torch.inference_mode():
                states = hidden_states(module, batch.ids, batch.attended)
                named = self._by_layer(states)
                yield index, {layer: named[layer][pooled] for layer in layers}

    def _by_layer(self, states: tuple[Tensor, ...]) -> dict[str, Tensor]:
        if len(states) != len(self.layers):
            kind, n_layers = self.architecture["model_type"], len(self.layers) - 1
            raise WeightsError(
                f"{self.name}: its settings tell {n_layers} layers, and its network gives {len(states) - 1}; "
                f"models of the type {kind} are not supported"
            )
        return dict(zip(self.layers, states, strict=True))

    def embed(
        self, content: list[TokenSequence], layers: Sequence[str], pooling: str, device: str = "cpu"
    ) -> dict[str, np.ndarray]:
        """Pool tokens; see :meth:`Encoder.embed`."""
        import torch

        from molrate.encoders.pooling import POOLINGS

        positions: list[Tensor] = []
        pooled: dict[str, list[Tensor]] = {layer: [] for layer in layers}
        for index, rows in self._passes(content, layers, device):
            molecules, numbers = torch.unique_consecutive(index, return_inverse=True)
            positions.append(molecules)
            for layer in layers:
                pooled[layer].append(POOLINGS[pooling](rows[layer], numbers, len(molecules)))
        order = torch.argsort(torch.cat(positions))
        return {layer: torch.cat(parts)[order].cpu().numpy() for layer, parts in pooled.items()}


def _digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
