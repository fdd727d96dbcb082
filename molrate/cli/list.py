"""``molrate list``."""

from __future__ import annotations

import json

import click

from molrate.cli.options import examples, format_option

_KINDS = ("encoders", "datasets", "measures")
_WIDTH = 120
_LONG = ("about", "reference")
"""What a table has no room for."""


_EXAMPLES = examples("molrate list encoders", "molrate list measures --format json")


@click.command("list", short_help="List encoders, datasets or measures.", epilog=_EXAMPLES)
@click.argument("kind", type=click.Choice(_KINDS))
@format_option(["table", "json"])
def command(kind: str, output_format: str) -> None:
    """List encoders, datasets or measures, and which are available offline without a download."""
    import molrate

    rows = {
        "encoders": molrate.list_encoders,
        "datasets": molrate.list_datasets,
        "measures": molrate.list_measures,
    }[kind]()
    if output_format == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    rows = [{name: value for name, value in row.items() if name not in _LONG} for row in rows]
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], box=None, pad_edge=False, header_style="")
    for row in rows:
        table.add_row(*row.values())
    Console(width=_WIDTH, highlight=False, markup=False).print(table)
