"""A study: real fine-tunings beside scores, run into a folder, read, compared and drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from molrate.benchmarking.comparison import (
    DEFAULT_REFERENCE,
    Evaluation,
    agreement_of_halves,
    leave_out,
)
from molrate.benchmarking.comparison import evaluate as evaluate_outcomes
from molrate.benchmarking.curves import time_table
from molrate.benchmarking.read import DatasetOutcome, read_results
from molrate.errors import UsageError
from molrate.finetuning.config import DEFAULTS, FinetuningConfig

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

    def plot(self, predictors: Sequence[str] = ("transrate", "logme", "ridge")) -> Figure:
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
        which nobody can say.

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


def benchmark(
    datasets: Sequence[str],
    encoders: Sequence[str],
    output: str | Path,
    *,
    target: Sequence[str] | None = None,
    splits: Sequence[str] = ("random",),
    seeds: Iterable[int] = (0, 1, 2),
    measures: Sequence[str] = ("all",),
    learning_rates: Sequence[float] = DEFAULTS.learning_rates,
    weight_decays: Sequence[float] = DEFAULTS.weight_decays,
    n_epochs: int | None = DEFAULTS.n_epochs,
    patience: int = DEFAULTS.patience,
    metric: str | None = DEFAULTS.metric,
    batch_size: int = DEFAULTS.batch_size,
    class_weights: str = DEFAULTS.class_weights,
    training_precision: str = DEFAULTS.training_precision,
    jobs: int = 1,
    device: str = "auto",
    part: str = "all",
    positive: str | None = None,
    censored: str | None = None,
) -> pd.DataFrame:
    """Fine-tune every encoder on every dataset, and score it on the same training molecules.

    Parameters
    ----------
    datasets, encoders : sequence of str
    output : str or pathlib.Path
        Folder of results; what it has already is not done again.
    target : sequence of str, optional
        Columns of tables to predict.
    splits : sequence of {"random", "scaffold"}
    seeds : iterable of int
    measures : sequence of str
    learning_rates, weight_decays : sequence of float
        Every pair is tried.
    n_epochs : int, optional
        By default as many as the size of the training part asks for, see docs/finetuning.md.
    patience : int
    metric : str, optional
        What validation chooses by in place of the loss: rmse, mae, r2, auroc, auprc, mcc, balanced_accuracy
        or accuracy.
    batch_size : int
    class_weights : {"none", "balanced"}
    training_precision : {"fp32", "bf16", "fp16"}
        As for :func:`molrate.finetune`, by default too.
    jobs : int
        Fine-tunings at a time, each on one core.
    device : str
    part : {"all", "scores", "finetuning"}
        Do only the one, where the other is done elsewhere.
    positive, censored : str, optional
        As for :func:`molrate.score`.

    Returns
    -------
    pandas.DataFrame
        A row for each dataset, split, seed and encoder in the folder.

    Raises
    ------
    UsageError
        If names are unknown, or the folder holds cells with other tables, weights or settings.
    InputError
        If a dataset or the folder cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> quick = {"seeds": [0], "n_epochs": 1, "learning_rates": [1e-3], "measures": ["transrate"]}
    >>> rows = benchmark(["freesolv"], ["ecfp4"], tempfile.mkdtemp(), **quick)
    >>> rows["encoder"].tolist()
    ['ecfp4']
    """
    from molrate.benchmarking.cells import FINETUNING, Rows
    from molrate.benchmarking.run import run_benchmark

    if isinstance(datasets, str) or isinstance(encoders, str):
        raise UsageError("datasets and encoders take a sequence of names; put the one name into a list")
    config = FinetuningConfig(
        learning_rates=tuple(learning_rates),
        weight_decays=tuple(weight_decays),
        n_epochs=n_epochs,
        patience=patience,
        metric=metric,
        batch_size=batch_size,
        class_weights=class_weights,
        training_precision=training_precision,
    )
    for _ in run_benchmark(
        datasets,
        encoders,
        output,
        config,
        target=target,
        splits=splits,
        seeds=seeds,
        measures=measures,
        n_jobs=jobs,
        device=device,
        part=part,
        positive=positive,
        censored=censored,
    ):
        pass
    return Rows(Path(output) / FINETUNING).frame()
