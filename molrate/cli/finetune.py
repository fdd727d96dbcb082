"""``molrate finetune``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from molrate.cli.main import logging_options, set_up_logging, target_options
from molrate.cli.signals import resumable


@click.command("finetune", short_help="Fine-tune an encoder on a dataset.")
@click.argument("source", metavar="DATASET")
@click.option("-e", "--encoder", required=True, metavar="NAME", help="See molrate list encoders.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Model folder to write, a name without an ending.",
)
@click.option("--target", multiple=True, metavar="COLUMN", help="What to predict; may be given again.")
@click.option("--task", type=click.Choice(["classification", "regression"]), help="Override the guess.")
@target_options
@click.option("--smiles-column", metavar="NAME", help="Found by its usual names if not given.")
@click.option(
    "--layers",
    "n_layers",
    type=int,
    metavar="K",
    help="Transfer the first K layers, draw the rest anew; all by default.",
)
@click.option("--frozen", is_flag=True, help="Train the head alone, on embeddings as they are.")
@click.option(
    "--layer", default="last", show_default=True, help="Of a frozen encoder: last or a layer's name."
)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "sum", "max"]),
    default="mean",
    show_default=True,
    help="Of atoms.",
)
@click.option(
    "--split",
    type=click.Choice(["random", "scaffold"]),
    default="random",
    show_default=True,
    help="How test molecules are chosen.",
)
@click.option(
    "--learning-rate",
    multiple=True,
    type=float,
    default=[1e-4, 3e-4, 1e-3],
    show_default=True,
    help="Tried each; the best on validation is kept.",
)
@click.option(
    "--weight-decay", multiple=True, type=float, default=[1e-5], show_default=True, help="Likewise."
)
@click.option("--epochs", default=50, show_default=True, help="At most.")
@click.option("--patience", default=10, show_default=True, help="Epochs without a smaller validation loss.")
@click.option("--batch-size", default=32, show_default=True, help="Molecules.")
@click.option(
    "--class-weights",
    type=click.Choice(["none", "balanced"]),
    default="none",
    show_default=True,
    help="In the loss.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="Of training; bf16 and fp16 are mixed.",
)
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint in place of the published one.")
@click.option("--seed", default=0, show_default=True, help="Draws the split and all of training.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
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
    layer: str,
    pooling: str,
    split: str,
    learning_rate: tuple[float, ...],
    weight_decay: tuple[float, ...],
    epochs: int,
    patience: int,
    batch_size: int,
    class_weights: str,
    precision: str,
    weights: Path | None,
    seed: int,
    device: str,
    quiet: bool,
    verbose: bool,
) -> None:
    """Fine-tune an encoder on DATASET: a name, or a table with --target.

    Molecules are split 70 : 10 : 20 to train on, to stop early and choose settings by, and to measure on.
    A run that was stopped goes on where it was when the same command is given again.
    """
    set_up_logging(quiet, verbose)
    from molrate.data.datasets import load_dataset
    from molrate.files.output import choose_destination
    from molrate.finetuning.config import FinetuningConfig, Transfer
    from molrate.finetuning.finetune import describe, run_finetuning
    from molrate.finetuning.tuning import TrainingData

    choose_destination(output, folder=True)
    transfer = Transfer(n_layers, frozen, layer, pooling)
    config = FinetuningConfig(
        learning_rates=learning_rate,
        weight_decays=weight_decay,
        n_epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        balanced=class_weights == "balanced",
        precision={"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[precision],
        seed=seed,
    )
    with resumable("the same command"):
        dataset = load_dataset(source, target, smiles_column, task, positive, censored)
        data = TrainingData.of(dataset, split, seed)
        record = run_finetuning(
            data,
            encoder,
            output,
            config,
            transfer,
            weights=weights,
            device=device,
            progress=not quiet and sys.stderr.isatty(),
        )
    click.echo(describe(record, output))
