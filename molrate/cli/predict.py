"""``molrate predict``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.main import logging_options, reading_options, refuse_input_format, set_up_logging
from molrate.errors import PARTIAL_EXIT_CODE


@click.command("predict", short_help="Predict molecules with a fine-tuned model.")
@click.argument("table")
@click.option(
    "-m",
    "--model",
    "folder",
    required=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Written by molrate finetune.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="FILE.csv, .csv.gz or .parquet; - or none is standard output."
)
@click.option("--smiles-column", metavar="NAME", help="Found by its usual names if not given.")
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Share of true values that bounds are to hold.",
)
@reading_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@logging_options
def command(
    table: str,
    folder: Path,
    output: str | None,
    smiles_column: str | None,
    coverage: float,
    input_format: str,
    max_atoms: int,
    device: str,
    quiet: bool,
    verbose: bool,
) -> None:
    """Predict the molecules of TABLE: csv, tsv, smi, sdf, also as .gz, .bz2, .zst, .zip; parquet; xlsx; or -.

    The output has one row per input row, in order, with the input's columns first, as they are, then those of
    molrate screen: canonical_smiles, predictions with their bounds or the classes that cannot be excluded,
    similarity to the nearest training molecule, status, the reason of each failure, and a note of what was
    lost.
    """
    set_up_logging(quiet, verbose)
    from molrate.cli.progress import molecule_progress
    from molrate.files.locks import exclusive_file
    from molrate.files.output import choose_destination, print_result
    from molrate.models.model import TunedModel
    from molrate.models.prediction import WRITABLE, predict_table

    refuse_input_format([table])
    destination = choose_destination(output or "-", WRITABLE, stdout=True)
    click.get_current_context().with_resource(exclusive_file(destination.path))
    model = TunedModel.load(folder)
    with molecule_progress(quiet) as progress:
        predictions = predict_table(
            table,
            model,
            smiles_column,
            device,
            progress,
            level=coverage,
            input_format=input_format,
            max_atoms=max_atoms,
        )
    if destination.kind == "stdout":
        print_result(predictions.to_csv().removesuffix("\n"))
    else:
        predictions.write(destination.path)
    if not quiet:
        click.echo(predictions.summary(), err=True)
    if predictions.n_failed:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)
