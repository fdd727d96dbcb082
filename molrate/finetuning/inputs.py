"""The molecules of a dataset in the form that fine-tuning reads, made once for all trials and folds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from molrate.embedding.embed import embed_one
from molrate.embedding.table import failures
from molrate.encoders.base import Encoder, load_encoder
from molrate.encoders.trainable import Trainable
from molrate.errors import InputError, UnsupportedMoleculeError
from molrate.finetuning.config import Transfer
from molrate.finetuning.data import TrainingData
from molrate.models.model import DESCRIPTORS

_Features = npt.NDArray[np.float32]


class WithDescriptors(nn.Module):
    """A network whose embedding has a molecule's descriptors beside it.

    Parameters
    ----------
    trainable : Trainable
    """

    def __init__(self, trainable: Trainable) -> None:
        super().__init__()
        self.trainable = trainable

    @property
    def network(self) -> nn.Module:
        """The encoder's."""
        return self.trainable.network

    def forward(self, batch: tuple[Any, torch.Tensor]) -> torch.Tensor:
        """Embeddings with descriptors, shape (n_molecules, d + n_descriptors)."""
        molecules, described = batch
        return torch.cat([self.trainable(molecules), described.to(next(self.parameters()).device)], dim=1)


class Inputs(ABC):
    """What a model reads of each molecule of a dataset.

    Parameters
    ----------
    data : TrainingData
    encoder : Encoder
    transfer : Transfer
    device : str

    Attributes
    ----------
    rows : dict of int to object
        Of each supported molecule.
    unsupported : dict of int to str
        Rows the encoder has no code for, and why.
    described : ndarray, shape (n, n_descriptors), optional
        Descriptors that stand beside the embedding.
    """

    rows: dict[int, Any]

    def __init__(self, data: TrainingData, encoder: Encoder, transfer: Transfer, device: str) -> None:
        self.data, self.encoder, self.transfer, self.device = data, encoder, transfer, device
        self.unsupported: dict[int, str] = {}
        self.described = self._embed(load_encoder(DESCRIPTORS), "last") if transfer.descriptors else None

    @abstractmethod
    def module(self) -> nn.Module:
        """What batches go through before the head, a new one for each trial."""

    @property
    @abstractmethod
    def before(self) -> nn.Module:
        """The same as it is before training, for what changes nothing in it."""

    @abstractmethod
    def collate(self, rows: Sequence[Any]) -> Any:
        """Join molecules into a batch."""

    def supported(self, rows: npt.NDArray[np.intp], part: str) -> npt.NDArray[np.intp]:
        """Those of some rows that the encoder has code for.

        Raises
        ------
        InputError
            If there is none.
        """
        found = [row for row in rows.tolist() if row in self.rows]
        if not found:
            name, method = self.encoder.name, self.data.method
            raise InputError(f"{name} does not support any molecule of the {part} part ({method})")
        return np.array(found)

    def _embed(self, encoder: Encoder, layer: str) -> _Features:
        name = encoder.select_layer(layer)
        embedding = embed_one(self.data.molecules, encoder, [name], self.transfer.pooling, self.device)
        if name not in embedding.layers:
            raise InputError(f"{encoder.name} does not support any molecule of {self.data.dataset.name}")
        self.unsupported |= failures(self.data.molecules, embedding)
        return embedding.layers[name]


class Embedded(Inputs):
    """Embeddings that stay as they are; parameters as of :class:`Inputs`.

    Attributes
    ----------
    features : ndarray, shape (n, d)
        What heads and estimators read.
    """

    def __init__(self, data: TrainingData, encoder: Encoder, transfer: Transfer, device: str) -> None:
        super().__init__(data, encoder, transfer, device)
        embedded = self._embed(encoder, transfer.layer)
        self.features = embedded if self.described is None else np.hstack([embedded, self.described])
        usable = np.flatnonzero(np.isfinite(self.features).all(axis=1))
        self.rows = {int(row): torch.from_numpy(self.features[row]) for row in usable}

    def module(self) -> nn.Module:
        """Nothing is left to be done before the head."""
        return nn.Identity()

    @property
    def before(self) -> nn.Module:
        """As :meth:`module`."""
        return nn.Identity()

    def collate(self, rows: Sequence[Any]) -> torch.Tensor:
        """Features of a batch, shape (n_molecules, d)."""
        return torch.stack(list(rows))


class Encoded(Inputs):
    """Molecules as a network that is trained reads them; parameters as of :class:`Inputs`, and:

    Parameters
    ----------
    seed : int
        Draws layers that are not transferred.
    """

    def __init__(
        self, data: TrainingData, encoder: Encoder, transfer: Transfer, device: str, seed: int
    ) -> None:
        super().__init__(data, encoder, transfer, device)
        self.seed = seed
        self._trainable = self._build()
        self._before = self._joined(self._trainable)
        self.rows = self._encode()

    def module(self) -> nn.Module:
        """The network as it is before training, with what stands beside its embedding."""
        return self._joined(self._build())

    @property
    def before(self) -> nn.Module:
        """One of :meth:`module` that is not trained."""
        return self._before

    def collate(self, rows: Sequence[Any]) -> Any:
        """A batch of the network, with descriptors if they stand beside its embedding."""
        if self.described is None:
            return self._trainable.collate(rows)
        molecules, described = zip(*rows, strict=True)
        return self._trainable.collate(molecules), torch.stack(described)

    def _build(self) -> Trainable:
        return self.encoder.trainable(self.transfer.n_layers, self.transfer.pooling, self.seed)

    def _joined(self, trainable: Trainable) -> nn.Module:
        return trainable if self.described is None else WithDescriptors(trainable)

    def _encode(self) -> dict[int, Any]:
        encoded = {}
        for row in np.flatnonzero(self.data.molecules.valid).tolist():
            if row in self.unsupported:
                continue
            try:
                encoded[row] = self._trainable.encode(self.data.molecules.molecule(row))
            except (UnsupportedMoleculeError, InputError) as error:
                self.unsupported[row] = str(error)
        if self.described is None:
            return encoded
        return {row: (molecule, torch.from_numpy(self.described[row])) for row, molecule in encoded.items()}


def is_estimated(encoder: Encoder, transfer: Transfer) -> bool:
    """Whether an encoder has nothing to train, so that an estimator is fitted to it."""
    return encoder.n_transferable == 0 and transfer.n_layers is None


def prepare(
    data: TrainingData, encoder: Encoder, transfer: Transfer, device: str, seed: int
) -> Embedded | Encoded:
    """The molecules of a dataset as the models of a transfer read them.

    Parameters
    ----------
    data : TrainingData
    encoder : Encoder
    transfer : Transfer
    device : str
    seed : int
        Draws layers that are not transferred.

    Raises
    ------
    UsageError
        If the encoder has fewer layers than are to be transferred.
    InputError
        If the encoder does not support any molecule.
    """
    if transfer.frozen or is_estimated(encoder, transfer):
        return Embedded(data, encoder, transfer, device)
    return Encoded(data, encoder, transfer, device, seed)
