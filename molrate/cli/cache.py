"""``molrate cache``."""

from __future__ import annotations

import click

from molrate.cli.options import examples


@click.group(
    "cache",
    short_help="List or clear what molrate keeps on disk.",
    epilog=examples("molrate cache list", "molrate cache clear embeddings"),
)
def command() -> None:
    """List or clear what molrate keeps on disk: embeddings and scores, and downloaded weights and datasets.

    The folder is the platform's own for caches, or MOLRATE_CACHE.
    """


@command.command("list", epilog=examples("molrate cache list", "MOLRATE_CACHE=cache/ molrate cache list"))
def list_command() -> None:
    """Print kind, number of files, size and folder."""
    from molrate.files.cache import cache_usage, show_bytes

    for usage in cache_usage():
        click.echo(f"{usage.kind:<12} {usage.files:>12} {show_bytes(usage.n_bytes):>10}  {usage.folder}")


@command.command(
    "clear", epilog=examples("molrate cache clear embeddings weights", "molrate cache clear --yes")
)
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option("--yes", is_flag=True, help="Remove them without asking.")
def clear_command(kinds: tuple[str, ...], yes: bool) -> None:
    """Remove kept files of each KIND: embeddings, scores, weights, datasets, moleculenet; all if none named.

    What is needed again is computed or downloaded again.
    """
    from molrate.errors import UsageError
    from molrate.files.cache import KINDS, cache_usage, clear_cache, show_bytes

    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UsageError(f"unknown KIND {unknown[0]!r}; known: {', '.join(KINDS)}")
    usages = [usage for usage in cache_usage() if usage.kind in (kinds or KINDS) and usage.n_files]
    if not usages:
        click.echo("nothing to remove")
        return
    named = ", ".join(f"{usage.kind} ({show_bytes(usage.n_bytes)})" for usage in usages)
    if not (yes or _agreed(f"Remove {named}?")):
        click.echo("nothing was removed")
        return
    for usage in usages:
        clear_cache(usage.kind)
    click.echo(f"removed {named}")


def _agreed(question: str) -> bool:
    """What is answered on standard input."""
    from molrate.errors import UsageError

    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        # Of a signal as well, which is told before any error is.
        raise UsageError("standard input has no answer; give --yes to remove without asking") from error
