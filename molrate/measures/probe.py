"""A linear probe: what logistic regression on frozen features predicts out of fold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import Measure
from molrate.measures.rowspace import standardised
from molrate.measures.sample import Sample
from molrate.statistics.intervals import Table
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Resampling

FOLDS = 5
# On rows of mean squared norm one; the inverse penalty of scikit-learn's logistic regression.
_LOGISTIC_C = 10.0


class LogisticProbe(Measure):
    """Out-of-fold AUROC of logistic regression."""

    name = "logistic"
    title = "Logistic probe, AUROC"
    tasks = ("classification",)
    reference = "scikit-learn LogisticRegression and roc_auc_score"
    about = (
        "Area under the ROC curve of logistic regression on the frozen, standardised features for molecules "
        "it was not fitted on, five folds; the mean over classes one against the rest where there are more "
        "than two. 0.5 for features that say nothing, at most 1. Molecules far outside all others are "
        "bounded. The penalty is fixed in units of the features' size. The interval holds the fits and "
        "resamples the molecules they are judged on. Fewer than ten molecules in a class leave it to "
        "chance."
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
