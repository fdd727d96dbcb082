"""Molecules in the form an encoder reads, and the names of those forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from molrate.errors import UnsupportedMoleculeError

if TYPE_CHECKING:
    from rdkit import Chem

_Encoded = TypeVar("_Encoded")

PRETRAIN_GNNS = "pretrain-gnns/1"
"""Featurisation of :mod:`molrate.encoders.pretrain_gnns.graphs`. Raise its version with every change to
the graphs or the network that changes embeddings: the version is part of the key of cached embeddings."""

GROVER = "grover/1"
"""Featurisation of :mod:`molrate.encoders.grover.graphs`; the same rule holds for its version."""

DMPNN = "chemprop/2"
"""Featurisation of :mod:`molrate.encoders.dmpnn.graphs`; the same rule holds for its version."""

HUGGINGFACE = "huggingface/2"
"""Featurisation of :mod:`molrate.encoders.huggingface`, likewise; each tokeniser adds its digest."""

MOLCLR = "molclr/1"
"""Featurisation of :mod:`molrate.encoders.molclr.graphs`, likewise."""

MINIMOL = "minimol/1"
"""Featurisation of :mod:`molrate.encoders.minimol.graphs`; the same rule holds for its version."""

CHEMNET = "chemnet/1"
"""Featurisation of :mod:`molrate.encoders.chemnet.text`; the same rule holds for its version."""

POOLING = "pooling/1"
"""Version of :mod:`molrate.encoders.pooling`, likewise."""


@dataclass(frozen=True)
class MoleculeBatch:
    """Molecules in the form an encoder reads.

    Attributes
    ----------
    content : object
        The family's own form: a :class:`molrate.encoders.graph.Graph` of all molecules, or a list of RDKit
        molecules.
    rows : list of int
        Positions, within the given molecules, of the molecules that are in `content`.
    errors : dict of int to str
        Positions of the molecules that the featurisation does not support, with the reasons.
    """

    content: Any
    rows: list[int]
    errors: dict[int, str]

    @classmethod
    def of(
        cls,
        molecules: Sequence[Chem.Mol],
        encode: Callable[[Chem.Mol], _Encoded],
        collate: Callable[[list[_Encoded]], Any],
    ) -> MoleculeBatch:
        """Encode each molecule, note which ones the featurisation does not support, and join the rest."""
        encoded: list[_Encoded] = []
        rows: list[int] = []
        errors: dict[int, str] = {}
        for row, molecule in enumerate(molecules):
            try:
                encoded.append(encode(molecule))
            except UnsupportedMoleculeError as error:
                errors[row] = str(error)
            else:
                rows.append(row)
        return cls(collate(encoded), rows, errors)


class Texts(list[str]):
    """SMILES, which are the same on every device."""

    def to(self, device: Any) -> Texts:
        """Return the SMILES."""
        return self
