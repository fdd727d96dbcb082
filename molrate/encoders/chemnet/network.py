"""The network of ChemNet: two convolutions and two LSTMs over the symbols of a SMILES.

Source: Preuer et al., Fréchet ChemNet Distance, Journal of Chemical Information and Modeling 58(9), 2018, and
the weights that the packages fcd and fcd-torch ship.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from rdkit import Chem
from torch import Tensor, nn
from torch.nn import functional

from molrate.encoders.chemnet.text import PADDING, SYMBOLS, collate, encode
from molrate.encoders.trainable import SeparateBatch, Trainable

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
        hidden = self._one_hot(text)
        layers = []
        for convolution, padding in zip(self.convolutions, _PADDINGS, strict=True):
            hidden = functional.selu(convolution(functional.pad(hidden, padding)))
            layers.append(hidden.transpose(1, 2))
        backwards = self.lstms[0](layers[-1].flip(1))[0]
        layers.append(backwards.flip(1))
        layers.append(self.lstms[1](layers[-1])[0][:, -1])
        return layers

    def stepwise(self, text: Tensor) -> Tensor:
        """The embedding as :meth:`forward` has it, with every linear map of it called as one."""
        hidden = self._one_hot(text)
        for convolution, padding in zip(self.convolutions, _PADDINGS, strict=True):
            windows = functional.pad(hidden, padding).unfold(2, _KERNEL, _STRIDE).transpose(1, 2).flatten(2)
            weight: Tensor = convolution.weight  # type: ignore[assignment]
            hidden = functional.selu(functional.linear(windows, weight.flatten(1))).transpose(1, 2)
        first, second = self.lstms
        states = _states(first, hidden.transpose(1, 2).flip(1))  # type: ignore[arg-type]
        return _states(second, states.flip(1))[:, -1]  # type: ignore[arg-type]

    @staticmethod
    def _one_hot(text: Tensor) -> Tensor:
        """Symbols of each position, shape (n_molecules, n_symbols, 350)."""
        one_hot = functional.one_hot(text, PADDING + 1)[..., :PADDING].float()
        # Training saw the one-hot symbols divided by their number.
        return (one_hot / len(SYMBOLS)).transpose(1, 2)


def _states(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    """States of an LSTM after each step, (n, n_steps, d) to (n, n_steps, width)."""
    parameters = dict(lstm.named_parameters())
    bias = parameters["bias_ih_l0"] + parameters["bias_hh_l0"]
    from_inputs, recurrent = (
        functional.linear(inputs, parameters["weight_ih_l0"], bias),
        parameters["weight_hh_l0"],
    )
    state = cell = from_inputs.new_zeros(len(inputs), lstm.hidden_size)
    states = []
    for step in from_inputs.unbind(1):
        gate_in, forget, new, gate_out = (step + functional.linear(state, recurrent)).chunk(4, dim=1)
        cell = forget.sigmoid() * cell + gate_in.sigmoid() * new.tanh()
        state = gate_out.sigmoid() * cell.tanh()
        states.append(state)
    return torch.stack(states, dim=1)


class StepwiseText(NamedTuple):
    """Texts that go through :meth:`ChemNet.stepwise`."""

    codes: Tensor

    def to(self, device: Any) -> StepwiseText:
        """Move to a device."""
        return StepwiseText(self.codes.to(device))


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

    def separate(self, encoded: Sequence[Any]) -> SeparateBatch:
        """Linear maps read a row of positions for each molecule."""
        return SeparateBatch(StepwiseText(collate(encoded)), ())

    def forward(self, batch: Tensor | StepwiseText) -> Tensor:
        """Compute the last state, shape (n_molecules, width)."""
        if isinstance(batch, StepwiseText):
            return self.network.stepwise(batch.codes)
        embedding: Tensor = self.network(batch)[-1]
        return embedding
