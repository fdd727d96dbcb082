"""A screened library in a folder: all rows, the best of them, and the enrichment of known activities."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from molrate.data.datasets import Dataset, as_dataset
from molrate.data.policy import RowPolicy
from molrate.data.targets import check_targets
from molrate.embedding.embed import choose_device
from molrate.embedding.settings import EmbeddingSettings
from molrate.encoders.base import load_encoder
from molrate.errors import UsageError
from molrate.files.library import Library
from molrate.files.locks import exclusive
from molrate.files.output import write_atomically
from molrate.models.head import RankingColumn, Task
from molrate.models.linear import fit_model, fitted_before
from molrate.models.model import TunedModel
from molrate.models.settings import GivenSettings
from molrate.ranking.score import rank_dataset
from molrate.ranking.settings import MeasureSettings
from molrate.screening.enrichment import Enrichment, curves, known_activities, measure_enrichment
from molrate.screening.local_workers import run_locally
from molrate.screening.parts import MODEL_FOLDER, PartFolder, check_place
from molrate.screening.screen import CHUNK_SIZE, Summary, run_into_folder, top_rows
from molrate.screening.stage import ScreeningStage
from molrate.statistics.threads import count_cores

if TYPE_CHECKING:
    from molrate.ranking.ranking import Ranking

TOP, ENRICHMENT = "top.csv", "enrichment.json"


@dataclass(frozen=True)
class Hits:
    """A library that was screened into a folder.

    Attributes
    ----------
    parts : PartFolder
    ranking : RankingColumn
        Column that molecules are ranked by.
    summary : Summary
        How many rows there are, by status.
    """

    parts: PartFolder
    ranking: RankingColumn
    summary: Summary

    @property
    def frame(self) -> pd.DataFrame:
        """All rows in order: for libraries that fit into memory."""
        return pd.concat(list(self.parts.tables()), ignore_index=True)

    def top(self, n: int, lower_is_better: bool = False, min_similarity: float | None = None) -> pd.DataFrame:
        """The best rows.

        Parameters
        ----------
        n : int
        lower_is_better : bool
            Whether lower predictions are better.
        min_similarity : float, optional
            Leave out rows that are less similar to every training molecule.
        """
        smallest = lower_is_better != self.ranking.reverse
        return top_rows(self.parts, self.ranking.name, n, smallest, min_similarity)

    def enrichment(self, lower_is_better: bool = False) -> tuple[Enrichment, dict[str, pd.DataFrame]]:
        """How far known actives come first, and the curves of it by name.

        Raises
        ------
        InputError
            If rows have no label, or all have one activity.
        """
        smallest = lower_is_better != self.ranking.reverse
        scores, active = known_activities(self.parts.tables(), self.ranking)
        return measure_enrichment(scores, active, smallest), curves(scores, active, smallest)

    def write_top(self, n: int, lower_is_better: bool, min_similarity: float | None) -> pd.DataFrame:
        """Write the best rows beside the parts, and return them."""
        best = self.top(n, lower_is_better, min_similarity)
        write_atomically(self.parts.path / TOP, best.to_csv(index=False).encode())
        return best

    def write_enrichment(self, lower_is_better: bool) -> Enrichment:
        """Write enrichment and its curves beside the parts, and return it."""
        enrichment, points_by_name = self.enrichment(lower_is_better)
        order = {
            "column": self.ranking.name,
            "active": self.ranking.positive,
            "lowest_first": lower_is_better != self.ranking.reverse,
        }
        content = json.dumps({**order, **enrichment.record()}, indent=2) + "\n"
        write_atomically(self.parts.path / ENRICHMENT, content.encode())
        for name, points in points_by_name.items():
            write_atomically(self.parts.path / f"{name}.csv", points.to_csv(index=False).encode())
        return enrichment


def check_training(dataset: Dataset, positive: str | None, ranks: bool) -> None:
    """Refuse a table that no model for ranking could be fitted to, before the work of fitting.

    Raises
    ------
    UsageError
        If molecules are to be ranked, and no class is known to be sought.
    InputError
        If a target cannot be learned from.
    """
    check_targets(dataset.targets)
    if ranks:
        Task.of(dataset.targets).order_by(positive)


def fit_on_the_spot(
    dataset: Dataset,
    encoder: str | None,
    folder: Path,
    policy: RowPolicy | None = None,
    embedding: EmbeddingSettings | None = None,
    weights: str | Path | None = None,
) -> tuple[dict[str, Any] | None, Ranking | None]:
    """Fit a linear model on an encoder's embedding, unless the folder has it.

    Parameters
    ----------
    dataset : Dataset
    encoder : str, optional
        The one ranked first, by its layer ranked first, if not given.
    folder : pathlib.Path
    policy : RowPolicy, optional
        How rows of the table become molecules.
    embedding : EmbeddingSettings, optional
        How molecules become vectors; ``all`` layers are for an encoder that is ranked first.
    weights : str or pathlib.Path, optional
        Checkpoint of the encoder that is named.

    Returns
    -------
    record : dict, optional
        Of the model; None where the folder had it.
    ranking : Ranking, optional
        Where one was made.

    Raises
    ------
    UsageError
        If the folder holds another model, or weights are given and no encoder.
    """
    policy, embedding = policy or RowPolicy(), embedding or EmbeddingSettings()
    if encoder is None and weights is not None:
        raise UsageError("--weights needs the --encoder whose architecture it has")
    if fitted_before(folder, dataset, encoder, policy, embedding, weights):
        return None, None
    ranking, ranked = None, None
    if encoder is None:
        ranking, ranked = rank_dataset(dataset, None, policy, embedding, MeasureSettings()), embedding.layer
        encoder = str(ranking.best["encoder"])
        embedding = replace(embedding, layer=str(ranking.best["layer"]))
    loaded = load_encoder(encoder, weights, embedding.seed, embedding.precision)
    record = fit_model(dataset, loaded, folder, policy=policy, embedding=embedding, ranked=ranked)
    return record, ranking


def screen(
    library: str | Path | Sequence[str | Path],
    model: str | Path | TunedModel | None = None,
    output: str | Path = "hits",
    *,
    train: Any = None,
    target: Any = None,
    smiles: str | None = None,
    task: str | None = None,
    positive: str | None = None,
    censored: str | None = None,
    encoder: str | None = None,
    weights: str | Path | None = None,
    layer: str | None = None,
    pooling: str | None = None,
    standardisation: str | None = None,
    duplicates: str | None = None,
    precision: str | None = None,
    coverage: float = 0.9,
    label_column: str | None = None,
    id_column: str | None = None,
    smiles_column: str | None = None,
    max_atoms: int = 1000,
    chunk_size: int = CHUNK_SIZE,
    jobs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
) -> Hits:
    r"""Predict every molecule of a library of any size, into a folder of parts.

    Parameters
    ----------
    library : str, pathlib.Path or sequence of them
        Files, folders and globs.
    model : str, pathlib.Path or TunedModel, optional
        A model of :func:`molrate.finetune`, or its folder; or give `train`.
    output : str or pathlib.Path
        Folder that receives the parts.
    train, target, smiles, task, censored
        A table to fit a linear model to, as for :func:`molrate.score`, in place of `model`.
    positive : str, optional
        The class that is sought.
    encoder : str, optional
        For `train`; the one ranked first if not given.
    weights : str or pathlib.Path, optional
        For `train` and `encoder`.
    layer, pooling, standardisation, duplicates, precision : str, optional
        For `train`, as for :func:`molrate.score`. A model keeps its own; others are refused.
    coverage : float
        Share of molecules that bounds and label sets are to cover.
    label_column, id_column, smiles_column : str, optional
        Columns of the library: known activities, identifiers, SMILES.
    max_atoms : int
        Larger molecules are unsupported.
    chunk_size : int
        Rows of a part.
    jobs : int, optional
        Processes, each with a model of its own; one a core by default.
    seed : int
    device : str
    resume : bool
        Go on where the same call was stopped.

    Returns
    -------
    Hits

    Raises
    ------
    UsageError, InputError, WeightsError
        If library, model or folder cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> _ = Path(folder, "l.smi").write_text("CCO a\\nCCCCO b\\n")
    >>> hits = screen(f"{folder}/l.smi", output=f"{folder}/hits", train="freesolv", encoder="ecfp4", jobs=1)
    >>> len(hits.top(2))
    2
    """
    if (model is None) == (train is None):
        raise UsageError("say what predicts: either --model, or --train with --target")
    given = GivenSettings(encoder, layer, pooling, standardisation, duplicates, precision)
    names = [str(name) for name in ([library] if isinstance(library, str | Path) else library)]
    folder = Path(output)
    files = Library.find(
        names, output=folder, smiles_column=smiles_column, id_column=id_column, label_column=label_column
    )
    with exclusive(folder):
        check_place(folder, resume)
        if train is not None:
            dataset = as_dataset(train, target, smiles, task, positive, censored)
            check_training(dataset, positive, ranks=True)
            model = folder / MODEL_FOLDER
            policy, embedding = given.complete(seed, device, max_atoms)
            fit_on_the_spot(dataset, encoder, model, policy, embedding, weights)
        elif isinstance(model, TunedModel):
            if model.folder is None:
                raise UsageError("this model is in memory only; give its folder (--model)")
            model = model.folder
        stage = ScreeningStage(str(model), coverage, choose_device(device), max_atoms)
        stage.model.note_coverage(coverage)
        if train is None:
            stage.model.refuse_others(given)
        ranking = stage.order_by(positive)
        n_jobs = jobs or (count_cores() if stage.device == "cpu" else 1)
        parts, summary = run_into_folder(
            files,
            stage,
            folder,
            chunk_size=chunk_size,
            engine=lambda chunks, stage, suffix: run_locally(chunks, stage, suffix, n_jobs=n_jobs),
            resume=resume,
        )
    return Hits(parts, ranking, summary)
