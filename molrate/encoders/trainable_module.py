"""A registered torch module for fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rdkit import Chem
from torch import Tensor, nn

from molrate.encoders.base import failed
from molrate.encoders.batch import Texts
from molrate.encoders.trainable import BATCH_ERRORS, Trainable
from molrate.errors import InputError


class TrainableModule(Trainable):
    """A module from a list of SMILES to vectors.

    Parameters
    ----------
    name : str
        Of the encoder, for what is said of it.
    network : torch.nn.Module
    layer : str
        Layer that is read where the module returns a mapping.
    width : int
    pooling : str
        It has no effect.
    """

    def __init__(self, name: str, network: nn.Module, layer: str, width: int, pooling: str) -> None:
        super().__init__(pooling)
        self.name, self.network, self.layer, self.width = name, network, layer, width

    def encode(self, molecule: Chem.Mol) -> str:
        """Canonical SMILES."""
        return Chem.MolToSmiles(molecule)

    def collate(self, encoded: Sequence[str]) -> Texts:
        """SMILES that can be moved to a device, as batches of tensors can."""
        return Texts(encoded)

    def forward(self, batch: Texts) -> Tensor:
        """Vectors of the last layer, shape (n_molecules, width), in float32.

        Raises
        ------
        InputError
            If the module fails, or returns no tensor.
        """
        try:
            returned = self.network(list(batch))
            vectors = returned[self.layer] if isinstance(returned, Mapping) else returned
        except BATCH_ERRORS:
            raise
        except Exception as error:
            raise failed(self.name, error) from error
        if not isinstance(vectors, Tensor):
            raise InputError(
                f"{self.name}: returned a {type(vectors).__name__}, and only tensors have gradients"
            )
        # What reads them is in float32.
        return vectors.float()
