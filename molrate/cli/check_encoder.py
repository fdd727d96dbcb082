"""``molrate check-encoder``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from molrate.cli.options import (
    device_option,
    examples,
    is_quiet,
    logging_options,
    pooling_option,
    seed_option,
    weights_option,
)
from molrate.errors import PARTIAL_EXIT_CODE

if TYPE_CHECKING:
    from molrate.encoders.base import Encoder

_EXAMPLES = examples(
    "molrate check-encoder gin-untrained",
    "molrate check-encoder gin-masking --weights tuned.safetensors",
    "molrate check-encoder my_encoder.py",
)


@click.command(
    "check-encoder", short_help="Check that an encoder does what molrate relies on.", epilog=_EXAMPLES
)
@click.argument("encoder", metavar="NAME|FILE.py")
@pooling_option()
@weights_option()
@seed_option()
@device_option()
@logging_options
def command(encoder: str, pooling: str, weights: Path | None, seed: int, device: str) -> None:
    """Check an encoder by NAME, or those that FILE.py registers with molrate.register_encoder.

    Prints a line for each property with what was measured: its layers and their shapes; whether a molecule
    gets the same numbers alone, in a batch, and again; what unusual and large molecules and other SMILES of
    the same molecule give; and for networks whether fine-tuning starts from the embedding, trains every
    parameter, and reads what it wrote. FILE.py is run.

    Exit codes: 0 if nothing failed, 5 if a check failed; 2 and 4 if the encoder cannot be loaded at all.
    """
    from molrate.embedding.embed import choose_device
    from molrate.encoders.base import load_encoder
    from molrate.encoders.conformance import FAILED, check_encoder

    names = _registered_by(Path(encoder)) if encoder.endswith(".py") else [encoder]
    device = choose_device(device)
    n_failed = 0
    for name in names:

        def reload(path: Path | None, name: str = name) -> Encoder:
            return load_encoder(name, path or weights, seed)

        loaded = reload(None)
        loaded.prepare()
        checks = check_encoder(loaded, reload, pooling, device)
        n_failed += sum(check.outcome == FAILED for check in checks)
        if not is_quiet():
            click.echo(f"{name}:")
            for check in checks:
                click.echo(f"  {check.outcome:8}  {check.name:18}  {check.measured}")
    if n_failed:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)


def _registered_by(path: Path) -> list[str]:
    """Run a file, and name the encoders that it registers.

    Raises
    ------
    UsageError
        If it cannot be read, fails, or registers none.
    """
    import runpy

    from molrate.encoders.base import encoder_names
    from molrate.errors import MolrateError, UsageError

    before = set(encoder_names())
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        runpy.run_path(str(path))
    except MolrateError:
        raise
    except Exception as error:
        raise UsageError(f"{path}: it cannot be run: {type(error).__name__}: {error}") from error
    names = [name for name in encoder_names() if name not in before]
    if not names:
        raise UsageError(f"{path}: it registers no encoder with molrate.register_encoder")
    return names
