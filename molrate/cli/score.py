"""``molrate score``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from molrate.cli.main import embedding_options, logging_options, set_up_logging
from molrate.errors import PARTIAL_EXIT_CODE


@click.command("score", short_help="Rank encoders for a dataset by how well they should transfer.")
@click.argument("dataset")
@click.option(
    "-e",
    "--encoder",
    "encoders",
    multiple=True,
    metavar="NAME",
    help="Encoder to rank; repeatable. Default: all at hand without a download, and the controls.",
)
@click.option("-t", "--target", multiple=True, metavar="COLUMN", help="Column to predict; repeatable.")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="Default: two values or text are classes, other numbers are not.",
)
@embedding_options
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint for the one encoder named.")
@click.option(
    "--on-invalid",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    show_default=True,
    help="Invalid SMILES: leave out and say so, or stop.",
)
@click.option(
    "--duplicates",
    type=click.Choice(["keep", "merge"]),
    default="keep",
    show_default=True,
    help="Rows of equal molecules: keep all, or make one of them.",
)
@click.option("--scale-by-dimension", is_flag=True, help="Multiply by sqrt(d/512), the paper's layer factor.")
@click.option("-o", "--output", metavar="FILE", help="Also write FILE.csv, .json or .parquet.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="Format on standard output.",
)
@logging_options
def command(
    dataset: str,
    encoders: tuple[str, ...],
    target: tuple[str, ...],
    weights: Path | None,
    output: str | None,
    output_format: str,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    r"""Rank encoders for DATASET: a name (molrate list datasets), a table such as my.csv with --target,
    - for CSV from standard input, or moleculenet:NAME.

    \b
    molrate score freesolv
    molrate score my.csv --target logP --layer all -o ranking.csv
    """
    set_up_logging(quiet, verbose)
    from molrate.cli.progress import molecule_progress
    from molrate.encoders.base import load_encoder
    from molrate.io import check_output, print_result
    from molrate.ranking import score
    from molrate.report import WRITABLE, to_csv, to_json, to_text, write_ranking

    path = check_output(output, WRITABLE) if output else None
    chosen: list[Any] = list(encoders)
    if weights is not None:
        if len(chosen) != 1:
            raise click.UsageError("--weights needs exactly one --encoder, whose architecture it has")
        chosen = [load_encoder(chosen[0], weights, options["seed"])]
    with molecule_progress(quiet) as progress:
        ranking = score(dataset, target, encoders=chosen or None, progress=progress, **options)
    if path is not None:
        write_ranking(ranking, path)
    if output_format == "table":
        print_result(to_text(ranking, shutil.get_terminal_size().columns))
    else:
        print_result({"csv": to_csv, "json": to_json}[output_format](ranking).rstrip("\n"))
    if not ranking.complete:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)
