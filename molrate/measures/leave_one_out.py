r"""What kernel ridge regression on the features predicts for each molecule that it has not seen.

With the kernel :math:`K = X X^\top` of centred rows and an intercept that is not penalised, predictions of
all molecules are linear in the labels, :math:`\hat y = H y` with

.. math::

    H = \tfrac1n 1 1^\top + K (K + \lambda I)^{-1} ,

and the error for a molecule that is left out of the fit is :math:`(y_i - \hat y_i) / (1 - H_{ii})`, exactly;
for molecules that are left out together it is :math:`(I - H_{GG})^{-1} (y_G - \hat y_G)` (Allen 1974). One
eigendecomposition of the kernel serves all penalties, labels and permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import Measure
from molrate.measures.probe import area_under_curve
from molrate.measures.residuals import Residuals, both_sides, mean_of_others, residuals_of
from molrate.measures.rowspace import bounded_rows
from molrate.measures.sample import Sample, as_matrix
from molrate.statistics.intervals import Spread, Table
from molrate.statistics.moments import Matrix, positive_eigenpairs
from molrate.statistics.resampling import Codes, label_codes

PENALTIES = np.logspace(-5, 5, 21)
"""Penalties for a kernel of trace n, among which the left-out error chooses."""
MOST_ROWS = 10_000
"""Of more molecules, as many drawn at random are judged."""
_MAX_REFITTED = 2_000
"""Molecules up to which fits are made anew without each block."""
_JACKKNIFED_PERMUTATIONS = 3
_DECOMPOSITION = "kernel decomposition"
# Multiplications that further permutations may cost.
_FURTHER_PRODUCTS = 1e10

Orders = Sequence[npt.NDArray[np.intp]] | npt.NDArray[np.intp]


@dataclass(frozen=True)
class Kernel:
    """Eigenvectors of a centred kernel of trace n.

    Attributes
    ----------
    values : ndarray, shape (k,)
        Positive eigenvalues.
    vectors : ndarray, shape (n, k)
    groups : ndarray of int, shape (n,)
        Rows of a group are left out together.
    """

    values: Matrix
    vectors: Matrix
    groups: Codes

    @cached_property
    def _sizes(self) -> npt.NDArray[np.intp]:
        """Rows of each row's group, shape (n,)."""
        return np.bincount(self.groups)[self.groups]

    @cached_property
    def _squares(self) -> Matrix:
        """Squared entries of the eigenvectors, shape (n, k)."""
        return self.vectors**2

    @cached_property
    def _repeated(self) -> list[npt.NDArray[np.intp]]:
        """Rows of groups of more than one, a matrix for each size, one group a line."""
        order = np.argsort(self.groups, kind="stable")
        sizes = self._sizes[order]
        return [order[sizes == size].reshape(-1, size) for size in np.unique(sizes) if size > 1]

    def errors(self, labels: Matrix, penalty: float) -> Matrix:
        """Errors of predictions for rows that are left out, shape (n, m).

        Parameters
        ----------
        labels : ndarray, shape (n, m)
        penalty : float
        """
        centred = labels - labels.mean(axis=0)
        return self._errors(centred, self.vectors.T @ centred, penalty)

    def _errors(self, centred: Matrix, coordinates: Matrix, penalty: float) -> Matrix:
        """Errors from centred labels (n, m) and their coordinates along the eigenvectors (k, m)."""
        kept = self.values / (self.values + penalty)
        residuals = centred - self.vectors @ (kept[:, None] * coordinates)
        own = 1 - 1 / len(centred) - self._squares @ kept
        errors = residuals / own[:, None]
        for rows in self._repeated:
            members = self.vectors[rows]
            inner = np.eye(rows.shape[1]) - 1 / len(centred) - (members * kept) @ members.transpose(0, 2, 1)
            errors[rows] = np.linalg.solve(inner, residuals[rows])
        return errors

    def residual_maker(self, penalty: float) -> Matrix:
        """I - H, shape (n, n)."""
        kept = self.values / (self.values + penalty)
        matrix = -(self.vectors * kept) @ self.vectors.T - 1 / len(self.vectors)
        matrix.flat[:: len(matrix) + 1] += 1.0
        return matrix

    def errors_without(self, maker: Matrix, labels: Matrix, deleted: npt.NDArray[np.bool_]) -> Matrix:
        """Errors of predictions by fits to all rows but the deleted ones and the row's own group.

        Parameters
        ----------
        maker : ndarray, shape (n, n)
            Of :meth:`residual_maker`.
        labels : ndarray, shape (n, m)
        deleted : ndarray of bool, shape (n,)
            Whole groups.

        Returns
        -------
        ndarray, shape (n, m)
            Zero for the deleted rows.
        """
        residuals = maker @ labels
        cross = maker[:, deleted]
        # What is left of I - H and of the residuals once the deleted rows are left out: Schur's complement.
        weights = np.linalg.solve(maker[np.ix_(deleted, deleted)], cross.T)
        residuals -= weights.T @ residuals[deleted]
        own = np.diagonal(maker) - np.einsum("nb,bn->n", cross, weights)
        errors = np.zeros_like(residuals)
        errors[~deleted] = residuals[~deleted] / own[~deleted, None]
        for rows in self._repeated:
            left = rows[~deleted[rows[:, 0]]]
            inner = maker[left[:, :, None], left[:, None, :]]
            inner -= cross[left] @ weights.T[left].transpose(0, 2, 1)
            errors[left] = np.linalg.solve(inner, residuals[left])
        return errors

    def least_errors(self, labels: Matrix, width: int) -> tuple[Matrix, Matrix]:
        """Errors with the penalty of least squared error, chosen for every labelling.

        Parameters
        ----------
        labels : ndarray, shape (n, L * width)
            Labellings side by side.
        width : int
            Columns of a labelling, which share their penalty.

        Returns
        -------
        errors : ndarray, shape (n, L * width)
        penalties : ndarray, shape (L,)
        """
        best, least = np.empty_like(labels), np.full(labels.shape[1] // width, np.inf)
        penalties = np.empty(len(least))
        centred = labels - labels.mean(axis=0)
        coordinates = self.vectors.T @ centred
        for penalty in PENALTIES:
            errors = self._errors(centred, coordinates, penalty)
            squares = (errors**2).sum(axis=0).reshape(-1, width).sum(axis=1)
            better = squares < least
            best[:, np.repeat(better, width)] = errors[:, np.repeat(better, width)]
            least[better], penalties[better] = squares[better], penalty
        return best, penalties


def decompose(rows: Matrix, groups: Codes) -> Kernel:
    """Kernel of the products of centred rows, from the smaller of the two Gram matrices.

    Parameters
    ----------
    rows : ndarray, shape (n, k)
    groups : ndarray of int, shape (n,)

    Raises
    ------
    InputError
        If all rows are the same, or of one group.
    """
    if groups.max() < 1:
        raise InputError("all rows are of one molecule; there is none to leave out")
    n, k = rows.shape
    centred = rows - rows.mean(axis=0)
    total = float((centred**2).sum())
    if total == 0:
        raise InputError("features are the same for all molecules")
    centred *= np.sqrt(n / total)
    if k > n:
        return Kernel(*positive_eigenpairs(centred @ centred.T, k), groups)
    values, axes = positive_eigenpairs(centred.T @ centred, n)
    return Kernel(values, centred @ axes / np.sqrt(values), groups)


@dataclass(frozen=True)
class LeftOut:
    """Predictions for molecules that were left out of the fit.

    Attributes
    ----------
    predictions : ndarray, shape (n,) or (n, C)
        In the target's unit, or of one-hot columns where there are more than two classes; NaN where the
        target was not measured.
    penalty : float
        In units of the mean eigenvalue of the kernel.
    rmse : float
        Root mean squared error of the predictions.
    value : float
        Left-out R2, or AUROC of classes.
    """

    predictions: Matrix
    penalty: float
    rmse: float
    value: float


def leave_one_out(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    task: str = "classification",
    *,
    groups: npt.ArrayLike | None = None,
) -> LeftOut:
    """Predict every molecule by kernel ridge regression on the features of all others.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
        Class labels or numbers; rows of NaN, where the target was not measured, are left out.
    task : {"classification", "regression"}
    groups : array_like, shape (n,), optional
        Rows of a group (one molecule measured several times) do not predict each other.

    Raises
    ------
    InputError
        If there is nothing to predict by, or nothing to predict.
    """
    given, rows = np.asarray(labels), as_matrix(features)
    if given.shape != (len(rows),):
        raise InputError(f"{len(rows)} rows of features but labels of shape {given.shape}")
    measured = ~np.isnan(given) if given.dtype.kind == "f" else np.ones(len(given), dtype=bool)
    group = np.arange(len(given)) if groups is None else np.asarray(groups)
    known = given[measured]
    if len(np.unique(known)) < 2:
        raise InputError("at least two different labels are needed; there is nothing to predict")
    kernel = decompose(bounded_rows(rows[measured]), label_codes(group[measured]))
    codes = label_codes(known) if task == "classification" else None
    columns = known.astype(np.float64)[:, None] if codes is None else class_columns(codes)
    errors, penalties = kernel.least_errors(columns, columns.shape[1])
    predictions = np.full((len(given), columns.shape[1]), np.nan)
    predictions[measured] = columns - errors
    judge = _Judge(kernel, codes, columns, np.zeros(len(known), dtype=np.intp))
    return LeftOut(
        predictions[:, 0] if columns.shape[1] == 1 else predictions,
        float(penalties[0]),
        float(np.sqrt((errors**2).mean())),
        judge.value(np.arange(len(known)), errors),
    )


def loo(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    task: str = "classification",
    *,
    groups: npt.ArrayLike | None = None,
) -> float:
    """Left-out R2, or AUROC of classes; see :func:`leave_one_out`."""
    return leave_one_out(features, labels, task, groups=groups).value


def class_columns(codes: Codes) -> Matrix:
    """One-hot columns of classes; of two, the second, which says all."""
    columns = np.eye(int(codes.max()) + 1)[codes]
    return columns[:, 1:] if columns.shape[1] == 2 else columns


@dataclass(frozen=True)
class _Judge:
    """What left-out errors are worth, on all molecules and without each block.

    Attributes
    ----------
    kernel : Kernel
    codes : ndarray of int, shape (n,), optional
        Classes; None for numbers.
    columns : ndarray, shape (n, m)
    blocks : ndarray of int, shape (n,)
    """

    kernel: Kernel
    codes: Codes | None
    columns: Matrix
    blocks: Codes

    def value(
        self,
        order: npt.NDArray[np.intp],
        errors: Matrix,
        kept: npt.NDArray[np.bool_] | slice = slice(None),
    ) -> float:
        """R2 or AUROC of some rows.

        Parameters
        ----------
        order : ndarray of int, shape (n,)
            Rows whose labels the rows have.
        errors : ndarray, shape (n, m)
        kept : ndarray of bool, shape (n,), optional
        """
        labels, errors = self.columns[order][kept], errors[kept]
        # An intercept lies the lower, the higher the label that was left out: it says nothing of a molecule.
        deviations = labels - mean_of_others(labels, self.kernel.groups[kept])
        if self.codes is None:
            return float(1 - (errors**2).sum() / (deviations**2).sum())
        scores = both_sides(deviations - errors)
        codes = self.codes[order][kept]
        if len(np.unique(codes)) < 2:
            raise InputError("a block of molecules holds all of a class; too few molecules of it")
        return area_under_curve(codes, scores)

    def values_without(self, order: npt.NDArray[np.intp], errors: Matrix, penalty: float) -> Table:
        """R2 or AUROC without each block, shape (B,).

        Fits are made anew with the same penalty, but for very many molecules, to whose fit a block hardly
        matters.
        """
        refitted = len(order) <= _MAX_REFITTED
        maker = self.kernel.residual_maker(penalty) if refitted else np.empty((0, 0))
        found = np.empty(int(self.blocks.max()) + 1)
        for block in range(len(found)):
            deleted = self.blocks == block
            if refitted:
                errors = self.kernel.errors_without(maker, self.columns[order], deleted)
            found[block] = self.value(order, errors, ~deleted)
        return found


class LeaveOneOut(Measure):
    """Left-out R2 or AUROC of kernel ridge regression."""

    name = "loo"
    title = "Leave-one-out ridge, R2 or AUROC"
    reads = "values"
    reference = "Allen 1974 (PRESS); Hoerl and Kennard 1970"
    about = (
        "How well ridge regression on the frozen features predicts each molecule from all others: the share "
        "of a regression target's variance (R2; 0 as good as the mean of the others, at most 1), or for "
        "classes the area under the ROC curve of one-hot columns, the mean over classes one against the "
        "rest where there are more than two (0.5 for features that say nothing, at most 1). Columns are "
        "standardised, and molecules far outside all others bounded, so that none decides a fit alone; the "
        "penalty is that of least left-out error. The rmse beside it, in the target's unit, is what to "
        "expect of a linear model on the frozen features; fine-tuning may do better. Rows of the same "
        "molecule are left out together. Above 2,000 molecules the interval holds the fits and resamples the "
        "molecules they are judged on. Above 10,000 molecules, computed on as many drawn at random."
    )

    def rows(self, sample: Sample) -> Matrix:
        """Rows whose products are the kernel."""
        return bounded_rows(sample.features)

    def replicates(self, sample: Sample) -> Table:
        """Every labelling with its own penalty; of permutations, three are jackknifed."""
        judge = self._judge(sample)
        orders = list(sample.at_most(MOST_ROWS).resampling.orders())
        errors, penalties = self._errors(judge, orders)
        table = np.full((len(orders), 2 + int(judge.blocks.max())), np.nan)
        for row, order in enumerate(orders):
            table[row, 0] = judge.value(order, errors[row])
            if row <= _JACKKNIFED_PERMUTATIONS:
                table[row, 1:] = judge.values_without(order, errors[row], float(penalties[row]))
        return table

    def spread(self, sample: Sample) -> Spread:
        """From the same decomposition, as many as cost little."""
        judge = self._judge(sample)
        cost = judge.kernel.vectors.size * judge.columns.shape[1] * len(PENALTIES)
        orders = sample.at_most(MOST_ROWS).resampling.further_permutations[: int(_FURTHER_PRODUCTS / cost)]
        if not len(orders):
            return np.empty(0)
        errors, _ = self._errors(judge, orders)
        return np.array([judge.value(order, own) for order, own in zip(orders, errors, strict=True)])

    def error(self, sample: Sample) -> float:
        """Root mean squared error of the left-out predictions; of numbers only."""
        residuals = self.residuals(sample)
        return float("nan") if residuals.scores is not None else float(np.sqrt((residuals.errors**2).mean()))

    def residuals(self, sample: Sample) -> Residuals:
        """What is wrong with the prediction for each molecule that was left out of the fit."""
        key = f"residuals of {self.name}"
        if key not in sample.derived:
            judge = self._judge(sample)
            errors, _ = judge.kernel.least_errors(judge.columns, judge.columns.shape[1])
            sample.derived[key] = residuals_of(errors, judge.columns, judge.kernel.groups, judge.codes)
        return sample.derived[key]

    def maximum(self, sample: Sample) -> float:
        """Perfect prediction."""
        return 1.0

    def _errors(self, judge: _Judge, orders: Orders) -> tuple[list[Matrix], Matrix]:
        """Left-out errors (n, m) of each labelling, and its penalty."""
        labels = np.hstack([judge.columns[order] for order in orders])
        errors, penalties = judge.kernel.least_errors(labels, judge.columns.shape[1])
        return np.split(errors, len(penalties), axis=1), penalties

    def _judge(self, sample: Sample) -> _Judge:
        key = f"{_DECOMPOSITION} of {self.name}"
        if key not in sample.derived:
            fewer = sample.at_most(MOST_ROWS)
            resampling = fewer.resampling
            kernel = decompose(self.rows(fewer), resampling.groups)
            codes = resampling.codes if resampling.task == "classification" else None
            columns = resampling.values[:, None] if codes is None else class_columns(codes)
            sample.derived[key] = _Judge(kernel, codes, columns, resampling.blocks)
        return sample.derived[key]
