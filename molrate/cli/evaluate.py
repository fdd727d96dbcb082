"""``molrate evaluate``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from molrate.cli.main import logging_options, set_up_logging


@click.command("evaluate", short_help="How well scores predicted fine-tuning, from molrate benchmark.")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for summary.md and table.csv.")
@click.option(
    "--figure", type=click.Path(path_type=Path), help="FILE.png or .svg: scores against fine-tuning."
)
@click.option(
    "--measure",
    "measures",
    multiple=True,
    default=["transrate", "logme", "ridge"],
    show_default=True,
    metavar="NAME",
    help="Drawn in the figure.",
)
@click.option("--seed", default=0, show_default=True, help="Draws the bootstrap.")
@logging_options
def command(
    results: Path,
    output: Path | None,
    figure: Path | None,
    measures: tuple[str, ...],
    seed: int,
    quiet: bool,
    verbose: bool,
) -> None:
    """Compare every measure in RESULTS, a folder of molrate benchmark, with what fine-tuning gave.

    Of each: weighted tau with its interval over encoders and datasets, Kendall's tau, Pearson's
    correlation, how many of the three best encoders it finds, and what is lost by taking its first.
    """
    set_up_logging(quiet, verbose)
    from molrate.evaluation import evaluate, read_results
    from molrate.io import print_result, write_atomically

    trials = read_results(results)
    evaluation = evaluate(trials, seed)
    print_result(evaluation.markdown())
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_atomically(output / "summary.md", (evaluation.markdown() + "\n").encode())
        write_atomically(output / "table.csv", evaluation.table.to_csv(index=False).encode())
    if figure is not None:
        if find_spec("matplotlib") is None:
            raise click.UsageError('--figure needs Matplotlib: pip install "molrate[train]"')
        from molrate.figure import draw_panels

        unknown = [name for name in measures if any(name not in trial.predictors for trial in trials)]
        if unknown:
            raise click.UsageError(f"--measure {unknown[0]}: it is not in these results for every dataset")
        draw_panels(trials, measures, figure)
