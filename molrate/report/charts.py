"""Charts of a page, as Vega-Lite by Altair, each with its numbers as a table.

Colours are names of the page's style (``var(--series-1)``), so that a chart follows the page from light to
dark; text is in ``currentColor``. Names from data are values of a chart, never field names, which Vega would
read as paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import numpy.typing as npt

from molrate.report.tables import Table

SERIES = tuple(f"var(--series-{place})" for place in range(1, 8))
"""Colours of Okabe and Ito, of light and dark ground."""
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
_FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
"""The page's, by its name: Vega measures text apart from the page."""
_LABEL_LIMIT = 200
_ROW_HEIGHT, _BAR_HEIGHT = 24, 32
_HEIGHT = 300
STRUCTURE = "structure"
"""Field of a chart's rows with the key of a molecule's structure."""

Row = Mapping[str, Any]
_Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Chart:
    """A chart in its place.

    Attributes
    ----------
    key : str
        Its name on the page.
    caption : str
        What is seen, in a sentence or two.
    description : str
        What it shows, for those who do not see it.
    spec : dict
        Vega-Lite.
    numbers : Table
        What it draws.
    """

    key: str
    caption: str
    description: str
    spec: dict[str, Any]
    numbers: Table
    kind: str = "chart"


def _spec(chart: Any, height: int = _HEIGHT) -> dict[str, Any]:
    """Vega-Lite of a chart as wide as its place, in the page's colours."""
    text = {"labelColor": "currentColor", "titleColor": "currentColor"}
    styled = (
        chart.properties(width="container", height=height)
        .configure(font=_FONT, background="transparent", aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            **text,
            domainColor="currentColor",
            tickColor="currentColor",
            gridColor="var(--line)",
            labelLimit=_LABEL_LIMIT,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        )
        .configure_legend(
            **text,
            orient="top",
            labelLimit=220,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            columns=3,
        )
    )
    spec: dict[str, Any] = styled.to_dict()
    # From the right: beside long labels a phone has no room for it. Altair does not know the option.
    spec["config"]["legend"]["layout"] = {"anchor": "end"}
    return spec


def _data(rows: Sequence[Row]) -> alt.InlineData:
    return alt.InlineData(values=[{name: _plain(value) for name, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    """A value as JSON has it, None where there is none."""
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def _colours(names: Sequence[str]) -> tuple[alt.Scale, alt.Scale]:
    """Colours and shapes of a few names, in their order."""
    if len(names) > len(SERIES):
        raise ValueError(f"{len(names)} series for {len(SERIES)} colours")
    return (
        alt.Scale(domain=list(names), range=list(SERIES[: len(names)])),
        alt.Scale(domain=list(names), range=list(_SHAPES[: len(names)])),
    )


def histogram(values: _Floats, title: str, *, bins: int = 30) -> tuple[dict[str, Any], list[list[str]]]:
    """Bars of how many values lie in each range, and the numbers.

    Parameters
    ----------
    values : ndarray, shape (n,)
    title : str
        Of the axis of values.
    bins : int
        At most.
    """
    counts, edges = np.histogram(values, bins=min(bins, max(1, len(np.unique(values)))))
    return counted(edges, counts, title)


def counted(
    edges: _Floats, counts: npt.NDArray[np.integer[Any]], title: str
) -> tuple[dict[str, Any], list[list[str]]]:
    """Bars of counts between edges, and the numbers.

    Parameters
    ----------
    edges : ndarray, shape (k + 1,)
    counts : ndarray of int, shape (k,)
    title : str
    """
    bounds = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    rows = [
        {"low": low, "high": high, "count": int(count)}
        for (low, high), count in zip(bounds, counts, strict=True)
    ]
    chart = (
        alt.Chart(_data(rows))
        .mark_bar(color=SERIES[0], stroke="var(--ground)", strokeWidth=1)
        .encode(
            x=alt.X("low:Q", title=title, bin="binned", axis=alt.Axis(tickCount=8)),
            x2="high:Q",
            y=alt.Y("count:Q", title="molecules", axis=alt.Axis(tickMinStep=1)),
            tooltip=[
                alt.Tooltip("low:Q", title="from", format=".4g"),
                alt.Tooltip("high:Q", title="to", format=".4g"),
                alt.Tooltip("count:Q", title="molecules"),
            ],
        )
    )
    numbers = [
        [f"{low:.4g} to {high:.4g}", str(int(count))]
        for (low, high), count in zip(bounds, counts, strict=True)
    ]
    return _spec(chart, 220), numbers


def bars(counts: Mapping[str, int]) -> dict[str, Any]:
    """Bars of how many molecules each class has."""
    rows = [{"label": label, "count": count} for label, count in counts.items()]
    chart = (
        alt.Chart(_data(rows))
        .mark_bar(color=SERIES[0])
        .encode(
            x=alt.X("count:Q", title="molecules", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("label:N", title=None, sort=None, scale=alt.Scale(paddingInner=0.3)),
            tooltip=[
                alt.Tooltip("label:N", title="class"),
                alt.Tooltip("count:Q", title="molecules"),
            ],
        )
    )
    return _spec(chart, _BAR_HEIGHT * len(counts))


def intervals(
    rows: Sequence[Row], series: Sequence[str], title: str, *, zero: bool = False
) -> dict[str, Any]:
    """Values with intervals, a line for each label, coloured by series.

    Parameters
    ----------
    rows : sequence of mapping
        ``label``, ``series``, ``value``, ``low``, ``high``, in their order from the top.
    series : sequence of str
        All that are named, in the order of colours.
    title : str
        Of the axis of values.
    zero : bool
        Draw a line at 0.
    """
    colours, shapes = _colours(series)
    labels = {row["label"] for row in rows}
    several_a_line = len(labels) < len(rows)
    place: dict[str, Any] = {"y": alt.Y("label:N", title=None, sort=None)}
    if several_a_line:
        place["yOffset"] = alt.YOffset("series:N", sort=list(series))
    base = alt.Chart(_data(rows)).encode(
        **place,
        color=alt.Color("series:N", title=None, scale=colours),
        tooltip=[
            alt.Tooltip("label:N", title="candidate"),
            alt.Tooltip("series:N", title="what"),
            alt.Tooltip("value:Q", title="value", format=".4g"),
            alt.Tooltip("low:Q", title="95 % from", format=".4g"),
            alt.Tooltip("high:Q", title="to", format=".4g"),
        ],
    )
    lines = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(tickCount=8)),
        x2="high:Q",
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        x="value:Q", shape=alt.Shape("series:N", title=None, scale=shapes)
    )
    layers: list[Any] = [lines, points]
    if zero:
        layers.insert(
            0,
            alt.Chart(_data([{"at": 0}]))
            .mark_rule(color="currentColor", strokeDash=[4, 3], opacity=0.6)
            .encode(x="at:Q"),
        )
    height = _ROW_HEIGHT * len(labels) * (2 if several_a_line else 1)
    return _spec(alt.layer(*layers), height * 3 // 4 if several_a_line else height)


def lines(rows: Sequence[Row], series: Sequence[str], x_title: str, y_title: str) -> dict[str, Any]:
    """A line for each series with its interval as a band.

    Parameters
    ----------
    rows : sequence of mapping
        ``series``, ``label`` of the point, ``x``, ``value``, ``low``, ``high``.
    series : sequence of str
    x_title, y_title : str
    """
    colours, shapes = _colours(series)
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("x:Q", title=x_title, axis=alt.Axis(format="d", tickMinStep=1)),
        # The legend would take the faint colour of the bands.
        color=alt.Color("series:N", title=None, scale=colours, legend=alt.Legend(symbolOpacity=1)),
        tooltip=[
            alt.Tooltip("series:N", title="encoder"),
            alt.Tooltip("label:N", title="layer"),
            alt.Tooltip("value:Q", title=y_title, format=".4g"),
            alt.Tooltip("low:Q", title="95 % from", format=".4g"),
            alt.Tooltip("high:Q", title="to", format=".4g"),
        ],
    )
    value = alt.Y("value:Q", title=y_title, scale=alt.Scale(zero=False))
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title=y_title), y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(y=value)
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        y=value, shape=alt.Shape("series:N", title=None, scale=shapes)
    )
    return _spec(alt.layer(band, line, points))


def points(
    rows: Sequence[Row],
    x_title: str,
    y_title: str,
    *,
    series: Sequence[str] = (),
    colour_title: str = "",
    diagonal: bool = False,
    tooltip: Mapping[str, str] | None = None,
    axes: bool = True,
) -> dict[str, Any]:
    """Points, coloured by a series or by a value, with structures where rows name them.

    Parameters
    ----------
    rows : sequence of mapping
        ``x``, ``y``, and ``series`` or ``colour``.
    x_title, y_title : str
    series : sequence of str
        In the order of colours.
    colour_title : str
        Of ``colour``, a number.
    diagonal : bool
        Draw where both are equal.
    tooltip : mapping of str to str, optional
        Titles of the fields that a point shows.
    axes : bool
        Whether numbers along the axes mean something.
    """
    axis = alt.Axis(tickCount=6) if axes else alt.Axis(labels=False, ticks=False, grid=False)
    shown = [
        alt.Tooltip(f"{name}:N", title=title) for name, title in (tooltip or {}).items() if _has(rows, name)
    ]
    if _has(rows, STRUCTURE):
        shown.append(alt.Tooltip(f"{STRUCTURE}:N", title=STRUCTURE))
    encoding: dict[str, Any] = {
        "x": alt.X("x:Q", title=x_title, scale=alt.Scale(zero=False, padding=12), axis=axis),
        "y": alt.Y("y:Q", title=y_title, scale=alt.Scale(zero=False, padding=12), axis=axis),
        "tooltip": shown,
    }
    if series:
        colours, shapes = _colours(series)
        encoding["color"] = alt.Color("series:N", title=None, scale=colours)
        encoding["shape"] = alt.Shape("series:N", title=None, scale=shapes)
    elif colour_title:
        legend = alt.Legend(gradientLength=200, gradientThickness=10)
        encoding["color"] = alt.Color(
            "colour:Q", title=colour_title, scale=alt.Scale(scheme="viridis"), legend=legend
        )
    else:
        encoding["color"] = alt.value(SERIES[0])
    drawn = (
        alt.Chart(_data(rows))
        .mark_point(filled=True, size=45, opacity=0.9, stroke="var(--edge)", strokeWidth=0.7)
        .encode(**encoding)
    )
    if not diagonal:
        return _spec(drawn)
    ends = [min(min(row["x"], row["y"]) for row in rows), max(max(row["x"], row["y"]) for row in rows)]
    return _spec(alt.layer(_line([(end, end) for end in ends]), drawn))


def curve(
    rows: Sequence[Row], series: Sequence[str], x_title: str, y_title: str, *, marked: bool = False
) -> dict[str, Any]:
    """Curves within the unit square, beside its diagonal.

    Parameters
    ----------
    rows : sequence of mapping
        ``series``, ``x``, ``y``, in their order along the curve.
    series : sequence of str
    x_title, y_title : str
    marked : bool
        Mark the points.
    """
    colours, _ = _colours(series)
    unit = alt.Scale(domain=[0, 1])
    drawn = (
        alt.Chart(_data([{**row, "order": place} for place, row in enumerate(rows)]))
        .mark_line(strokeWidth=2, point={"size": 50} if marked else False)
        .encode(
            x=alt.X("x:Q", title=x_title, scale=unit, axis=alt.Axis(tickCount=5)),
            y=alt.Y("y:Q", title=y_title, scale=unit, axis=alt.Axis(tickCount=5)),
            order="order:Q",
            color=alt.Color(
                "series:N",
                title=None,
                scale=colours,
                legend=alt.Legend() if len(series) > 1 else None,
            ),
            tooltip=[
                alt.Tooltip("series:N", title="what"),
                alt.Tooltip("x:Q", title=x_title, format=".3f"),
                alt.Tooltip("y:Q", title=y_title, format=".3f"),
            ],
        )
    )
    return _spec(alt.layer(_line([(0, 0), (1, 1)]), drawn))


def grid(rows: Sequence[Row], names: Sequence[str], title: str) -> dict[str, Any]:
    """Squares of values from -1 to 1 between names, with the values in them.

    Parameters
    ----------
    rows : sequence of mapping
        ``one``, ``other``, ``value``.
    names : sequence of str
    title : str
        Of the values.
    """
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("one:N", title=None, sort=list(names), axis=alt.Axis(labelAngle=-40, labelLimit=110)),
        y=alt.Y("other:N", title=None, sort=list(names)),
        tooltip=[
            alt.Tooltip("one:N", title="one"),
            alt.Tooltip("other:N", title="other"),
            alt.Tooltip("value:Q", title=title, format=".2f"),
        ],
    )
    scale = alt.Scale(domain=[-1, 0, 1], range=["#d55e00", "#f7f7f7", "#0072b2"])
    squares = base.mark_rect(stroke="var(--ground)").encode(
        color=alt.Color("value:Q", title=title, scale=scale, legend=None)
    )
    figures = base.mark_text(fontSize=11).encode(
        text=alt.Text("value:Q", format=".2f"),
        color=alt.condition("abs(datum.value) > 0.6", alt.value("#ffffff"), alt.value("#111111")),
    )
    return _spec(alt.layer(squares, figures), _BAR_HEIGHT * len(names))


def _line(ends: Sequence[tuple[float, float]]) -> alt.Chart:
    rows = [{"x": x, "y": y} for x, y in ends]
    return (
        alt.Chart(_data(rows))
        .mark_line(color="currentColor", strokeDash=[4, 3], strokeWidth=1, opacity=0.6)
        .encode(x="x:Q", y="y:Q")
    )


def _has(rows: Sequence[Row], name: str) -> bool:
    return any(row.get(name) not in (None, "") for row in rows)
