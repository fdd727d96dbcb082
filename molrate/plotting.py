"""The one style of figures: colours of Okabe and Ito, which nobody confuses, and files that do not change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.files.output import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWABLE = (".png", ".svg", ".pdf")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito, Color universal design, 2008; the yellow, hardly seen on white, is left out."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<")
"""Of series, so that they differ without colour too; one more than colours, so that all pairs differ."""
KINDS = {"pretrained": 0, "baseline": 1, "control": 2, "features": 3}
"""Place among colours and marks of each kind of candidate."""


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of all figures."""
    from cycler import cycler
    from matplotlib import rc_context

    settings: dict[str, Any] = {
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 9,
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "figure.titlesize": 10,
        "lines.linewidth": 1.2,
        "lines.markersize": 4.5,
        # Names of targets may have dollars, which begin no formula.
        "text.parse_math": False,
    }
    with rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, which no window or global list holds."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def mark(series: int) -> dict[str, Any]:
    """Colour and mark of the points of a series."""
    return {"color": COLOURS[series % len(COLOURS)], "marker": MARKS[series % len(MARKS)]}


def equal_line(panel: Axes, through: float = 0.0) -> None:
    """A dashed line where both axes have the same value; what it goes through is always within the axes."""
    panel.axline((through, through), slope=1, color="0.5", linestyle="--", linewidth=0.8, zorder=0)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as its ending says; equal figures give equal files.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : pathlib.Path
        Of an ending in :data:`DRAWABLE`.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    from matplotlib import rc_context

    ending = path.suffix.lower().removeprefix(".")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    content = BytesIO()
    # Without a salt, names within an SVG are random.
    with rc_context({"svg.hashsalt": "molrate"}):
        figure.savefig(content, format=ending, dpi=150, metadata=dates.get(ending))
    write_atomically(path, content.getvalue())
