"""``molrate benchmark``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.main import logging_options, set_up_logging, target_options
from molrate.cli.signals import resumable
from molrate.errors import PARTIAL_EXIT_CODE


@click.command("benchmark", short_help="Fine-tune a grid of encoders and datasets beside their scores.")
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@click.option(
    "-e",
    "--encoder",
    "encoders",
    multiple=True,
    metavar="NAME",
    help="May be given again; by default every encoder available offline.",
)
@click.option("--target", multiple=True, metavar="COLUMN", help="Of a table; may be given again.")
@target_options
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of results, a name without an ending.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(["random", "scaffold"]),
    default=["random"],
    show_default=True,
    help="May be given again.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="How many; each draws training, and the random split.",
)
@click.option(
    "--measure",
    "measures",
    multiple=True,
    default=["all"],
    show_default=True,
    metavar="NAME",
    help="See molrate list measures.",
)
@click.option(
    "--learning-rate", multiple=True, type=float, default=[3e-4, 1e-3], show_default=True, help="Tried each."
)
@click.option(
    "--weight-decay", multiple=True, type=float, default=[1e-5], show_default=True, help="Likewise."
)
@click.option("--epochs", default=30, show_default=True, help="At most.")
@click.option("--patience", default=8, show_default=True, help="Epochs without a smaller validation loss.")
@click.option("--batch-size", default=32, show_default=True, help="Molecules.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Fine-tunings at a time, a core each.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@logging_options
def command(
    datasets: tuple[str, ...],
    encoders: tuple[str, ...],
    target: tuple[str, ...],
    positive: str | None,
    censored: str | None,
    output: Path,
    splits: tuple[str, ...],
    seeds: int,
    measures: tuple[str, ...],
    learning_rate: tuple[float, ...],
    weight_decay: tuple[float, ...],
    epochs: int,
    patience: int,
    batch_size: int,
    jobs: int,
    device: str,
    quiet: bool,
    verbose: bool,
) -> None:
    """Fine-tune every encoder on every DATASET, and score it on the same training molecules.

    Rows are written as they finish; the same command given again does only what is missing.
    """
    set_up_logging(quiet, verbose)
    from molrate.benchmarking.run import run_benchmark
    from molrate.files.output import choose_destination
    from molrate.finetuning.config import FinetuningConfig
    from molrate.ranking.molecules import default_encoders

    choose_destination(output, folder=True)
    config = FinetuningConfig(
        learning_rates=learning_rate,
        weight_decays=weight_decay,
        n_epochs=epochs,
        patience=patience,
        batch_size=batch_size,
    )
    outcomes = run_benchmark(
        datasets,
        encoders or default_encoders(),
        output,
        config,
        target=target or None,
        splits=splits,
        seeds=range(seeds),
        measures=measures,
        n_jobs=jobs,
        device=device,
        positive=positive,
        censored=censored,
    )
    n_failed = 0
    with resumable("the same command"):
        for outcome in outcomes:
            n_failed += outcome.status != "ok"
            click.echo(outcome.describe())
    if n_failed:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)
