"""Draw validation errors by epoch, of the first recipe of fine-tuning and of today's.

    python benchmarks/learning_curves.py benchmarks/rows/learning-curves docs/images/learning-curves.svg

Files are the curves that `molrate finetune -o FOLDER` writes (`rate-*.csv`), of the trial that was kept:
`after-DATASET-ENCODER.csv` of today's defaults (epoch 0 is the frozen encoder), and
`before-DATASET-ENCODER.csv` of those at commit 3fd9198.
"""

import sys
from pathlib import Path

import pandas as pd

from molrate.plotting import COLOURS, new_figure, style, write_figure

LINES = {"before": ("first recipe", "--"), "after": ("0.5.0", "-")}


def main(folder: Path, output: Path) -> None:
    """Draw a panel for each case."""
    cases = sorted(path.stem.removeprefix("after-") for path in folder.glob("after-*.csv"))
    with style():
        figure = new_figure(8, 2.6)
        panels = figure.subplots(1, len(cases), squeeze=False)[0]
        for panel, case in zip(panels, cases, strict=True):
            for colour, (when, (label, line)) in zip(COLOURS, LINES.items(), strict=False):
                curve = pd.read_csv(folder / f"{when}-{case}.csv")
                # The first recipe counted its first epoch as 0.
                epochs = curve["epoch"] + (when == "before")
                errors = curve["validation_loss"] ** 0.5
                panel.plot(epochs, errors, color=colour, label=label, linestyle=line)
                best = errors.idxmin()
                panel.plot(epochs[best], errors[best], "o", color=colour)
            panel.set_title(case.replace("-", ", ", 1))
            panel.set_xlabel("epoch")
            panel.set_ylim(0, 1.1)
        panels[0].set_ylabel("validation RMSE, in standard deviations")
        panels[0].legend()
        write_figure(figure, output)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
