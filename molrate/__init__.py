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
    __version__: str
    from molrate.benchmarking.benchmark import benchmark
    from molrate.benchmarking.study import evaluate
    from molrate.data.datasets import Dataset, list_datasets, load_dataset
    from molrate.embedding.embed import embed
    from molrate.embedding.transformer import MoleculeEncoder
    from molrate.encoders.base import Encoder, list_encoders, load_encoder
    from molrate.encoders.registered import register_encoder
    from molrate.finetuning.finetune import finetune
    from molrate.measures.base import list_measures
    from molrate.models.model import TunedModel, load_model
    from molrate.ranking.ranking import Ranking
    from molrate.ranking.score import score
    from molrate.ranking.score_features import score_features
    from molrate.screening.hits import screen
    from molrate.selection.select import select
    from molrate.statistics.feature_statistics import FeatureStatistics

_HOMES = {
    "Dataset": "molrate.data.datasets",
    "Encoder": "molrate.encoders.base",
    "FeatureStatistics": "molrate.statistics.feature_statistics",
    "MoleculeEncoder": "molrate.embedding.transformer",
    "Ranking": "molrate.ranking.ranking",
    "TunedModel": "molrate.models.model",
    "benchmark": "molrate.benchmarking.benchmark",
    "embed": "molrate.embedding.embed",
    "evaluate": "molrate.benchmarking.study",
    "finetune": "molrate.finetuning.finetune",
    "list_datasets": "molrate.data.datasets",
    "list_encoders": "molrate.encoders.base",
    "list_measures": "molrate.measures.base",
    "load_dataset": "molrate.data.datasets",
    "load_encoder": "molrate.encoders.base",
    "load_model": "molrate.models.model",
    "register_encoder": "molrate.encoders.registered",
    "score": "molrate.ranking.score",
    "score_features": "molrate.ranking.score_features",
    "screen": "molrate.screening.hits",
    "select": "molrate.selection.select",
}

__all__ = [
    "Dataset",
    "Encoder",
    "FeatureStatistics",
    "MoleculeEncoder",
    "Ranking",
    "TunedModel",
    "__version__",
    "benchmark",
    "embed",
    "evaluate",
    "finetune",
    "list_datasets",
    "list_encoders",
    "list_measures",
    "load_dataset",
    "load_encoder",
    "load_model",
    "register_encoder",
    "score",
    "score_features",
    "screen",
    "select",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: ``import molrate`` alone takes milliseconds."""
    if name == "__version__":
        from importlib.metadata import version

        return version("molrate")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'molrate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
