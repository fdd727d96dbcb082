"""``molrate show``."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import click

from molrate.cli.options import examples, format_option

_WIDTH = 100
_INDENT = 20

_EXAMPLES = examples("molrate show gin-masking", "molrate show rxnmapper-albert --format json")


@click.command("show", short_help="Print the card of an encoder.", epilog=_EXAMPLES)
@click.argument("encoder")
@format_option(["table", "json"])
def command(encoder: str, output_format: str) -> None:
    """Print what is known of ENCODER: layers, pretraining, labels seen, licence, source.

    ENCODER is a name (see molrate list encoders), or FAMILY:FILE.
    """
    from molrate.encoders.base import describe_encoder

    described = describe_encoder(encoder)
    if output_format == "json":
        click.echo(json.dumps(described, indent=2, ensure_ascii=False))
        return
    for name, value in described.items():
        lines = textwrap.wrap(shown(value), _WIDTH - _INDENT, break_on_hyphens=False) or ["-"]
        click.echo(f"{name:<{_INDENT}}{lines[0]}")
        for line in lines[1:]:
            click.echo(" " * _INDENT + line)


def shown(value: Any) -> str:
    """A value of a card in words."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} ({dimension})" for name, dimension in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
