"""The page of a screened library: what ``molrate screen --report`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from molrate.models.model import TunedModel
from molrate.report.charts import Chart, counted, curve
from molrate.report.page import Block, Card, Cards, Facts, Page, Section, Text, sections
from molrate.report.run import made_by, run_section
from molrate.report.structures import Structures
from molrate.report.tables import MOST_ROWS, Table, number
from molrate.screening.enrichment import Enrichment
from molrate.screening.parts import PartFolder
from molrate.screening.screen import LOW_SIMILARITY, Summary, top_notes

_BINS = 40
_SHOWN = 24
_MOST_COLUMNS = 6
_MOST_POINTS = 400


@dataclass(frozen=True)
class Screened:
    """A library that was screened, and what was written beside its rows.

    Attributes
    ----------
    parts : PartFolder
    summary : Summary
    model : TunedModel
    top : pandas.DataFrame, optional
        The best rows.
    order : str
        What they are ordered by, in words.
    enrichment : Enrichment, optional
        Of known actives, whose curves are files beside the parts.
    """

    parts: PartFolder
    summary: Summary
    model: TunedModel
    top: pd.DataFrame | None
    order: str
    enrichment: Enrichment | None


def screening_page(screened: Screened, library: str, *, command: str = "", structures: bool = True) -> Page:
    """A page of a screened library.

    Parameters
    ----------
    screened : Screened
    library : str
        Its name.
    command : str
        That repeats it.
    structures : bool
        Whether structures, SMILES and names of molecules are shown.

    Returns
    -------
    Page
    """
    drawn = Structures(hidden=not structures)
    model, settings = screened.model, screened.parts.settings
    run = {
        "versions": settings["versions"],
        "arguments": {"model": model.record["encoder"]["name"], **model.record["settings"]},
        "created": model.record["created"],
    }
    tables = list(model.columns[:_MOST_COLUMNS])
    histograms = count_columns(screened.parts, [*tables, "similarity"])
    made = f"By the model {model.record['dataset']['name']}, {model.record['encoder']['name']}. "
    return Page(
        f"{library}: screened for {', '.join(model.task.targets)}",
        made + made_by(run).replace("Made", "The model was made"),
        sections(
            Section("verdict", "Result", [Facts(_result(screened, histograms))]),
            _top_section(screened, drawn),
            Section("predictions", "Predictions", _prediction_charts(histograms, tables)),
            _applicability_section(histograms),
            _enrichment_section(screened),
            run_section(run, command),
        ),
        drawn,
    )


@dataclass
class Histogram:
    """How values of a column lie.

    Attributes
    ----------
    low, high : float
        Of all values.
    n : int
    counts : ndarray of int, shape (bins,)
        Between `low` and `high`.
    n_highest : int
        Values that are `high`.
    """

    low: float = np.inf
    high: float = -np.inf
    n: int = 0
    counts: npt.NDArray[np.int_] | None = None
    n_highest: int = 0

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Of the bins."""
        reach = 0.0 if self.high > self.low else 0.5
        return np.linspace(self.low - reach, self.high + reach, _BINS + 1)


def count_columns(parts: PartFolder, columns: Iterable[str]) -> dict[str, Histogram]:
    """Histograms of columns of a library of any size: once for their range, once for the counts.

    Parameters
    ----------
    parts : PartFolder
    columns : iterable of str

    Returns
    -------
    dict of str to Histogram
        Without columns that have no value.
    """
    found = {name: Histogram() for name in columns}
    for name, values in _finite(parts, found):
        found[name].low = min(found[name].low, float(values.min()))
        found[name].high = max(found[name].high, float(values.max()))
        found[name].n += len(values)
    found = {name: one for name, one in found.items() if one.n}
    for name, values in _finite(parts, found):
        one = found[name]
        counts = np.histogram(values, one.edges)[0]
        one.counts = counts if one.counts is None else one.counts + counts
        one.n_highest += int((values >= one.high).sum())
    return found


def _finite(parts: PartFolder, columns: Iterable[str]) -> Iterable[tuple[str, npt.NDArray[np.float64]]]:
    """Values of columns, part by part."""
    names = list(columns)
    for table in parts.tables():
        for name in names:
            if name in table:
                values = table[name].to_numpy(dtype=float)
                values = values[np.isfinite(values)]
                if len(values):
                    yield name, values


def _result(screened: Screened, histograms: Mapping[str, Histogram]) -> list[tuple[str, str]]:
    pairs = [("Rows", screened.summary.describe())]
    if screened.top is not None:
        notes = top_notes(screened.top, len(screened.top), None)
        pairs.append(("Best", " ".join([f"{len(screened.top)} rows of {_words(screened.order)}.", *notes])))
    far = histograms.get("similarity")
    if far is not None and far.counts is not None:
        share = _below(far, LOW_SIMILARITY)
        pairs.append(
            (
                "Like the training molecules?",
                f"about {share:.0%} of the molecules are less similar than {LOW_SIMILARITY:g} to any of "
                "them; of those, predictions and bounds say little",
            )
        )
    if screened.enrichment is not None:
        # A similarity of 1 does not tell a molecule from one of training.
        n_known = far.n_highest if far is not None and far.high >= 1 else 0
        known = f"; {n_known:,} molecules look like ones that the model learned from" if n_known else ""
        pairs.append(("Known actives", screened.enrichment.describe() + known))
    return pairs


def _below(histogram: Histogram, limit: float) -> float:
    """Share of values below a limit, as far as bins tell it."""
    assert histogram.counts is not None
    middles = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    return float(histogram.counts[middles < limit].sum() / histogram.n)


def _top_section(screened: Screened, structures: Structures) -> Section | None:
    if screened.top is None or not len(screened.top):
        return None
    columns = [name for name in screened.model.columns if name in screened.top]
    cards, rows = [], []
    for place, (_, row) in enumerate(screened.top.iterrows(), start=1):
        name = f"{row['source']} row {row['row']}"
        if not structures.hidden and number(row["id"]):
            name = f"{row['id']} ({name})"
        figures = [number(float(row[column])) for column in columns]
        similarity = number(float(row["similarity"]), 2)
        rows.append([name, str(place), *figures, similarity])
        if place <= _SHOWN:
            lines = [f"{place}. {name}"]
            lines += [f"{_words(column)}: {figure}" for column, figure in zip(columns, figures, strict=True)]
            lines += [f"similarity {similarity}"] if similarity else []
            cards.append(_card(row, lines, name, structures))
    header = ["molecule", "place", *map(_words, columns), "similarity"]
    caption = f"{_words(screened.order)}: {len(rows)} rows"
    table = Table(caption[0].upper() + caption[1:], header, rows[:MOST_ROWS], frozenset(["molecule"]))
    drawn: list[Block] = [] if structures.hidden else [Cards(cards, "Best molecules")]
    return Section("best", "Best molecules", [*drawn, table])


def _card(row: pd.Series, lines: list[str], name: str, structures: Structures) -> Card:
    canonical = str(row["canonical_smiles"])
    drawings = structures.drawings([canonical], [f"Structure of {name}"])
    return Card(drawings, lines, [] if structures.hidden else [canonical])


def _words(column: str) -> str:
    """``predicted_y`` as it is read."""
    return column.replace("predicted_", "predicted ", 1)


def _prediction_charts(histograms: Mapping[str, Histogram], columns: Iterable[str]) -> list[Block]:
    return [
        _chart(f"predicted-{place}", _words(name), histograms[name])
        for place, name in enumerate(columns)
        if name in histograms
    ]


def _chart(key: str, title: str, histogram: Histogram, more: str = "") -> Chart:
    assert histogram.counts is not None
    spec, rows = counted(histogram.edges, histogram.counts, title)
    reach = f"{number(histogram.low)} to {number(histogram.high)}"
    caption = f"{title[0].upper()}{title[1:]} of {histogram.n:,} molecules, {reach}.{more}"
    description = f"Histogram of {title}: {reach}."
    numbers = Table(f"molecules by {title}", [title, "molecules"], rows, frozenset([title]))
    return Chart(key, caption, description, spec, numbers)


def _applicability_section(histograms: Mapping[str, Histogram]) -> Section | None:
    if "similarity" not in histograms:
        return None
    more = (
        f" Below {LOW_SIMILARITY:g} two molecules have hardly more in common than any two drugs; errors and "
        "bounds of the model are of molecules like those it was tested on."
    )
    title = "similarity to the nearest training molecule"
    chart = _chart("similarity", title, histograms["similarity"], more)
    return Section("applicability", "Is the library like the training molecules?", [chart])


def _enrichment_section(screened: Screened) -> Section | None:
    enrichment = screened.enrichment
    if enrichment is None:
        return None
    points = pd.read_csv(screened.parts.path / "roc.csv")
    points = points.iloc[np.unique(np.linspace(0, len(points) - 1, _MOST_POINTS).astype(int))]
    rows: list[dict[str, Any]] = [
        {"series": "library", "x": x, "y": y} for x, y in points.itertuples(index=False)
    ]
    numbers = Table(
        "points of the ROC curve",
        ["false positives", "true positives"],
        [[number(one["x"], 3), number(one["y"], 3)] for one in rows],
    )
    spec = curve(rows, ["library"], "false positives", "true positives")
    caption = f"ROC curve of {enrichment.n_active} known actives among {enrichment.n} labelled molecules."
    description = f"ROC curve, area {enrichment.auroc:.3f}."
    chart = Chart("enrichment", caption, description, spec, numbers)
    return Section("enrichment", "Known actives", [Text([enrichment.describe()]), chart])
