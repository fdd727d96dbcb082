"""Rankings as figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from molrate.plotting import KINDS, mark, new_figure, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DRAWN = 30
_WIDTH, _ROW = 6.0, 0.24


def draw_ranking(frame: pd.DataFrame, title: str, form: str) -> Figure:
    """Candidates with their intervals, best first, a panel for each target.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows of a ranking by one measure.
    title : str
        Of the measure.
    form : str
        What orders; intervals are of the excess.
    """
    best = frame[frame["rank"].notna() & (frame["layer_rank"] == 1)]
    targets = [(str(name), rows.head(MOST_DRAWN)) for name, rows in best.groupby("target", sort=False)]
    with style():
        heights = [len(rows) for _, rows in targets]
        figure = new_figure(_WIDTH, 0.9 * len(targets) + _ROW * sum(heights))
        panels = figure.subplots(len(targets), squeeze=False, height_ratios=heights)[:, 0]
        for panel, (name, rows) in zip(panels, targets, strict=True):
            _draw_target(panel, rows, _axis(title, form), form)
            panel.set_title(name, loc="left")
        handles, labels = panels[0].get_legend_handles_labels()
        if len(labels) > 1:
            figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


def _axis(title: str, form: str) -> str:
    return f"{title}, {'excess over chance' if form == 'excess' else form}"


def _draw_target(panel: Axes, rows: pd.DataFrame, label: str, form: str) -> None:
    places = list(range(len(rows)))
    values = rows[form].astype(float).to_numpy()
    kinds = rows["kind"].to_numpy()
    for kind, series in KINDS.items():
        own = [place for place in places if kinds[place] == kind]
        if not own:
            continue
        bounds = rows.iloc[own][["low", "high"]].astype(float).to_numpy().T
        reach = None if form != "excess" else [values[own] - bounds[0], bounds[1] - values[own]]
        panel.errorbar(values[own], own, xerr=reach, linestyle="", label=kind, **mark(series))
    names = [
        f"{row['encoder']}, {row['layer']}" if rows["encoder"].duplicated().any() else str(row["encoder"])
        for _, row in rows.iterrows()
    ]
    panel.set_yticks(places, names)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.axvline(0, color="0.5", linewidth=0.8, zorder=0)
    panel.set_xlabel(label)


def draw_layers(profiles: Mapping[str, Mapping[str, pd.DataFrame]], title: str) -> Figure:
    """What layers are ordered by, by depth, a panel for each target.

    Parameters
    ----------
    profiles : mapping of str to mapping of str to pandas.DataFrame
        By target and encoder: ``depth``, ``value``, ``low``, ``high``.
    title : str
        Of the measure.
    """
    with style():
        figure = new_figure(_WIDTH, 2.8 * len(profiles))
        panels = figure.subplots(len(profiles), squeeze=False)[:, 0]
        for panel, (target, by_encoder) in zip(panels, profiles.items(), strict=True):
            for series, (encoder, rows) in enumerate(by_encoder.items()):
                look = mark(series)
                panel.plot(rows["depth"], rows["value"], label=encoder, **look)
                panel.fill_between(rows["depth"], rows["low"], rows["high"], alpha=0.15, color=look["color"])
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.set_title(target, loc="left")
            panel.set_xlabel("layer by depth")
            panel.set_ylabel(_axis(title, "excess"))
            panel.legend()
    return figure
