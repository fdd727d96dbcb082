"""What commands have in common that go through a library in chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from molrate.cli.options import (
    Decorator,
    engine_options,
    id_column_option,
    input_format_option,
    is_quiet,
    jobs_option,
    max_atoms_option,
    packed,
    refuse_given,
    refuse_input_format,
    several,
)
from molrate.cli.signals import at_a_stop, resumable
from molrate.errors import PARTIAL_EXIT_CODE

if TYPE_CHECKING:
    from molrate.files.library import Library
    from molrate.screening.parts import PartFolder
    from molrate.screening.screen import Summary
    from molrate.screening.stage import Stage

STDOUT = "-"
STREAMED = (".csv", ".csv.gz")
"""Endings of files that a library is streamed into."""
_FOR_ROWS = ("id_column", "input_format", "max_atoms")
"""Options of how rows are read, in chunks or not."""


@dataclass(frozen=True)
class LibraryOptions:
    """What :func:`library_options` were given."""

    id_column: str | None
    input_format: str
    part_format: str
    chunk_size: int
    jobs: int | None
    engine: str
    address: str | None
    resume: bool
    max_atoms: int

    def find(self, names: Sequence[str], output: str, **columns: str | None) -> Library:
        """The library that names stand for."""
        from molrate.files.library import Library

        refuse_input_format(names)
        return Library.find(
            names,
            output=None if output == STDOUT else Path(output),
            id_column=self.id_column,
            input_format=self.input_format,
            **columns,
        )


def library_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of reading a library and of working through it, which arrive as `options`."""

    @wraps(function)
    def with_options(options: dict[str, Any], **given: Any) -> Any:
        return function(options=LibraryOptions(**options), **given)

    names = [field.name for field in fields(LibraryOptions)]
    return packed("options", names, _reading_options(), _working_options())(with_options)


def _reading_options() -> Decorator:
    return several(id_column_option(), input_format_option(), max_atoms_option())


def _working_options() -> Decorator:
    return several(
        click.option(
            "--part-format",
            type=click.Choice(["parquet", "csv"]),
            default="parquet",
            show_default=True,
            help="Write the files in the output folder in this format.",
        ),
        click.option(
            "--chunk-size",
            type=click.IntRange(1),
            metavar="N",
            default=10_000,
            show_default=True,
            help="Write so many rows into each file of the output folder; each worker has as many at a time.",
        ),
        jobs_option(),
        engine_options(),
        click.option(
            "--resume", is_flag=True, help="Go on with the output folder where the same command was stopped."
        ),
    )


def refuse_chunk_options(output: str) -> None:
    """Refuse options that mean nothing where one file is read into memory.

    Raises
    ------
    click.UsageError
        If one was given.
    """
    names = [field.name for field in fields(LibraryOptions) if field.name not in _FOR_ROWS]
    refuse_given(names, f"is for libraries in chunks; -o {output} is one table in memory")


@dataclass(frozen=True)
class Streaming:
    """A run through a library: how, and where results go."""

    options: LibraryOptions
    output: str

    def into_stream(self, library: Library, stage: Stage) -> Summary:
        """Write CSV to standard output as it comes."""
        from molrate.cli.progress import library_progress
        from molrate.files.output import ReaderGoneError, write_output
        from molrate.screening.screen import Summary, run_into_stream

        if self.options.resume:
            raise click.UsageError("--resume needs an output folder (-o), not standard output")
        summary = Summary()
        stopped = at_a_stop("the rows end where it was stopped; the same command begins anew")
        with stopped, suppress(ReaderGoneError), library_progress(is_quiet()) as progress:
            run_into_stream(
                library,
                stage,
                write_output,
                summary,
                chunk_size=self.options.chunk_size,
                engine=self._engine(stage),
                progress=progress,
            )
        return summary

    def into_file(self, library: Library, stage: Stage) -> Summary:
        """Write CSV into one file, which is there when all of it is."""
        from molrate.cli.progress import library_progress
        from molrate.files.output import written_atomically
        from molrate.screening.screen import Summary, run_into_stream

        if self.options.resume:
            raise click.UsageError("--resume needs an output folder (-o), not a file")
        summary = Summary()
        with library_progress(is_quiet()) as progress, written_atomically(Path(self.output)) as write:
            run_into_stream(
                library,
                stage,
                write,
                summary,
                chunk_size=self.options.chunk_size,
                engine=self._engine(stage),
                progress=progress,
            )
        return summary

    def into_folder(self, library: Library, stage: Stage) -> tuple[PartFolder, Summary]:
        """Write parts into a folder."""
        from molrate.cli.progress import library_progress
        from molrate.screening.screen import run_into_folder

        with resumable("--resume"), library_progress(is_quiet()) as progress:
            return run_into_folder(
                library,
                stage,
                Path(self.output),
                suffix=f".{self.options.part_format}",
                chunk_size=self.options.chunk_size,
                engine=self._engine(stage),
                resume=self.options.resume,
                progress=progress,
            )

    def _engine(self, stage: Stage) -> Callable[..., Any]:
        from molrate.screening.local_workers import run_locally
        from molrate.statistics.threads import count_cores

        if self.options.engine == "ray":
            from molrate.screening.ray_workers import run_on_ray

            return partial(run_on_ray, n_workers=self.options.jobs, address=self.options.address)
        if self.options.address is not None:
            raise click.UsageError("--address is for --engine ray")
        on_cpu = getattr(stage, "device", "cpu") == "cpu"
        return partial(run_locally, n_jobs=self.options.jobs or (count_cores() if on_cpu else 1))

    def run(self, library: Library, stage: Stage) -> None:
        """Run a stage to where results go, and say what was done."""
        if self.output == STDOUT:
            self.tell(self.into_stream(library, stage))
        elif self.output.lower().endswith(STREAMED) and not Path(self.output).is_dir():
            self.tell(self.into_file(library, stage))
        else:
            self.tell(self.into_folder(library, stage)[1])

    def tell(self, summary: Summary) -> None:
        """Say what was done, and end with the exit code for rows without a result."""
        if not is_quiet():
            where = "" if self.output == STDOUT else f"{self.output}: "
            click.echo(f"{where}{summary.describe()}", err=True)
        if summary.n_failed:
            raise click.exceptions.Exit(PARTIAL_EXIT_CODE)
