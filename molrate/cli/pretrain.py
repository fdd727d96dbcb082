"""``molrate pretrain``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.options import examples, logging_options, output_option
from molrate.cli.signals import resumable

_EXAMPLES = examples(
    "molrate pretrain corpus.smi.gz --config settings.toml -o run/",
    "molrate score esol -e grover-small-chembl --weights run/model.safetensors",
)


@click.command("pretrain", short_help="Pretrain a GROVER encoder on a corpus of SMILES.", epilog=_EXAMPLES)
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option(
    "--config",
    "config_file",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Read the settings from this TOML file; docs/grover.md says what they are.",
)
@output_option("Write checkpoints, learning curve and weights into this folder.", "FOLDER", path=True)
@logging_options
def command(corpus: Path, config_file: Path, output: Path) -> None:
    """Pretrain a GROVER encoder on CORPUS, one SMILES a line, also as .gz.

    A run that was stopped goes on where it was when the same command is given again.
    """
    from molrate.pretraining.config import read_config
    from molrate.pretraining.training import pretrain

    with resumable("the same command"):
        click.echo(pretrain(corpus, read_config(config_file), output))
