"""Figures 6 and 7 of the paper for molecular encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from molrate.benchmarking.agreement import Floats, weighted
from molrate.benchmarking.curves import agreement_curves
from molrate.benchmarking.read import DatasetOutcome
from molrate.errors import InputError
from molrate.plotting import mark, new_figure, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FAR = 4
"""Number of interquartile ranges beyond the quartiles from which scores are drawn at the edge."""


def make_panels(outcomes: Sequence[DatasetOutcome], predictors: Sequence[str]) -> Figure:
    """Draw scores against fine-tuned performance.

    Each dataset has a row, each predictor a column, and each encoder a point. Bars are standard errors over
    seeds. Better performance is drawn higher.
    """
    with style():
        figure = new_figure(2.9 * len(predictors), 2.5 * len(outcomes))
        axes = figure.subplots(len(outcomes), len(predictors), squeeze=False)
        for outcome, row in zip(outcomes, axes, strict=True):
            for name, panel in zip(predictors, row, strict=True):
                _draw_panel(panel, outcome, name)
        axes[0, 0].legend()
    return figure


def _draw_panel(panel: Axes, outcome: DatasetOutcome, name: str) -> None:
    scores, truth = outcome.predictors[name], outcome.mean_truth
    drawn = _near(scores)
    sign = 1 if outcome.metric == "auroc" else -1
    n_seeds = len(outcome.seeds)
    spread = outcome.truth.std(axis=1, ddof=1) if n_seeds > 1 else np.zeros(len(truth))
    families = np.array(outcome.families)
    for series, family in enumerate(sorted(set(outcome.families))):
        members = families == family
        panel.errorbar(
            drawn[members],
            sign * truth[members],
            spread[members] / np.sqrt(n_seeds),
            linestyle="",
            label=family,
            **mark(series),
        )
    for at, height in zip(drawn[drawn != scores], sign * truth[drawn != scores], strict=True):
        panel.annotate("further out", (at, height), fontsize=6, xytext=(4, 3), textcoords="offset points")
    if sign < 0:
        panel.invert_yaxis()
    panel.set_title(f"{outcome.name}, weighted tau {weighted(scores, truth):.2f}")
    panel.set_xlabel(name)
    panel.set_ylabel(f"fine-tuned, {outcome.metric}")


def _near(scores: Floats) -> Floats:
    """Move scores that would squeeze all others into a corner to the edge."""
    low, high = np.quantile(scores, (0.25, 0.75))
    reach = _FAR * (high - low)
    return np.clip(scores, low - reach, high + reach) if reach > 0 else scores


def make_curves(outcomes: Sequence[DatasetOutcome]) -> Figure:
    """Draw agreement with fine-tuning for few molecules and for other distortions.

    Raises
    ------
    InputError
        If the results have no scores under other settings.
    """
    curves = agreement_curves(outcomes)
    # Keep points that are means over the same datasets: small datasets have no large samples.
    curves = curves[curves["datasets"] == curves["datasets"].max()]
    if curves.empty:
        raise InputError("these results have no scores with fewer molecules; run molrate benchmark again")
    with style():
        return _draw_curves(curves)


def _draw_curves(curves: pd.DataFrame) -> Figure:
    figure = new_figure(7.5, 3)
    panels = figure.subplots(1, 2, sharey=True)
    largest = curves.loc[np.isfinite(curves["to"]) & (curves["setting"] == "molecules"), "to"].max()
    curves = curves.assign(at=curves["to"].replace(np.inf, 2 * largest))
    looks = {measure: mark(series) for series, measure in enumerate(sorted(set(curves["measure"])))}
    for panel, setting in zip(panels, ("molecules", "epsilon squared"), strict=True):
        for measure, rows in curves[curves["setting"] == setting].groupby("measure"):
            spread = None if rows["deviation"].isna().all() else rows["deviation"]
            panel.errorbar(rows["at"], rows["weighted tau"], spread, label=measure, **looks[measure])
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("")
        panel.set_xlabel(setting)
    sizes = curves[curves["setting"] == "molecules"].drop_duplicates("to")
    panels[0].set_xticks(sizes["at"], ["all" if np.isinf(size) else f"{size:.0f}" for size in sizes["to"]])
    panels[0].minorticks_off()
    panels[0].set_ylabel("weighted tau with fine-tuning")
    panels[0].legend()
    return figure
