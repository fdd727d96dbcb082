"""``molrate select`` as a function: from a table to the best model that the time proves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molrate.data.datasets import as_dataset
from molrate.data.policy import RowPolicy
from molrate.data.structures import MAX_ATOMS
from molrate.errors import UsageError
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.data import TrainingData
from molrate.selection.budget import Clock, parse_budget
from molrate.selection.result import Selection
from molrate.selection.run import Watcher, run_selection


def select(
    dataset: Any,
    target: Any = None,
    output: str | Path = "model",
    *,
    budget: str | float | None = None,
    max_jobs: int | None = None,
    improve: bool = True,
    encoders: Sequence[str] | None = None,
    exclude_contaminated: bool = False,
    licence: str | None = None,
    smiles: str | None = None,
    task: str | None = None,
    split: str = "random",
    standardisation: str = "largest-fragment",
    duplicates: str = "keep",
    on_invalid: str = "skip",
    max_atoms: int = MAX_ATOMS,
    n_epochs: int | None = None,
    structures: bool = True,
    seed: int = 0,
    device: str = "auto",
    engine: str = "local",
    address: str | None = None,
    positive: str | None = None,
    censored: str | None = None,
    progress: Watcher | None = None,
) -> Selection:
    """Find the best model for a dataset within a time, or go on where the same call was stopped.

    Parameters
    ----------
    dataset : str, pathlib.Path, Dataset, data frame or sequence
        As of :func:`molrate.score`.
    target : str, sequence of str, or array_like
    output : str or pathlib.Path
        Folder of the model, the leaderboard, the model card and the jobs. Several processes, also of several
        machines, may be given the same one: they share the jobs.
    budget : str or float
        Time, as ``20m``, or in seconds.
    max_jobs : int
        Number of jobs, a candidate on a fold each, in place of a time.
    improve : bool
        Whether a run that ended with its time goes on; else its model is returned.
    encoders : sequence of str, optional
        Rank these; by default all that need no download.
    exclude_contaminated : bool
    licence : str, optional
        Leave out encoders that may have seen the labels, or whose weights have another licence; as of
        :func:`molrate.score`.
    smiles, task, positive, censored : str, optional
    standardisation, duplicates, on_invalid : str
    max_atoms : int
        As of :func:`molrate.score`.
    split : {"random", "scaffold"}
        How the test part is split off: a fifth at random, or whole scaffolds, which may be fewer or more.
        Folds are at random.
    n_epochs : int, optional
        Most passes of a fine-tuning, as of :func:`molrate.finetune`.
    structures : bool
        Whether the folder holds the training molecules, for the similarity of others to them.
    seed : int
    device : str
    engine : {"local", "ray"}
        Do jobs in this process, one after the other, or as tasks on a Ray cluster, as many at a time as it
        has cores, or GPUs where the device is one.
    address : str, optional
        Of a Ray cluster, as ``ray.init`` takes it; one is started on this machine if none is given.
    progress : callable, optional
        Called with an :class:`Update` whenever a job begins or ends.

    Returns
    -------
    Selection

    Raises
    ------
    UsageError
        If options contradict each other, or the folder holds another run.
    InputError
        If the data cannot be learned from, or no model was finished in the time.

    Examples
    --------
    >>> import tempfile
    >>> found = select("freesolv", output=tempfile.mkdtemp() + "/m", encoders=["ecfp4"], max_jobs=2)
    >>> found.leaderboard["model"].tolist()
    ['rdkit-descriptors', 'ecfp4']
    """
    clock = Clock(_limit(budget, max_jobs))
    read = as_dataset(dataset, target, smiles, task, positive, censored)
    data = TrainingData.of(read, split, seed, RowPolicy(standardisation, duplicates, on_invalid, max_atoms))
    config = FinetuningConfig(n_epochs=n_epochs, seed=seed)
    return run_selection(
        data,
        output,
        config,
        clock,
        max_jobs=max_jobs,
        improve=improve,
        encoders=encoders,
        exclude_contaminated=exclude_contaminated,
        licence=licence,
        structures=structures,
        device=device,
        engine=engine,
        address=address,
        progress=progress,
    )


def _limit(budget: str | float | None, max_jobs: int | None) -> float | None:
    """Seconds, or None where jobs are counted.

    Raises
    ------
    UsageError
        If neither or both are given, or one is out of its range.
    """
    if (budget is None) == (max_jobs is None):
        raise UsageError("say when to stop: --budget 20m, or --max-jobs N; one of the two")
    if max_jobs is not None and max_jobs < 1:
        raise UsageError(f"--max-jobs is to be 1 or more, not {max_jobs}")
    if isinstance(budget, str):
        return parse_budget(budget)
    if budget is not None and not budget > 0:
        raise UsageError(f"--budget is to be above zero, not {budget}")
    return budget
