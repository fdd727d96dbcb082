"""``molrate finetune``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from molrate.cli.options import (
    device_option,
    encoder_option,
    examples,
    is_quiet,
    logging_options,
    max_atoms_option,
    on_invalid_option,
    output_option,
    seed_option,
    settings_options,
    smiles_column_option,
    split_option,
    target_options,
    training_config,
    training_options,
    weights_option,
)
from molrate.cli.report import check_report, repeated, report_options, write_page
from molrate.cli.signals import resumable

_EXAMPLES = examples(
    "molrate finetune esol -e gin-untrained -o model/",
    "molrate finetune my.csv -t logP -e grover-base-chembl -o model/",
    "molrate finetune my.csv -t active -e minimol --ensemble 5 -o model/",
    "molrate finetune my.csv -t active -e rdkit-descriptors -o model/",
)


@click.command("finetune", short_help="Fine-tune an encoder on a dataset.", epilog=_EXAMPLES)
@click.argument("source", metavar="DATASET")
@encoder_option("encoder", "Fine-tune this encoder", required=True)
@output_option("Write the model into this folder, named without an ending.", "FOLDER", path=True)
@target_options()
@smiles_column_option()
@click.option(
    "--layers",
    "n_layers",
    type=int,
    metavar="K",
    help="Transfer the first K layers, and draw the rest anew. By default all are transferred.",
)
@click.option(
    "--frozen", is_flag=True, help="Train the head alone, on embeddings that stay as they are; see --layer."
)
@click.option(
    "--descriptors", is_flag=True, help="Let the head read RDKit's descriptors beside the embedding."
)
@click.option(
    "--ensemble",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Train so many models, each without one fold of the training molecules; their mean predicts, and "
    "intervals come from molecules that neither trained nor chose.",
)
@settings_options(every_layer=False)
@on_invalid_option()
@max_atoms_option()
@split_option()
@click.option(
    "--split-column",
    metavar="COLUMN",
    help="Take the parts from this column of the table, which holds train, validation and test.",
)
@click.option(
    "--date-column",
    metavar="COLUMN",
    help="Test on the newest fifth of the rows by this column of dates or years; rows of one date stay "
    "together.",
)
@click.option(
    "--test-file",
    metavar="FILE",
    help="Test on the rows of this table, which has the same columns.",
)
@training_options()
@weights_option()
@seed_option()
@device_option()
@report_options()
@logging_options
def command(
    source: str,
    encoder: str,
    output: Path,
    target: tuple[str, ...],
    task: str | None,
    positive: str | None,
    censored: str | None,
    smiles_column: str | None,
    n_layers: int | None,
    frozen: bool,
    descriptors: bool,
    ensemble: int,
    settings: dict[str, str],
    on_invalid: str,
    max_atoms: int,
    split: str,
    split_column: str | None,
    date_column: str | None,
    test_file: str | None,
    training: dict[str, Any],
    weights: Path | None,
    seed: int,
    device: str,
    report: str | None,
    no_structures: bool,
) -> None:
    """Fine-tune an encoder on DATASET, a name (see molrate list datasets) or a table with --target.

    A head is fitted to the encoder as it is; then both are trained, and validation keeps whichever is best.
    Molecules are split 70 : 10 : 20 to train on, to choose epoch and settings by, and to measure on.
    To an encoder with nothing to train, such as ecfp4, a forest, gradient boosting or a linear model is
    fitted. The model keeps its settings, and molrate predict and screen use them. A run that was stopped
    goes on where it was when the same command is given again.
    """
    from molrate.data.datasets import load_dataset
    from molrate.data.parts import assign, read_test
    from molrate.data.policy import RowPolicy
    from molrate.files.output import choose_destination
    from molrate.finetuning.config import Transfer
    from molrate.finetuning.data import TrainingData
    from molrate.finetuning.finetune import describe, run_finetuning

    choose_destination(output, folder=True)
    page = check_report(report)
    read = (smiles_column, task, positive, censored)
    transfer = Transfer(
        n_layers, frozen, settings["layer"], settings["pooling"], settings["precision"], descriptors
    )
    policy = RowPolicy(settings["standardisation"], settings["duplicates"], on_invalid, max_atoms)
    config = replace(training_config(training, seed), ensemble=ensemble)
    with resumable("the same command"):
        dataset = load_dataset(source, target, *read)
        test = None if test_file is None else read_test(test_file, dataset, smiles_column, task, censored)
        dataset, assignment = assign(source, dataset, split_column, date_column, test)
        data = TrainingData.of(dataset, split, seed, policy, assignment)
        record = run_finetuning(
            data,
            encoder,
            output,
            config,
            transfer,
            weights=weights,
            device=device,
            progress=not is_quiet() and sys.stderr.isatty(),
        )
    click.echo(describe(record, output))
    if page is not None:
        from molrate.models.model import TunedModel
        from molrate.report.model import model_page

        model = TunedModel.load(output)
        shown: dict[str, Any] = {"command": repeated(), "structures": not no_structures, "device": device}
        write_page(model_page(model, data, **shown), page)
