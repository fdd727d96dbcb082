"""Samples: features, resampled labels, and the additional arrays that some measures take."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Resampling, make_resampling
from molrate.statistics.rows import check_finite


@dataclass(frozen=True)
class Sample:
    """Features of one encoder and layer with what a measure may need beside them.

    Attributes
    ----------
    features : ndarray of float64, shape (n, d)
    resampling : Resampling
        Labels, permutations and blocks, the same for all encoders.
    source_probabilities : ndarray, shape (n, C_s) or (n, n_sources, C_s), optional
        What the encoder's own head says of the molecules, for one task or for several.
    source_features : ndarray, shape (n_s, d), optional
        Features of molecules the encoder was pretrained on.
    reference : ndarray, shape (n, d_r), optional
        Features of an encoder trained on the target.
    attributions, reference_attributions : ndarray, shape (n, a), optional
        Contributions of the inputs to the features, for this encoder and for the reference.
    gradients : ndarray, shape (n, k)
        Sketches of the gradients of a head that is fitted to the features; see
        :mod:`molrate.embedding.sketcher`.
    derived : dict
        What a measure computed of the sample and needs again.
    """

    features: Matrix
    resampling: Resampling
    source_probabilities: Matrix | None = None
    source_features: Matrix | None = None
    reference: Matrix | None = None
    attributions: Matrix | None = None
    reference_attributions: Matrix | None = None
    gradients: npt.NDArray[np.floating[Any]] | None = None
    derived: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def raw_statistics(self) -> list[FeatureStatistics]:
        """Statistics without class moments, for the true labels and each permutation."""
        return self._statistics(["pooled"] + ["none"] * len(self.resampling.permutations))

    @cached_property
    def class_statistics(self) -> list[FeatureStatistics]:
        """Statistics with class moments, for the true labels and each permutation."""
        return self._statistics(["classes"] * (1 + len(self.resampling.permutations)))

    @cached_property
    def further_statistics(self) -> list[FeatureStatistics]:
        """Statistics without class moments for each further permutation, in one block."""
        resampling = self.resampling
        orders = resampling.further_permutations
        kept = self.class_statistics if "class_statistics" in self.__dict__ else self.raw_statistics
        columns = resampling.values[:, None][:, : kept[0].n_targets]
        labels, targets = resampling.codes[orders], columns[orders]
        return list(kept[0].relabelled(self.features, labels, targets))

    def unit_statistics(self, features: Matrix | None = None) -> list[FeatureStatistics]:
        """Statistics of rows of unit norm with class moments, likewise."""
        kinds = ["classes"] * (1 + len(self.resampling.permutations))
        return self._statistics(kinds, unit_rows=True, features=features)

    def _statistics(
        self, kinds: list[str], unit_rows: bool = False, features: Matrix | None = None
    ) -> list[FeatureStatistics]:
        rows = self.features if features is None else features
        resampling = self.resampling
        targets = resampling.values[:, None] if resampling.task == "regression" else np.zeros((len(rows), 0))
        labellings: list[FeatureStatistics] = []
        for kind, order in zip(kinds, resampling.orders(), strict=True):
            statistics = FeatureStatistics(
                rows.shape[1],
                resampling.n_classes,
                targets.shape[1],
                unit_rows=unit_rows,
                second_moments=kind,
            )
            statistics.add(rows, resampling.codes[order], targets[order], resampling.blocks)
            if labellings:
                statistics.share_pooled(labellings[0])
            labellings.append(statistics)
        return labellings

    def take(self, rows: npt.NDArray[np.intp]) -> Sample:
        """The sample for some rows, permutations redrawn among them."""
        resampling = self.resampling
        fewer = make_resampling(
            resampling.values[rows] if resampling.task == "regression" else resampling.codes[rows],
            resampling.task,
            bins=resampling.n_classes if resampling.task == "regression" else None,
            groups=resampling.groups[rows],
            n_blocks=resampling.n_blocks,
            permutations=len(resampling.permutations),
        )
        parallel = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in (
                "source_probabilities",
                "reference",
                "attributions",
                "reference_attributions",
                "gradients",
            )
        }
        return replace(self, features=self.features[rows], resampling=fewer, derived={}, **parallel)

    def at_most(self, limit: int) -> Sample:
        """A random subsample of `limit` rows, for measures whose cost is quadratic in rows."""
        n = len(self.features)
        if n <= limit:
            return self
        return self.take(np.sort(np.random.default_rng(0).permutation(n)[:limit]))


def make_sample(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    task: str = "classification",
    *,
    permutations: int = 0,
    seed: int = 0,
    n_blocks: int = 20,
    bins: int | None = None,
    groups: npt.ArrayLike | None = None,
    **given: Any,
) -> Sample:
    """Check features and labels and put them together.

    Raises
    ------
    InputError
        If shapes do not fit or values are not finite.
    """
    rows = as_matrix(features)
    labels = np.asarray(labels)
    if labels.ndim == 1 and len(rows) != len(labels):
        raise InputError(f"{len(rows)} rows of features but {len(labels)} labels")
    resampling = make_resampling(
        labels, task, bins=bins, groups=groups, n_blocks=n_blocks, permutations=permutations, seed=seed
    )
    checks = {"source_probabilities": as_probabilities}
    arrays: dict[str, Any] = {
        name: None if array is None else checks.get(name, as_matrix)(array) for name, array in given.items()
    }
    return Sample(rows, resampling, **arrays)


def as_probabilities(given: npt.ArrayLike) -> Matrix:
    """Probabilities of one source model (n, C_s), or of several (n, n_sources, C_s).

    Raises
    ------
    InputError
        If they have another shape, or are not finite.
    """
    array = np.asarray(given, dtype=np.float64)
    return (
        as_matrix(array.reshape(len(array), -1)).reshape(array.shape) if array.ndim == 3 else as_matrix(array)
    )


def as_matrix(features: npt.ArrayLike) -> Matrix:
    """Features as a finite float64 matrix.

    Raises
    ------
    InputError
        If they are not such a matrix.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2:
        raise InputError(f"features must be a matrix (n, d), not of shape {rows.shape}")
    check_finite(rows.sum(axis=1))
    return rows


def statistics_of(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    task: str = "classification",
    *,
    unit_rows: bool = False,
    second_moments: str = "classes",
    n_blocks: int = 1,
) -> FeatureStatistics:
    """Statistics of features with class labels, or with one or several regression targets (n, m).

    Raises
    ------
    InputError
        If shapes do not fit, values are not finite, or there is one class only.
    """
    rows = as_matrix(features)
    n = len(rows)
    array = np.asarray(labels)
    if len(array) != n:
        raise InputError(f"{n} rows of features but {len(array)} labels")
    # Blocks dealt in turn: without permutations or intervals they only make folds.
    blocks = np.arange(n) % n_blocks
    if task == "regression":
        targets = array.astype(np.float64).reshape(n, -1)
        statistics = FeatureStatistics(
            rows.shape[1], 1, targets.shape[1], unit_rows=unit_rows, second_moments=second_moments
        )
        return statistics.add(rows, None, targets, blocks)
    resampling = make_resampling(array, n_blocks=1, permutations=0)
    statistics = FeatureStatistics(
        rows.shape[1], resampling.n_classes, unit_rows=unit_rows, second_moments=second_moments
    )
    return statistics.add(rows, resampling.codes, None, blocks)
