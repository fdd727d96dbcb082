"""``molrate convert``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.main import logging_options, set_up_logging


@click.command("convert", short_help="Turn a released GROVER checkpoint into safetensors.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="FILE.safetensors; its settings go into its metadata.",
)
@logging_options
def command(checkpoint: Path, output: Path, quiet: bool, verbose: bool) -> None:
    """Turn CHECKPOINT, a file the released GROVER code saved, into safetensors with its settings in it.

    The result holds the encoder alone, without prediction heads and optimiser, and is read with
    --weights FILE.safetensors as the checkpoint itself is. Nothing stored in CHECKPOINT is executed.
    Safetensors of an earlier molrate, with settings in a .json beside them, are CHECKPOINT too.
    """
    set_up_logging(quiet, verbose)
    if output.suffix != ".safetensors":
        raise click.UsageError(f"-o {output}: name a .safetensors file")
    from molrate.encoders.grover.checkpoint import convert
    from molrate.files.locks import exclusive_file
    from molrate.files.output import make_folder

    make_folder(output.parent)
    with exclusive_file(output):
        convert(checkpoint, output)
    if not quiet:
        n_megabytes = output.stat().st_size / 1e6
        click.echo(f"{output}: {n_megabytes:.1f} MB", err=True)
