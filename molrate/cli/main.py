"""The command group and its exit codes."""

from __future__ import annotations

import io
import sys
import warnings
from importlib import import_module

import click

from molrate.cli.options import examples
from molrate.cli.signals import Stop, stopped_by_signals
from molrate.errors import MolrateError

_COMMANDS = (
    "score",
    "select",
    "finetune",
    "predict",
    "benchmark",
    "evaluate",
    "embed",
    "screen",
    "download",
    "convert",
    "pretrain",
    "list",
    "show",
    "info",
    "cache",
    "check-encoder",
)

_EPILOG = """Exit codes: 0 done; 1 unexpected error; 2 wrong use; 3 bad input; 4 weights missing or corrupt;
5 partial (some encoders or molecules failed, the rest is written); 130 interrupted, 143 terminated."""

_EXAMPLES = examples(
    "molrate score freesolv",
    "molrate finetune my.csv --target logP -e grover-base-chembl -o model/",
    "molrate screen library.smi.gz -m model/ -o hits/ --top 1000",
)


class _LazyGroup(click.Group):
    """A group whose commands are imported when called, so that ``--help`` is immediate."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"molrate.cli.{name.replace('-', '_')}").command
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{_EXAMPLES}\n\n{_EPILOG}",
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
        with stopped_by_signals() as stop, warnings.catch_warnings():
            # What PyTorch Geometric uses of torch is no matter of those who run a command.
            warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated")
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
            click.echo(stop.sentence, err=True)
            return stop.exit_code
        if isinstance(error, click.ClickException):
            error.show()
            return error.exit_code
        if isinstance(error, MolrateError):
            click.echo(f"Error: {error}", err=True)
            return error.exit_code
        raise
