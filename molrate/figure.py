"""The paper's Figure 6 for molecular encoders: score against fine-tuned performance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from molrate.errors import InputError
from molrate.evaluation import Trial, weighted


def draw_panels(trials: Sequence[Trial], predictors: Sequence[str], path: Path) -> None:
    """One panel a dataset (row) and predictor (column), one point an encoder, as ``.png`` or ``.svg``.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.0 * len(predictors), 2.6 * len(trials)), layout="constrained")
    axes = figure.subplots(len(trials), len(predictors), squeeze=False)
    families = sorted({family for trial in trials for family in trial.families})
    for trial, row in zip(trials, axes, strict=True):
        for name, panel in zip(predictors, row, strict=True):
            scores, truth = trial.predictors[name], trial.mean_truth
            sign = 1 if trial.metric == "auroc" else -1
            spread = trial.truth.std(axis=1, ddof=1) if trial.truth.shape[1] > 1 else np.zeros(len(truth))
            for family in families:
                of_family = np.array([one == family for one in trial.families])
                panel.errorbar(
                    scores[of_family],
                    sign * truth[of_family],
                    spread[of_family] / np.sqrt(trial.truth.shape[1]),
                    fmt="o",
                    markersize=4,
                    linewidth=0.8,
                    label=family,
                )
            if sign < 0:
                panel.invert_yaxis()
            tau = weighted(scores, truth)
            panel.set_title(f"{trial.name}, weighted tau {tau:.2f}", fontsize=9)
            panel.set_xlabel(name, fontsize=8)
            panel.set_ylabel(f"fine-tuned, {trial.metric}", fontsize=8)
            panel.tick_params(labelsize=7)
    axes[0, 0].legend(fontsize=7)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
