"""molrate: which pretrained molecular encoder, and which of its layers, will transfer best.

>>> import molrate
>>> ranking = molrate.score("freesolv", encoders=["ecfp4", "gin-untrained"])
>>> ranking.best["encoder"]
'ecfp4'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molrate.datasets import Dataset, load_dataset
    from molrate.embedding import embed
    from molrate.encoders.base import Encoder, load_encoder
    from molrate.features import score_features
    from molrate.ranking import Ranking
    from molrate.scoring import score
    from molrate.statistics import FeatureStatistics
    from molrate.transformer import MoleculeEncoder

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "molrate.datasets",
    "Encoder": "molrate.encoders.base",
    "FeatureStatistics": "molrate.statistics",
    "MoleculeEncoder": "molrate.transformer",
    "Ranking": "molrate.ranking",
    "embed": "molrate.embedding",
    "load_dataset": "molrate.datasets",
    "load_encoder": "molrate.encoders.base",
    "score": "molrate.scoring",
    "score_features": "molrate.features",
}

__all__ = [
    "Dataset",
    "Encoder",
    "FeatureStatistics",
    "MoleculeEncoder",
    "Ranking",
    "__version__",
    "embed",
    "load_dataset",
    "load_encoder",
    "score",
    "score_features",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: ``import molrate`` alone takes milliseconds."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'molrate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
