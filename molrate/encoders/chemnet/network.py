"""The network of ChemNet: two convolutions and two LSTMs over the symbols of a SMILES.

Source: Preuer et al., Fréchet ChemNet Distance, Journal of Chemical Information and Modeling 58(9), 2018, and
the weights that the packages fcd and fcd-torch ship.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdkit import Chem
from torch import Tensor, nn
from torch.nn import functional

from molrate.encoders.chemnet.text import PADDING, SYMBOLS, collate, encode
from molrate.encoders.trainable import Trainable

_KERNEL, _STRIDE = 4, 2
_PADDINGS = ((1, 1), (1, 2))
"""Zeros before and after the text of 350 positions, and after that of 175: half the positions remain."""


class ChemNet(nn.Module):
    """Convolutions with SELU, then an LSTM backwards and one forwards over the text.

    Parameters
    ----------
    channels : int
        Of both convolutions.
    width : int
        Of the first LSTM.
    width_out : int
        Of the second LSTM, whose last state is the embedding.
    """

    def __init__(self, channels: int, width: int, width_out: int) -> None:
        super().__init__()
        self.width_out = width_out
        self.convolutions = nn.ModuleList(
            nn.Conv1d(n_inputs, channels, _KERNEL, _STRIDE, bias=False)
            for n_inputs in (len(SYMBOLS), channels)
        )
        self.lstms = nn.ModuleList(
            nn.LSTM(n_inputs, n_units, batch_first=True)
            for n_inputs, n_units in ((channels, width), (width, width_out))
        )

    def forward(self, text: Tensor) -> list[Tensor]:
        """Compute the states of every layer in the order of the text.

        Parameters
        ----------
        text : Tensor of int, shape (n_molecules, 350)

        Returns
        -------
        list of Tensor
            (n_molecules, 175, channels), (n_molecules, 88, channels), (n_molecules, 88, width) and the
            embedding, (n_molecules, width_out).
        """
        # Training saw the one-hot symbols divided by their number.
        one_hot = functional.one_hot(text, PADDING + 1)[..., :PADDING].float() / len(SYMBOLS)
        hidden = one_hot.transpose(1, 2)
        layers = []
        for convolution, padding in zip(self.convolutions, _PADDINGS, strict=True):
            hidden = functional.selu(convolution(functional.pad(hidden, padding)))
            layers.append(hidden.transpose(1, 2))
        backwards = self.lstms[0](layers[-1].flip(1))[0]
        layers.append(backwards.flip(1))
        layers.append(self.lstms[1](layers[-1])[0][:, -1])
        return layers


def stands_for_symbols(text: Tensor, n_positions: int) -> Tensor:
    """Mask of a layer's positions that stand for symbols, shape (n_molecules, n_positions)."""
    step = -(-text.shape[1] // n_positions)
    symbols = functional.pad(text, (0, n_positions * step - text.shape[1]), value=PADDING) != PADDING
    return symbols.view(len(text), n_positions, step).any(dim=2)


def layer_number(name: str) -> int:
    """Layer that a parameter belongs to, from 1 to 4."""
    part, number, _ = name.split(".")
    return int(number) + (1 if part == "convolutions" else 3)


class TrainableChemNet(Trainable):
    """A ChemNet; its last state is the embedding, and there is nothing to pool."""

    network: ChemNet

    def __init__(self, network: ChemNet, pooling: str) -> None:
        super().__init__(pooling)
        self.network = network
        self.width = network.width_out

    def encode(self, molecule: Chem.Mol) -> Any:
        """See :func:`molrate.encoders.chemnet.text.encode`."""
        return encode(molecule)

    def collate(self, encoded: Sequence[Any]) -> Tensor:
        """Join texts into one tensor."""
        return collate(encoded)

    def forward(self, batch: Tensor) -> Tensor:
        """Compute the last state, shape (n_molecules, width)."""
        embedding: Tensor = self.network(batch)[-1]
        return embedding
