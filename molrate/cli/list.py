"""``molrate list``."""

from __future__ import annotations

import json

import click

_KINDS = ("encoders", "datasets", "measures")
_WIDTH = 120


@click.command("list", short_help="List encoders, datasets or measures.")
@click.argument("kind", type=click.Choice(_KINDS))
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Format on standard output.",
)
def command(kind: str, output_format: str) -> None:
    """List encoders, datasets or measures, and which are available offline without a download."""
    rows = {"encoders": _encoders, "datasets": _datasets, "measures": _measures}[kind]()
    if output_format == "json":
        click.echo(json.dumps([row | _more(kind, row) for row in rows], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], box=None, pad_edge=False, header_style="")
    for row in rows:
        table.add_row(*row.values())
    Console(width=_WIDTH, highlight=False, markup=False).print(table)


def _more(kind: str, row: dict[str, str]) -> dict[str, str]:
    """What a table has no room for: what a measure means, its range, and when not to trust it."""
    if kind != "measures":
        return {}
    from molrate.measures.base import MEASURES

    measure = MEASURES[row["measure"]]
    return {"about": measure.about, "reference": measure.reference}


def _encoders() -> list[dict[str, str]]:
    from molrate.encoders.base import encoder_names
    from molrate.encoders.cards import encoder_cards

    cards = encoder_cards()
    rows = []
    for name in encoder_names():
        card = cards.get(name)
        available_offline = "yes" if card is None or card.available_offline else "download"
        kind = card.kind if card else "plugin"
        rows.append(
            {
                "encoder": name,
                "kind": kind,
                "available offline": available_offline,
                "what": card.title if card else "",
            }
        )
    return rows


def _datasets() -> list[dict[str, str]]:
    from molrate.data.datasets import dataset_cards, is_dataset_offline

    return [
        {
            "dataset": name,
            "task": card["task"],
            "rows": str(card["rows"]),
            "targets": ", ".join(card["targets"]),
            "available offline": "yes" if is_dataset_offline(card) else "download",
        }
        for name, card in dataset_cards().items()
    ]


def _measures() -> list[dict[str, str]]:
    from molrate.measures.base import MEASURES

    rows = []
    for name in MEASURES:
        measure = MEASURES[name]
        rows.append(
            {
                "measure": name,
                "what": measure.title,
                "tasks": ", ".join(measure.tasks),
                "reads": "values" if measure.reads == "values" else "classes, bins",
                "needs": measure.inputs,
                "better": "higher" if measure.higher_is_better else "lower",
            }
        )
    return rows
