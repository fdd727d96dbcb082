"""What a command needs that a plain installation has not."""

from __future__ import annotations

from importlib.util import find_spec

import click


def require_lightning() -> None:
    """Say how to install Lightning where it is missing.

    Raises
    ------
    click.UsageError
        If it is.
    """
    if find_spec("lightning") is None:
        raise click.UsageError('training needs Lightning: pip install "molrate[train]"')
