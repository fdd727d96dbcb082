"""The page of a ranking: what ``molrate score --report`` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.data.datasets import Dataset
from molrate.data.molecules import Molecules
from molrate.data.policy import RowPolicy
from molrate.data.quotes import secrets_of, without_molecules
from molrate.data.targets import Target
from molrate.embedding.embed import embed_one
from molrate.embedding.settings import EmbeddingSettings
from molrate.encoders.base import Encoder, load_encoder
from molrate.encoders.cards import BASELINES
from molrate.errors import InputError
from molrate.measures.base import printed_name
from molrate.measures.tangent import Tangent
from molrate.ranking.molecules import labelled_rows, standardise_dataset
from molrate.ranking.ranking import Ranking
from molrate.ranking.report import PRIOR, TRANSRATE
from molrate.ranking.verdict import SEEN
from molrate.report.agreement import agreement_section
from molrate.report.charts import Chart, intervals
from molrate.report.data import data_section
from molrate.report.evidence import evidence_section
from molrate.report.expected import expected_section
from molrate.report.layers import layer_section
from molrate.report.molecules import Shown, cliff_blocks, left_out, map_chart
from molrate.report.page import Block, Details, Facts, Heading, Page, Section, Text, sections
from molrate.report.rows import KINDS, MOST_DRAWN, by_target, cut_note, headed, main_rows, measure_title
from molrate.report.run import made_by, run_section
from molrate.report.structures import Structures
from molrate.report.tables import Table, interval, number, table_of

if TYPE_CHECKING:
    import pandas as pd

_MOST_TARGETS = 3
"""Targets whose molecules are drawn."""
_BESIDE = f", {printed_name(TRANSRATE)} beside it (more of either is better)"


@dataclass(frozen=True)
class RankedMolecules:
    """The molecules that a ranking is of, for what a page shows of them.

    Attributes
    ----------
    dataset : Dataset
    policy : RowPolicy
        How rows became molecules.
    settings : EmbeddingSettings
        How molecules became vectors.
    encoders : mapping of str to Encoder
        Those that are not loaded by their name.
    """

    dataset: Dataset
    policy: RowPolicy = field(default_factory=RowPolicy)
    settings: EmbeddingSettings = field(default_factory=EmbeddingSettings)
    encoders: Mapping[str, Encoder] = field(default_factory=dict)

    @cached_property
    def molecules(self) -> Molecules:
        """Standardised."""
        return standardise_dataset(self.dataset, self.policy)

    @property
    def secrets(self) -> list[str]:
        """SMILES and names of the molecules."""
        return secrets_of(self.dataset, self.molecules)

    def features(self, name: str, layer: str) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.bool_]]:
        """Embeddings of an encoder's layer (n, d), and which rows have one; from the cache as a rule."""
        settings = self.settings
        encoder = self.encoders.get(name)
        if encoder is None:
            encoder = load_encoder(name, seed=settings.seed, precision=settings.precision)
        embedding = embed_one(self.molecules, encoder, [layer], settings.pooling, settings.device)
        usable = self.molecules.valid.copy()
        usable[list(embedding.errors)] = False
        return embedding.layers[layer], usable


def ranking_page(
    ranking: Ranking,
    molecules: RankedMolecules | None = None,
    *,
    command: str = "",
    structures: bool = True,
) -> Page:
    """A page of a ranking.

    Parameters
    ----------
    ranking : Ranking
    molecules : RankedMolecules, optional
        What it is of; None where features were ranked.
    command : str
        That repeats it.
    structures : bool
        Whether structures, SMILES and names of molecules are shown.

    Returns
    -------
    Page
    """
    drawn = Structures(hidden=not structures)
    notes = _Notes(ranking, [] if structures or molecules is None else molecules.secrets)
    verdict = ranking.verdict
    return Page(
        f"{verdict.dataset}: which encoder to fine-tune",
        made_by(ranking.run),
        sections(
            _verdict_section(ranking, notes),
            None if molecules is None else _data_section(molecules, notes),
            _order_section(ranking, notes),
            expected_section(ranking),
            layer_section(ranking),
            agreement_section(ranking),
            *([] if molecules is None else _molecule_sections(ranking, molecules, drawn)),
            evidence_section(ranking, notes.notes),
            run_section(ranking.run, command),
        ),
        drawn,
    )


@dataclass(frozen=True)
class _Notes:
    """Advice and notes of a ranking; those that quote its molecules only if these may be shown."""

    ranking: Ranking
    secrets: Sequence[str]

    def free(self, lines: Sequence[str]) -> list[str]:
        """Sentences that may be shown."""
        return without_molecules(lines, self.secrets)

    @property
    def advice(self) -> list[str]:
        """Of the ranking."""
        return self.free(self.ranking.advice)

    @property
    def notes(self) -> list[str]:
        """Of the ranking."""
        return self.free(self.ranking.notes)

    def of_row(self, note: str) -> str:
        """Why a candidate has no place."""
        return " ".join(self.free([note]))


def _verdict_section(ranking: Ranking, notes: _Notes) -> Section:
    blocks: list[Block] = []
    pairs: list[tuple[str, str]] = []
    for label, sentence in ranking.verdict.labelled:
        if label:
            pairs.append((label, sentence))
            continue
        if pairs:
            blocks.append(Facts(pairs))
            pairs = []
        blocks.append(Heading(sentence) if blocks else Text([sentence]))
    blocks.append(Facts(pairs))
    if notes.advice:
        blocks += [Heading("To do first"), Text(notes.advice, listed=True)]
    return Section("verdict", "Verdict", blocks)


def _data_section(molecules: RankedMolecules, notes: _Notes) -> Section:
    return data_section(molecules.dataset, molecules.molecules, molecules.policy.duplicates, notes.free)


def _tier(row: pd.Series) -> str:
    if not number(row["tier"]):
        return ""
    tier = int(row["tier"])
    return chr(ord("A") + tier - 1) if tier <= 26 else str(tier)


def _label(row: pd.Series, several_layers: bool) -> str:
    name = f"{row['encoder']}, {row['layer']}" if several_layers else str(row["encoder"])
    return f"{name} (has seen the answers)" if row["labels_seen"] == SEEN else name


def _order_section(ranking: Ranking, notes: _Notes) -> Section:
    blocks: list[Block] = []
    groups = by_target(main_rows(ranking))
    title, form = measure_title(ranking), ranking.form
    for place, (name, rows) in enumerate(groups):
        own: list[Block] = [_order_chart(ranking, place, rows, title)] if form == "excess" else []
        own.append(_order_table(ranking, name, rows, title, notes))
        blocks += headed(len(groups) > 1, name, own)
    if ranking.consensus is not None and len(ranking.consensus):
        columns = ["rank", "tier", "encoder", "kind", "layer", "mean_rank", "low", "high", "borda"]
        caption = "Consensus: mean rank over measures and targets, with a 95 % interval"
        left = ["encoder", "kind", "layer"]
        blocks.append(
            Details(
                "Consensus over measures and targets", [_framed(ranking.consensus, columns, caption, left)]
            )
        )
    blocks.append(Details("Every candidate, layer and measure", [_whole_table(ranking)]))
    return Section("ranking", "Ranking", blocks)


def _order_chart(ranking: Ranking, place: int, rows: pd.DataFrame, title: str) -> Chart:
    shown = rows[rows["rank"].notna()].head(MOST_DRAWN)
    several = ranking.frame["layer"].nunique() > 1 and _several_layers(ranking)
    drawn = [
        {
            "label": f"{_tier(row)}  {_label(row, several)}",
            "series": row["kind"],
            "value": row["excess"],
            "low": row["low"],
            "high": row["high"],
        }
        for _, row in shown.iterrows()
    ]
    kinds = [kind for kind in KINDS if kind in set(shown["kind"])]
    spec = intervals(drawn, kinds, f"{title}, excess over chance", zero=True)
    first = shown.iloc[0] if len(shown) else None
    description = f"Intervals of {len(shown)} candidates by {title}, the best first."
    if first is not None:
        description += f" First is {first['encoder']} with {first['excess']:.3g}."
    caption = (
        f"{title} less what chance gives, with 95 % intervals, behind the letter of the tier: more is "
        "better. The first of a tier is clearly better by it than all below its tier, which says nothing of "
        "what is expected of them."
    )
    numbers = Table(
        f"{title} of the candidates drawn",
        ["candidate", "kind", "excess", "95 %"],
        [[d["label"].strip(), d["series"], number(d["value"]), interval(d["low"], d["high"])] for d in drawn],
        frozenset(["candidate", "kind"]),
    )
    return Chart(f"order-{place}", caption, description, spec, numbers)


def _several_layers(ranking: Ranking) -> bool:
    counts = ranking.frame[ranking.frame["encoder"] != ""].groupby("encoder")["layer"].nunique()
    return bool((counts > 1).any())


def _order_table(ranking: Ranking, name: str, rows: pd.DataFrame, title: str, notes: _Notes) -> Table:
    decimals = ranking.verdict.choice_for(name).decimals
    metrics = [str(metric).upper() for metric in rows["metric"].dropna().unique()]
    metric = metrics[0] if metrics else "error"
    unit = str(rows["unit"].iloc[0]) if metric == "RMSE" and number(rows["unit"].iloc[0]) else ""
    shown = f"{metric}, {unit}" if unit else metric
    beside = ranking.measure != TRANSRATE and rows[TRANSRATE].notna().any()
    header = ["encoder", "tier", "kind", "layer", title, *([printed_name(TRANSRATE)] if beside else [])]
    header += [f"frozen {shown}", "95 %", f"fine-tuned {shown}", "95 % ", "prior", "note"]
    body = []
    for _, row in rows.iterrows():
        body.append(
            [
                _label(row, several_layers=False),
                _tier(row),
                str(row["kind"]),
                str(row["layer"]),
                number(row["excess"]),
                *([number(row[TRANSRATE], 2)] if beside else []),
                number(row["frozen"], decimals),
                interval(row["frozen_low"], row["frozen_high"], decimals),
                ("~" if row["finetuned_from"] == "study" else "") + number(row["finetuned"], decimals),
                interval(row["finetuned_low"], row["finetuned_high"], decimals),
                number(row["prior"]),
                "" if row["status"] == "ok" else f"{row['status']}: {notes.of_row(str(row['note']))}",
            ]
        )
    marks = [kind if kind in BASELINES else "" for kind in rows["kind"]]
    about = (
        f"{name}: candidates by {title}, best first{_BESIDE if beside else ''}; frozen and fine-tuned: "
        f"{metric} to expect for new molecules (~ by other datasets of the study); {PRIOR}"
    )
    left = frozenset(["tier", "encoder", "kind", "layer", "note"])
    return _without_empty(Table(about, header, body, left, marks))


def _without_empty(table: Table) -> Table:
    """The table without columns in which nothing stands."""
    kept = [place for place in range(len(table.header)) if any(row[place] for row in table.rows)]
    header = [table.header[place] for place in kept]
    rows = [[row[place] for place in kept] for row in table.rows]
    return Table(table.caption, header, rows, table.left, table.marks)


def _whole_table(ranking: Ranking) -> Table:
    columns = ["target", "measure", "rank", "tier", "encoder", "layer", "dimension", "value", "null_mean"]
    columns += ["excess", "low", "high", "status"]
    left = ["target", "measure", "encoder", "layer", "status"]
    return _framed(ranking.frame, columns, "All rows of the ranking", left)


def _molecule_sections(
    ranking: Ranking, molecules: RankedMolecules, structures: Structures
) -> list[Section | None]:
    found: dict[str, list[Block]] = {"map": [], "errors": [], "cliffs": []}
    choices = [choice for choice in ranking.verdict.choices if _leader(ranking, choice.target)]
    for place, choice in enumerate(choices[:_MOST_TARGETS]):
        encoder, layer = _leader(ranking, choice.target)
        features, usable = molecules.features(encoder, layer)
        target = next(one for one in molecules.dataset.targets if one.name == choice.target)
        shown, rows = shown_molecules(molecules, target, usable, structures)
        several = len(choices) > 1
        # Cards come first: of many molecules, charts leave no room for more structures.
        found["cliffs"] += headed(several, target.name, cliff_blocks(shown))
        own = _error_blocks(place, shown, features[rows], encoder)
        found["errors"] += headed(several, target.name, own)
        chart = map_chart(f"map-{place}", shown, features[rows], encoder)
        found["map"] += headed(several, target.name, [chart])
    for blocks in found.values():
        blocks += cut_note(len(choices), _MOST_TARGETS)
    return [
        Section("map", "Map of the molecules", found["map"]),
        Section("errors", "Largest errors", found["errors"]),
        Section("cliffs", "Activity cliffs", found["cliffs"]),
    ]


def _leader(ranking: Ranking, target: str) -> tuple[str, str]:
    """Encoder and layer that the verdict names, else those ranked first; empty where nothing is ranked."""
    choice = ranking.verdict.choice_for(target)
    rows = main_rows(ranking)
    if choice.promising:
        of_target = rows[(rows["target"] == target) & (rows["encoder"] == choice.promising)]
        forecast = of_target[of_target["finetuned_from"] == Tangent.name]
        return choice.promising, str((forecast if len(forecast) else of_target).iloc[0]["layer"])
    if choice.encoder:
        return choice.encoder, choice.layer
    ranked = rows[(rows["target"] == target) & rows["rank"].notna()]
    return ("", "") if ranked.empty else (str(ranked.iloc[0]["encoder"]), str(ranked.iloc[0]["layer"]))


def shown_molecules(
    molecules: RankedMolecules,
    target: Target,
    usable: npt.NDArray[np.bool_],
    structures: Structures,
) -> tuple[Shown, npt.NDArray[np.intp]]:
    """Molecules of a target that were measured and can be used, and their rows."""
    standardised = molecules.molecules
    labelled, rows = labelled_rows(target, standardised, usable, molecules.policy.duplicates)
    ids = molecules.dataset.ids[rows]
    shown = Shown(labelled, rows, standardised.canonical[rows], ids, structures, molecules.settings.seed)
    return shown, rows


def _error_blocks(
    place: int, shown: Shown, features: npt.NDArray[np.floating[Any]], encoder: str
) -> list[Block]:
    """What a linear model on the features gets most wrong."""
    try:
        judged = left_out(shown, features)
    except InputError as error:
        return [Text([f"{encoder}: {error}."])]
    lead = (
        f"What a linear model on the frozen features of {encoder} says of each molecule when it is fitted to "
        "all others. They can be unlike the rest, wrong entries in the table, or hard ones."
    )
    cards = judged.cards()
    if shown.target.classes:
        return [Text([lead]), cards, Details("More of the largest errors", [judged.table()])]
    title = f"Each molecule predicted by {encoder} from all others. "
    return [Text([lead]), judged.chart(f"left-out-{place}", title), cards]


def _framed(frame: pd.DataFrame, columns: Sequence[str], caption: str, left: Sequence[str]) -> Table:
    return table_of(
        frame[list(columns)].rename(columns=lambda name: name.replace("_", " ")),
        caption,
        [name.replace("_", " ") for name in left],
    )
