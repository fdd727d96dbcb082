"""What a measure is, what it is given, and the measures by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.registry import Registry
from molrate.statistics.feature_statistics import FeatureStatistics, Matrix, Moments, check_finite
from molrate.statistics.intervals import Estimate, Table, estimate
from molrate.statistics.resampling import Design, label_codes, make_design

MEASURES = Registry(
    "measure",
    "molrate.measures",
    {
        "transrate": "molrate.measures.transrate:TransRate",
        "transrate-icml": "molrate.measures.transrate:CentredTransRate",
        "transrate-spectral": "molrate.measures.transrate:SpectralTransRate",
        "logme": "molrate.measures.logme:LogME",
        "h-score": "molrate.measures.hscore:ShrinkageHScore",
        "h-score-plain": "molrate.measures.hscore:HScore",
        "lfc": "molrate.measures.correlation:LabelFeatureCorrelation",
        "cka": "molrate.measures.correlation:LinearCKA",
        "gbc": "molrate.measures.bhattacharyya:GaussianBhattacharyya",
        "ridge": "molrate.measures.probe:RidgeProbe",
        "ridge-rmse": "molrate.measures.probe:RidgeError",
        "logistic": "molrate.measures.probe:LogisticProbe",
        "knn": "molrate.measures.neighbours:NearestNeighbours",
        "sfda": "molrate.measures.fisher:SelfChallengingFisher",
        "etran": "molrate.measures.etran:ETran",
        "n-leep": "molrate.measures.leep:MixtureLEEP",
        "leep": "molrate.measures.leep:LEEP",
        "nce": "molrate.measures.leep:NCE",
        "parc": "molrate.measures.dissimilarity:PARC",
        "rogi-xd": "molrate.measures.rogi:RogiXD",
        "rsa": "molrate.measures.dissimilarity:RSA",
        "depara": "molrate.measures.dissimilarity:DEPARA",
        "ds": "molrate.measures.domain_similarity:DomainSimilarity",
        "task2vec": "molrate.measures.trained:Task2Vec",
        "taskonomy": "molrate.measures.trained:Taskonomy",
    },
)


_FOLD_BLOCKS = 5


class NotApplicableError(InputError):
    """The measure cannot be computed for this encoder or target; the message says why."""


@dataclass(frozen=True)
class Sample:
    """Features of one encoder and layer with what a measure may need beside them.

    Attributes
    ----------
    features : ndarray of float64, shape (n, d)
    design : Design
        Labels, permutations and blocks, the same for all encoders.
    source_probabilities : ndarray, shape (n, C_s), optional
        What the encoder's own head says of the molecules.
    source_features : ndarray, shape (n_s, d), optional
        Features of molecules the encoder was pretrained on.
    reference : ndarray, shape (n, d_r), optional
        Features of an encoder trained on the target.
    attributions, reference_attributions : ndarray, shape (n, a), optional
        Contributions of the inputs to the features, for this encoder and for the reference.
    """

    features: Matrix
    design: Design
    source_probabilities: Matrix | None = None
    source_features: Matrix | None = None
    reference: Matrix | None = None
    attributions: Matrix | None = None
    reference_attributions: Matrix | None = None

    @cached_property
    def raw_statistics(self) -> list[FeatureStatistics]:
        """Statistics without class moments, for the true labels and each permutation."""
        return self._statistics(["pooled"] + ["none"] * len(self.design.permutations))

    @cached_property
    def class_statistics(self) -> list[FeatureStatistics]:
        """Statistics with class moments, for the true labels and each permutation."""
        return self._statistics(["classes"] * (1 + len(self.design.permutations)))

    def unit_statistics(self, features: Matrix | None = None) -> list[FeatureStatistics]:
        """Statistics of rows of unit norm with class moments, likewise."""
        kinds = ["classes"] * (1 + len(self.design.permutations))
        return self._statistics(kinds, unit_rows=True, features=features)

    def _statistics(
        self, kinds: list[str], unit_rows: bool = False, features: Matrix | None = None
    ) -> list[FeatureStatistics]:
        rows = self.features if features is None else features
        design = self.design
        targets = design.values[:, None] if design.task == "regression" else np.zeros((len(rows), 0))
        made: list[FeatureStatistics] = []
        for kind, order in zip(kinds, design.orders(), strict=True):
            statistics = FeatureStatistics(
                rows.shape[1], design.n_classes, targets.shape[1], unit_rows=unit_rows, second_moments=kind
            )
            statistics.add(rows, design.codes[order], targets[order], design.blocks)
            if made:
                statistics.share_pooled(made[0])
            made.append(statistics)
        return made

    def take(self, rows: npt.NDArray[np.intp]) -> Sample:
        """The sample for some rows, permutations redrawn among them."""
        design = self.design
        fewer = make_design(
            design.values[rows] if design.task == "regression" else design.codes[rows],
            design.task,
            bins=design.n_classes if design.task == "regression" else None,
            groups=design.groups[rows],
            n_blocks=design.n_blocks,
            permutations=len(design.permutations),
        )
        parallel = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows]
            for name in ("source_probabilities", "reference", "attributions", "reference_attributions")
        }
        return replace(self, features=self.features[rows], design=fewer, **parallel)

    def at_most(self, limit: int) -> Sample:
        """A random subsample of `limit` rows, for measures whose cost is quadratic in rows."""
        n = len(self.features)
        if n <= limit:
            return self
        return self.take(np.sort(np.random.default_rng(0).permutation(n)[:limit]))


class Measure(ABC):
    """A number that predicts how well features transfer to a target.

    One instance serves all candidates, in several threads at once, so that it keeps no state of any.

    Attributes
    ----------
    name : str
    title : str
        Its name in words.
    tasks : tuple of str
        Kinds of target it applies to.
    uses : str
        What it reads of a regression target: ``values`` or ``bins``.
    needs : str
        ``statistics`` (one pass), ``features``, ``source probabilities``, ``source molecules``,
        ``reference`` (a target-trained encoder) or ``training``.
    higher_is_better : bool
    ceiling : str
        Its largest possible value, in words; empty where there is none.
    reference : str
    about : str
        What it means, its range, and when not to trust it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression")
    uses: ClassVar[str] = "bins"
    needs: ClassVar[str] = "features"
    higher_is_better: ClassVar[bool] = True
    reference: ClassVar[str]
    about: ClassVar[str]

    @abstractmethod
    def replicates(self, sample: Sample) -> Table:
        """Values for the true labels and each permutation, on all rows and without each block.

        Returns
        -------
        ndarray, shape (1 + P, 1 + B)
            NaN where permutations are not jackknifed.

        Raises
        ------
        InputError
            If the measure is not defined for this sample.
        """

    def upper(self, sample: Sample) -> float:
        """Largest value the measure can reach on these features; infinite where there is no limit."""
        return float("inf")

    def warning(self, sample: Sample) -> str:
        """Why the value is unreliable on this sample; empty if it is not."""
        return ""

    def pool(self, tables: Sequence[Table]) -> list[Table]:
        """Tables of all candidates, once all are known; most measures need no other's."""
        return list(tables)

    def score(
        self,
        features: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        task: str = "classification",
        permutations: int = 5,
        seed: int = 0,
        **given: Any,
    ) -> Estimate:
        """Value with null and jackknife interval.

        Parameters
        ----------
        features : array_like, shape (n, d)
        labels : array_like, shape (n,)
        task : {"classification", "regression"}
        permutations : int
        seed : int
        **given
            Other arrays of :class:`Sample`.

        Raises
        ------
        InputError
            If the measure is not defined for this input.
        """
        sample = make_sample(features, labels, task, permutations=permutations, seed=seed, **given)
        (table,) = self.pool([self.replicates(sample)])
        return estimate(table, higher_is_better=self.higher_is_better)


class StatisticsMeasure(Measure):
    """A measure that one-pass statistics determine.

    Attributes
    ----------
    class_moments : bool
        Whether it needs second moments of each class.
    """

    needs = "statistics"
    class_moments: ClassVar[bool] = False
    unit_rows: ClassVar[bool] = False

    @abstractmethod
    def value(self, statistics: FeatureStatistics) -> float:
        """The measure from statistics of one labelling.

        Raises
        ------
        InputError
            If the measure is not defined for these.
        """

    def prepare(self, features: Matrix) -> Matrix:
        """Features as the statistics take them."""
        return features

    def tabulate(self, labellings: Sequence[FeatureStatistics]) -> Table:
        """Replicates from statistics of the true labels and of each permutation.

        Parameters
        ----------
        labellings : sequence of FeatureStatistics
            Their blocks are deleted in turn; permutations that are in one block are not jackknifed.
        """
        (table,) = tabulate_together([self], labellings)
        if isinstance(table, InputError):
            raise table
        return table

    def replicates(self, sample: Sample) -> Table:
        """Values on all rows and without each block, every one from the statistics."""
        if self.unit_rows:
            return self.tabulate(sample.unit_statistics(self.prepare(sample.features)))
        return self.tabulate(sample.class_statistics if self.class_moments else sample.raw_statistics)


class FeaturesMeasure(Measure):
    """A measure computed anew from the rows; permutations are not jackknifed.

    To add a measure, from another package too, this is the class to derive from.
    """

    @abstractmethod
    def value(self, features: Matrix, labels: npt.NDArray[Any]) -> float:
        """The measure of features.

        Parameters
        ----------
        features : ndarray of float64, shape (n, d)
        labels : ndarray, shape (n,)
            Class codes 0 ... C-1 or bins; the numbers of a regression target if ``uses`` is ``values``.

        Raises
        ------
        InputError
            If the measure is not defined for these.
        """

    def replicates(self, sample: Sample) -> Table:
        """Values for every labelling on all rows, and for the true labels without each block."""
        return replicate_rows(sample, self.value, self.uses)


def replicate_rows(
    sample: Sample, value: Callable[[Matrix, npt.NDArray[Any]], float], uses: str = "bins"
) -> Table:
    """Table of a function of rows and labels, permutations not jackknifed."""
    design = sample.design
    table = np.full((1 + len(design.permutations), 1 + design.n_blocks), np.nan)
    labels = design.values if uses == "values" else design.codes
    for row, order in enumerate(design.orders()):
        table[row, 0] = value(sample.features, labels[order])
    for block in range(design.n_blocks):
        keep = np.flatnonzero(design.blocks != block)
        fewer = labels[keep] if uses == "values" else label_codes(labels[keep])
        table[0, 1 + block] = value(sample.features[keep], fewer)
    return table


def tabulate_together(
    measures: Sequence[StatisticsMeasure], labellings: Sequence[FeatureStatistics]
) -> list[Table | InputError]:
    """Tables of several one-pass measures, which share every decomposition.

    Returns
    -------
    list of ndarray or InputError
        One for each measure: its table, or why it has none.
    """
    blocks = labellings[0].blocks
    shape = (len(labellings), 1 + len(blocks))
    tables: list[Table | InputError] = [np.full(shape, np.nan) for _ in measures]
    jackknifed = [row for row, one in enumerate(labellings) if one.blocks == blocks]
    for column, block in enumerate([None, *blocks]):
        rows = range(len(labellings)) if block is None else jackknifed
        subsets = labellings if block is None else _without([labellings[row] for row in rows], block)
        for index, measure in enumerate(measures):
            table = tables[index]
            if isinstance(table, InputError):
                continue
            try:
                table[rows, column] = [measure.value(subset) for subset in subsets]
            except InputError as error:
                tables[index] = error
    return tables


def _without(statistics: list[FeatureStatistics], block: int) -> list[FeatureStatistics]:
    pooled: Moments = statistics[0].pooled.without(block)
    return [one.without(block, pooled) for one in statistics]


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
    design = make_design(
        labels, task, bins=bins, groups=groups, n_blocks=n_blocks, permutations=permutations, seed=seed
    )
    arrays = {name: None if array is None else as_matrix(array) for name, array in given.items()}
    return Sample(rows, design, **arrays)


def as_matrix(features: npt.ArrayLike) -> Matrix:
    """Features as a finite float64 matrix.

    Raises
    ------
    InputError
        If they are not one.
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
    design = make_design(array, n_blocks=1, permutations=0)
    statistics = FeatureStatistics(
        rows.shape[1], design.n_classes, unit_rows=unit_rows, second_moments=second_moments
    )
    return statistics.add(rows, design.codes, None, blocks)


def one_pass_values(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    task: str = "classification",
    measures: Sequence[str] | None = None,
) -> dict[str, float]:
    """Values of several one-pass measures, which share every Gram matrix and decomposition.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
        Regression targets are read as they are, or in their bins, as each measure does.
    task : {"classification", "regression"}
    measures : sequence of str, optional
        All measures from one-pass statistics if not given.

    Raises
    ------
    InputError
        If a measure is not defined for this input, or is not from one-pass statistics.
    """
    names = (
        [name for name in MEASURES if MEASURES[name].needs == "statistics"] if measures is None else measures
    )
    chosen = [MEASURES[name]() for name in names]
    for measure in chosen:
        if measure.needs != "statistics":
            raise InputError(f"{measure.name} is not computed from one-pass statistics")
    sample = make_sample(features, labels, task, n_blocks=_FOLD_BLOCKS)
    values: dict[str, float] = {}
    for unit in (False, True):
        members = [measure for measure in chosen if measure.unit_rows == unit]
        if not members:
            continue
        if unit:
            (statistics,) = sample.unit_statistics()
        else:
            needed = any(measure.class_moments for measure in members)
            (statistics,) = sample.class_statistics if needed else sample.raw_statistics
        values |= {measure.name: measure.value(statistics) for measure in members}
    return {name: values[name] for name in names}
