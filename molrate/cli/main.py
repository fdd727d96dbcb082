"""The command group, its exit codes, and the options commands share."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import click

from molrate.cli.signals import Stop, stopped_by_signals
from molrate.errors import MolrateError

_COMMANDS = (
    "score",
    "finetune",
    "predict",
    "benchmark",
    "evaluate",
    "embed",
    "screen",
    "convert",
    "pretrain",
    "list",
    "info",
    "cache",
)

_EPILOG = """Exit codes: 0 done; 1 unexpected error; 2 wrong use; 3 bad input; 4 weights missing or corrupt;
5 partial (some encoders or molecules failed, the rest is written); 130 interrupted, 143 terminated."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when called, so that ``--help`` is immediate."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"molrate.cli.{name}").command
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(package_name="molrate", prog_name="molrate")
def cli() -> None:
    """Which pretrained molecular encoder, and which of its layers, will transfer best to your data."""


running = False
"""Whether a command is running, so that errors name its options; see :mod:`molrate.errors`."""


def main() -> None:
    """Run the command line; deliberate errors end with their exit code and no traceback."""
    global running
    running = True
    _write_anything()
    try:
        with stopped_by_signals() as stop:
            code = _exit_code(stop)
    finally:
        running = False
    sys.exit(code)


def _write_anything() -> None:
    """Show what the locale has no characters for by their numbers, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _exit_code(stop: Stop) -> int:
    """Run the command and say what went wrong."""
    try:
        # Outside click's standalone mode a requested exit code comes back as the return value.
        return cli.main(prog_name="molrate", standalone_mode=False) or 0
    except BaseException as error:
        if stop.number is not None or isinstance(error, (click.Abort, KeyboardInterrupt)):
            click.echo(f"Interrupted; {stop.outlook}.", err=True)
            return stop.exit_code
        if isinstance(error, click.ClickException):
            error.show()
            return error.exit_code
        if isinstance(error, MolrateError):
            click.echo(f"Error: {error}", err=True)
            return error.exit_code
        raise


def logging_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-q`` and ``-v``: how much is said on standard error."""
    function = click.option("-v", "--verbose", is_flag=True, help="Say more on standard error.")(function)
    return click.option("-q", "--quiet", is_flag=True, help="Only errors on standard error.")(function)


def set_up_logging(quiet: bool, verbose: bool) -> None:
    """Send the log to standard error at the level asked for."""
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger("molrate").setLevel(level)


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that reads rows: how, and which are too large."""
    function = click.option(
        "--max-atoms",
        type=click.IntRange(1),
        default=1000,
        show_default=True,
        help="Larger molecules are reported and not computed.",
    )(function)
    return click.option(
        "--input-format",
        type=click.Choice(["csv", "tsv", "smi", "sdf"]),
        default="csv",
        show_default=True,
        help="Of standard input; files tell it by their ending.",
    )(function)


def refuse_input_format(names: Sequence[str]) -> None:
    """Refuse a format of standard input where it is not read.

    Raises
    ------
    click.UsageError
        If one was given.
    """
    source = click.get_current_context().get_parameter_source("input_format")
    if source is click.core.ParameterSource.COMMANDLINE and "-" not in names:
        raise click.UsageError("--input-format is of standard input (-); files tell it by their ending")


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that reads targets, beside their columns and task."""
    function = click.option(
        "--censored",
        type=click.Choice(["drop", "bound"]),
        help="Values such as <10: leave them out, or take 10. They are refused by default.",
    )(function)
    return click.option(
        "--positive",
        metavar="LABEL",
        help="Class that is sought, where the labels do not say it as active, yes, true, + or 1 do.",
    )(function)


def embedding_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that embeds molecules."""
    options = (
        click.option("--layer", default="last", show_default=True, help="last, all or a layer's name."),
        click.option(
            "--pooling",
            type=click.Choice(["mean", "sum", "max"]),
            default="mean",
            show_default=True,
            help="Atoms to molecule.",
        ),
        click.option("--smiles-column", metavar="NAME", help="Found by its usual names if not given."),
        click.option(
            "--standardisation",
            type=click.Choice(["largest-fragment", "none"]),
            default="largest-fragment",
            show_default=True,
            help="Keep the largest fragment only, or all of them.",
        ),
        click.option(
            "--seed", default=0, show_default=True, help="Draws untrained weights and permutations."
        ),
        click.option(
            "--precision",
            type=click.Choice(["fp32", "bf16"]),
            default="fp32",
            show_default=True,
            help="Of GROVER's weights and hidden states; bf16 is faster where the processor has it.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ..."),
    )
    for option in reversed(options):
        function = option(function)
    return function
