"""What a measure is, what it is given, and the measures by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.residuals import Residuals
from molrate.measures.sample import Sample, make_sample
from molrate.registry import Registry
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.intervals import Estimate, Spread, Table, estimate
from molrate.statistics.moments import Matrix, Moments
from molrate.statistics.resampling import label_codes

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
        "loo": "molrate.measures.leave_one_out:LeaveOneOut",
        "tangent": "molrate.measures.tangent:Tangent",
        "lgc": "molrate.measures.tangent:LabelGradientCorrelation",
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


def list_measures() -> list[dict[str, str]]:
    """Measures that molrate knows, plugins included.

    Returns
    -------
    list of dict
        Name, title, tasks, what it reads and needs, which way is better, what it means and its source.

    Examples
    --------
    >>> "transrate" in [row["measure"] for row in list_measures()]
    True
    """
    rows = []
    for name in MEASURES:
        measure = MEASURES[name]
        rows.append(
            {
                "measure": name,
                "what": measure.title,
                "tasks": ", ".join(measure.tasks),
                "reads": "values" if measure.reads == "values" else "classes, bins",
                "needs": measure.inputs,
                "better": "higher" if measure.higher_is_better else "lower",
                "about": measure.about,
                "reference": measure.reference,
            }
        )
    return rows


class NotApplicableError(InputError):
    """The measure cannot be computed for this encoder or target; the message says why."""


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
    reads : str
        What it reads of a regression target: ``values`` or ``bins``.
    inputs : str
        ``statistics`` (one pass), ``features``, ``source probabilities``, ``source molecules``,
        ``reference`` (a target-trained encoder) or ``training``.
    reads_components : bool
        Whether candidates are compared in a common number of leading components by default, as values of
        unequal dimension do not compare.
    reads_gradients : bool
        Whether it reads gradients of a head's predictions where an encoder has them.
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
    reads: ClassVar[str] = "bins"
    inputs: ClassVar[str] = "features"
    reads_components: ClassVar[bool] = False
    reads_gradients: ClassVar[bool] = False
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

    def spread(self, sample: Sample) -> Spread:
        """Values of all rows under further permutations, shape (E,); none where they cost too much.

        The more there are, the better it is known how far the value moves by chance.
        """
        return np.empty(0)

    def maximum(self, sample: Sample) -> float:
        """Largest value the measure can reach on these features; infinite where there is no limit."""
        return float("inf")

    def warning(self, sample: Sample) -> str:
        """Why the value is unreliable on this sample; empty if it is not."""
        return ""

    def error(self, sample: Sample) -> float:
        """Root mean squared error to expect, in the target's unit; NaN where the measure predicts none."""
        return float("nan")

    def residuals(self, sample: Sample) -> Residuals | None:
        """Predictions for molecules it has not seen; None where the measure predicts none."""
        return None

    def normalise_across(self, tables: Sequence[Table]) -> list[Table]:
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
        """Value with null and interval.

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
        (table,) = self.normalise_across([self.replicates(sample)])
        return estimate(table, self.spread(sample), higher_is_better=self.higher_is_better)


class StatisticsMeasure(Measure):
    """A measure that one-pass statistics determine.

    Attributes
    ----------
    class_moments : bool
        Whether it needs second moments of each class.
    """

    inputs = "statistics"
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

    def values(self, labellings: Sequence[FeatureStatistics]) -> list[float]:
        """The measure for several labellings of the same rows, which may share work.

        Raises
        ------
        InputError
            If the measure is not defined for these.
        """
        return [self.value(statistics) for statistics in labellings]

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

    def spread(self, sample: Sample) -> Spread:
        """From one pass for each permutation, unless it takes second moments of each class."""
        if self.class_moments or self.unit_rows:
            return np.empty(0)
        return np.array(self.values(sample.further_statistics))


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
            Class codes 0 ... C-1 or bins; the numbers of a regression target if ``reads`` is ``values``.

        Raises
        ------
        InputError
            If the measure is not defined for these.
        """

    def replicates(self, sample: Sample) -> Table:
        """Values for every labelling on all rows, and for the true labels without each block."""
        return replicate_rows(sample, self.value, self.reads)


DEFAULT_MEASURE = "logme"
"""What a ranking of encoders is ordered by: the rule of docs/study.md chose it."""


def printed_name(name: str) -> str:
    """What a measure is called in tables and figures: the usual ones by title, others by option."""
    return MEASURES[name].title if name in ("transrate", DEFAULT_MEASURE) else name


def replicate_rows(
    sample: Sample, value: Callable[[Matrix, npt.NDArray[Any]], float], reads: str = "bins"
) -> Table:
    """Table of a function of rows and labels, permutations not jackknifed."""
    resampling = sample.resampling
    table = np.full((1 + len(resampling.permutations), 1 + resampling.n_blocks), np.nan)
    labels = resampling.values if reads == "values" else resampling.codes
    for row, order in enumerate(resampling.orders()):
        table[row, 0] = value(sample.features, labels[order])
    for block in range(resampling.n_blocks):
        keep = np.flatnonzero(resampling.blocks != block)
        fewer = labels[keep] if reads == "values" else label_codes(labels[keep])
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
                table[rows, column] = measure.values(subsets)
            except InputError as error:
                tables[index] = error
            except np.linalg.LinAlgError as error:
                tables[index] = singular(measure, error)
    return tables


def singular(measure: Measure, error: np.linalg.LinAlgError) -> InputError:
    """What is wrong with features on which a measure's arithmetic fails."""
    return InputError(
        f"{measure.name}: these features are numerically singular ({error}); look for rows or columns whose "
        "values are far outside the others'"
    )


def _without(statistics: list[FeatureStatistics], block: int) -> list[FeatureStatistics]:
    pooled: Moments = statistics[0].pooled.without(block)
    return [one.without(block, pooled) for one in statistics]


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
        [name for name in MEASURES if MEASURES[name].inputs == "statistics"] if measures is None else measures
    )
    chosen = [MEASURES[name]() for name in names]
    for measure in chosen:
        if measure.inputs != "statistics":
            raise InputError(f"{measure.name} is not computed from one-pass statistics")
    sample = make_sample(features, labels, task, n_blocks=1)
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
