"""``molrate screen``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from molrate.cli.options import (
    coverage_option,
    device_option,
    encoder_option,
    examples,
    is_quiet,
    logging_options,
    model_option,
    output_option,
    refuse_given,
    seed_option,
    settings_options,
    smiles_column_option,
    target_options,
    was_given,
    weights_option,
)
from molrate.cli.report import check_report, repeated, report_options, write_page
from molrate.cli.streaming import STREAMED, LibraryOptions, Streaming, library_options

if TYPE_CHECKING:
    import pandas as pd

    from molrate.data.datasets import Dataset
    from molrate.data.policy import RowPolicy
    from molrate.embedding.settings import EmbeddingSettings
    from molrate.screening.enrichment import Enrichment
    from molrate.screening.hits import Hits

BEST = "best"
_FOR_TRAINING = ("train_smiles_column", "target", "task", "censored", "weights", "seed", "budget")
"""Options of the table that a model is fitted to."""
_FOR_LINEAR = ("weights", "layer", "pooling", "precision")
"""Options of the linear model, which a selection has no use for."""

_EXAMPLES = examples(
    "molrate screen library.smi.gz -m model/ -o hits/ --top 1000",
    "molrate screen libraries/ --train my.csv -t logP -o hits/",
    "molrate screen library.smi --train my.csv -t logP -e ecfp4 -o hits/",
    "molrate screen - --input-format smi -m model/ -o - < library.smi",
)


@click.command("screen", short_help="Predict libraries of any size with a model.", epilog=_EXAMPLES)
@click.argument("library", nargs=-1, required=True)
@model_option(required=False)
@click.option(
    "--train",
    metavar="TABLE",
    help="Fit a linear model to this table on the spot, in place of --model. --target, --task, --censored, "
    "--encoder, --weights, --seed and the settings from --layer to --precision are about it.",
)
@click.option(
    "--train-smiles-column",
    metavar="NAME",
    help="Read SMILES of the table of --train from this column. By default it is that of --smiles-column, "
    "where the table has it, or found by its usual names.",
)
@target_options()
@encoder_option(
    "encoder",
    "Fit the model on this encoder; best ranks all that are available offline for the table first",
    default=BEST,
    show_default=True,
)
@click.option(
    "--budget",
    metavar="TIME",
    help="Find the model for --train within this time, such as 20m, as molrate select does, in place of the "
    "linear model.",
)
@weights_option()
@settings_options(of_model=True)
@output_option(
    "Write into this folder of parts, named without an ending, into FILE.csv or .csv.gz, or as CSV to "
    "standard output (-).",
    "OUT",
)
@click.option(
    "--top", type=click.IntRange(1), metavar="N", help="Write the N best rows into top.csv as well."
)
@click.option(
    "--min-similarity",
    type=click.FloatRange(0, 1),
    metavar="T",
    help="Leave molecules out of --top whose nearest training molecule is less similar (Tanimoto, ECFP4).",
)
@click.option(
    "--lower-is-better", is_flag=True, help="Take lower predictions for better, in --top and enrichment."
)
@click.option(
    "--label-column",
    metavar="NAME",
    help="Read known activities (1 or 0) from this column of the library, and write enrichment.json and the "
    "curves as well.",
)
@coverage_option()
@smiles_column_option()
@library_options
@seed_option()
@device_option()
@report_options(
    ", and with --budget the molecules of --train out of the model's folder; predictions then have no "
    "similarity to them"
)
@logging_options
def command(
    library: tuple[str, ...],
    model: Path | None,
    train: str | None,
    train_smiles_column: str | None,
    target: tuple[str, ...],
    task: str | None,
    positive: str | None,
    censored: str | None,
    encoder: str,
    budget: str | None,
    weights: Path | None,
    settings: dict[str, str | None],
    output: str,
    top: int | None,
    min_similarity: float | None,
    lower_is_better: bool,
    label_column: str | None,
    coverage: float,
    smiles_column: str | None,
    seed: int,
    device: str,
    report: str | None,
    no_structures: bool,
    options: LibraryOptions,
) -> None:
    """Predict every molecule of LIBRARY: csv, tsv, smi, sdf, also as .gz, .bz2, .zst, .zip; parquet; xlsx;
    folders, globs, or -.

    The output has one row per input row, in order: source, row, id, smiles, canonical_smiles, predictions
    with their bounds or the classes that cannot be excluded, similarity to the nearest training molecule,
    status, error, and a note of what was lost. A run into a folder that was stopped goes on with --resume. A
    model keeps its encoder and settings: they are refused with --model if they are others.
    """
    from molrate.data.datasets import load_dataset
    from molrate.embedding.embed import choose_device
    from molrate.files.locks import exclusive, exclusive_file
    from molrate.files.output import choose_destination
    from molrate.models.settings import GivenSettings
    from molrate.screening.hits import Hits, check_training
    from molrate.screening.parts import check_place
    from molrate.screening.stage import ScreeningStage

    destination = choose_destination(output, STREAMED, folder=True, stdout=True)
    into_folder = destination.kind == "folder"
    # With a budget it is about the model as well.
    page = check_report(report, "no_structures" if budget is None else None)
    _refuse_contradictions(model is None, train is None, top is None, min_similarity is None)
    if not into_folder and any(option is not None for option in (train, top, label_column, report)):
        raise click.UsageError(
            "--train, --top, --label-column and --report go by a folder of predictions; name a folder with -o"
        )
    library_files = options.find(library, output, smiles_column=smiles_column, label_column=label_column)
    streaming = Streaming(options, output)
    click.get_current_context().with_resource(exclusive_file(destination.file))
    if into_folder:
        click.get_current_context().with_resource(exclusive(Path(output)))
        check_place(Path(output), options.resume)
    if top is None and label_column is None and report is None:
        _refuse_order(lower_is_better, positive is not None and train is None)
    ranks = top is not None or label_column is not None or lower_is_better
    given = GivenSettings(None if encoder == BEST else encoder, **settings)
    if train is not None:
        smiles = train_smiles_column or _column_of_both(train, smiles_column)
        option = "--train-smiles-column"
        dataset = load_dataset(train, target or None, smiles, task, positive, censored, smiles_option=option)
        check_training(dataset, positive, ranks)
        policy, embedding = given.complete(seed, device, options.max_atoms)
        if budget is None:
            model = _fit(Path(output), dataset, given.encoder, policy, embedding, weights)
        else:
            kept = {"improve": not options.resume, "structures": not no_structures}
            model = _select(Path(output), dataset, given.encoder, policy, embedding, budget, **kept)
    stage = ScreeningStage(str(model), coverage, choose_device(device), options.max_atoms)
    stage.model.note_coverage(coverage)
    if train is None:
        stage.model.refuse_others(given)
    # What is sought of the table is remembered by its model, whether or not it ranks.
    ranking = stage.order_by(positive) if ranks or (train is None and positive is not None) else None
    if not into_folder:
        streaming.run(library_files, stage)
        return
    parts, summary = streaming.into_folder(library_files, stage)
    hits = None if ranking is None else Hits(parts, ranking, summary)
    best = None if top is None else _report_top(hits, top, lower_is_better, min_similarity)
    enrichment = None if label_column is None else _report_enrichment(hits, lower_is_better)
    if page is not None:
        order = "" if ranking is None else ranking.describe(lower_is_better)
        screened = parts, summary, stage.model, best, order, enrichment
        _report(screened, library, page, structures=not no_structures)
    streaming.tell(summary)


def _report(screened: tuple[Any, ...], library: Sequence[str], path: Path, *, structures: bool) -> None:
    """Write the page of what :class:`molrate.report.screening.Screened` has."""
    from molrate.report.screening import Screened, screening_page

    name = ", ".join(Path(one).name for one in library)
    write_page(screening_page(Screened(*screened), name, command=repeated(), structures=structures), path)


def _column_of_both(train: str, column: str | None) -> str | None:
    """The library's column of SMILES, where the table to train on is a file and has it too."""
    from molrate.files.tables import has_column

    return column if column is not None and Path(train).is_file() and has_column(train, column) else None


def _refuse_contradictions(no_model: bool, no_train: bool, no_top: bool, no_similarity: bool) -> None:
    if no_model == no_train:
        raise click.UsageError("say what predicts: either --model FOLDER or --train TABLE with --target")
    if no_train:
        refuse_given(_FOR_TRAINING, "goes with --train; a model has learned already")
    if was_given("budget"):
        refuse_given(_FOR_LINEAR, "is for the linear model; --budget tries models as molrate select does")
    if no_top and not no_similarity:
        raise click.UsageError("--min-similarity is for --top; every row has its similarity")


def _refuse_order(lower_is_better: bool, only_positive: bool) -> None:
    """Refuse options about what comes first where nothing is ranked; --train has a use for --positive."""
    if lower_is_better:
        raise click.UsageError(
            "--lower-is-better says what comes first, and nothing is ranked: it goes with --top, "
            "--label-column or --report"
        )
    if only_positive:
        raise click.UsageError(
            "--positive says which class comes first, and nothing is ranked: it goes with --top, "
            "--label-column or --report, or with --train"
        )


def _report_top(hits: Hits | None, n: int, smallest: bool, min_similarity: float | None) -> pd.DataFrame:
    from molrate.screening.hits import TOP
    from molrate.screening.screen import top_notes

    # Options that need an order have made one.
    assert hits is not None
    best = hits.write_top(n, smallest, min_similarity)
    if not is_quiet():
        click.echo(f"{TOP}: {len(best)} rows of {hits.ranking.describe(smallest)}", err=True)
        for line in top_notes(best, n, min_similarity):
            click.echo(f"{TOP}: {line}", err=True)
    return best


def _report_enrichment(hits: Hits | None, smallest: bool) -> Enrichment:
    assert hits is not None
    enrichment = hits.write_enrichment(smallest)
    if not is_quiet():
        click.echo(f"{hits.ranking.describe(smallest)}: {enrichment.describe()}", err=True)
    return enrichment


def _fit(
    output: Path,
    dataset: Dataset,
    encoder: str | None,
    policy: RowPolicy,
    embedding: EmbeddingSettings,
    weights: Path | None,
) -> Path:
    """The folder of a model fitted to a table, by the encoder and layer ranked first if none is named."""
    from molrate.models.linear import describe
    from molrate.screening.hits import fit_on_the_spot
    from molrate.screening.parts import MODEL_FOLDER

    folder = output / MODEL_FOLDER
    record, ranking = fit_on_the_spot(dataset, encoder, folder, policy, embedding, weights)
    if ranking is not None and not is_quiet():
        click.echo(f"{ranking}\n", err=True)
    if record is not None and not is_quiet():
        click.echo(describe(record), err=True)
    return folder


def _select(
    output: Path,
    dataset: Dataset,
    encoder: str | None,
    policy: RowPolicy,
    embedding: EmbeddingSettings,
    budget: str,
    *,
    improve: bool,
    structures: bool,
) -> Path:
    """The folder of the best model that a time proves; a run that goes on keeps the model it has."""
    from molrate.cli.select import describe
    from molrate.screening.parts import MODEL_FOLDER
    from molrate.selection.select import select

    folder = output / MODEL_FOLDER
    found = select(
        dataset,
        output=folder,
        budget=budget,
        improve=improve,
        structures=structures,
        encoders=None if encoder is None else [encoder],
        standardisation=policy.standardisation,
        duplicates=policy.duplicates,
        on_invalid=policy.on_invalid,
        max_atoms=policy.max_atoms,
        seed=embedding.seed,
        device=embedding.device,
    )
    if not is_quiet():
        click.echo(describe(found, sys.stderr), err=True)
    return folder
