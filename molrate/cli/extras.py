"""What a command needs that a plain installation has not."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec

import click


def require_lightning(verbose: bool = False) -> None:
    """Say how to install Lightning where it is missing; where it is there, keep its advice to itself.

    Raises
    ------
    click.UsageError
        If Lightning is not installed.
    """
    if find_spec("lightning") is None:
        raise click.UsageError('training needs Lightning: pip install "molrate[train]"')
    import lightning.pytorch  # noqa: F401 (it sets its own level when imported)

    if not verbose:
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # Of versions of torch yet to come, of loading batches in other processes, and of folders in use.
    for advice in (r".*LeafSpec", r".*does not have many workers", r".*Checkpoint directory"):
        warnings.filterwarnings("ignore", message=advice)
