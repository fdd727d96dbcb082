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
    """List encoders, datasets or measures, and which are at hand without a download."""
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
        at_hand = "yes" if card is None or card.at_hand else "download"
        kind = card.kind if card else "plugin"
        rows.append({"encoder": name, "kind": kind, "at hand": at_hand, "what": card.title if card else ""})
    return rows


def _datasets() -> list[dict[str, str]]:
    from molrate.data.datasets import dataset_at_hand, dataset_cards

    return [
        {
            "dataset": name,
            "task": card["task"],
            "rows": str(card["rows"]),
            "targets": ", ".join(card["targets"]),
            "at hand": "yes" if dataset_at_hand(card) else "download",
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
                "reads": "values" if measure.uses == "values" else "classes, bins",
                "needs": measure.needs,
                "better": "higher" if measure.higher_is_better else "lower",
            }
        )
    return rows
