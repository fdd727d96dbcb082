r"""DS: distance of the target's classes from the molecules of pretraining.

:math:`\exp(-\gamma \, \mathrm{EMD})` with the earth mover's distance between weighted class means of source
and target features. Pretraining corpora have no classes, so their clusters stand in for classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.measures.base import Measure, NotApplicableError, replicate_rows
from molrate.measures.sample import Sample, as_matrix
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Codes, label_codes

GAMMA = 0.01
_CLUSTERS = 50
_ROWS_PER_CLUSTER = 10


def domain_similarity(
    features: npt.ArrayLike, labels: npt.ArrayLike, source_features: npt.ArrayLike, *, gamma: float = GAMMA
) -> float:
    """Similarity of target classes and source clusters, from 0 to 1.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
    source_features : array_like, shape (n_s, d)
        Features of molecules that the encoder was pretrained on.
    gamma : float

    References
    ----------
    Cui et al., Large scale fine-grained categorization and domain-specific transfer learning, CVPR 2018.
    """
    clusters = _clusters(as_matrix(source_features))
    return _similarity(as_matrix(features), label_codes(labels), clusters, gamma)


class DomainSimilarity(Measure):
    """Similarity of target classes and source clusters by earth mover's distance."""

    name = "ds"
    title = "Domain similarity"
    inputs = "source molecules"
    reference = "Cui et al., CVPR 2018"
    about = (
        "exp(-0.01 times the earth mover's distance) between the means of the target's classes (or ranges) "
        "and of fifty clusters of source molecules, in the features of the encoder. From 0 to 1. Measures "
        "how near the target is to what the encoder was pretrained on; labels hardly matter, and the scale "
        "of the features does. Needs features of source molecules (--source-molecules)."
    )

    def replicates(self, sample: Sample) -> npt.NDArray[np.float64]:
        """Compute values as for any measure of features; the source is clustered only once."""
        if sample.source_features is None:
            raise NotApplicableError(
                "needs molecules the encoder was pretrained on (--source-molecules, or "
                "ENCODER/source_features in the file of --extra-arrays)"
            )
        source = _clusters(as_matrix(sample.source_features))
        return replicate_rows(sample, lambda rows, labels: _similarity(rows, labels, source, GAMMA))

    def maximum(self, sample: Sample) -> float:
        """Return 1, the value at no distance."""
        return 1.0


def _clusters(source: Matrix) -> tuple[Matrix, Matrix]:
    """Means and weights of clusters of the source molecules."""
    from sklearn.cluster import KMeans

    count = max(1, min(_CLUSTERS, len(source) // _ROWS_PER_CLUSTER))
    labels = KMeans(count, n_init=1, random_state=0).fit_predict(source)
    return _means(source, np.unique(labels, return_inverse=True)[1])


def _means(rows: Matrix, codes: Codes) -> tuple[Matrix, Matrix]:
    one_hot = np.eye(codes.max() + 1)[codes]
    counts = one_hot.sum(axis=0)
    return one_hot.T @ rows / counts[:, None], counts / len(codes)


def _similarity(features: Matrix, codes: Codes, source: tuple[Matrix, Matrix], gamma: float) -> float:
    from scipy.stats import wasserstein_distance_nd

    means, weights = _means(features, codes)
    return float(np.exp(-gamma * wasserstein_distance_nd(source[0], means, source[1], weights)))
