"""``--report`` and ``--plot``: what is drawn of a result, and what is checked before the work begins."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from molrate.cli.options import Decorator, refuse_given, several

_NEEDED = {"altair": "Altair", "jinja2": "Jinja2", "vl_convert": "vl-convert-python"}


def report_option() -> Decorator:
    """Where a page goes."""
    return click.option(
        "--report",
        metavar="FILE.html",
        help="Write a page with charts and structures into this file, to look at and to send on.",
    )


def report_options(also: str = "") -> Decorator:
    """A page, and what is not to stand on it; `also` says what else leaves molecules out."""
    return several(
        report_option(),
        click.option(
            "--no-structures",
            is_flag=True,
            help=f"Leave structures, SMILES and names of molecules out of --report{also}.",
        ),
    )


def plot_option(what: str, name: str = "--plot") -> Decorator:
    """Where a figure goes."""
    ending = "into this .png, .svg or .pdf file."
    return click.option(name, metavar="FILE", type=click.Path(path_type=Path), help=f"{what} {ending}")


def check_plot(path: Path | None, option: str = "--plot") -> None:
    """Refuse a figure that could not be drawn or written, before anything is computed.

    Nobody else writes the file as long as the command runs.

    Raises
    ------
    click.UsageError, UsageError, InputError
        If Matplotlib is missing, or the file cannot be written.
    """
    if path is None:
        return
    from molrate.files.locks import exclusive_file
    from molrate.files.output import check_output
    from molrate.plotting import DRAWABLE

    check_output(path, DRAWABLE, option)
    if find_spec("matplotlib") is None:
        raise click.UsageError(f'{option} needs Matplotlib: pip install "molrate[report]"')
    click.get_current_context().with_resource(exclusive_file(path))


def check_report(report: str | None, no_structures: str | None = "no_structures") -> Path | None:
    """Make sure, before any work is done, that a page can be made and written.

    Parameters
    ----------
    report : str, optional
        As given.
    no_structures : str, optional
        Option that means nothing without a page; None if it means something by itself.

    Returns
    -------
    pathlib.Path or None
        The file, which nobody else writes as long as the command runs; None without a report.

    Raises
    ------
    click.UsageError, UsageError, InputError
        If the file cannot be written, a library is missing, or an option is in vain.
    """
    if report is None:
        if no_structures is not None:
            refuse_given([no_structures], "is about the page of --report")
        return None
    from molrate.files.locks import exclusive_file
    from molrate.files.output import check_output

    path = check_output(report, (".html",), "--report")
    missing = [title for module, title in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise click.UsageError(f'--report needs {", ".join(missing)}: pip install "molrate[report]"')
    click.get_current_context().with_resource(exclusive_file(path))
    return path


def repeated() -> str:
    """The command as it was given, quoted for a shell."""
    return shlex.join(["molrate", *sys.argv[1:]])


def write_page(page: Any, path: Path) -> None:
    """Write a page, and say where it is on standard error."""
    from molrate.cli.options import is_quiet

    page.write(path)
    if not is_quiet():
        click.echo(f"report: {path}", err=True)
