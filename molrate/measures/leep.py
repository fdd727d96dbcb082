r"""NCE, LEEP and N-LEEP: what source classes say about the classes of the target.

With probabilities :math:`\theta_{iz}` of source class z for molecule i,
:math:`\hat P(y, z) = \tfrac1n \sum_{i: y_i = y} \theta_{iz}` and

.. math:: \mathrm{LEEP} = \tfrac1n \sum_i \log \sum_z \hat P(y_i \mid z)\, \theta_{iz}

NCE treats each molecule's most probable source class as certain: it is minus the conditional entropy of the
label given that class. Both are defined for one source model. A head of several tasks is as many source
models, and its value the mean of theirs: no task is chosen by the labels that it is then judged by, and the
null and the interval of a mean are those of any other measure. N-LEEP uses the components of a Gaussian
mixture as source classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.measures.base import Measure, NotApplicableError
from molrate.measures.labels import NO_SOURCE, checked_probabilities
from molrate.measures.rowspace import principal_components
from molrate.measures.sample import Sample, as_probabilities, make_sample
from molrate.statistics.intervals import Table
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Codes, Resampling, label_codes

_COMPONENTS_PER_CLASS = 5
_ENERGY = 0.8


def leep(source_probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Log expected empirical prediction; at most 0, higher is better.

    Parameters
    ----------
    source_probabilities : array_like, shape (n, C_s) or (n, n_sources, C_s)
        Rows that sum to one; of several source models the mean is taken.
    labels : array_like, shape (n,)

    References
    ----------
    Nguyen et al., LEEP, ICML 2020.
    """
    return _leep(checked_probabilities(as_probabilities(source_probabilities)), label_codes(labels))


def nce(source_labels: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Negative conditional entropy of labels given source labels; at most 0, higher is better.

    Parameters
    ----------
    source_labels : array_like, shape (n,)
    labels : array_like, shape (n,)

    References
    ----------
    Tran et al., Transferability and hardness of supervised classification tasks, ICCV 2019.
    """
    codes = label_codes(source_labels)
    return _leep(np.eye(codes.max() + 1)[codes], label_codes(labels))


def n_leep(features: npt.ArrayLike, labels: npt.ArrayLike, *, seed: int = 0) -> float:
    """LEEP with the components of a Gaussian mixture as source classes; at most 0, higher is better.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)
    seed : int
        Seed of the mixture's random start.

    References
    ----------
    Li et al., Ranking neural checkpoints, CVPR 2021.
    """
    sample = make_sample(features, labels)
    return float(MixtureLEEP(seed=seed).replicates(sample)[0, 0])


def _leep(probabilities: Matrix, codes: Codes) -> float:
    """LEEP of one source model (n, C_s), or the mean of several (n, n_sources, C_s)."""
    joint = np.eye(codes.max() + 1)[codes].T @ probabilities.reshape(len(codes), -1)
    joint = joint.reshape(-1, *probabilities.shape[1:])
    marginal = joint.sum(axis=0)
    conditional = np.divide(joint, marginal, out=np.zeros_like(joint), where=marginal > 0)
    return float(np.log((conditional[codes] * probabilities).sum(axis=-1)).mean())


class _SourceMeasure(Measure):
    """A measure of labels and fixed source classes; it is cheap for every labelling and deletion."""

    def source(self, sample: Sample) -> Matrix:
        """Get source-class probabilities (n, C_s), or (n, n_sources, C_s) of several source models."""
        raise NotImplementedError

    def replicates(self, sample: Sample) -> Table:
        """Compute values for every labelling, on all rows and without each block.

        The source classes do not change.
        """
        probabilities, resampling = self.source(sample), sample.resampling
        table = np.empty((1 + len(resampling.permutations), 1 + resampling.n_blocks))
        for row, order in enumerate(resampling.orders()):
            codes = resampling.codes[order]
            for block in range(-1, resampling.n_blocks):
                keep = resampling.blocks != block
                table[row, 1 + block] = _leep(probabilities[keep], label_codes(codes[keep]))
        return table

    def maximum(self, sample: Sample) -> float:
        """Return 0, the value of certain predictions."""
        return 0.0


class LEEP(_SourceMeasure):
    """Mean log probability of the label through the source classes."""

    name = "leep"
    title = "LEEP"
    inputs = "source probabilities"
    reference = "Nguyen et al., ICML 2020"
    about = (
        "Mean log probability of a molecule's label, predicted through the source classes of the encoder's "
        "own head, or the mean of that over the tasks of a head with several. At most 0. Judges the head's "
        "classes, not the features; prefers encoders with more source classes and targets of few or "
        "unbalanced classes. Does not apply without source-class "
        "probabilities, which self-supervised encoders do not have."
    )

    def source(self, sample: Sample) -> Matrix:
        """Get the source-class probabilities of the encoder's own head."""
        if sample.source_probabilities is None:
            raise NotApplicableError(NO_SOURCE)
        return checked_probabilities(sample.source_probabilities)


class NCE(LEEP):
    """Negative conditional entropy of the label given the most probable source class."""

    name = "nce"
    title = "NCE"
    reference = "Tran et al., ICCV 2019"
    about = (
        "Minus the entropy of the labels that remains once the encoder's most probable source class is "
        "known. At most 0. Judges the head's classes, not the features; more source classes than molecules "
        "can fill make it 0 for anything, so read the excess. Does not apply without source-class "
        "probabilities."
    )

    def source(self, sample: Sample) -> Matrix:
        """Get one for the most probable source class and zero for the others: LEEP of these is NCE."""
        probabilities = super().source(sample)
        return np.eye(probabilities.shape[-1])[probabilities.argmax(axis=-1)]


class MixtureLEEP(_SourceMeasure):
    """LEEP with the components of a Gaussian mixture of the features as source classes.

    Parameters
    ----------
    seed : int
    """

    name = "n-leep"
    title = "N-LEEP"
    reference = "Li et al., CVPR 2021"
    about = (
        "LEEP with source classes made from the features: five components of a Gaussian mixture for each "
        "class, fitted in the principal components that hold 80 % of the variance, each component with one "
        "variance for each direction. At most 0. Depends on the random start of the fit, and says little "
        "when molecules are fewer than the mixture's parameters. The interval holds the mixture."
    )

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def source(self, sample: Sample) -> Matrix:
        """Compute posterior probabilities of the mixture's components."""
        from sklearn.mixture import GaussianMixture

        rows = leading_components(sample.features)
        n_components = _components(sample.resampling, len(rows))
        # Scale by the largest component, so that the fit's floor on variances does not depend on scale.
        scaled = rows / rows[:, 0].std()
        mixture = GaussianMixture(n_components, covariance_type="diag", random_state=self.seed)
        return mixture.fit(scaled).predict_proba(scaled)

    def warning(self, sample: Sample) -> str:
        """Warn if the mixture has more parameters than there are rows."""
        rows = leading_components(sample.features)
        parameters = _components(sample.resampling, len(rows)) * (2 * rows.shape[1] + 1)
        return (
            f"{len(rows)} molecules for {parameters} parameters of the mixture"
            if parameters > len(rows)
            else ""
        )


def leading_components(features: Matrix) -> Matrix:
    """Principal components that hold 80 % of the variance, shape (n, k)."""
    rows = principal_components(features, min(features.shape))
    shares = np.cumsum((rows**2).sum(axis=0)) / (rows**2).sum()
    return rows[:, : int(np.searchsorted(shares, _ENERGY)) + 1]


def _components(resampling: Resampling, n: int) -> int:
    return max(1, min(_COMPONENTS_PER_CLASS * resampling.n_classes, n // 2))
