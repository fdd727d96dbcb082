"""``molrate select``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from molrate.cli.options import (
    device_option,
    duplicates_option,
    encoder_option,
    engine_options,
    epochs_option,
    examples,
    is_quiet,
    leaving_out_options,
    logging_options,
    max_atoms_option,
    on_invalid_option,
    output_option,
    seed_option,
    smiles_column_option,
    split_option,
    standardisation_option,
    target_options,
)
from molrate.cli.progress import columns_of
from molrate.cli.report import check_report, repeated, report_option, write_page
from molrate.cli.signals import resumable

if TYPE_CHECKING:
    from rich.table import Table

    from molrate.data.datasets import Dataset
    from molrate.report.page import Page
    from molrate.selection.result import Selection
    from molrate.selection.run import Update, Watcher

_EXAMPLES = examples(
    "molrate select my.csv -t logP --budget 20m -o model/",
    "molrate select my.csv -t active --budget 2h -o model/ --no-structures",
    "molrate select my.csv -t logP --max-jobs 30 --engine ray -o model/",
)


@click.command("select", short_help="Find the best model for a dataset within a time.", epilog=_EXAMPLES)
@click.argument("source", metavar="DATASET")
@target_options()
@output_option("Write the model into this folder, named without an ending.", "FOLDER", path=True)
@click.option("--budget", metavar="TIME", help="End after this time, such as 90s, 20m or 1.5h.")
@click.option(
    "--max-jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Run so many jobs, in place of a time. A job is one model on one fold.",
)
@encoder_option(
    "encoders",
    "Try this encoder beside the baselines; of more than five, and by default of all at hand, the five that "
    "the ranking speaks for",
    many=True,
)
@smiles_column_option()
@split_option(
    "Choose the test part at random, a fifth, or by scaffolds, which are kept whole, so that it may be "
    "smaller or larger. The folds of the race are at random."
)
@leaving_out_options()
@epochs_option()
@click.option(
    "--no-structures",
    is_flag=True,
    help="Leave the training molecules out of the folder, and structures and names of molecules out of "
    "--report; predictions then have no similarity to them.",
)
@standardisation_option()
@duplicates_option()
@on_invalid_option()
@max_atoms_option()
@seed_option()
@device_option()
@engine_options()
@report_option()
@logging_options
def command(
    source: str,
    output: Path,
    budget: str | None,
    no_structures: bool,
    encoders: tuple[str, ...],
    smiles_column: str | None,
    epochs: int | None,
    report: str | None,
    **options: Any,
) -> None:
    """Find the best model for DATASET, a name (see molrate list datasets) or a table with --target.

    Encoders are ranked, the first few race against descriptors and fingerprints, frozen and fine-tuned, fold
    by fold, and those that fall behind are dropped. The folds of the best are the model, which molrate
    predict and screen use. Its folder has a leaderboard and a model card. A run that was stopped goes on when
    the same command is given again, and several at once share the work.
    """
    begun = time.monotonic()
    from molrate.data.datasets import load_dataset
    from molrate.files.output import choose_destination, print_result
    from molrate.files.sources import refuse_input
    from molrate.selection.budget import parse_budget
    from molrate.selection.result import INTERRUPTED, LEADERBOARD, read_selection
    from molrate.selection.run import RANKING
    from molrate.selection.select import select

    choose_destination(output, folder=True)
    for name in (RANKING, LEADERBOARD):
        refuse_input(output / name, [source])
    page = check_report(report, None)
    read = {name: options.pop(name) for name in ("target", "task", "positive", "censored")}
    dataset = load_dataset(source, smiles=smiles_column, **read)
    if budget is not None:
        # The time counts from the command's start, and reading libraries is some seconds of it.
        options["budget"] = max(1e-3, parse_budget(budget) - (time.monotonic() - begun))
    try:
        with resumable("the same command"), _watched(is_quiet()) as watcher:
            found = select(
                dataset,
                output=output,
                encoders=encoders or None,
                n_epochs=epochs,
                structures=not no_structures,
                progress=watcher,
                **options,
            )
    except KeyboardInterrupt:
        kept = read_selection(output)
        if kept is not None and kept.record["ended"] == INTERRUPTED:
            print_result(describe(kept, sys.stdout))
        raise
    print_result(describe(found, sys.stdout))
    if page is not None:
        write_page(_page(found, dataset, structures=not no_structures, options=options), page)


def _page(found: Selection, dataset: Dataset, *, structures: bool, options: dict[str, Any]) -> Page:
    """What --report shows."""
    from molrate.data.policy import RowPolicy
    from molrate.finetuning.data import TrainingData
    from molrate.report.model import model_page

    policy = RowPolicy(**{field.name: options[field.name] for field in fields(RowPolicy)})
    data = TrainingData.of(dataset, options["split"], options["seed"], policy)
    shown = {"command": repeated(), "structures": structures, "device": options["device"]}
    return model_page(found.model, data, selection=found, **shown)


def describe(found: Selection, stream: TextIO) -> str:
    """The answer, the race and the test part, as text for a stream."""
    return found.to_text(columns_of(stream), colour=stream.isatty())


@contextmanager
def _watched(quiet: bool) -> Iterator[Watcher | None]:
    """A live leaderboard on a terminal, a line for each job elsewhere, on standard error."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _tell
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda update: live.update(_live_table(update), refresh=True)


def _live_table(update: Update) -> Table:
    from rich.text import Text

    from molrate.selection.report import race_table

    table = race_table(update.board)
    doing = update.job.candidate.name if update.result is None else "next"
    # Not as markup, in which brackets of a name would be lost.
    table.title = Text(f"{doing}, fold {update.job.fold + 1}{_left(update)}")
    return table


def _tell(update: Update) -> None:
    """One line for a job that has ended."""
    if update.result is None:
        return
    metric, best = update.board["metric"].iloc[0], update.board.iloc[0]
    gave = update.result.error or f"{metric} {update.result.value:.4g}"
    leading = f"; best so far {best['model']} {best['mean']:.4g}" if best["folds"] else ""
    click.echo(
        f"fold {update.job.fold + 1}, {update.job.candidate.name}: {gave} ({update.result.seconds:.0f} s)"
        f"{leading}{_left(update)}",
        err=True,
    )


def _left(update: Update) -> str:
    return "" if update.left == float("inf") else f"; {max(0.0, update.left):.0f} s left"
