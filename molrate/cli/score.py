"""``molrate score``."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from molrate.cli.options import (
    SETTINGS,
    device_option,
    duplicates_option,
    encoder_option,
    engine_options,
    examples,
    format_option,
    input_format_option,
    is_quiet,
    layer_option,
    leaving_out_options,
    logging_options,
    max_atoms_option,
    on_invalid_option,
    output_option,
    pooling_option,
    precision_option,
    refuse_given,
    refuse_input_format,
    seed_option,
    smiles_column_option,
    standardisation_option,
    target_options,
    weights_option,
)
from molrate.cli.progress import columns_of, molecule_progress
from molrate.cli.report import check_plot, check_report, plot_option, repeated, report_options, write_page
from molrate.errors import PARTIAL_EXIT_CODE

if TYPE_CHECKING:
    from molrate.data.datasets import Dataset
    from molrate.encoders.base import Encoder
    from molrate.ranking.ranking import Ranking
    from molrate.report.ranking import RankedMolecules

_FOR_MOLECULES = (
    *SETTINGS,
    "smiles_column",
    "on_invalid",
    "device",
    "source_molecules",
    "input_format",
    "max_atoms",
    "exclude_contaminated",
    "licence",
)

_EXAMPLES = examples(
    "molrate score freesolv",
    "molrate score my.csv --target logP --layer all -o ranking.csv",
    "molrate score my.csv --target logP --measure all",
    "molrate score --features a.npz --labels labels.csv --measure logme",
)


def _common_dimension(_context: click.Context, _parameter: click.Parameter, value: str) -> str | int:
    """The word, or the number."""
    if value in ("auto", "none"):
        return value
    if not (value.isdigit() and int(value)):
        raise click.BadParameter(f"{value!r} is neither auto, none nor a positive number")
    return int(value)


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


@click.command(
    "score", short_help="Rank encoders for a dataset by how well they should transfer.", epilog=_EXAMPLES
)
@click.argument("dataset", required=False)
@encoder_option(
    "encoders", "Rank this encoder; by default all that need no download, with the baselines", many=True
)
@target_options()
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME",
    help="Rank by this measure (see molrate list measures), or by all that need nothing else. Repeat the "
    "option for more measures. By default it is logme, with TransRate beside it.",
)
@click.option(
    "--rank-by",
    type=click.Choice(["excess", "relative", "z", "value"]),
    default="excess",
    show_default=True,
    help="Order by the value less its null, by that as a share of its largest, by that in deviations of the "
    "null, or by the raw value.",
)
@click.option(
    "--common-dimension",
    callback=_common_dimension,
    default="auto",
    show_default=True,
    metavar="[auto|none|K]",
    help="Compare encoders by TransRate in a common number of leading components (auto), by every measure in "
    "K of them, or in their full dimension (none).",
)
@click.option(
    "--sensitivity", is_flag=True, help="Rank again under other settings, and say how far the order holds."
)
@click.option(
    "--features",
    multiple=True,
    metavar="FILE",
    help="Rank these features (.npz, .npy, .parquet, .csv, or a folder of .parquet) in place of a DATASET. "
    "Repeat the option for more files.",
)
@click.option(
    "--labels",
    metavar="FILE",
    help="Read the labels of --features from this file. By default they are a column of their own file.",
)
@engine_options()
@click.option(
    "--extra-arrays",
    "given_file",
    metavar="FILE",
    help="Read the arrays that leep, nce, rsa and depara need from this .npz file.",
)
@click.option(
    "--source-molecules",
    metavar="FILE",
    help="Take the molecules of this table for those of pretraining, which the measure ds needs.",
)
@layer_option(every=True)
@pooling_option()
@smiles_column_option()
@input_format_option()
@standardisation_option()
@duplicates_option()
@on_invalid_option()
@max_atoms_option()
@weights_option()
@precision_option()
@seed_option()
@device_option()
@leaving_out_options()
@click.option(
    "--scale-by-dimension",
    is_flag=True,
    help="Multiply TransRate by sqrt(d/512), the paper's factor for layers.",
)
@click.option(
    "--all", "every", is_flag=True, help="Show all candidates, not the first ten and the baselines."
)
@click.option(
    "--columns",
    callback=_names,
    metavar="NAME,...",
    help="Show these columns of the ranking's file in place of the usual ones.",
)
@output_option(
    "Write the ranking into this file too: .csv, .json, either with .gz, or .parquet.", "FILE", required=False
)
@plot_option("Draw the ranking")
@report_options()
@format_option(["table", "csv", "json"])
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
    plot: Path | None,
    report: str | None,
    no_structures: bool,
    output_format: str,
    every: bool,
    columns: tuple[str, ...],
    **options: Any,
) -> None:
    """Rank encoders for DATASET by how well they should transfer to it.

    DATASET is a name (see molrate list datasets), a table such as my.csv with --target, moleculenet:NAME, or
    - for rows from standard input.
    """
    from molrate.data.datasets import load_dataset
    from molrate.files.locks import exclusive_file
    from molrate.files.output import choose_destination
    from molrate.files.sources import refuse_input
    from molrate.files.tables import read_arrays
    from molrate.ranking.report import WRITABLE

    destination = choose_destination(output or "-", WRITABLE, stdout=True)
    refuse_input(destination.file, [dataset, *features, labels, given_file, options["source_molecules"]])
    click.get_current_context().with_resource(exclusive_file(destination.file))
    check_plot(plot)
    page = check_report(report)
    _refuse_columns(columns, output_format)
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
        names = ("task", "positive", "censored")
        reading = {name: options.pop(name) for name in names} | {"smiles": smiles_column}
        read = load_dataset(dataset, target, **reading, input_format=input_format)
        loaded = _encoders(encoders, weights, options)
        ranking = _score_molecules(read, loaded, options)
    if destination.kind == "file":
        ranking.save(destination.path)
    _print(ranking, output_format, every, columns)
    if plot is not None:
        _draw(ranking, plot)
    if page is not None:
        ranked = None if features else _ranked_molecules(read, loaded, options)
        _report(ranking, ranked, page, structures=not no_structures)
    if not ranking.complete:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)


def _refuse_columns(columns: tuple[str, ...], output_format: str) -> None:
    from molrate.ranking.ranking import COLUMNS
    from molrate.ranking.report import check_columns

    if columns and output_format != "table":
        raise click.UsageError(f"--columns is for the table; --format {output_format} has all columns")
    check_columns(columns, COLUMNS)


def _draw(ranking: Ranking, path: Path) -> None:
    from molrate.plotting import write_figure

    write_figure(ranking.plot(), path)


def _report(ranking: Ranking, molecules: RankedMolecules | None, path: Path, *, structures: bool) -> None:
    from molrate.report.ranking import ranking_page

    write_page(ranking_page(ranking, molecules, command=repeated(), structures=structures), path)


def _print(ranking: Ranking, output_format: str, every: bool, columns: tuple[str, ...]) -> None:
    """Write the ranking to standard output."""
    from molrate.files.output import print_result
    from molrate.ranking.report import View

    if output_format == "table":
        width, verbose = columns_of(sys.stdout), click.get_current_context().params["verbose"]
        print_result(ranking.to_text(View(width, every, columns, verbose, sys.stdout.isatty())))
    else:
        print_result((ranking.to_csv() if output_format == "csv" else ranking.to_json()).rstrip("\n"))


def _encoders(
    encoders: tuple[str, ...], weights: Path | None, options: dict[str, Any]
) -> list[str | Encoder]:
    """What is to be ranked; an encoder of other weights is loaded."""
    from molrate.encoders.base import load_encoder

    if weights is None:
        return list(encoders)
    if len(encoders) != 1:
        raise click.UsageError("--weights needs exactly one --encoder, whose architecture it has")
    return [load_encoder(encoders[0], weights, options["seed"], options["precision"])]


def _score_molecules(dataset: Dataset, encoders: list[str | Encoder], options: dict[str, Any]) -> Ranking:
    from molrate.ranking.score import score

    with molecule_progress(is_quiet()) as progress:
        return score(dataset, encoders=encoders or None, progress=progress, **_without_empty(options))


def _without_empty(options: dict[str, Any]) -> dict[str, Any]:
    """Options without measures where none was named: encoders and features have their own default."""
    return {name: value for name, value in options.items() if name != "measures" or value}


def _ranked_molecules(
    dataset: Dataset, encoders: list[str | Encoder], options: dict[str, Any]
) -> RankedMolecules:
    """What a page reads of the molecules."""
    from molrate.data.policy import RowPolicy
    from molrate.embedding.settings import EmbeddingSettings
    from molrate.report.ranking import RankedMolecules

    policy = RowPolicy(**{field.name: options[field.name] for field in fields(RowPolicy)})
    settings = EmbeddingSettings(**{each.name: options[each.name] for each in fields(EmbeddingSettings)})
    loaded = {encoder.name: encoder for encoder in encoders if not isinstance(encoder, str)}
    return RankedMolecules(dataset, policy, settings, loaded)


def _score_features(
    features: tuple[str, ...], labels: str | None, target: tuple[str, ...], options: dict[str, Any]
) -> Ranking:
    from molrate.ranking.score_features import score_features

    refuse_given(_FOR_MOLECULES, "is for molecules; it means nothing to --features")
    kept = {name: value for name, value in _without_empty(options).items() if name not in _FOR_MOLECULES}
    return score_features(features, labels, target, **kept)
