"""Results of fine-tuning made up for tests."""

from dataclasses import replace

import numpy as np
import pandas as pd

from molrate.benchmarking.read import DatasetOutcome


def outcome(name, truth, families=None, kinds=None, **predictors):
    """Results of one seed."""
    n, truth = len(truth), np.asarray(truth, dtype=float)[:, None]
    return DatasetOutcome(
        name=name,
        metric="auroc",
        encoders=[f"e{number}" for number in range(n)],
        families=families or ["f"] * n,
        kinds=kinds or ["pretrained"] * n,
        seeds=[0],
        truth=truth,
        validation=truth,
        skill=truth[:, 0],
        predictors={key: np.asarray(value, dtype=float) for key, value in predictors.items()},
        references={},
        seconds=1.0,
        variants=pd.DataFrame(),
        expected=pd.DataFrame(),
    )


def repeated(truth, validation=None, **predictors):
    """Results of several seeds, the columns of `truth`."""
    truth = np.asarray(truth, dtype=float)
    validation = truth if validation is None else np.asarray(validation, dtype=float)
    seeds = list(range(truth.shape[1]))
    first = outcome("a", truth[:, 0], x=truth[:, 0], **predictors)
    return replace(first, truth=truth, validation=validation, seeds=seeds)
