"""Task2Vec and Taskonomy-style transfer: measures that train on the target.

They belong to the paper's Table 1. They cost the training that the other measures avoid, so they run only
if they are named.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import Measure, NotApplicableError, replicate_rows
from molrate.measures.labels import NO_SOURCE, checked_probabilities
from molrate.measures.probe import FOLDS
from molrate.measures.rowspace import standardised
from molrate.measures.sample import Sample
from molrate.statistics.intervals import Table
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Codes, Resampling, label_codes

_HIDDEN = 64
_TRAINED_PERMUTATIONS = 2
_LEAST_SHARE = 1e-3
_STOP_ROWS = 1000


def task_embedding(features: npt.ArrayLike, labels: npt.ArrayLike) -> Matrix:
    """Diagonal Fisher information of a task's fitted head, averaged over its classes, shape (d,).

    A logistic head is fitted to the labels; entry j is the mean over molecules and classes of
    x_j^2 p (1 - p), which says how much the predictions depend on the weights of feature j.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels : array_like, shape (n,)

    References
    ----------
    Achille et al., Task2Vec, ICCV 2019.
    """
    from sklearn.linear_model import LogisticRegression

    rows = np.asarray(features, dtype=np.float64)
    head = LogisticRegression(max_iter=1000).fit(rows, label_codes(labels))
    probabilities = head.predict_proba(rows)
    spread = (probabilities * (1 - probabilities)).mean(axis=1)
    return (rows**2 * spread[:, None]).mean(axis=0)


class Task2Vec(Measure):
    """Similarity of target and source tasks by the Fisher information of heads fitted to each."""

    name = "task2vec"
    title = "Task2Vec (needs training)"
    inputs = "training"
    reference = "Achille et al., ICCV 2019"
    about = (
        "Cosine of the Fisher embeddings of the target task and of the encoder's source task, both from "
        "heads fitted to its features, each entry divided by the sum of both as in the paper. From 0 to 1. "
        "Needs training of the heads, and source-class probabilities, whose most probable class is the "
        "source label. Embeds tasks more than encoders: the layer enters through its features alone."
    )

    def replicates(self, sample: Sample) -> npt.NDArray[np.float64]:
        """Compute values as for any measure of features; the source head is fitted only once."""
        if sample.source_probabilities is None:
            raise NotApplicableError(NO_SOURCE)
        if sample.source_probabilities.ndim > 2:
            raise NotApplicableError("takes one source task; the encoder's head has several")
        source = checked_probabilities(sample.source_probabilities).argmax(axis=1)
        if len(np.unique(source)) < 2:
            raise InputError("all molecules have the same most probable source class, so it is no task")
        embedding = task_embedding(sample.features, source)
        return replicate_rows(
            sample, lambda rows, labels: _similarity(task_embedding(rows, labels), embedding)
        )

    def maximum(self, sample: Sample) -> float:
        """Return 1, the value of equal embeddings."""
        return 1.0


def _similarity(target: Matrix, source: Matrix) -> float:
    """Cosine of two embeddings, with each entry divided by the sum of both."""
    both = np.maximum(target + source, np.finfo(float).tiny)
    target, source = target / both, source / both
    return float(target @ source / (np.linalg.norm(target) * np.linalg.norm(source)))


class Taskonomy(Measure):
    """Tournament of transfer readouts trained on the frozen features."""

    name = "taskonomy"
    title = "Taskonomy-style transfer (needs training)"
    reads = "values"
    inputs = "training"
    reference = "Zamir et al., Taskonomy, CVPR 2018"
    about = (
        "A small network (one hidden layer of 64) is trained on the frozen features of each encoder and "
        "judged out of fold; encoders then play a tournament over blocks of molecules, and the value is an "
        "encoder's share in the principal eigenvector of the table of wins (analytic hierarchy process). "
        "From 0 to 1, all encoders of a ranking adding to 1, so that one alone has none. Needs training "
        "for every encoder, which is what the other measures spare; two permutations are trained for the "
        "null."
    )

    def replicates(self, sample: Sample) -> Table:
        """Compute the mean out-of-fold loss in each block, shape (1 + P, B), for :meth:`normalise_across`."""
        resampling = sample.resampling
        rows = standardised(sample.features) * np.sqrt(sample.features.shape[1])
        losses = np.full((1 + len(resampling.permutations), resampling.n_blocks), np.nan)
        for row, order in enumerate(resampling.orders()):
            if row > _TRAINED_PERMUTATIONS:
                break
            loss = _out_of_fold_losses(rows, resampling, order)
            losses[row] = np.bincount(resampling.blocks, weights=loss) / np.bincount(resampling.blocks)
        return losses

    def normalise_across(self, tables: Sequence[Table]) -> list[Table]:
        """Compute shares of the tournament, on all blocks and without each block.

        Raises
        ------
        InputError
            If there is only one candidate.
        """
        if len(tables) < 2:
            raise InputError("Taskonomy compares the encoders of a ranking; it needs at least two")
        losses = np.stack(tables)
        n_candidates, n_labellings, n_blocks = losses.shape
        shares = np.full((n_candidates, n_labellings, 1 + n_blocks), np.nan)
        for row in range(min(n_labellings, 1 + _TRAINED_PERMUTATIONS)):
            shares[:, row, 0] = _tournament(losses[:, row])
            for block in range(n_blocks):
                shares[:, row, 1 + block] = _tournament(np.delete(losses[:, row], block, axis=1))
        return list(shares)

    def maximum(self, sample: Sample) -> float:
        """Return 1, the limit for an encoder that wins everywhere."""
        return 1.0


def _out_of_fold_losses(rows: Matrix, resampling: Resampling, order: Codes) -> Matrix:
    """Squared error of the scaled target, or minus the log probability of the class, for each row."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    losses = np.empty(len(rows))
    # A tenth of few molecules is too little to tell when to stop.
    stop = len(rows) >= _STOP_ROWS
    options = {"hidden_layer_sizes": (_HIDDEN,), "early_stopping": stop, "max_iter": 200, "random_state": 0}
    values, codes = resampling.values[order], resampling.codes[order]
    for fold in range(FOLDS):
        held = resampling.blocks % FOLDS == fold
        if resampling.task == "regression":
            mean, deviation = values[~held].mean(), values[~held].std()
            scaled = (values - mean) / deviation
            model = MLPRegressor(**options).fit(rows[~held], scaled[~held])
            losses[held] = (scaled[held] - model.predict(rows[held])) ** 2
        else:
            model = MLPClassifier(**options).fit(rows[~held], codes[~held])
            columns = np.searchsorted(model.classes_, codes[held])
            chances = model.predict_proba(rows[held])[np.arange(held.sum()), columns]
            losses[held] = -np.log(np.maximum(chances, 1e-12))
    return losses


def _tournament(losses: Matrix) -> Matrix:
    """Share of each candidate from losses (M, B) in blocks: principal eigenvector of the odds of winning."""
    better = losses[:, None] < losses[None]
    ties = losses[:, None] == losses[None]
    share = np.clip((better + 0.5 * ties).mean(axis=2), _LEAST_SHARE, 1 - _LEAST_SHARE)
    values, vectors = np.linalg.eig(share / share.T)
    leading = np.abs(np.real(vectors[:, np.argmax(np.real(values))]))
    return leading / leading.sum()
