"""Molecules joined into one graph, as the networks of all families of graphs read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor


class Graph:
    """Tensors by name, which move to a device together.

    Attributes that all graphs have: ``edge_index`` (2, n_edges), source and target; ``batch`` (n_atoms,), the
    molecule of each atom; and ``num_graphs``. They have the names that PyTorch Geometric gives them, whose
    ``Data`` does as well in their place; importing it takes seconds.

    Parameters
    ----------
    num_graphs : int
        Number of molecules.
    **tensors : Tensor
        The other attributes.

    Examples
    --------
    >>> import torch
    >>> graph = Graph(1, edge_index=torch.tensor([[0, 1], [1, 0]]), batch=torch.zeros(2, dtype=torch.long))
    >>> graph.to("cpu").edge_index.shape
    torch.Size([2, 2])
    """

    def __init__(self, num_graphs: int, **tensors: Tensor) -> None:
        self.num_graphs = num_graphs
        self._names = tuple(tensors)
        self.__dict__.update(tensors)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Tensor: ...

    def having(self, **tensors: Tensor) -> Graph:
        """The graph with more attributes, or others in the place of its own."""
        return Graph(self.num_graphs, **{**{name: getattr(self, name) for name in self._names}, **tensors})

    def to(self, device: str | torch.device) -> Graph:
        """Copy the graph to a device."""
        return self.having(**{name: getattr(self, name).to(device) for name in self._names})
