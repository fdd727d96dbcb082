"""Molecules as sequences of tokens, and batches of them padded to one length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenSequence:
    """Tokens of one molecule.

    Attributes
    ----------
    ids : Tensor of int64, shape (length,)
    special : Tensor of bool, shape (length,)
        Which stand for the begin or end of the text.
    """

    ids: Tensor
    special: Tensor


class PaddedTokens(NamedTuple):
    """Molecules of different lengths in one rectangle; a tuple, so that training moves it between devices.

    Attributes
    ----------
    ids : Tensor of int64, shape (n_molecules, length)
    attended : Tensor of bool, shape (n_molecules, length)
        False where a text is filled up.
    special : Tensor of bool, shape (n_molecules, length)
    """

    ids: Tensor
    attended: Tensor
    special: Tensor

    def to(self, device: Any) -> PaddedTokens:
        """Move to a device."""
        return PaddedTokens(*(tensor.to(device) for tensor in self))

    def take(self, rows: Tensor) -> PaddedTokens:
        """Some molecules, padded to the longest of them."""
        length = int(self.attended[rows].sum(dim=1).max())
        return PaddedTokens(*(tensor[rows, :length] for tensor in self))


def collate(sequences: Sequence[TokenSequence], padding: int) -> PaddedTokens:
    """Fill up sequences to the longest with the token `padding`."""
    length = max(len(sequence.ids) for sequence in sequences)
    ids = torch.full((len(sequences), length), padding)
    attended = torch.zeros(len(sequences), length, dtype=torch.bool)
    special = torch.zeros(len(sequences), length, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        size = len(sequence.ids)
        ids[row, :size], special[row, :size] = sequence.ids, sequence.special
        attended[row, :size] = True
    return PaddedTokens(ids, attended, special)


def _of_molecule(batch: PaddedTokens) -> Tensor:
    return batch.attended & ~batch.special


def _all(batch: PaddedTokens) -> Tensor:
    return batch.attended


def _first(batch: PaddedTokens) -> Tensor:
    first = torch.zeros_like(batch.attended)
    first[:, 0] = True
    return first


TOKENS: dict[str, Callable[[PaddedTokens], Tensor]] = {
    "molecule": _of_molecule,
    "all": _all,
    "first": _first,
}
"""Which tokens an embedding is pooled from: those of atoms, bonds, rings and branches; all, with those that
begin and end the text; or the first one, which in BERT stands for the whole."""
