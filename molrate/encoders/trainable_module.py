"""A registered torch module for fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence

from rdkit import Chem
from torch import Tensor, nn

from molrate.encoders.batch import Texts
from molrate.encoders.trainable import Trainable


class TrainableModule(Trainable):
    """A module from a list of SMILES to vectors.

    Parameters
    ----------
    network : torch.nn.Module
    layer : str
        Layer that is read where the module returns a mapping.
    width : int
    pooling : str
        It has no effect.
    """

    def __init__(self, network: nn.Module, layer: str, width: int, pooling: str) -> None:
        super().__init__(pooling)
        self.network, self.layer, self.width = network, layer, width

    def encode(self, molecule: Chem.Mol) -> str:
        """Canonical SMILES."""
        return Chem.MolToSmiles(molecule)

    def collate(self, encoded: Sequence[str]) -> Texts:
        """SMILES that can be moved to a device, as batches of tensors can."""
        return Texts(encoded)

    def forward(self, batch: Texts) -> Tensor:
        """Vectors of the last layer, shape (n_molecules, width)."""
        returned = self.network(list(batch))
        vectors: Tensor = returned if isinstance(returned, Tensor) else returned[self.layer]
        return vectors
