"""The classification head that an encoder was trained with: what it says of molecules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClassHead:
    """A perceptron of binary tasks on the pooled last layer.

    Attributes
    ----------
    weights : sequence of (Tensor, Tensor)
        Weight and bias of each linear layer; between them stands a rectifier.
    pooling : {"mean", "sum"}
        How atoms are pooled for it.
    norm : float
        What the pooled layer is divided by.
    """

    weights: Sequence[tuple[Tensor, Tensor]]
    pooling: str
    norm: float = 1.0

    def probabilities(self, pooled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Probabilities of no and yes in each task, shape (n, n_tasks, 2), of the pooled layer (n, d)."""
        import torch
        from torch.nn.functional import linear

        rows = torch.from_numpy(pooled).double() / self.norm
        for number, (weight, bias) in enumerate(self.weights):
            rows = linear(rows if number == 0 else rows.relu(), weight.double(), bias.double())
        yes = rows.sigmoid().numpy()
        return np.stack([1 - yes, yes], axis=-1)
