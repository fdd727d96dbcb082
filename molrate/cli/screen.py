"""``molrate screen``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from molrate.cli.main import logging_options, set_up_logging, target_options
from molrate.cli.streaming import STREAMED, LibraryOptions, Streaming, library_options

if TYPE_CHECKING:
    from molrate.data.datasets import Dataset
    from molrate.screening.hits import Hits

BEST = "best"


@click.command("screen", short_help="Predict libraries of any size with a model.")
@click.argument("library", nargs=-1, required=True)
@click.option(
    "-m", "--model", type=click.Path(path_type=Path), metavar="FOLDER", help="Written by molrate finetune."
)
@click.option("--train", metavar="TABLE", help="In place of a model: fit one to this table on the spot.")
@click.option("-t", "--target", multiple=True, metavar="COLUMN", help="Of --train; what to predict.")
@click.option("--task", type=click.Choice(["classification", "regression"]), help="Of --train.")
@target_options
@click.option(
    "-e",
    "--encoder",
    default="best",
    show_default=True,
    metavar="NAME",
    help="Of --train; best ranks all that are available offline for the table first.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="A folder of parts, named without an ending; FILE.csv or .csv.gz; or - for CSV as it comes.",
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Also write the N best rows into top.csv.")
@click.option(
    "--min-similarity",
    type=click.FloatRange(0, 1),
    metavar="T",
    help="Leave molecules out of --top whose nearest training molecule is less similar (Tanimoto, ECFP4).",
)
@click.option(
    "--lower-is-better", is_flag=True, help="Lower predictions are better, for --top and enrichment."
)
@click.option(
    "--label-column",
    metavar="NAME",
    help="Known activities in the library (1 or 0): also write enrichment.json and the curves.",
)
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Share of true values that bounds are to hold.",
)
@click.option("--smiles-column", metavar="NAME", help="Of the library; found by its usual names.")
@click.option("--seed", default=0, show_default=True, help="Of --train; draws folds and permutations.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@library_options
@logging_options
def command(
    library: tuple[str, ...],
    model: Path | None,
    train: str | None,
    target: tuple[str, ...],
    task: str | None,
    positive: str | None,
    censored: str | None,
    encoder: str,
    output: str,
    top: int | None,
    min_similarity: float | None,
    lower_is_better: bool,
    label_column: str | None,
    coverage: float,
    smiles_column: str | None,
    seed: int,
    device: str,
    options: LibraryOptions,
    quiet: bool,
    verbose: bool,
) -> None:
    """Predict every molecule of LIBRARY: csv, tsv, smi, sdf, also as .gz, .bz2, .zst, .zip; parquet; xlsx;
    folders, globs, or -.

    The output has one row per input row, in order: source, row, id, smiles, canonical_smiles, predictions
    with their bounds or the classes that cannot be excluded, similarity to the nearest training molecule,
    status, error, and a note of what was lost. A run into a folder that was stopped goes on with --resume.
    """
    set_up_logging(quiet, verbose)
    from molrate.data.datasets import load_dataset
    from molrate.embedding.embed import choose_device
    from molrate.files.locks import exclusive
    from molrate.files.output import choose_destination
    from molrate.screening.hits import Hits, check_training
    from molrate.screening.parts import check_place
    from molrate.screening.stage import ScreeningStage

    destination = choose_destination(output, STREAMED, folder=True, stdout=True)
    into_folder = destination.kind == "folder"
    _refuse_contradictions(
        model is None, train is None, censored is None, top is None, min_similarity is None
    )
    if not into_folder and any(option is not None for option in (train, top, label_column)):
        raise click.UsageError(
            "--train, --top and --label-column write files beside the predictions; name a folder with -o"
        )
    library_files = options.find(library, output, smiles_column=smiles_column, label_column=label_column)
    streaming = Streaming(options, output, quiet)
    if into_folder:
        click.get_current_context().with_resource(exclusive(Path(output)))
        check_place(Path(output), options.resume)
    ranks = top is not None or label_column is not None or lower_is_better
    if train is not None:
        dataset = load_dataset(train, target or None, task=task, positive=positive, censored=censored)
        check_training(dataset, positive, ranks)
        model = _fit(Path(output), quiet, dataset, encoder, seed)
    stage = ScreeningStage(str(model), coverage, choose_device(device), options.max_atoms)
    ranking = stage.order_by(positive) if ranks or positive is not None else None
    if not into_folder:
        streaming.run(library_files, stage)
        return
    parts, summary = streaming.into_folder(library_files, stage)
    if ranking is not None:
        hits = Hits(parts, ranking, summary)
        if top is not None:
            _report_top(hits, top, lower_is_better, min_similarity, quiet)
        if label_column is not None:
            _report_enrichment(hits, lower_is_better, quiet)
    streaming.tell(summary)


def _refuse_contradictions(
    no_model: bool, no_train: bool, no_censored: bool, no_top: bool, no_similarity: bool
) -> None:
    if no_model == no_train:
        raise click.UsageError("say what predicts: either --model FOLDER or --train TABLE with --target")
    if no_train and not no_censored:
        raise click.UsageError("--censored goes with --train, whose values it is about")
    if no_top and not no_similarity:
        raise click.UsageError("--min-similarity is for --top; every row has its similarity")


def _report_top(hits: Hits, n: int, smallest: bool, min_similarity: float | None, quiet: bool) -> None:
    from molrate.screening.hits import TOP
    from molrate.screening.screen import top_notes

    best = hits.write_top(n, smallest, min_similarity)
    if not quiet:
        click.echo(f"{TOP}: {len(best)} rows of {hits.ranking.describe(smallest)}", err=True)
        for line in top_notes(best, n, min_similarity):
            click.echo(f"{TOP}: {line}", err=True)


def _report_enrichment(hits: Hits, smallest: bool, quiet: bool) -> None:
    enrichment = hits.write_enrichment(smallest)
    if not quiet:
        click.echo(f"{hits.ranking.describe(smallest)}: {enrichment.describe()}", err=True)


def _fit(output: Path, quiet: bool, dataset: Dataset, encoder: str, seed: int) -> Path:
    """The folder of a model fitted to a table, by the encoder and layer ranked first if none is named."""
    from molrate.models.linear import describe
    from molrate.screening.hits import fit_on_the_spot
    from molrate.screening.parts import MODEL_FOLDER

    folder = output / MODEL_FOLDER
    record, ranking = fit_on_the_spot(dataset, None if encoder == BEST else encoder, folder, seed)
    if ranking is not None and not quiet:
        click.echo(f"{ranking}\n", err=True)
    if record is not None and not quiet:
        click.echo(describe(record), err=True)
    return folder
