"""Class means, the covariance within classes, and the class probabilities they give."""

from __future__ import annotations

import numpy as np

from molrate.statistics.moments import Codes, Matrix


def class_means(features: Matrix, codes: Codes) -> Matrix:
    """Mean of each class, shape (C, d)."""
    one_hot = np.eye(codes.max() + 1)[codes]
    return one_hot.T @ features / one_hot.sum(axis=0)[:, None]


def within_class_covariance(features: Matrix, codes: Codes) -> Matrix:
    """Covariance about the class means, shape (d, d)."""
    rows = features - class_means(features, codes)[codes]
    return rows.T @ rows / len(rows)


def class_probabilities(features: Matrix, codes: Codes, metric: Matrix) -> Matrix:
    """Posterior probabilities of linear discriminants with class frequencies as priors, shape (n, C).

    Parameters
    ----------
    features : ndarray, shape (n, d)
    codes : ndarray of int, shape (n,)
    metric : ndarray, shape (d, d)
        Regularised within-class covariance.
    """
    means = class_means(features, codes)
    weights = np.linalg.solve(metric, means.T)
    priors = np.bincount(codes) / len(codes)
    offsets = np.log(priors) - 0.5 * np.einsum("cd,dc->c", means, weights)
    return softmax(features @ weights + offsets)


def softmax(scores: Matrix) -> Matrix:
    """Turn rows of scores into probabilities, shape (n, C)."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
