"""What embedding gives: matrices by layer, errors by row."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from molrate.errors import MolrateError


@dataclass
class Embedding:
    """Embeddings of molecules by the layers of one encoder.

    Attributes
    ----------
    layers : dict of str to ndarray of float32, shape (n, d)
        NaN in the rows of molecules that are invalid or that the encoder does not support.
    errors : dict of int to str
        Row and reason of the molecules the encoder does not support.
    seconds : float
        Time this run spent on them, summed over the threads that have a batch each, reading from the cache
        included. Graphs that several encoders share count for each of them.
    device : str
        Where layers were computed; ``cache`` if none had to be.
    failure : MolrateError or None
        Why the encoder could not run; its layers are then missing.
    remarks : list of str
        What molecules lost in the encoder's input form.
    """

    layers: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    device: str = "cache"
    failure: MolrateError | None = None
    remarks: list[str] = field(default_factory=list)

    def add_remarks(self, remarks: list[str]) -> None:
        """Add sentences, each of which is said once."""
        self.remarks += [remark for remark in remarks if remark not in self.remarks]

    def not_finite(self, layer: str, valid: npt.NDArray[np.bool_]) -> dict[int, str]:
        """Row and reason of the valid molecules whose vectors of a layer are no numbers."""
        rows = np.flatnonzero(valid & ~np.isfinite(self.layers[layer]).all(axis=1))
        return dict.fromkeys(rows.tolist(), "its embedding is not finite")
