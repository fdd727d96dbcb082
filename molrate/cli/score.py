"""``molrate score``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from molrate.cli.main import (
    embedding_options,
    logging_options,
    reading_options,
    refuse_input_format,
    set_up_logging,
    target_options,
)
from molrate.errors import PARTIAL_EXIT_CODE

if TYPE_CHECKING:
    from molrate.data.datasets import Dataset
    from molrate.ranking.ranking import Ranking

_FOR_MOLECULES = (
    "layer",
    "pooling",
    "smiles_column",
    "standardisation",
    "on_invalid",
    "duplicates",
    "device",
    "source_molecules",
    "precision",
    "input_format",
    "max_atoms",
)


@click.command("score", short_help="Rank encoders for a dataset by how well they should transfer.")
@click.argument("dataset", required=False)
@click.option(
    "-e",
    "--encoder",
    "encoders",
    multiple=True,
    metavar="NAME",
    help="Encoder to rank; repeatable. Default: all that need no download, with the baselines.",
)
@click.option("-t", "--target", multiple=True, metavar="COLUMN", help="Column to predict; repeatable.")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression"]),
    help="Default: two values or text are classes, other numbers are not.",
)
@target_options
@click.option(
    "-m",
    "--measure",
    "measures",
    multiple=True,
    default=("transrate",),
    show_default=True,
    metavar="NAME",
    help="Measure to rank by (molrate list measures); repeatable. all: every one that needs nothing else.",
)
@click.option(
    "--rank-by",
    type=click.Choice(["excess", "relative", "z", "value"]),
    default="excess",
    show_default=True,
    help="Order by value less null, as a share of its largest, in null deviations, or by the raw value.",
)
@click.option(
    "--common-dimension",
    type=click.IntRange(min=1),
    metavar="K",
    help="Compare all encoders in K leading principal components.",
)
@click.option("--sensitivity", is_flag=True, help="Rank again under other settings; say how far it holds.")
@click.option(
    "--features",
    multiple=True,
    metavar="FILE",
    help="Rank features (.npz, .npy, .parquet, .csv, a folder of .parquet) in place of DATASET; repeatable.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: statistics of --features are gathered on a Ray cluster.",
)
@click.option("--address", metavar="HOST:PORT", help="Of that cluster; one is started here if not given.")
@click.option("--labels", metavar="FILE", help="Labels of the features. Default: a column of their file.")
@click.option(
    "--extra-arrays", "given_file", metavar="FILE.npz", help="Arrays that leep, nce, rsa, depara need."
)
@click.option("--source-molecules", metavar="FILE", help="Molecules of pretraining, for the measure ds.")
@embedding_options
@reading_options
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
@click.option(
    "-o", "--output", metavar="FILE", help="Also write FILE.csv, .json, both also .gz, or .parquet."
)
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
    dataset: str | None,
    encoders: tuple[str, ...],
    target: tuple[str, ...],
    weights: Path | None,
    features: tuple[str, ...],
    labels: str | None,
    engine: str,
    address: str | None,
    given_file: str | None,
    smiles_column: str | None,
    input_format: str,
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
    molrate score my.csv --target logP --measure all
    molrate score --features vectors.npz --labels labels.csv --measure logme
    """
    set_up_logging(quiet, verbose)
    from molrate.data.datasets import load_dataset
    from molrate.files.formats import STDIN
    from molrate.files.locks import exclusive_file
    from molrate.files.output import choose_destination, print_result
    from molrate.files.tables import read_arrays
    from molrate.ranking.report import WRITABLE

    destination = choose_destination(output or "-", WRITABLE, stdout=True)
    click.get_current_context().with_resource(exclusive_file(destination.path))
    options["extra_arrays"] = read_arrays(given_file, "--extra-arrays") if given_file else None
    if features:
        if dataset is not None or encoders or weights is not None:
            raise click.UsageError("--features takes the place of DATASET, --encoder and --weights")
        ranking = _score_features(features, labels, target, options | {"engine": engine, "address": address})
    elif engine != "local" or address is not None:
        raise click.UsageError("--engine ray and --address go with --features")
    elif dataset is None:
        raise click.UsageError("name a DATASET, or a file of --features")
    elif labels is not None:
        raise click.UsageError("--labels goes with --features; the targets of DATASET are its columns")
    else:
        refuse_input_format([dataset])
        options["smiles"] = smiles_column
        if dataset == STDIN:
            # Python's score reads files; a stream is read here, in the format that the option names.
            names = ("smiles", "task", "positive", "censored")
            reading = {name: options.pop(name) for name in names}
            source: str | Dataset = load_dataset(dataset, target, **reading, input_format=input_format)
            target = ()
        else:
            source = dataset
        ranking = _score_molecules(source, target, encoders, weights, quiet, options)
    if destination.kind == "file":
        ranking.save(destination.path)
    if output_format == "table":
        print_result(ranking.to_text(shutil.get_terminal_size().columns))
    else:
        print_result((ranking.to_csv() if output_format == "csv" else ranking.to_json()).rstrip("\n"))
    if not ranking.complete:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)


def _score_molecules(
    dataset: str | Dataset,
    target: tuple[str, ...],
    encoders: tuple[str, ...],
    weights: Path | None,
    quiet: bool,
    options: dict[str, Any],
) -> Ranking:
    from molrate.cli.progress import molecule_progress
    from molrate.encoders.base import load_encoder
    from molrate.ranking.score import score

    chosen: list[Any] = list(encoders)
    if weights is not None:
        if len(chosen) != 1:
            raise click.UsageError("--weights needs exactly one --encoder, whose architecture it has")
        chosen = [load_encoder(chosen[0], weights, options["seed"], options["precision"])]
    with molecule_progress(quiet) as progress:
        return score(dataset, target, encoders=chosen or None, progress=progress, **options)


def _score_features(
    features: tuple[str, ...], labels: str | None, target: tuple[str, ...], options: dict[str, Any]
) -> Ranking:
    from molrate.ranking.score_features import score_features

    context = click.get_current_context()
    for name in _FOR_MOLECULES:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name.replace('_', '-')} is for molecules; it means nothing to --features"
            )
    kept = {name: value for name, value in options.items() if name not in _FOR_MOLECULES}
    return score_features(features, labels, target, **kept)
