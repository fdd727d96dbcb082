"""A study: real fine-tunings beside scores, read from a folder, compared and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from molrate.benchmarking.comparison import DEFAULT_REFERENCE, Evaluation
from molrate.benchmarking.comparison import evaluate as evaluate_outcomes
from molrate.benchmarking.curves import time_table
from molrate.benchmarking.read import DatasetOutcome, read_results
from molrate.benchmarking.subsets import leave_out
from molrate.benchmarking.truth import agreement_of_halves

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Study:
    """How well every predictor agreed with fine-tuning.

    Attributes
    ----------
    evaluation : Evaluation
    outcomes : list of DatasetOutcome
        What fine-tuning and predictors gave, by dataset.
    """

    evaluation: Evaluation
    outcomes: list[DatasetOutcome]

    def datasets(self) -> pd.DataFrame:
        """One row for each dataset: encoders, seeds, the best encoder, and how far seed halves agree."""
        return pd.DataFrame(
            {
                "dataset": [outcome.name for outcome in self.outcomes],
                "encoders": [len(outcome.encoders) for outcome in self.outcomes],
                "seeds": [len(outcome.seeds) for outcome in self.outcomes],
                "best, fine-tuned": [
                    outcome.encoders[int(outcome.mean_truth.argmax())] for outcome in self.outcomes
                ],
                "metric": [outcome.metric for outcome in self.outcomes],
                "its value": [abs(float(outcome.mean_truth.max())) for outcome in self.outcomes],
                "tau of seed halves": [agreement_of_halves(outcome) for outcome in self.outcomes],
            }
        )

    def means(self) -> pd.DataFrame:
        """Means over datasets by predictor, the best weighted tau first."""
        return self.evaluation.means()

    def by_dataset(self, metric: str = "weighted tau") -> pd.DataFrame:
        """A metric by predictor and dataset."""
        return self.evaluation.by_dataset(metric)

    def leave_out(self, predictor: str, by: str = "families") -> pd.DataFrame:
        """A predictor's agreement without each family, encoder or dataset in turn."""
        return leave_out(self.outcomes, predictor, by)

    def times(self, measure: str = DEFAULT_REFERENCE) -> pd.DataFrame:
        """What fine-tuning and a measure cost, by dataset."""
        return time_table(self.outcomes, measure)

    def plot(self, predictors: Sequence[str] = ("logme", "transrate", "loo")) -> Figure:
        """Scores against fine-tuned performance, a panel for each predictor and dataset."""
        from molrate.benchmarking.figure import make_panels

        return make_panels(self.outcomes, list(predictors))

    def plot_curves(self) -> Figure:
        """Agreement with fewer molecules and with other distortions."""
        from molrate.benchmarking.figure import make_curves

        return make_curves(self.outcomes)


def evaluate(
    folder: str | Path | None = None,
    datasets: Sequence[str] = (),
    split: str = "random",
    reference: str = DEFAULT_REFERENCE,
    seed: int = 0,
    exclude_contaminated: bool = False,
) -> Study:
    """Compare every predictor with what fine-tuning gave.

    Parameters
    ----------
    folder : str or pathlib.Path, optional
        Results of :func:`benchmark`; the study that ships with molrate if not given.
    datasets : sequence of str
        All if empty.
    split : {"random", "scaffold"}
    reference : str
        Predictor with which the others are compared.
    seed : int
        Draws the bootstrap.
    exclude_contaminated : bool
        Leave out of each dataset the encoders whose cards say that they have seen its labels, and those of
        which nobody can say. Of the study that ships they are always left out, as in its published tables.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        If there is nothing to evaluate.

    Examples
    --------
    >>> study = evaluate(datasets=["freesolv"])
    >>> study.datasets()["dataset"].tolist()
    ['freesolv']
    """
    outcomes = read_results(folder, datasets, split, exclude_contaminated)
    return Study(evaluate_outcomes(outcomes, reference, seed), outcomes)
