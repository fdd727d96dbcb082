"""Leave-one-out nearest neighbours: do molecules that lie close have like labels?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import Measure
from molrate.measures.rowspace import squared_distances
from molrate.measures.sample import Sample, make_sample
from molrate.statistics.intervals import Spread, Table
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Codes, Resampling

NEIGHBOURS = 3
_MAX_ROWS = 10_000


def knn(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    task: str = "classification",
    *,
    neighbours: int = NEIGHBOURS,
    groups: npt.ArrayLike | None = None,
) -> float:
    """Leave-one-out accuracy of the nearest neighbours, or correlation with their mean.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
    task : {"classification", "regression"}
    neighbours : int
    groups : array_like, shape (n,), optional
        Rows of a group (one molecule measured several times) are not each other's neighbours.
    """
    sample = make_sample(features, labels, task, groups=groups)
    nearest = _nearest(_distances(sample, neighbours), neighbours)
    order = np.arange(len(nearest))
    return _agreement(sample.resampling, order, nearest, np.ones(len(order), dtype=bool))


class NearestNeighbours(Measure):
    """Leave-one-out prediction from the nearest molecules.

    Parameters
    ----------
    neighbours : int
    """

    name = "knn"
    title = "Nearest neighbours, leave-one-out"
    reads = "values"
    reference = "Cover and Hart 1967; as in transformer-ranker, k = 3"
    about = (
        "Accuracy of the majority of the three nearest other molecules (ties go to the nearer), or the "
        "correlation of their mean with a regression target. At most 1; an accuracy near that of the largest "
        "class says nothing, so read the excess. Free of rotation, scale and offset; needs no fit and sees "
        "what no linear readout does. Rows of the same molecule are never each other's neighbours. The "
        "interval holds the neighbours and resamples the molecules they are judged on. Above 10,000 "
        "molecules, computed on as many drawn at random."
    )

    def __init__(self, *, neighbours: int = NEIGHBOURS) -> None:
        self.neighbours = neighbours

    def replicates(self, sample: Sample) -> Table:
        """All labellings from one table of neighbours; without a block, its molecules are not judged."""
        resampling, nearest = self._neighbours(sample)
        table = np.empty((1 + len(resampling.permutations), 1 + resampling.n_blocks))
        for row, order in enumerate(resampling.orders()):
            for block in range(-1, resampling.n_blocks):
                table[row, 1 + block] = _agreement(resampling, order, nearest, resampling.blocks != block)
        return table

    def spread(self, sample: Sample) -> Spread:
        """From the same neighbours."""
        resampling, nearest = self._neighbours(sample)
        everything = np.ones(len(nearest), dtype=bool)
        orders = resampling.further_permutations
        return np.array([_agreement(resampling, order, nearest, everything) for order in orders])

    def _neighbours(self, sample: Sample) -> tuple[Resampling, npt.NDArray[np.intp]]:
        """Labels of the molecules compared, and the nearest others of each, shape (n, count)."""
        key = f"{self.neighbours} nearest"
        if key not in sample.derived:
            fewer = sample.at_most(_MAX_ROWS)
            distances = _distances(fewer, self.neighbours)
            sample.derived[key] = fewer.resampling, _nearest(distances, self.neighbours)
        return sample.derived[key]

    def maximum(self, sample: Sample) -> float:
        """Perfect agreement."""
        return 1.0


def _distances(sample: Sample, neighbours: int) -> Matrix:
    """Squared distances between molecules, infinite within a group."""
    groups = sample.resampling.groups
    if len(groups) - np.bincount(groups).max() < neighbours:
        raise InputError(f"there are not {neighbours} other molecules for each to compare with")
    distances = squared_distances(sample.features)
    if sample.resampling.has_groups:
        distances[groups[:, None] == groups] = np.inf
    else:
        np.fill_diagonal(distances, np.inf)
    return distances


def _nearest(distances: Matrix, count: int) -> npt.NDArray[np.intp]:
    """The nearest rows of each row, nearest first, shape (n, count); ties in row order."""
    count = min(count, len(distances) - 1)
    found = np.sort(np.argpartition(distances, count - 1, axis=1)[:, :count], axis=1)
    order = np.argsort(np.take_along_axis(distances, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def _agreement(
    resampling: Resampling,
    order: npt.NDArray[np.intp],
    chosen: npt.NDArray[np.intp],
    keep: npt.NDArray[np.bool_],
) -> float:
    if resampling.task == "regression":
        values = resampling.values[order]
        predicted = values[chosen[keep]].mean(axis=1)
        if predicted.std() == 0:
            return 0.0
        return float(np.corrcoef(values[keep], predicted)[0, 1])
    codes = resampling.codes[order]
    return float(np.mean(_majority(codes[chosen[keep]], resampling.n_classes) == codes[keep]))


def _majority(votes: Codes, n_classes: int) -> Codes:
    """Most frequent class of each row of votes; of those equally frequent, the one voted first."""
    n, k = votes.shape
    counts = np.zeros((n, n_classes))
    for position in range(k):
        # The nearer a neighbour, the more its vote weighs in a tie; never more than a whole vote.
        counts[np.arange(n), votes[:, position]] += 1 + 0.5 ** (position + 2) / k
    return counts.argmax(axis=1)
