"""Linear probes: what a ridge or logistic regression on frozen features predicts out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import Measure, StatisticsMeasure
from molrate.measures.labels import label_cross_products
from molrate.measures.rowspace import standardised
from molrate.measures.sample import Sample, statistics_of
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.intervals import Spread, Table
from molrate.statistics.moments import Matrix, Moments
from molrate.statistics.resampling import Resampling

FOLDS = 5
# R2 and RMSE read the same fits.
_SHARED = "ridge errors"
_REFITTED = "ridge errors without blocks"
_FOLDS = "ridge folds"
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
        "the penalty is that of least generalised cross-validation on all rows. Judges a linear readout, "
        "not fine-tuning."
    )

    def value(self, statistics: FeatureStatistics) -> float:
        """From statistics with pooled second moments and at least two blocks."""
        (errors,) = fold_errors([statistics])
        return float(1 - errors[0].sum() / errors[1].sum())

    def tabulate(self, labellings: Sequence[FeatureStatistics]) -> Table:
        """Every labelling fitted in each fold; without a block, its molecules are neither judged nor fitted.

        Where blocks have more rows than dimensions, the fits of all rows stand for those without a block.
        """
        first = labellings[0]
        table = np.full((len(labellings), 1 + len(first.blocks)), np.nan)
        fitted = [row for row, one in enumerate(labellings) if one.blocks == first.blocks]
        usable = [labellings[row] for row in fitted]
        sizes = first.pooled.block_sizes()
        left = first.count - np.array([0, *(sizes[block] for block in first.blocks)])
        if _small_blocks(first):
            errors = _refitted_errors(usable)
            deviations = np.array([[_deviation(one, block) for block in first.blocks] for one in usable])
        else:
            of_blocks = np.stack(fold_errors(usable))
            errors, deviations = _drop_each(of_blocks[:, 0]), of_blocks[:, 1]
        table[fitted] = self._summary(errors, _drop_each(deviations), left)
        return table

    def spread(self, sample: Sample) -> Spread:
        """From the same decompositions, where blocks have fewer rows than dimensions."""
        first = (sample.class_statistics if "class_statistics" in vars(sample) else sample.raw_statistics)[0]
        if not _small_blocks(first):
            return np.empty(0)
        errors, deviations = _further_errors(sample, first)
        return self._summary(errors, deviations, np.full(len(errors), first.count))

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
    cross, squares = label_cross_products(statistics, centre=True)
    return _least_validated(statistics, cross, float(squares.sum()))


def _least_validated(statistics: FeatureStatistics, cross: Matrix, squares: float) -> float:
    """The penalty for centred labels, from their products with the features (d, m) and their squares."""
    n = statistics.count
    eigenvalues, basis = statistics.pooled.spectrum
    projections = ((basis.T @ cross) ** 2).sum(axis=1) / eigenvalues
    grid = _PENALTIES * eigenvalues.mean()
    kept = eigenvalues / (eigenvalues + grid[:, None])
    residual = squares - projections.sum() + ((1 - kept) ** 2 * projections).sum(axis=1)
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
    return float(error), _deviation(statistics, block)


def _deviation(statistics: FeatureStatistics, block: int) -> float:
    """Sum of squared deviations of a block's labels from the mean of all."""
    whole = statistics.sums
    _, totals, squares = _label_sums(statistics, block)
    overall = (whole.target_total if statistics.n_targets else whole.counts) / statistics.count
    n = statistics.block_sums(block).counts.sum()
    return float(squares - 2 * overall @ totals + n * overall @ overall)


def _small_blocks(statistics: FeatureStatistics) -> bool:
    """Whether a block is enough of the rows to move the fits: it has fewer than dimensions."""
    sizes = statistics.pooled.block_sizes().values()
    return max(sizes) < min(statistics.dimension, statistics.count - 1)


@dataclass(frozen=True)
class _Fold:
    """A fold in the principal axes of the rows it is fitted on.

    Attributes
    ----------
    held : list of int
        Positions of the blocks that are predicted.
    values : ndarray, shape (k,)
        Eigenvalues of the Gram matrix of the others.
    axes : ndarray, shape (d, k)
    rows : list of ndarray, shape (n_b, k)
        Of every block, about the mean of all rows.
    """

    held: list[int]
    values: Matrix
    axes: Matrix
    rows: list[Matrix]

    @property
    def fitted(self) -> list[int]:
        """Positions of the blocks that are fitted."""
        return [position for position in range(len(self.rows)) if position not in self.held]


def _folds(statistics: FeatureStatistics) -> list[_Fold]:
    """Folds of features that are fewer rows than dimensions in each block."""
    if _FOLDS in statistics.derived:
        return statistics.derived[_FOLDS]
    moments = statistics.pooled
    members = [np.asarray(moments.block_rows(block)) - moments.mean for block in statistics.blocks]
    # No fit leaves the span of the rows, which is small where they are few.
    basis = moments.spectrum[1] if moments.kept else np.eye(statistics.dimension)
    reduced = [rows @ basis for rows in members] if moments.kept else members
    n_folds = min(FOLDS, len(members))
    if n_folds < 2:
        raise InputError("cross-validation needs statistics in at least two blocks")
    folds = []
    for fold in range(n_folds):
        held = list(range(fold, len(members), n_folds))
        train = np.concatenate([rows for position, rows in enumerate(reduced) if position not in held])
        values, axes = np.linalg.eigh(train.T @ train)
        turned = [rows @ axes for rows in reduced]
        folds.append(_Fold(held, np.maximum(values, 0.0), basis @ axes if moments.kept else axes, turned))
    statistics.derived[_FOLDS] = folds
    return folds


def _refitted_errors(labellings: list[FeatureStatistics]) -> Table:
    """Out-of-fold squared errors of all rows and without each block, fitted anew, shape (L, 1 + B)."""
    first = labellings[0]
    if _REFITTED in first.derived:
        return first.derived[_REFITTED]
    table = np.zeros((len(labellings), 1 + len(first.blocks)))
    penalties = [_penalty(statistics) for statistics in labellings]
    centre = first.pooled.mean
    for fold in _folds(first):
        totals = np.array([rows.sum(axis=0) for rows in fold.rows])
        for index, statistics in enumerate(labellings):
            parts = [_label_sums(statistics, block) for block in statistics.blocks]
            crosses = [fold.axes.T @ (cross - np.outer(centre, sums)) for cross, sums, _ in parts]
            # Products with the labels, and with the column of ones that gives the intercept.
            products = np.array(
                [np.column_stack([cross, total]) for cross, total in zip(crosses, totals, strict=True)]
            )
            sums = np.array([[*sums, len(rows)] for (_, sums, _), rows in zip(parts, fold.rows, strict=True)])
            squares = [square for _, _, square in parts]
            weights, intercepts = _weights(fold, products, sums, penalties[index])
            errors = np.zeros((len(weights), len(fold.held)))
            for column, position in enumerate(fold.held):
                predicted = fold.rows[position] @ weights + intercepts[:, None]
                errors[:, column] = (
                    squares[position]
                    - 2 * np.einsum("fkm,km->f", weights, products[position, :, :-1])
                    - 2 * intercepts @ sums[position, :-1]
                    + (predicted**2).sum(axis=(1, 2))
                )
            table[index] += errors[0].sum()
            table[index, 1 + np.array(fold.held)] -= errors[0]
            table[index, 1 + np.array(fold.fitted)] += errors[1:].sum(axis=1) - errors[0].sum()
    first.derived[_REFITTED] = table
    return table


def _weights(fold: _Fold, products: Matrix, sums: Matrix, penalty: float) -> tuple[Matrix, Matrix]:
    """Weights (1 + F, k, m) and intercepts (1 + F, m) of all fitted blocks, then without each.

    The inverse without a block is that of all, changed by a matrix of as many rows (Woodbury).
    """
    inverse = 1.0 / (fold.values + penalty)
    right, total = products[fold.fitted].sum(axis=0), sums[fold.fitted].sum(axis=0)
    solutions, rights, totals = [inverse[:, None] * right], [right], [total]
    for position in fold.fitted:
        rows = fold.rows[position]
        less = right - products[position]
        solved = inverse[:, None] * less
        scaled = rows * inverse
        inner = np.eye(len(rows)) - scaled @ rows.T
        solutions.append(solved + scaled.T @ np.linalg.solve(inner, rows @ solved))
        rights.append(less)
        totals.append(total - sums[position])
    return _with_intercepts(np.array(solutions), np.array(rights)[:, :, -1], np.array(totals))


def _with_intercepts(solutions: Matrix, ones: Matrix, totals: Matrix) -> tuple[Matrix, Matrix]:
    """Ridge weights (F, k, m) and unpenalised intercepts (F, m).

    Parameters
    ----------
    solutions : ndarray, shape (F, k, m + 1)
        Penalised weights of labels as they are, and of a column of ones.
    ones : ndarray, shape (F, k)
        Sums of the rows.
    totals : ndarray, shape (F, m + 1)
        Sums of the labels, and the number of rows.
    """
    along = np.einsum("fk,fkm->fm", ones, solutions)
    intercepts = (totals[:, :-1] - along[:, :-1]) / (totals[:, -1:] - along[:, -1:])
    return solutions[:, :, :-1] - solutions[:, :, -1:] * intercepts[:, None], intercepts


def _further_errors(sample: Sample, statistics: FeatureStatistics) -> tuple[Matrix, Matrix]:
    """Out-of-fold squared errors and deviations under every further permutation, shapes (E,)."""
    resampling = sample.resampling
    labels = (
        resampling.values[:, None]
        if resampling.task == "regression"
        else np.eye(resampling.n_classes)[resampling.codes]
    )
    orders = resampling.further_permutations
    rows = sample.features - (statistics.pooled.mean + statistics.shift)
    centred = labels - labels.mean(axis=0)
    deviations = np.full(len(orders), (centred**2).sum())
    errors = np.zeros(len(orders))
    crosses = [rows.T @ centred[order] for order in orders]
    penalties = [_least_validated(statistics, cross, deviations[0]) for cross in crosses]
    blocks = statistics.blocks
    for fold in _folds(statistics):
        held = np.isin(resampling.blocks, [blocks[position] for position in fold.held])
        turned = rows @ fold.axes
        fitted, judged = turned[~held], turned[held]
        total = fitted.sum(axis=0)
        for index, order in enumerate(orders):
            permuted = labels[order]
            right = np.column_stack([fitted.T @ permuted[~held], total])
            solved = right / (fold.values + penalties[index])[:, None]
            sums = np.append(permuted[~held].sum(axis=0), len(fitted))
            weights, intercepts = _with_intercepts(solved[None], total[None], sums[None])
            errors[index] += ((permuted[held] - judged @ weights[0] - intercepts[0]) ** 2).sum()
    return errors, deviations


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
