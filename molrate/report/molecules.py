"""Molecules of a dataset as a page shows them: a map, what a model gets most wrong, and activity cliffs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.molecules import parse_canonical
from molrate.data.targets import Target
from molrate.models.applicability import similarities
from molrate.report.charts import STRUCTURE, Chart, points
from molrate.report.page import Block, Card, Cards, Text
from molrate.report.structures import MOST_STRUCTURES, Structures
from molrate.report.tables import Table, number

_Floats = npt.NDArray[np.floating[Any]]
_Rows = npt.NDArray[np.intp]

MOST_COMPARED = 3_000
"""Molecules that are compared in pairs; of more, as many are drawn."""
NEAR = 0.55
"""Tanimoto similarity (ECFP4) from which two molecules are near neighbours."""
_SHOWN = 6
_IN_TABLE = 50


@dataclass(frozen=True)
class Shown:
    """Molecules of a target as they are to be named and drawn.

    Attributes
    ----------
    target : Target
        Measured on each of the n molecules.
    rows : ndarray of int, shape (n,)
        Their rows in the table, from 0.
    canonical : ndarray of str, shape (n,)
        Canonical SMILES.
    ids : ndarray of str, shape (n,)
    structures : Structures
        Hidden where neither structures nor names are to be shown.
    seed : int
        Draws molecules where there are many.
    """

    target: Target
    rows: _Rows
    canonical: npt.NDArray[np.object_]
    ids: npt.NDArray[np.object_]
    structures: Structures = field(default_factory=Structures)
    seed: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def measured(self) -> str:
        """What the target is called, with its unit."""
        return f"{self.target.name} ({self.target.unit})" if self.target.unit else self.target.name

    def name(self, place: int) -> str:
        """What a molecule is called; its row alone where names are not to be shown."""
        row = f"row {self.rows[place] + 1}"
        given = str(self.ids[place])
        return row if self.structures.hidden or given == str(self.rows[place] + 1) else f"{given} ({row})"

    def value(self, place: int) -> str:
        """What was measured, in words."""
        value = self.target.values[place]
        return self.target.classes[int(value)] if self.target.classes else number(float(value))

    def smiles(self, *places: int) -> list[str]:
        """SMILES as text, unless they are not to be shown."""
        return [] if self.structures.hidden else [str(self.canonical[place]) for place in places]

    def drawn(self, n: int, first: Sequence[int] = ()) -> list[int]:
        """Places of at most `n` molecules: some that must be among them, the others drawn at random.

        Parameters
        ----------
        n : int
        first : sequence of int
        """
        order = np.random.default_rng([self.seed, 1]).permutation(len(self)).tolist()
        return sorted(list(dict.fromkeys([*first, *order]))[:n])

    def card(self, places: Sequence[int], lines: Sequence[str]) -> Card:
        """A card of molecules."""
        alternatives = [f"Structure of {self.name(place)}" for place in places]
        drawings = self.structures.drawings([str(self.canonical[place]) for place in places], alternatives)
        return Card(drawings, lines, self.smiles(*places))


@dataclass(frozen=True)
class Judged:
    """Predictions for molecules that a model has not seen, against what was measured.

    Attributes
    ----------
    shown : Shown
        Of n molecules.
    predicted : ndarray, shape (n,)
        In the target's unit; of classes the score of the true one, about 0 to 1.
    errors : ndarray, shape (n,)
        Measured less predicted; of classes how far the true one is from 1.
    """

    shown: Shown
    predicted: _Floats
    errors: _Floats

    @cached_property
    def worst(self) -> list[int]:
        """Places of molecules, the largest error first."""
        # A score above 1 of the class that it is of is no fault.
        sizes = self.errors if self.shown.target.classes else np.abs(self.errors)
        return np.argsort(-sizes, kind="stable").tolist()

    @property
    def _what(self) -> str:
        return "score of this class" if self.shown.target.classes else "predicted"

    def cards(self, n: int = _SHOWN) -> Cards:
        """The molecules of the largest errors."""
        shown = self.shown
        cards = [
            shown.card(
                [place],
                [
                    f"{shown.name(place)}",
                    f"measured {shown.value(place)}, {self._what} {number(float(self.predicted[place]))}",
                ],
            )
            for place in self.worst[:n]
        ]
        return Cards(cards, "Molecules of the largest errors")

    def chart(self, key: str, title: str) -> Chart:
        """Measured against predicted values, with structures."""
        shown = self.shown
        places = shown.drawn(MOST_STRUCTURES, self.worst[:_SHOWN])
        rows = [
            {
                "x": float(shown.target.values[place]),
                "y": float(self.predicted[place]),
                "name": shown.name(place),
                "measured": shown.value(place),
                "predicted": number(float(self.predicted[place])),
                STRUCTURE: shown.structures.key(str(shown.canonical[place])),
            }
            for place in places
        ]
        spec = points(
            rows,
            f"measured {shown.measured}",
            "predicted",
            diagonal=True,
            tooltip={"name": "molecule", "measured": "measured", "predicted": "predicted"},
        )
        root = float(np.sqrt(np.mean(self.errors**2)))
        description = (
            f"Scatter plot of {len(rows)} molecules: measured against predicted {shown.measured}. The root "
            f"mean squared error of all {len(shown)} is {root:.3g}."
        )
        caption = f"{title} {_some(len(rows), len(shown))}On the dashed line both are equal."
        return Chart(key, caption, description, spec, self.table())

    def table(self) -> Table:
        """The molecules of the largest errors."""
        shown = self.shown
        rows = [
            [
                shown.name(place),
                shown.value(place),
                number(float(self.predicted[place])),
                number(float(self.errors[place])),
            ]
            for place in self.worst[:_IN_TABLE]
        ]
        caption = f"The {len(rows)} largest errors of {len(shown)} molecules"
        header = ["molecule", "measured", self._what, "error"]
        return Table(
            caption, header, rows, frozenset(["molecule", *header[1:2] * bool(shown.target.classes)])
        )


def _some(drawn: int, n: int) -> str:
    return "" if drawn == n else f"Drawn are {drawn} of {n:,} molecules, at random. "


def map_chart(key: str, shown: Shown, features: _Floats, encoder: str) -> Chart:
    """Molecules in the two main components of an encoder's standardised features.

    Parameters
    ----------
    key : str
    shown : Shown
        Of n molecules.
    features : ndarray, shape (n, d)
    encoder : str
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    n_components = min(2, *features.shape)
    analysis = PCA(n_components, random_state=shown.seed)
    at = analysis.fit_transform(StandardScaler().fit_transform(features))
    at = np.column_stack([at, np.zeros((len(at), 2 - n_components))])
    shares = [*analysis.explained_variance_ratio_, 0.0][:2]
    places = shown.drawn(MOST_STRUCTURES)
    classes = shown.target.classes
    rows = [
        {
            "x": float(at[place, 0]),
            "y": float(at[place, 1]),
            "series" if classes else "colour": shown.value(place)
            if classes
            else float(shown.target.values[place]),
            "name": shown.name(place),
            "measured": shown.value(place),
            STRUCTURE: shown.structures.key(str(shown.canonical[place])),
        }
        for place in places
    ]
    titles = [f"component {place} ({share:.0%} of the variance)" for place, share in enumerate(shares, 1)]
    spec = points(
        rows,
        *titles,
        **_coloured(shown, rows),
        tooltip={"name": "molecule", "measured": shown.measured},
        axes=False,
    )
    caption = (
        f"Molecules as {encoder} sees them: the two main components of its features, coloured by "
        f"{shown.measured}. Colours that lie in regions say that the features know the target. "
        f"{_some(len(rows), len(shown))}"
    )
    description = (
        f"Scatter plot of {len(rows)} molecules in two components of the embedding of {encoder}, coloured by "
        f"{shown.measured}."
    )
    numbers = Table(
        f"{len(rows)} molecules of the map",
        ["molecule", "component 1", "component 2", shown.measured],
        [[str(r["name"]), number(r["x"]), number(r["y"]), str(r["measured"])] for r in rows],
        frozenset(["molecule"]),
    )
    return Chart(key, caption.strip(), description, spec, numbers)


_MOST_SERIES = 7


def _coloured(shown: Shown, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What colours the points: classes that are few, else a number."""
    classes = shown.target.classes
    if not classes:
        return {"colour_title": shown.measured}
    if len(classes) <= _MOST_SERIES:
        return {"series": classes}
    kept = classes[: _MOST_SERIES - 1]
    for row in rows:
        row["series"] = row["series"] if row["series"] in kept else "other classes"
    return {"series": (*kept, "other classes")}


def cliff_blocks(shown: Shown) -> list[Block]:
    """Near neighbours of very different values, as cards.

    Parameters
    ----------
    shown : Shown

    Returns
    -------
    list
        Empty where no molecules are near each other, or none differ.
    """
    places = np.array(shown.drawn(MOST_COMPARED))
    pairs = _cliffs(shown, places)
    if not pairs:
        return []
    cards = [
        shown.card(
            [one, other],
            [
                f"{shown.name(one)}: {shown.value(one)}",
                f"{shown.name(other)}: {shown.value(other)}",
                f"similarity {similarity:.2f}"
                + (" (ECFP4 does not tell them apart)" if similarity == 1 else "")
                + ("" if shown.target.classes else f", difference {number(float(gap))}"),
            ],
        )
        for one, other, similarity, gap in pairs
    ]
    order = "the most similar pairs of different classes" if shown.target.classes else "the widest apart"
    among = f" among {len(places):,} molecules drawn at random" if len(places) < len(shown) else ""
    lead = (
        f"Pairs of a Tanimoto similarity (ECFP4) of {NEAR:g} or more that differ in {shown.measured}: {order}"
        f"{among}, each molecule in one pair. A model finds these hard; a wrong entry in the "
        "table looks the same, so check them first."
    )
    return [Text([lead]), Cards(cards, "Activity cliffs")]


def _cliffs(shown: Shown, places: _Rows) -> list[tuple[int, int, float, float]]:
    """Pairs of places with their similarity and how far their values are apart."""
    molecules = [parse_canonical(str(shown.canonical[place])) for place in places]
    near = similarities(molecules)
    first, second = np.nonzero(np.triu(near >= NEAR, 1))
    texts, values = shown.canonical[places].astype(str), shown.target.values[places]
    differ = (texts[first] != texts[second]) & (values[first] != values[second])
    first, second = first[differ], second[differ]
    gaps, alike = np.abs(values[first] - values[second]), near[first, second]
    order = np.lexsort((-gaps, -alike) if shown.target.classes else (-alike, -gaps))
    found: list[tuple[int, int, float, float]] = []
    named: set[str] = set()
    for at in order:
        pair = str(texts[first[at]]), str(texts[second[at]])
        if named.isdisjoint(pair):
            # One strange molecule would fill them all.
            named.update(pair)
            found.append((int(places[first[at]]), int(places[second[at]]), float(alike[at]), float(gaps[at])))
        if len(found) == _SHOWN:
            break
    return found


def left_out(shown: Shown, features: _Floats) -> Judged:
    """What ridge regression on features says of each molecule from all others, as expected errors are made.

    Parameters
    ----------
    shown : Shown
        Of n molecules; of more than are judged together, as many are drawn.
    features : ndarray, shape (n, d)

    Raises
    ------
    InputError
        If the features cannot be judged.
    """
    from molrate.measures.leave_one_out import MOST_ROWS, LeaveOneOut
    from molrate.measures.sample import Sample
    from molrate.statistics.resampling import make_resampling

    places = np.array(shown.drawn(MOST_ROWS))
    judged = _taken(shown, places)
    groups = judged.canonical.astype(str)
    resampling = make_resampling(judged.target.values, judged.target.task, groups=groups, seed=shown.seed)
    residuals = LeaveOneOut().residuals(Sample(features[places].astype(np.float64), resampling))
    if residuals.codes is None:
        return Judged(judged, judged.target.values - residuals.errors[:, 0], residuals.errors[:, 0])
    own = _own_errors(residuals.errors, residuals.codes)
    return Judged(judged, 1 - own, own)


def _own_errors(errors: _Floats, codes: npt.NDArray[np.integer[Any]]) -> _Floats:
    """Errors of the score of each molecule's class; two classes share a column, of the second."""
    if errors.shape[1] == 1:
        return np.where(codes == 1, errors[:, 0], -errors[:, 0])
    return np.asarray(errors[np.arange(len(codes)), codes])


def _taken(shown: Shown, places: _Rows) -> Shown:
    return Shown(
        shown.target.take(places),
        shown.rows[places],
        shown.canonical[places],
        shown.ids[places],
        shown.structures,
        shown.seed,
    )
