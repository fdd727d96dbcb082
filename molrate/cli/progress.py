"""A progress bar on standard error, absent where nobody watches."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


def columns_of(stream: TextIO) -> int:
    """How wide text for a stream may be: as the terminal, or as is usual where nothing says."""
    from molrate.ranking.report import PIPED_WIDTH

    return shutil.get_terminal_size().columns if stream.isatty() else PIPED_WIDTH


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


@contextmanager
def library_progress(quiet: bool) -> Iterator[Callable[[int, float | None], None] | None]:
    """Rows, their rate, and by the share of the library read the time that is left; likewise silent."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None, rows=0, rate=0.0)

        def tell(count: int, share: float | None) -> None:
            rows = bar.tasks[0].fields["rows"] + count
            rate = rows / max(1e-9, time.monotonic() - started)
            total = None if share is None else 1.0
            bar.update(task, total=total, completed=share or 0, rows=rows, rate=rate)

        yield tell
