"""Scores kept on disk under all that changes them: a ranking that is made again is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from molrate.files.kept import Content, find_kept, write_kept
from molrate.measures.base import Measure
from molrate.measures.sample import Sample
from molrate.paths import cache_folder

SCORES = "scores"
"""Folder of the cache."""
_CODE = ("molrate.measures", "molrate.statistics", "molrate.ranking")
_LIBRARIES = ("molrate", "numpy", "scipy", "scikit-learn")
_LABELS = ("values", "codes", "permutations", "blocks", "groups")
_ARRAYS = (
    "features",
    "source_probabilities",
    "source_features",
    "reference",
    "attributions",
    "reference_attributions",
    "gradients",
)


class Memory:
    """Outcomes of functions of a sample.

    They are kept under the numbers that they were computed from, the code of molrate that did, and the
    libraries below it.
    """

    def recall(self, name: str, sample: Sample, settings: Any, compute: Callable[[], Content]) -> Content:
        """What `compute` returned of an equal sample, or returns now.

        Parameters
        ----------
        name : str
            Of the file.
        sample : Sample
        settings : object
            Whatever else changes the outcome, as JSON can write it.
        compute : callable
            What it raises is raised, and nothing is kept.

        Returns
        -------
        tuple of dict
            Arrays and texts.
        """
        path = self.path(name, sample, settings)
        kept = find_kept(path, lambda content: content)
        if kept is not None:
            return kept
        computed = compute()
        write_kept(path, *computed)
        return computed

    def path(self, name: str, sample: Sample, settings: Any) -> Path:
        """File of an outcome; arguments as of :meth:`recall`."""
        key = f"{_digest_of(sample)} {json.dumps(settings, sort_keys=True)} {_code_digest()}"
        return cache_folder(SCORES) / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"


def settings_of(measures: Sequence[Measure]) -> list[list[Any]] | None:
    """What tells measures apart; None if one is not molrate's own, whose code is not known.

    Parameters
    ----------
    measures : sequence of Measure
    """
    if not all(type(measure).__module__.startswith(f"{_CODE[0]}.") for measure in measures):
        return None
    return [
        [type(measure).__qualname__, {name: repr(value) for name, value in vars(measure).items()}]
        for measure in measures
    ]


def _digest_of(sample: Sample) -> str:
    """Digest of all that a sample holds."""
    resampling = sample.resampling
    arrays = {name: getattr(resampling, name) for name in _LABELS}
    arrays |= {name: getattr(sample, name) for name in _ARRAYS if getattr(sample, name) is not None}
    digest = hashlib.sha256(repr((resampling.task, resampling.seed)).encode())
    for name, array in arrays.items():
        digest.update(repr((name, array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@cache
def _code_digest() -> str:
    """Digest of the code that scores, so that no outcome of other code is read."""
    digest = hashlib.sha256(repr([version(name) for name in _LIBRARIES]).encode())
    for package in _CODE:
        for file in sorted(files(package).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.hexdigest()
