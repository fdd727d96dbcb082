"""``molrate list``."""

from __future__ import annotations

import json
from typing import Any

import click

from molrate.cli.options import examples, format_option, refuse_given

_KINDS = ("encoders", "datasets", "measures")
_WIDTH = 120
_LONG = ("about", "reference", "licence", "tasks")
"""What a table has no room for."""


_EXAMPLES = examples(
    "molrate list encoders",
    "molrate list encoders --offline --licence permissive",
    "molrate list measures --format json",
)
_OF_ENCODERS = ("family", "offline", "task", "licence")


@click.command("list", short_help="List encoders, datasets or measures.", epilog=_EXAMPLES)
@click.argument("kind", type=click.Choice(_KINDS))
@click.option(
    "--family",
    metavar="NAME",
    multiple=True,
    help="List encoders of this family only. Repeat the option for more.",
)
@click.option("--offline", is_flag=True, help="List encoders that need no download only.")
@click.option(
    "--task",
    metavar="NAME",
    multiple=True,
    help="List encoders only that were pretrained to do this, for example attribute-masking or supervised. "
    "Repeat the option for more.",
)
@click.option(
    "--licence",
    metavar="NAME",
    multiple=True,
    help="List encoders of this licence only, or of all that allow every use (permissive). Repeat the "
    "option for more.",
)
@format_option(["table", "json"])
def command(kind: str, output_format: str, **options: Any) -> None:
    """List encoders, datasets or measures, and which are available offline without a download."""
    import molrate

    if kind == "encoders":
        rows = molrate.list_encoders(**options)
    else:
        refuse_given(_OF_ENCODERS, "is for encoders")
        rows = {"datasets": molrate.list_datasets, "measures": molrate.list_measures}[kind]()
    if output_format == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    rows = [{name: value for name, value in row.items() if name not in _LONG} for row in rows]
    from rich.console import Console
    from rich.table import Table

    if not rows:
        click.echo("no encoder is of that kind", err=True)
        return
    table = Table(*rows[0], box=None, pad_edge=False, header_style="")
    for row in rows:
        table.add_row(*row.values())
    Console(width=_WIDTH, highlight=False, markup=False).print(table)
