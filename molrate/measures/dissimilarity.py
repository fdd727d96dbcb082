"""PARC, RSA and DEPARA: agreement on which pairs of molecules are dissimilar.

PARC compares the features with the labels; RSA and DEPARA compare them with an encoder trained on the target.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import Measure, NotApplicableError
from molrate.measures.rowspace import principal_components
from molrate.measures.sample import Sample, as_matrix, make_sample
from molrate.statistics.intervals import Table
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Codes

COMPONENTS = 32
_MAX_ROWS = 2_000
_NO_REFERENCE = (
    "needs the features of an encoder trained on the target, for the same molecules (reference/features in "
    "the file of --extra-arrays)"
)
_NO_ATTRIBUTIONS = (
    "needs attributions of this encoder and of the one trained on the target (ENCODER/attributions and "
    "reference/attributions in the file of --extra-arrays)"
)


def parc(features: npt.ArrayLike, labels: npt.ArrayLike, task: str = "classification") -> float:
    """Rank correlation of pairwise dissimilarities of features and labels, times 100.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
    task : {"classification", "regression"}

    References
    ----------
    Bolya et al., Scalable diverse model selection for accessible transfer learning, NeurIPS 2021.
    """
    sample = make_sample(features, labels, task)
    return 100 * _correlation(_component_ranks(sample.features), pair_ranks(_label_distances(sample)))


def rsa(features: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Rank correlation of the dissimilarities of molecules in two encoders' features.

    Parameters
    ----------
    features : array_like, shape (n, d)
    reference : array_like, shape (n, d_r)
        Features of the same molecules from an encoder trained on the target.

    References
    ----------
    Dwivedi and Roig, Representation similarity analysis for efficient task taxonomy, CVPR 2019.
    """
    pairs = [pair_ranks(correlation_distances(as_matrix(rows))) for rows in (features, reference)]
    return _correlation(*pairs)


class PARC(Measure):
    """Rank correlation of pairwise dissimilarities of features and labels."""

    name = "parc"
    title = "PARC"
    reads = "values"
    reference = "Bolya et al., NeurIPS 2021"
    about = (
        "100 times the Spearman correlation, over all pairs of molecules, of one minus the correlation of "
        "their features (32 principal components, standardised) with that of their one-hot labels, or with "
        "the difference of a regression target. From -100 to 100. With two classes the labels have two "
        "dissimilarities only, so values stay small. Quadratic in molecules: above 2,000, computed on as "
        "many drawn at random. In the interval the pairs keep their ranks."
    )

    def replicates(self, sample: Sample) -> Table:
        """Compute PARC for every labelling on all rows, and for the true labels without each block."""
        sample = sample.at_most(_MAX_ROWS)
        feature_ranks = _component_ranks(sample.features)
        label_ranks = pair_ranks(_label_distances(sample))
        return 100 * _replicate_pairs(feature_ranks, label_ranks, sample)

    def maximum(self, sample: Sample) -> float:
        """Return 100, the value of perfect correlation."""
        return 100.0


class RSA(Measure):
    """Rank correlation of dissimilarities with those in a target-trained encoder."""

    name = "rsa"
    title = "RSA"
    inputs = "reference"
    reference = "Dwivedi and Roig, CVPR 2019"
    about = (
        "Spearman correlation, over pairs of molecules, of one minus the correlation of their features in "
        "this encoder and in one trained on the target. From -1 to 1. The reference has to be trained first, "
        "which is what the other measures spare; labels enter through it alone, so the null permutes its "
        "rows. Quadratic in molecules: above 2,000, computed on as many drawn at random."
    )

    def replicates(self, sample: Sample) -> Table:
        """Compute RSA for every permutation of the reference's rows, and without each block."""
        if sample.reference is None:
            raise NotApplicableError(_NO_REFERENCE)
        sample = sample.at_most(_MAX_ROWS)
        feature_ranks = pair_ranks(correlation_distances(sample.features))
        reference_ranks = pair_ranks(correlation_distances(as_matrix(np.asarray(sample.reference))))
        return _replicate_pairs(feature_ranks, reference_ranks, sample)

    def maximum(self, sample: Sample) -> float:
        """Return 1, the value of perfect correlation."""
        return 1.0


class DEPARA(RSA):
    """Agreement of attributions, and of dissimilarities, with a target-trained encoder."""

    name = "depara"
    title = "DEPARA"
    reference = "Song et al., DEPARA, CVPR 2020"
    about = (
        "Mean cosine of the molecules' attributions (gradient times input) in this encoder and in one "
        "trained on the target, plus the Spearman correlation of their dissimilarities as in RSA. From -2 "
        "to 2. Needs a trained reference and attributions over the same inputs for both; the null permutes "
        "the reference's rows."
    )

    def replicates(self, sample: Sample) -> Table:
        """Add the agreement of attributions (nodes) to that of dissimilarities as in RSA (edges)."""
        if sample.attributions is None or sample.reference_attributions is None:
            raise NotApplicableError(_NO_ATTRIBUTIONS)
        edges = super().replicates(sample)
        fewer = sample.at_most(_MAX_ROWS)
        resampling = fewer.resampling
        cosines = _unit(np.asarray(fewer.attributions)) @ _unit(np.asarray(fewer.reference_attributions)).T
        rows = np.arange(len(cosines))
        for row, order in enumerate(resampling.orders()):
            nodes = cosines[rows, order]
            for block in range(-1, resampling.n_blocks):
                edges[row, 1 + block] += nodes[resampling.blocks != block].mean()
        return edges

    def maximum(self, sample: Sample) -> float:
        """Return 2, the value of equal attributions and perfect correlation."""
        return 2.0


def _unit(rows: npt.ArrayLike) -> Matrix:
    rows = as_matrix(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def correlation_distances(rows: Matrix) -> Matrix:
    """One minus the Pearson correlation of each pair of rows, shape (n, n).

    Raises
    ------
    InputError
        If a row is constant.
    """
    centred = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    if not norms.all():
        raise InputError("a molecule has equal values in all dimensions, so its features correlate with none")
    centred /= norms[:, None]
    return 1 - centred @ centred.T


def _component_ranks(rows: Matrix) -> Matrix:
    """Ranks of the pairs' dissimilarities in the leading components of the standardised features."""
    deviation = rows.std(axis=0)
    used = deviation > deviation.max() * 1e-10
    components = principal_components(rows[:, used] / deviation[used], COMPONENTS)
    return pair_ranks(correlation_distances(components))


def _label_distances(sample: Sample) -> Matrix:
    resampling = sample.resampling
    if resampling.task == "regression":
        return np.abs(resampling.values[:, None] - resampling.values)
    # One-hot rows correlate 1 within a class and equally little between any two classes, so that ranks see
    # two values.
    return (resampling.codes[:, None] != resampling.codes).astype(np.float64)


def pair_ranks(distances: Matrix) -> Matrix:
    """Mid-ranks of the distances of pairs, as a symmetric matrix (n, n) with zeros on its diagonal."""
    from scipy.stats import rankdata

    upper = np.triu_indices(len(distances), 1)
    ranks = np.zeros_like(distances)
    # Round, so that pairs equally far apart share their rank for every order of summation.
    ranks[upper] = rankdata(np.round(distances[upper], 12))
    return ranks + ranks.T


def _correlation(x: Matrix, y: Matrix) -> float:
    """Pearson correlation, over pairs, of two symmetric matrices with zero diagonals."""
    pairs = len(x) * (len(x) - 1)
    mean_x, mean_y = x.sum() / pairs, y.sum() / pairs
    product = np.vdot(x, y) / pairs - mean_x * mean_y
    variances = [np.vdot(ranks, ranks) / pairs - mean**2 for ranks, mean in ((x, mean_x), (y, mean_y))]
    if min(variances) <= 0:
        raise InputError("all pairs of molecules are equally unlike, so nothing correlates")
    return float(product / np.sqrt(variances[0] * variances[1]))


def _replicate_pairs(x: Matrix, y: Matrix, sample: Sample) -> Table:
    """Table of the correlation of `x` with `y`, whose rows and columns are permuted together."""
    resampling = sample.resampling
    table = np.full((1 + len(resampling.permutations), 1 + resampling.n_blocks), np.nan)
    for row, order in enumerate(resampling.orders()):
        permuted: Matrix = y[np.ix_(order, order)]
        table[row, 0] = _correlation(x, permuted)
    for block in range(resampling.n_blocks):
        kept: Codes = np.flatnonzero(resampling.blocks != block)
        table[0, 1 + block] = _correlation(x[np.ix_(kept, kept)], y[np.ix_(kept, kept)])
    return table
