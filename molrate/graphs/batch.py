"""Molecules in the form an encoder reads, and the names of those forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PRETRAIN_GNNS = "pretrain-gnns/1"
"""Convention of :mod:`molrate.graphs.pretrain_gnns`. Its version is raised with every change to the graphs or
the network that changes embeddings: it is part of the key of cached ones."""

GROVER = "grover/1"
"""Convention of :mod:`molrate.graphs.grover`, likewise."""


@dataclass(frozen=True)
class MoleculeBatch:
    """Molecules in the form an encoder reads.

    Attributes
    ----------
    content : object
        The family's own form: a PyG ``Data`` of all molecules, or a list of RDKit molecules.
    rows : list of int
        Positions, within the molecules given, of those that are in `content`.
    errors : dict of int to str
        Position and reason of those the convention has no code for.
    """

    content: Any
    rows: list[int]
    errors: dict[int, str]
