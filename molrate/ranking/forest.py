"""What a random forest gets wrong of molecules that it has not seen: what one fits to descriptors."""

from __future__ import annotations

import numpy as np

from molrate.measures.leave_one_out import MOST_ROWS
from molrate.measures.residuals import Residuals, residuals_of, sums_of_groups
from molrate.measures.sample import Sample
from molrate.measures.tangent import label_columns

FOREST = "forest"
_N_TREES = 100
_MOST_COLUMNS = 100
"""Features that a split of a tree chooses among: of thousands, more cost time and gain nothing."""


def forest_residuals(sample: Sample) -> Residuals:
    """Errors of out-of-bag predictions, on the rows that ``loo`` judges.

    A tree is grown on molecules drawn with replacement, and a molecule is predicted by the trees that have
    not drawn it. Rows of one molecule have the same features; they count as one row of their mean label,
    with the weight of all.

    Parameters
    ----------
    sample : Sample

    Returns
    -------
    Residuals

    References
    ----------
    Breiman, Random forests, Machine Learning 45, 2001, section 3.1.
    """
    from sklearn.ensemble import RandomForestRegressor

    judged = sample.at_most(MOST_ROWS)
    resampling, labels = judged.resampling, label_columns(judged.resampling)
    groups = resampling.groups
    _, first, counts = np.unique(groups, return_index=True, return_counts=True)
    # About the middle and in units of the largest, as splits are chosen by sums of squares.
    middle = labels.mean(axis=0)
    largest = np.abs(labels - middle).max(axis=0)
    numbers = resampling.task == "regression"
    forest = RandomForestRegressor(
        _N_TREES,
        max_features=max(1, min(_MOST_COLUMNS, judged.features.shape[1] // 3)) if numbers else "sqrt",
        oob_score=True,
        random_state=0,
    )
    means = sums_of_groups((labels - middle) / largest, groups) / counts[:, None]
    forest.fit(judged.features[first], means if means.shape[1] > 1 else means[:, 0], counts)
    predictions = forest.oob_prediction_.reshape(means.shape)[groups] * largest + middle
    codes = None if numbers else resampling.codes
    return residuals_of(labels - predictions, labels, groups, codes)
