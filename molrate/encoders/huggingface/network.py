"""Networks of the transformers library, built from plain settings and without any code of a download."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor, nn

from molrate.encoders.huggingface.library import configure, need
from molrate.encoders.huggingface.tokens import TOKENS, PaddedTokens, TokenSequence, collate
from molrate.encoders.trainable import BATCH_ERRORS, Trainable
from molrate.errors import WeightsError

_GROUPS = 4
"""Groups of like lengths into which a batch of training is cut: 32 texts take two thirds of the time."""

_NUMBERED = re.compile(r"\.(\d+)\.")


def build(architecture: dict[str, Any], source: str) -> nn.Module:
    """Build the network with weights drawn at random, in float32 and without the pooler that no layer needs.

    `source` is where the settings come from, for what is said of them.

    Raises
    ------
    WeightsError
        If the library cannot build it.
    """
    config = configure(architecture, source)
    try:
        network: nn.Module = need("transformers").AutoModel.from_config(config, dtype=torch.float32)
    except MemoryError:
        raise
    except Exception as error:
        raise WeightsError(
            f"{source}: not settings of a {architecture['model_type']} model: {error}"
        ) from error
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # type: ignore[assignment]
    return network


def longest_text(network: nn.Module) -> int | None:
    """Number of tokens that the network has positions for; None if it has no table of them."""
    limits = [getattr(network.config, "max_position_embeddings", None)]
    for name, module in network.named_modules():
        if isinstance(module, nn.Embedding) and name.split(".")[-1] in ("position_embeddings", "wpe"):
            # RoBERTa counts positions from the one after that of padding; YOSO has two that it does not use.
            limits.append(
                module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
            )
    return min((int(limit) for limit in limits if limit is not None), default=None)


def hidden_states(network: nn.Module, ids: Tensor, attended: Tensor) -> tuple[Tensor, ...]:
    """Hidden states of the embeddings and of every layer, each of shape (n_texts, length, width).

    Raises
    ------
    WeightsError
        If the library's network fails, as it may with settings that do not go together.
    """
    try:
        output = network(input_ids=ids, attention_mask=attended, output_hidden_states=True, return_dict=True)
        states: tuple[Tensor, ...] = output.hidden_states
    except BATCH_ERRORS:
        raise
    except Exception as error:
        kind = network.config.model_type  # type: ignore[union-attr]
        raise WeightsError(
            f"a {kind} network of these settings fails in transformers: {type(error).__name__}: {error}"
        ) from error
    return states


def layer_numbers(network: nn.Module) -> dict[str, int]:
    """Layer of each parameter, counted from 1.

    Embeddings go with the first layer, and a normalisation behind all layers with the last. ALBERT runs one
    stored layer many times; its parameters are all of layer 1.
    """
    numbers: dict[str, int] = {}
    current = 1
    for name in network.state_dict():
        found = _NUMBERED.search(name)
        current = int(found[1]) + 1 if found else current
        numbers[name] = current
    return numbers


class TrainableLanguageModel(Trainable):
    """A language model with its last layer pooled over tokens.

    Parameters
    ----------
    network : torch.nn.Module
    pooling : str
    tokens : str
        Which tokens are pooled, one of :data:`molrate.encoders.huggingface.tokens.TOKENS`.
    encode : callable
        From a molecule to its tokens.
    """

    # What is kept for the way back leaves a core's cache soon: 80 molecules take twice as long as 4 x 20.
    batch_atoms: ClassVar[dict[str, int]] = {"cpu": 512}

    def __init__(self, network: nn.Module, pooling: str, tokens: str, encode: Any) -> None:
        super().__init__(pooling)
        self.network = network
        self.width = int(network.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self._tokens, self._encode = tokens, encode
        self._padding = padding_of(network)

    def encode(self, molecule: Chem.Mol) -> TokenSequence:
        """Tokens of a molecule's SMILES."""
        sequence: TokenSequence = self._encode(molecule)
        return sequence

    def collate(self, encoded: Sequence[TokenSequence]) -> PaddedTokens:
        """Pad texts to the longest of the batch."""
        return collate(encoded, self._padding)

    def forward(self, batch: PaddedTokens) -> Tensor:
        """Compute the pooled last layer, shape (n_molecules, width)."""
        # A processor pays for padding; a GPU pays for each pass, and gradients by molecule need one.
        n_groups = min(_GROUPS, len(batch.ids)) if self.training and not batch.ids.is_cuda else 1
        if n_groups == 1:
            return self._pooled(batch)
        order = batch.attended.sum(dim=1).argsort(stable=True)
        parts = [self._pooled(batch.take(rows)) for rows in order.tensor_split(n_groups)]
        return torch.cat(parts)[order.argsort()]

    def _pooled(self, batch: PaddedTokens) -> Tensor:
        """The pooled last layer of texts that pass the network together."""
        pooled = TOKENS[self._tokens](batch)
        last = hidden_states(self.network, batch.ids, batch.attended)[-1]
        index = torch.repeat_interleave(pooled.sum(dim=1))
        return self.pooling(last[pooled], index, len(pooled))


def padding_of(network: nn.Module) -> int:
    """The token that fills up texts; which one has no effect where positions do not depend on it."""
    padding = getattr(network.config, "pad_token_id", None)
    size = getattr(network.config, "vocab_size", None)
    # GPT-2 and others may have no vector for it; where positions depend on it there is one.
    known = padding is not None and padding >= 0 and (size is None or padding < size)
    return int(padding) if known else 0  # type: ignore[arg-type]


def length_buckets(sequences: Sequence[TokenSequence], limit: int) -> list[np.ndarray]:
    """Positions of texts of about one length each, in groups that have at most `limit` tokens when padded."""
    lengths = np.array([len(sequence.ids) for sequence in sequences])
    groups: list[np.ndarray] = []
    start, order = 0, np.argsort(lengths, kind="stable")
    for stop in range(1, len(order) + 1):
        if stop == len(order) or (stop + 1 - start) * lengths[order[stop]] > limit:
            groups.append(order[start:stop])
            start = stop
    return groups
