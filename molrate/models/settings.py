"""Settings as a call names them: those of a model that is made, or again those of a model that is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from molrate.data.policy import RowPolicy
from molrate.data.structures import MAX_ATOMS
from molrate.embedding.settings import EmbeddingSettings


@dataclass(frozen=True)
class GivenSettings:
    """Settings that travel with a model; None where a call does not name one.

    Attributes
    ----------
    encoder, layer, pooling, standardisation, duplicates, precision : str, optional
        As of :func:`molrate.score`.

    Examples
    --------
    >>> policy, embedding = GivenSettings(pooling="sum").complete()
    >>> policy.standardisation, embedding.pooling
    ('largest-fragment', 'sum')
    """

    encoder: str | None = None
    layer: str | None = None
    pooling: str | None = None
    standardisation: str | None = None
    duplicates: str | None = None
    precision: str | None = None

    def record(self) -> dict[str, str]:
        """Those that are given."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def complete(
        self, seed: int = 0, device: str = "auto", max_atoms: int = MAX_ATOMS
    ) -> tuple[RowPolicy, EmbeddingSettings]:
        """Settings of a model that is made, by default those of :func:`molrate.score`.

        Raises
        ------
        UsageError
            If one is unknown.
        """
        rows: dict[str, Any] = {}
        embedding: dict[str, Any] = {}
        for name, value in self.record().items():
            if name != "encoder":
                (rows if name in ("standardisation", "duplicates") else embedding)[name] = value
        return (
            RowPolicy(**rows, max_atoms=max_atoms),
            EmbeddingSettings(**embedding, seed=seed, device=device),
        )
