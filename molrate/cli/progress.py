"""A progress bar on standard error, absent where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def molecule_progress(quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """Count embedded molecules on standard error; nothing if quiet or not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("embedding"),
        TextColumn("{task.completed:.0f} molecules"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("embedding", total=None)
        yield lambda count: bar.advance(task, count)
