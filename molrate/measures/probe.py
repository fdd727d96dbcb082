"""Linear probes: what a ridge or logistic regression on frozen features predicts out of fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import Measure, StatisticsMeasure
from molrate.measures.labels import label_cross_products
from molrate.measures.rowspace import standardised
from molrate.measures.sample import Sample, statistics_of
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.intervals import Table
from molrate.statistics.moments import Matrix, Moments
from molrate.statistics.resampling import Resampling

FOLDS = 5
# R2 and RMSE read the same fits.
_SHARED = "ridge errors"
_PENALTIES = np.logspace(-5, 3, 17)
# On rows of mean squared norm one; the inverse penalty of scikit-learn's logistic regression.
_LOGISTIC_C = 10.0


def ridge(features: npt.ArrayLike, targets: npt.ArrayLike, task: str = "classification") -> float:
    """Out-of-fold R2 of ridge regression on the targets, or on one-hot classes.

    Five folds dealt in turn, row after row.

    Parameters
    ----------
    features : array_like, shape (n, d)
    targets : array_like, shape (n,) or (n, m)
    task : {"classification", "regression"}
    """
    statistics = statistics_of(features, targets, task, second_moments="pooled", n_blocks=FOLDS)
    return RidgeProbe().value(statistics)


class RidgeProbe(StatisticsMeasure):
    """Out-of-fold R2 of ridge regression, from the statistics of the folds."""

    name = "ridge"
    title = "Ridge probe, R2"
    reads = "values"
    reference = "Hoerl and Kennard 1970; penalty by generalised cross-validation (Golub et al. 1979)"
    about = (
        "Share of the target's variance that ridge regression on the frozen features predicts for "
        "molecules it was not fitted on; for classes, that of their one-hot columns (the Brier skill). At "
        "most 1, and 0 for features that say nothing; below 0 it predicts worse than the mean. Five folds; "
        "the penalty is that of least generalised cross-validation on all rows. The interval holds the "
        "fits and resamples the molecules they are judged on. Judges a linear readout, not fine-tuning."
    )

    def value(self, statistics: FeatureStatistics) -> float:
        """From statistics with pooled second moments and at least two blocks."""
        (errors,) = fold_errors([statistics])
        return float(1 - errors[0].sum() / errors[1].sum())

    def tabulate(self, labellings: Sequence[FeatureStatistics]) -> Table:
        """Every labelling is fitted once in each fold; without a block, its molecules are not judged."""
        first = labellings[0]
        table = np.full((len(labellings), 1 + len(first.blocks)), np.nan)
        fitted = [row for row, one in enumerate(labellings) if one.blocks == first.blocks]
        errors = np.stack(fold_errors([labellings[row] for row in fitted]))
        sizes = first.pooled.block_sizes()
        left = first.count - np.array([0, *(sizes[block] for block in first.blocks)])
        table[fitted] = self._summary(_drop_each(errors[:, 0]), _drop_each(errors[:, 1]), left)
        return table

    def _summary(self, squares: Table, total: Table, counts: npt.NDArray[np.int64]) -> Table:
        return 1 - squares / total

    def maximum(self, sample: Sample) -> float:
        """Perfect prediction."""
        return 1.0


class RidgeError(RidgeProbe):
    """Out-of-fold root mean squared error of ridge regression."""

    name = "ridge-rmse"
    title = "Ridge probe, RMSE"
    higher_is_better = False
    about = (
        "Root mean squared error, in units of the target (for classes, of their one-hot columns), of ridge "
        "regression on the frozen features for molecules it was not fitted on. At least 0; less is better, "
        "so the excess has its sign turned. Fitted as the ridge probe's R2."
    )

    def value(self, statistics: FeatureStatistics) -> float:
        """From statistics with pooled second moments and at least two blocks."""
        (errors,) = fold_errors([statistics])
        return float(np.sqrt(errors[0].sum() / statistics.count))

    def _summary(self, squares: Table, total: Table, counts: npt.NDArray[np.int64]) -> Table:
        return np.sqrt(squares / counts)

    def maximum(self, sample: Sample) -> float:
        """An error has no largest value."""
        return float("inf")


def _drop_each(per_block: Table) -> Table:
    """Sums over blocks, of all and without each, shape (1 + P, 1 + B)."""
    total = per_block.sum(axis=1, keepdims=True)
    return np.hstack([total, total - per_block])


def fold_errors(labellings: list[FeatureStatistics]) -> list[Matrix]:
    """Squared errors of out-of-fold ridge regression in each block, for several labellings of the same rows.

    Parameters
    ----------
    labellings : list of FeatureStatistics
        The first with pooled second moments, which the others share.

    Returns
    -------
    list of ndarray, shape (2, B)
        Sums of squared errors, and of squared deviations from the mean.
    """
    first = labellings[0]
    if _SHARED in first.derived:
        return first.derived[_SHARED]
    blocks = first.blocks
    folds = min(FOLDS, len(blocks))
    if folds < 2:
        raise InputError("cross-validation needs statistics in at least two blocks")
    penalties = [_penalty(statistics) for statistics in labellings]
    errors = [np.empty((2, len(blocks))) for _ in labellings]
    for fold in range(folds):
        held = [position for position in range(len(blocks)) if position % folds == fold]
        numbers = [blocks[position] for position in held]
        train = first.pooled.without(*numbers)
        for index, statistics in enumerate(labellings):
            weights, mean = _fit(train, statistics, numbers, penalties[index])
            for position, number in zip(held, numbers, strict=True):
                errors[index][:, position] = _block_errors(statistics, number, train.mean, weights, mean)
    first.derived[_SHARED] = errors
    return errors


def _penalty(statistics: FeatureStatistics) -> float:
    """Penalty of least generalised cross-validation, on a grid in units of the mean eigenvalue."""
    n = statistics.count
    eigenvalues, basis = statistics.pooled.spectrum
    cross, squares = label_cross_products(statistics, centre=True)
    projections = ((basis.T @ cross) ** 2).sum(axis=1) / eigenvalues
    grid = _PENALTIES * eigenvalues.mean()
    kept = eigenvalues / (eigenvalues + grid[:, None])
    residual = squares.sum() - projections.sum() + ((1 - kept) ** 2 * projections).sum(axis=1)
    freedom = n - 1 - kept.sum(axis=1)
    return float(grid[np.argmin(residual / np.maximum(freedom, n * 1e-9) ** 2)])


def _label_sums(statistics: FeatureStatistics, block: int) -> tuple[Matrix, Matrix, float]:
    """Features times labels (d, m), label sums (m,), and the sum of squared labels in a block."""
    sums = statistics.block_sums(block)
    if statistics.n_targets:
        return sums.cross, sums.target_total, float(np.trace(sums.target_gram))
    return sums.totals.T, sums.counts.astype(np.float64), float(sums.counts.sum())


def _fit(
    train: Moments, statistics: FeatureStatistics, held: list[int], penalty: float
) -> tuple[Matrix, Matrix]:
    """Weights (d, m) and mean labels (m,) of ridge regression on all blocks but those held out."""
    parts = [_label_sums(statistics, block) for block in statistics.blocks if block not in held]
    cross = np.sum([part[0] for part in parts], axis=0)
    mean = np.sum([part[1] for part in parts], axis=0) / train.count
    right = cross - np.outer(train.total, mean)
    if train.kept:
        # (X'X + p I)^-1 r = (r - X'(XX' + p I)^-1 X r) / p, with the smaller of the two products.
        rows = train.rows - train.mean
        inner = np.linalg.solve(_add_penalty(rows @ rows.T, penalty), rows @ right)
        return (right - rows.T @ inner) / penalty, mean
    return np.linalg.solve(_add_penalty(train.centred_gram(), penalty), right), mean


def _add_penalty(matrix: Matrix, penalty: float) -> Matrix:
    matrix.flat[:: len(matrix) + 1] += penalty
    return matrix


def _block_errors(
    statistics: FeatureStatistics, block: int, centre: Matrix, weights: Matrix, mean: Matrix
) -> tuple[float, float]:
    """Sum of squared errors in a block, and of squared deviations from the overall mean."""
    sums = statistics.block_sums(block)
    n = sums.counts.sum()
    cross, totals, squares = _label_sums(statistics, block)
    features = sums.totals.sum(axis=0)
    intercept = mean - centre @ weights
    moments = statistics.pooled
    rows = moments.block_rows(block) if n < statistics.dimension else None
    quadratic = (
        np.sum((rows @ weights) ** 2)
        if rows is not None
        else np.sum(weights * (moments.block_gram(block) @ weights))
    )
    error = (
        squares
        - 2 * np.sum(weights * cross)
        - 2 * intercept @ totals
        + quadratic
        + 2 * intercept @ (weights.T @ features)
        + n * intercept @ intercept
    )
    whole = statistics.sums
    overall = (whole.target_total if statistics.n_targets else whole.counts) / statistics.count
    return float(error), float(squares - 2 * overall @ totals + n * overall @ overall)


class LogisticProbe(Measure):
    """Out-of-fold AUROC of logistic regression."""

    name = "logistic"
    title = "Logistic probe, AUROC"
    tasks = ("classification",)
    reference = "scikit-learn LogisticRegression and roc_auc_score"
    about = (
        "Area under the ROC curve of logistic regression on the frozen, standardised features for molecules "
        "it was not fitted on, five folds; the mean over classes one against the rest where there are more "
        "than two. 0.5 for features that say nothing, at most 1. The penalty is fixed in units of the "
        "features' size. The interval holds the fits and resamples the molecules they are judged on. Fewer "
        "than ten molecules in a class leave it to chance."
    )

    def replicates(self, sample: Sample) -> Table:
        """Every labelling is fitted once in each fold; without a block, its molecules are not judged."""
        resampling = sample.resampling
        rows = standardised(sample.features)
        table = np.empty((1 + len(resampling.permutations), 1 + resampling.n_blocks))
        for row, order in enumerate(resampling.orders()):
            codes = resampling.codes[order]
            probabilities = _out_of_fold(rows, codes, resampling)
            for block in range(-1, resampling.n_blocks):
                keep = resampling.blocks != block
                table[row, 1 + block] = area_under_curve(codes[keep], probabilities[keep])
        return table

    def maximum(self, sample: Sample) -> float:
        """Perfect order."""
        return 1.0


def _out_of_fold(rows: Matrix, codes: npt.NDArray[np.intp], resampling: Resampling) -> Matrix:
    """Class probabilities of each row from fits without its fold, shape (n, C)."""
    from sklearn.linear_model import LogisticRegression

    probabilities = np.zeros((len(rows), resampling.n_classes))
    for fold in range(FOLDS):
        held = resampling.blocks % FOLDS == fold
        if len(np.unique(codes[~held])) < 2:
            raise InputError("a fold leaves one class only to fit; too few molecules of the others")
        model = LogisticRegression(C=_LOGISTIC_C, max_iter=1000).fit(rows[~held], codes[~held])
        probabilities[np.ix_(held, model.classes_)] = model.predict_proba(rows[held])
    return probabilities


def area_under_curve(codes: npt.NDArray[np.intp], probabilities: Matrix) -> float:
    """AUROC of class probabilities (n, C), the mean over classes one against the rest if C > 2."""
    from scipy.stats import rankdata

    classes = np.unique(codes)
    areas = []
    for code in classes[1:] if len(classes) == 2 else classes:
        positive = codes == code
        count = positive.sum()
        ranks = rankdata(probabilities[:, code])
        areas.append((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(codes) - count)))
    return float(np.mean(areas))
