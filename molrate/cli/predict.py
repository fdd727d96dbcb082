"""``molrate predict``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.options import (
    coverage_option,
    device_option,
    examples,
    input_format_option,
    is_quiet,
    logging_options,
    max_atoms_option,
    model_option,
    output_option,
    refuse_input_format,
    settings_options,
    smiles_column_option,
)
from molrate.errors import PARTIAL_EXIT_CODE

_EXAMPLES = examples(
    "molrate predict molecules.csv -m model/ -o predictions.csv",
    "molrate predict molecules.smi -m model/ --coverage 0.8",
    "molrate predict - --input-format smi -m model/ < molecules.smi",
)


@click.command("predict", short_help="Predict molecules with a fine-tuned model.", epilog=_EXAMPLES)
@click.argument("table")
@model_option(required=True)
@output_option(
    "Write the predictions into this file: .csv, .csv.gz or .parquet. By default they go to standard output.",
    "FILE",
    required=False,
)
@smiles_column_option()
@input_format_option()
@coverage_option()
@settings_options(of_model=True, every_layer=False)
@max_atoms_option()
@device_option()
@logging_options
def command(
    table: str,
    model: Path,
    output: str | None,
    smiles_column: str | None,
    input_format: str,
    coverage: float,
    settings: dict[str, str | None],
    max_atoms: int,
    device: str,
) -> None:
    """Predict the molecules of TABLE: csv, tsv, smi, sdf, also as .gz, .bz2, .zst, .zip; parquet; xlsx; or -.

    The output has one row per input row, in order, with the input's columns first, as they are, then those of
    molrate screen: canonical_smiles, predictions with their bounds or the classes that cannot be excluded,
    similarity to the nearest training molecule, status, the reason of each failure, and a note of what was
    lost. The settings of molecules are the model's own: --layer, --pooling, --standardisation, --duplicates
    and --precision are refused if they are others.
    """
    from molrate.cli.progress import molecule_progress
    from molrate.files.locks import exclusive_file
    from molrate.files.output import choose_destination, print_result
    from molrate.files.sources import refuse_input
    from molrate.models.model import TunedModel
    from molrate.models.prediction import WRITABLE, predict_table
    from molrate.models.settings import GivenSettings

    refuse_input_format([table])
    destination = choose_destination(output or "-", WRITABLE, stdout=True)
    refuse_input(destination.file, [table])
    click.get_current_context().with_resource(exclusive_file(destination.file))
    tuned = TunedModel.load(model)
    tuned.refuse_others(GivenSettings(**settings))
    with molecule_progress(is_quiet()) as progress:
        predictions = predict_table(
            table,
            tuned,
            smiles_column,
            device,
            progress,
            level=coverage,
            input_format=input_format,
            max_atoms=max_atoms,
            for_parquet=destination.path.suffix.lower() == ".parquet",
        )
    if destination.kind == "stdout":
        print_result(predictions.to_csv().removesuffix("\n"))
    else:
        predictions.write(destination.path)
    if not is_quiet():
        click.echo(predictions.summary(), err=True)
    if predictions.n_failed:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)
