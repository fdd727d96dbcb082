"""``molrate predict``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.main import logging_options, set_up_logging
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
@click.option("-o", "--output", metavar="FILE", help="FILE.csv or .parquet; standard output if not given.")
@click.option("--smiles-column", metavar="NAME", help="Found by its usual names if not given.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@logging_options
def command(
    table: str,
    folder: Path,
    output: str | None,
    smiles_column: str | None,
    device: str,
    quiet: bool,
    verbose: bool,
) -> None:
    """Predict the molecules of TABLE (csv, tsv, smi, parquet, each also .gz; - for CSV from standard input).

    The output has one row per input row, in order, with the input's columns first, then the predictions,
    a status and the reason of each failure.
    """
    set_up_logging(quiet, verbose)
    from molrate.cli.progress import molecule_progress
    from molrate.files.locks import exclusive_file
    from molrate.files.output import check_output, print_result
    from molrate.models.model import TunedModel
    from molrate.models.prediction import WRITABLE, predict_table

    path = check_output(output, WRITABLE) if output else None
    click.get_current_context().with_resource(exclusive_file(path))
    model = TunedModel.load(folder)
    with molecule_progress(quiet) as progress:
        predictions = predict_table(table, model, smiles_column, device, progress)
    if path is None:
        print_result(predictions.frame.to_csv(index=False).rstrip("\n"))
    else:
        predictions.write(path)
    if not quiet:
        click.echo(predictions.summary(), err=True)
    if predictions.n_failed:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)
