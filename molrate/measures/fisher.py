"""SFDA: discriminant analysis in a space that has been made harder.

Linear discriminants with a regularised within-class covariance classify the molecules. Every molecule then
moves towards the mean of the other classes, the farther the less certain its class was. The discriminants
are fitted again, and the score is the mean probability of the true class.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from molrate.measures.base import FeaturesMeasure
from molrate.measures.discriminants import class_means, class_probabilities, softmax, within_class_covariance
from molrate.measures.rowspace import row_space
from molrate.measures.sample import Sample, as_matrix
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Codes, label_codes

_STRENGTH = 5.0
_LEAST = 1e-10


def sfda(features: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean probability of the true class after self-challenge, from 0 to 1.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)

    References
    ----------
    Shao et al., Not all models are equal, ECCV 2022, with the released code's second softmax.
    """
    return _score(row_space(as_matrix(features)), label_codes(labels))


class SelfChallengingFisher(FeaturesMeasure):
    """Mean probability of the true class by discriminants fitted to harder features."""

    name = "sfda"
    title = "SFDA"
    reference = "Shao et al., ECCV 2022"
    about = (
        "Mean probability that regularised linear discriminants give the true class once every molecule "
        "has been drawn towards the other classes, the more the less surely it was classified. From 0 to "
        "1. Fitted and judged on the same molecules, so it nears 1 for any features when dimensions are "
        "many: read the excess. The regularisation depends on the scale of the features; encoders of "
        "different scale are regularised differently."
    )

    def replicates(self, sample: Sample) -> npt.NDArray[np.float64]:
        """Compute values as for any measure of features, in the row space of the features."""
        return super().replicates(replace(sample, features=row_space(sample.features)))

    def value(self, features: Matrix, labels: Codes) -> float:
        """Compute SFDA of features for class codes."""
        return _score(features, labels)

    def maximum(self, sample: Sample) -> float:
        """Return 1, the value of a certain true class."""
        return 1.0


def _score(features: Matrix, codes: Codes) -> float:
    within = within_class_covariance(features, codes)
    strength = max(float(np.exp(-_STRENGTH * np.linalg.eigvalsh(within)[-1])), _LEAST)
    confidences = softmax(class_probabilities(features, codes, _shrunk(within, strength)))
    confidence = confidences[np.arange(len(codes)), codes][:, None]
    means = class_means(features, codes)
    means_of_others = (means.sum(axis=0) - means) / (len(means) - 1)
    harder = confidence * features + (1 - confidence) * means_of_others[codes]
    metric = _shrunk(within_class_covariance(harder, codes), strength)
    return float(class_probabilities(harder, codes, metric)[np.arange(len(codes)), codes].mean())


def _shrunk(within: Matrix, strength: float) -> Matrix:
    matrix = (1 - strength) * within
    matrix.flat[:: len(matrix) + 1] += strength
    return matrix
