"""``molrate convert``."""

from __future__ import annotations

from pathlib import Path

import click

from molrate.cli.options import examples, is_quiet, logging_options, output_option

_EXAMPLES = examples(
    "molrate convert grover_base.pt -o grover_base.safetensors",
    "molrate score esol -e grover-official-base --weights grover_base.safetensors",
)


@click.command("convert", short_help="Turn a released GROVER checkpoint into safetensors.", epilog=_EXAMPLES)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@output_option("Write into this .safetensors file; settings go into its metadata.", "FILE", path=True)
@logging_options
def command(checkpoint: Path, output: Path) -> None:
    """Turn CHECKPOINT, a file the released GROVER code saved, into safetensors with its settings in it.

    The result holds the encoder alone, without prediction heads and optimiser, and is read with
    --weights FILE.safetensors as the checkpoint itself is. Nothing stored in CHECKPOINT is executed.
    Safetensors of an earlier molrate, with settings in a .json beside them, are CHECKPOINT too.
    """
    if output.suffix != ".safetensors":
        raise click.UsageError(f"-o {output}: name a .safetensors file")
    from molrate.encoders.grover.checkpoint import convert
    from molrate.files.locks import exclusive_file
    from molrate.files.output import make_folder
    from molrate.files.sources import refuse_input

    make_folder(output.parent)
    refuse_input(output, [checkpoint])
    with exclusive_file(output):
        convert(checkpoint, output)
    if not is_quiet():
        n_megabytes = output.stat().st_size / 1e6
        click.echo(f"{output}: {n_megabytes:.1f} MB", err=True)
