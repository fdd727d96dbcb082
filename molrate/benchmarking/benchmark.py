"""The grid of encoders and datasets, fine-tuned and scored into a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from molrate.benchmarking.cells import FINETUNING, Rows
from molrate.benchmarking.run import run_benchmark
from molrate.errors import UsageError
from molrate.finetuning.config import DEFAULTS, FinetuningConfig


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
    patience: int | None = DEFAULTS.patience,
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
    patience : int, optional
        Epochs without a better one that end training; by default none do.
    metric : str, optional
        What validation chooses by: rmse, mae, r2, auroc, auprc, mcc, balanced_accuracy or accuracy; by
        default the loss of numbers, and auroc of classes.
    batch_size : int
    class_weights : {"none", "balanced"}
    training_precision : {"fp32", "bf16", "fp16"}
        As for :func:`molrate.finetune`, by default too.
    jobs : int
        Fine-tunings at a time, each on one core.
    device : str
    part : {"all", "scores", "variants", "finetuning"}
        Do only the one, where the others are done elsewhere.
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
