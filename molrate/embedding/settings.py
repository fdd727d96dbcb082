"""Settings of an embedding; kept with every result, so that later steps embed alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class EmbeddingSettings:
    """How molecules become vectors.

    Attributes
    ----------
    layer : str
        ``last``, ``all`` or a layer's name.
    pooling : {"mean", "sum", "max"}
    precision : {"fp32", "bf16"}
        Of GROVER's weights and hidden states.
    seed : int
        Draws untrained weights.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
    """

    layer: str = "last"
    pooling: str = "mean"
    precision: str = "fp32"
    seed: int = 0
    device: str = "auto"

    def record(self) -> dict[str, Any]:
        """All but the device, as plain values."""
        return {name: value for name, value in asdict(self).items() if name != "device"}
