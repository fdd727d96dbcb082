"""``molrate pretrain``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.main import logging_options, set_up_logging
from molrate.cli.signals import resumable


@click.command("pretrain", short_help="Pretrain a GROVER encoder on a corpus of SMILES.")
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option(
    "--config",
    "config_file",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Settings, in TOML; see molrate.pretraining.config.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Receives checkpoints, learning curve and weights.",
)
@logging_options
def command(corpus: Path, config_file: Path, output: Path, quiet: bool, verbose: bool) -> None:
    """Pretrain a GROVER encoder on CORPUS, one SMILES a line, also as .gz.

    A run that was stopped goes on where it was when the same command is given again.
    """
    set_up_logging(quiet, verbose)
    from molrate.pretraining.config import read_config
    from molrate.pretraining.training import pretrain

    with resumable("the same command"):
        click.echo(pretrain(corpus, read_config(config_file), output))
