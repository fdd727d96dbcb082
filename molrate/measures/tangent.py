r"""What fine-tuning in the linear regime predicts for each molecule that it has not seen.

Near its weights a network with a linear head is a linear model. Its features are the pooled layer, which is
the derivative with respect to the head, and the derivatives with respect to the weights below it (Jacot et
al. 2018; Deshpande et al. 2021). Its kernel is

.. math::

    K = K_\mathrm{features} + K_\mathrm{gradients} ,

each centred and of trace n: the first of features as :mod:`molrate.measures.leave_one_out` has them, the
second of gradients of unit norm. The head whose predictions are derived is ridge regression
on the standardised layer, fitted to all molecules; see :mod:`molrate.embedding.sketcher` for the sketches.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import Measure
from molrate.measures.leave_one_out import LeaveOneOut, class_columns, decompose
from molrate.measures.rowspace import bounded_rows, standardising_factors
from molrate.measures.sample import Sample, make_sample
from molrate.statistics.intervals import Table
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Resampling

_HEAD = "ridge/1"
"""Version of the head, part of the key of gradients that are kept."""
_MAX_ALIGNED = 5_000
_ROUNDING = 1e-12
"""Share of the squares of rows below which they are all the same: sketches come in float32."""


def fit_head(features: npt.ArrayLike, resampling: Resampling) -> Matrix:
    """Ridge regression on the standardised features, with the penalty of least left-out error.

    Parameters
    ----------
    features : array_like, shape (n, d)
    resampling : Resampling
        With the labels; classes count as one-hot columns, of two the second.

    Returns
    -------
    ndarray, shape (d, m)
        Derivatives of the m predictions with respect to the features.

    Raises
    ------
    InputError
        If the features are the same for all molecules.
    """
    rows = np.asarray(features, dtype=np.float64)
    bounded = bounded_rows(rows)
    labels = label_columns(resampling)
    kernel = decompose(bounded, resampling.groups)
    _, (penalty,) = kernel.least_errors(labels, labels.shape[1])
    # Weights of the bounded columns: of the rows' pseudo-inverse, eigenvalues damped by the penalty.
    centred = bounded - bounded.mean(axis=0)
    scale = len(rows) / (centred**2).sum()
    dual = kernel.vectors @ ((kernel.vectors.T @ labels) / (kernel.values + penalty)[:, None])
    factors = standardising_factors(rows)
    head = np.zeros((rows.shape[1], labels.shape[1]))
    head[factors > 0] = scale * (centred.T @ dual) * factors[factors > 0, None]
    return head


def label_columns(resampling: Resampling) -> Matrix:
    """Labels as ridge regression takes them, shape (n, m)."""
    if resampling.task == "classification":
        return class_columns(resampling.codes)
    return resampling.values[:, None]


def tangent_rows(features: Matrix, gradients: npt.ArrayLike | None = None) -> Matrix:
    """Rows whose products are the kernel, shape (n, k).

    Parameters
    ----------
    features : ndarray, shape (n, d)
    gradients : ndarray, shape (n, g), optional
        Left out where an encoder cannot be fine-tuned; where they are all the same, they say nothing.
    """
    parts = [_trace_n(bounded_rows(features))]
    if gradients is not None:
        sketches = np.asarray(gradients, dtype=np.float64)
        norms = np.linalg.norm(sketches, axis=1, keepdims=True)
        # Where no weight moves a prediction there is no direction, and the row stays zero.
        parts.append(_trace_n(sketches / np.where(norms > 0, norms, 1.0)))
    return np.hstack(parts)


def _trace_n(rows: Matrix) -> Matrix:
    """Centred rows of mean squared norm one; no columns where all are the same."""
    centred = rows - rows.mean(axis=0)
    total = float((centred**2).sum())
    if total <= _ROUNDING * float((rows**2).sum()):
        return centred[:, :0]
    return centred * np.sqrt(len(rows) / total)


def head_digest(rows: npt.NDArray[np.intp], resampling: Resampling) -> str:
    """Digest of what :func:`fit_head` is given besides features: which molecules, labels and groups."""
    digest = hashlib.sha256(_HEAD.encode())
    for array in (rows, label_columns(resampling), resampling.groups):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def tangent(
    features: npt.ArrayLike,
    gradients: npt.ArrayLike,
    labels: npt.ArrayLike,
    task: str = "classification",
    *,
    groups: npt.ArrayLike | None = None,
) -> float:
    """Left-out R2, or AUROC of classes, by the kernel of features and gradients.

    Parameters
    ----------
    features : array_like, shape (n, d)
    gradients : array_like, shape (n, g)
        Of a head's predictions with respect to the weights, or sketches of them.
    labels : array_like, shape (n,)
    task : {"classification", "regression"}
    groups : array_like, shape (n,), optional
        Rows of a group do not predict each other.
    """
    sample = make_sample(features, labels, task, groups=groups, gradients=gradients, n_blocks=2)
    return float(Tangent().replicates(sample)[0, 0])


def lgc(
    features: npt.ArrayLike, gradients: npt.ArrayLike, labels: npt.ArrayLike, task: str = "classification"
) -> float:
    """Alignment of the kernel of features and gradients with the labels; arguments as of :func:`tangent`."""
    sample = make_sample(features, labels, task, gradients=gradients, n_blocks=2)
    return float(LabelGradientCorrelation().replicates(sample)[0, 0])


class Tangent(LeaveOneOut):
    """Left-out R2 or AUROC of fine-tuning in the linear regime."""

    name = "tangent"
    title = "Linearised fine-tuning, R2 or AUROC"
    reads_gradients = True
    reference = "Jacot et al., NeurIPS 2018; Deshpande et al., arXiv:2102.00084; Allen 1974"
    about = (
        "How well fine-tuning, taken as linear in the weights, predicts each molecule from all others: "
        "leave-one-out kernel ridge regression as in loo, with products of the features (as there) and, in "
        "equal parts, of the gradients of a fitted head's predictions with respect to the weights (of unit "
        "norm), from one forward and one backward pass for each molecule. R2 of a regression target, AUROC "
        "of classes; the rmse beside it, in the target's unit, is what to expect of fine-tuning. Encoders "
        "that cannot be fine-tuned, and layers other than the last, have features alone, which is loo. The "
        "head is fitted to all labels, those left out too, and is not fitted again to permuted ones; weights "
        "that move far, which the linear regime leaves out, can do better. Gradients are sketched in 2,048 "
        "numbers, whose cosines are theirs to about a tenth. Above 10,000 molecules, computed on as many "
        "drawn at random."
    )

    def rows(self, sample: Sample) -> Matrix:
        """Rows whose products are the kernel."""
        return tangent_rows(sample.features, sample.gradients)


class LabelGradientCorrelation(Measure):
    """Alignment of the kernel of fine-tuning with the labels."""

    name = "lgc"
    title = "LGC"
    reads = "values"
    reads_gradients = True
    reference = "Deshpande et al., arXiv:2102.00084"
    about = (
        "Agreement of the kernel of tangent and the labels in which molecules are alike, both about their "
        "means: linear CKA of the labels with features and gradients. From 0 to 1. Reads a regression target "
        "as it is. The largest components of the kernel weigh most, so that a signal in small ones is "
        "missed. The interval holds the kernel. Above 5,000 molecules, computed on as many drawn at random."
    )

    def replicates(self, sample: Sample) -> Table:
        """Every labelling, on all rows and without each block."""
        fewer = sample.at_most(_MAX_ALIGNED)
        rows, resampling = tangent_rows(fewer.features, fewer.gradients), fewer.resampling
        labels = label_columns(resampling)
        table = np.empty((1 + len(resampling.permutations), 1 + resampling.n_blocks))
        kernel = rows @ rows.T
        for block in range(-1, resampling.n_blocks):
            keep = np.flatnonzero(resampling.blocks != block)
            size = _centred_norm(kernel[np.ix_(keep, keep)] if block >= 0 else kernel)
            for number, order in enumerate(resampling.orders()):
                table[number, 1 + block] = _alignment(rows[keep], size, labels[order][keep])
        return table

    def maximum(self, sample: Sample) -> float:
        """Return 1, the value of perfect alignment."""
        return 1.0


def _centred_norm(kernel: Matrix) -> float:
    """Frobenius norm of a kernel centred on both sides."""
    sums = kernel.sum(axis=0)
    n = len(kernel)
    squares = (kernel**2).sum() - 2 * (sums**2).sum() / n + (sums.sum() / n) ** 2
    return float(np.sqrt(max(squares, 0.0)))


def _alignment(rows: Matrix, size: float, labels: Matrix) -> float:
    """Cosine of the kernel of rows, whose centred norm is `size`, and that of labels."""
    centred = labels - labels.mean(axis=0)
    of_labels = float(np.linalg.norm(centred.T @ centred))
    if not size * of_labels > 0:
        raise InputError("the features, or the targets, are constant, so nothing aligns")
    return float(((rows.T @ centred) ** 2).sum() / (size * of_labels))
