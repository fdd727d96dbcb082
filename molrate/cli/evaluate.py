"""``molrate evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from molrate.cli.options import examples, logging_options, output_option, seed_option, was_given
from molrate.cli.report import check_plot, plot_option

if TYPE_CHECKING:
    from molrate.benchmarking.read import DatasetOutcome


_EXAMPLES = examples(
    "molrate evaluate",
    "molrate evaluate results/ -o summary/ --plot plot.png",
    "molrate evaluate results/ --dataset esol --split scaffold --reference logme",
)


@click.command(
    "evaluate", short_help="How well scores predicted fine-tuning, from molrate benchmark.", epilog=_EXAMPLES
)
@click.argument("results", required=False, type=click.Path(path_type=Path))
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME",
    help="Evaluate this dataset of the results. Repeat the option for more; by default it is all of them.",
)
@click.option(
    "--split",
    type=click.Choice(["random", "scaffold"]),
    default="random",
    show_default=True,
    help="Evaluate the fine-tunings of this split.",
)
@click.option(
    "--exclude-contaminated",
    is_flag=True,
    help="Leave out of each dataset the encoders that were trained on labels of it, or may have been, as is "
    "always done without RESULTS.",
)
@click.option(
    "--reference",
    metavar="NAME",
    help="Compare the others with this predictor; by default it is logme, or the first there is.",
)
@output_option("Write the summary and its tables into this folder.", "FOLDER", required=False, path=True)
@plot_option("Draw scores against fine-tuning")
@plot_option("Draw agreement with fewer molecules", "--curves")
@click.option(
    "--measure",
    "measures",
    multiple=True,
    default=["logme", "transrate", "loo"],
    show_default=True,
    metavar="NAME",
    help="Draw this measure in --plot. Repeat the option for more measures; those of the default that the "
    "results do not have are left out.",
)
@seed_option()
@logging_options
def command(
    results: Path | None,
    datasets: tuple[str, ...],
    split: str,
    exclude_contaminated: bool,
    reference: str | None,
    output: Path | None,
    plot: Path | None,
    curves: Path | None,
    measures: tuple[str, ...],
    seed: int,
) -> None:
    """Compare every measure in RESULTS, a folder of molrate benchmark, with what fine-tuning gave.

    Without RESULTS: the study that ships with molrate, without encoders that were trained on labels of a
    dataset, or may have been. Of each measure: weighted tau with its interval over
    encoders and datasets, Kendall's tau, Pearson's correlation, how many of the three best encoders it
    finds, and what is lost by taking its first.
    """
    from molrate.benchmarking.comparison import DEFAULT_REFERENCE, evaluate
    from molrate.benchmarking.expectations import expectation_table
    from molrate.benchmarking.read import CLEAN, read_results
    from molrate.benchmarking.summary import to_markdown
    from molrate.files.locks import exclusive
    from molrate.files.output import print_result, write_atomically

    check_plot(plot)
    check_plot(curves, "--curves")
    trials = read_results(results, datasets, split, exclude_contaminated)
    _check_known("--reference", [reference] if reference else (), trials)
    _check_known("--measure", measures if plot and was_given("measures") else (), trials)
    evaluation = evaluate(trials, reference or DEFAULT_REFERENCE, seed)
    measures = _there(measures, trials) or (evaluation.reference,)
    summary = to_markdown(evaluation) + (f"\n\n{CLEAN}" if results is None else "")
    print_result(summary)
    if output is not None:
        with exclusive(output):
            write_atomically(output / "summary.md", (summary + "\n").encode())
            write_atomically(output / "table.csv", evaluation.table.to_csv(index=False).encode())
            expected = expectation_table(trials)
            write_atomically(output / "expected.csv", expected.to_csv(index=False).encode())
    if plot is not None:
        from molrate.benchmarking.figure import make_panels
        from molrate.plotting import write_figure

        write_figure(make_panels(trials, measures), plot)
    if curves is not None:
        from molrate.benchmarking.figure import make_curves
        from molrate.plotting import write_figure

        write_figure(make_curves(trials), curves)


def _there(names: Sequence[str], trials: Sequence[DatasetOutcome]) -> tuple[str, ...]:
    """Those of some predictors that every dataset has."""
    return tuple(name for name in names if all(name in trial.predictors for trial in trials))


def _check_known(option: str, names: Sequence[str], trials: Sequence[DatasetOutcome]) -> None:
    """Refuse a predictor that some dataset does not have.

    Raises
    ------
    click.UsageError
        If there is one.
    """
    known = _there(names, trials)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"{option} {unknown[0]}: it is not in these results for every dataset")
