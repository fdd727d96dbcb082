"""``molrate benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from molrate.cli.options import (
    device_option,
    encoder_option,
    examples,
    jobs_option,
    logging_options,
    output_option,
    refuse_given,
    target_options,
    training_config,
    training_options,
    was_given,
)
from molrate.cli.signals import resumable
from molrate.errors import PARTIAL_EXIT_CODE

_EXAMPLES = examples(
    "molrate benchmark freesolv esol -o results/",
    "molrate benchmark my.csv -t logP -e grover-base-chembl -e ecfp4 -o results/",
    "molrate benchmark esol --split random --split scaffold -o results/",
    "molrate benchmark --study --measure my-measure -o standing/",
)


@click.command(
    "benchmark",
    short_help="Fine-tune a grid of encoders and datasets beside their scores.",
    epilog=_EXAMPLES,
)
@click.argument("datasets", metavar="[DATASET...]", nargs=-1)
@encoder_option("encoders", "Fine-tune this encoder; by default all that need no download", many=True)
@target_options(task=False)
@output_option(
    "Write the results into this folder, named without an ending, or add to those there.", "FOLDER", path=True
)
@click.option(
    "--split",
    multiple=True,
    type=click.Choice(["random", "scaffold"]),
    default=["random"],
    show_default=True,
    help="Choose the molecules to test on at random, or by their scaffolds. Repeat the option for both.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    metavar="N",
    help="Repeat all with so many seeds, each of which draws training and the random split.",
)
@click.option(
    "--measure",
    "measures",
    multiple=True,
    default=["all"],
    show_default=True,
    metavar="NAME",
    help="Score by this measure (see molrate list measures), or by all that need nothing else. Repeat the "
    "option for more measures.",
)
@click.option(
    "--part",
    type=click.Choice(["all", "scores", "variants", "finetuning"]),
    default="all",
    show_default=True,
    help="Do only the scores, the scores under other settings, or the fine-tuning, where the others are done "
    "elsewhere.",
)
@click.option(
    "--study",
    is_flag=True,
    help="Fine-tune nothing: score the encoders of the study that ships with molrate, and those given, and "
    "say where these and the measures given would stand in it.",
)
@training_options()
@jobs_option(1)
@device_option()
@logging_options
def command(
    datasets: tuple[str, ...],
    encoders: tuple[str, ...],
    target: tuple[str, ...],
    positive: str | None,
    censored: str | None,
    output: Path,
    split: tuple[str, ...],
    seeds: int,
    measures: tuple[str, ...],
    part: str,
    study: bool,
    training: dict[str, Any],
    jobs: int,
    device: str,
) -> None:
    """Fine-tune every encoder on every DATASET, and score it on the same training molecules.

    Rows are written as they finish; the same command given again does only what is missing.

    With --study, DATASETs are those of the study; by default all of them that molrate has a card of. Its
    encoders that were trained on labels of a dataset, or may have been, are left out.
    """
    from molrate.benchmarking.run import run_benchmark
    from molrate.files.output import choose_destination
    from molrate.ranking.molecules import default_encoders

    choose_destination(output, folder=True)
    if study:
        refuse_given(
            ("split", "seeds", "part", "jobs", "positive", "censored", *training),
            "has no meaning with --study, which fine-tunes nothing",
        )
        _stand_in_study(datasets, encoders, target, output, measures, device)
        return
    if not datasets:
        raise click.UsageError("Missing argument 'DATASET...'.")
    outcomes = run_benchmark(
        datasets,
        encoders or default_encoders(),
        output,
        training_config(training),
        target=target or None,
        splits=split,
        seeds=range(seeds),
        measures=measures,
        n_jobs=jobs,
        device=device,
        part=part,
        positive=positive,
        censored=censored,
    )
    n_failed = 0
    with resumable("the same command"):
        for outcome in outcomes:
            n_failed += outcome.status != "ok"
            click.echo(outcome.describe())
    if n_failed:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)


def _stand_in_study(
    datasets: tuple[str, ...],
    encoders: tuple[str, ...],
    target: tuple[str, ...],
    output: Path,
    measures: tuple[str, ...],
    device: str,
) -> None:
    from molrate.benchmarking.read import CLEAN
    from molrate.benchmarking.standing import stand_in_study
    from molrate.files.output import print_result

    with resumable("the same command"):
        standing = stand_in_study(
            output,
            encoders,
            measures if was_given("measures") else (),
            datasets,
            target=target or None,
            device=device,
        )
    print_result(f"{standing.to_markdown()}\n\n{CLEAN}")
    if not standing.complete:
        raise click.exceptions.Exit(PARTIAL_EXIT_CODE)
