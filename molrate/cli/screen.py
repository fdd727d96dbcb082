"""``molrate screen``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from molrate.cli.main import logging_options, set_up_logging
from molrate.cli.streaming import STDOUT, LibraryOptions, Streaming, library_options

if TYPE_CHECKING:
    from molrate.screening.parts import PartFolder

TOP, BEST = "top.csv", "best"


@click.command("screen", short_help="Predict libraries of any size with a model.")
@click.argument("library", nargs=-1, required=True)
@click.option(
    "-m", "--model", type=click.Path(path_type=Path), metavar="FOLDER", help="Written by molrate finetune."
)
@click.option("--train", metavar="TABLE", help="In place of a model: fit one to this table on the spot.")
@click.option("-t", "--target", multiple=True, metavar="COLUMN", help="Of --train; what to predict.")
@click.option("--task", type=click.Choice(["classification", "regression"]), help="Of --train.")
@click.option(
    "-e",
    "--encoder",
    default="best",
    show_default=True,
    metavar="NAME",
    help="Of --train; best ranks all that are available offline for the table first.",
)
@click.option(
    "-o", "--output", required=True, metavar="FOLDER", help="Folder, or - for CSV on standard output."
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Also write the N best rows into top.csv.")
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
    encoder: str,
    output: str,
    top: int | None,
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
    """Predict every molecule of LIBRARY: csv, tsv, smi, sdf, also as .gz; parquet; folders, globs, or -.

    The output has one row per input row, in order: source, row, id, smiles, canonical_smiles, predictions
    with their bounds or the classes that cannot be excluded, similarity to the nearest training molecule,
    status and error. A run into a folder that was stopped goes on with --resume.
    """
    set_up_logging(quiet, verbose)
    from molrate.embedding.embed import choose_device
    from molrate.files.locks import exclusive
    from molrate.files.output import write_atomically
    from molrate.screening.parts import check_place
    from molrate.screening.screen import top_rows
    from molrate.screening.stage import ScreeningStage

    if (model is None) == (train is None):
        raise click.UsageError("say what predicts: either --model FOLDER or --train TABLE with --target")
    if output == STDOUT and any(option is not None for option in (train, top, label_column)):
        raise click.UsageError(
            "--train, --top and --label-column write files beside the predictions; name a folder with -o"
        )
    found = options.find(library, output, smiles_column=smiles_column, label_column=label_column)
    streaming = Streaming(options, output, quiet)
    if output != STDOUT:
        click.get_current_context().with_resource(exclusive(Path(output)))
        check_place(Path(output), options.resume)
    if model is None:
        model = _fit(Path(output), quiet, train, target, task, encoder, seed)
    stage = ScreeningStage(str(model), coverage, choose_device(device), options.max_atoms)
    if output == STDOUT:
        streaming.tell(streaming.into_stream(found, stage))
        return
    parts, summary = streaming.into_folder(found, stage)
    if top is not None:
        best = top_rows(parts, stage.predicted[0], top, lower_is_better)
        write_atomically(parts.path / TOP, best.to_csv(index=False).encode())
    if label_column is not None:
        _write_enrichment(parts, stage.predicted[0], lower_is_better, quiet)
    streaming.tell(summary)


def _write_enrichment(parts: PartFolder, column: str, smallest: bool, quiet: bool) -> None:
    import json

    from molrate.files.output import write_atomically
    from molrate.screening.enrichment import curves, known_activities, measure_enrichment

    scores, active = known_activities(parts.tables(), column)
    enrichment = measure_enrichment(scores, active, smallest)
    content = json.dumps({"column": column, **enrichment.record()}, indent=2) + "\n"
    write_atomically(parts.path / "enrichment.json", content.encode())
    for name, points in curves(scores, active, smallest).items():
        write_atomically(parts.path / f"{name}.csv", points.to_csv(index=False).encode())
    if not quiet:
        click.echo(f"{column}: {enrichment.describe()}", err=True)


def _fit(
    output: Path,
    quiet: bool,
    train: str | None,
    target: tuple[str, ...],
    task: str | None,
    encoder: str,
    seed: int,
) -> Path:
    """The folder of a model fitted to a table, by the encoder and layer ranked first if none is named."""
    from molrate.data.datasets import load_dataset
    from molrate.encoders.base import load_encoder
    from molrate.models.linear import describe, fit_model, fitted_before
    from molrate.screening.parts import MODEL_FOLDER

    folder, layer = output / MODEL_FOLDER, "last"
    dataset = load_dataset(str(train), target or None, task=task)
    wanted = None if encoder == BEST else encoder
    if fitted_before(folder, dataset, wanted, seed):
        return folder
    if wanted is None:
        from molrate.ranking.score import score

        ranking = score(dataset, seed=seed)
        wanted, layer = str(ranking.best["encoder"]), str(ranking.best["layer"])
        if not quiet:
            click.echo(f"{ranking}\n", err=True)
    record = fit_model(
        dataset, load_encoder(wanted, seed=seed), folder, layer=layer, seed=seed, ranked=encoder == BEST
    )
    if not quiet:
        click.echo(describe(record), err=True)
    return folder
