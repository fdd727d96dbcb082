"""From features and labels to a ranking: tidy rows, intervals, tiers, the best candidate.

Knows neither molecules nor encoders: candidates are matrices with names, from wherever they come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molrate.data.targets import Target
from molrate.errors import InputError, UsageError
from molrate.files.output import check_output
from molrate.measures.base import Measure, NotApplicableError, printed_name
from molrate.measures.transrate import TransRate
from molrate.ranking.candidates import (
    AUTO,
    Candidate,
    CommonDimension,
    Scored,
    ScoredTarget,
    score_candidates,
)
from molrate.ranking.evidence import how_sure
from molrate.ranking.expected import Expectations
from molrate.ranking.memory import Memory
from molrate.ranking.prior import prior_places
from molrate.ranking.report import (
    WRITABLE,
    RankingTables,
    View,
    to_csv,
    to_html,
    to_json,
    to_text,
    write_tables,
)
from molrate.ranking.verdict import Verdict, make_verdict
from molrate.statistics.intervals import LEVEL, Replicates, corrected_interval, pairwise_p_values, tiers
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Resampling

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = [
    "rank",
    "tier",
    "dataset",
    "target",
    "task",
    "measure",
    "encoder",
    "kind",
    "layer",
    "layer_rank",
    "pooling",
    "value",
    "null_mean",
    "null_sd",
    "excess",
    "low",
    "high",
    "corrected",
    "corrected_low",
    "corrected_high",
    "z",
    "relative",
    "transrate",
    "rmse",
    "metric",
    "unit",
    "frozen",
    "frozen_low",
    "frozen_high",
    "frozen_from",
    "finetuned",
    "finetuned_low",
    "finetuned_high",
    "finetuned_from",
    "prior",
    "labels_seen",
    "gap_to_best",
    "gap_to_best_low",
    "gap_to_best_high",
    "n",
    "dimension",
    "classes",
    "smallest_class",
    "seconds",
    "status",
    "note",
]
_PROFILES = 5
FORMS = ("excess", "relative", "z", "value")
"""What candidates can be ordered by."""


@dataclass(frozen=True, repr=False)
class Ranking:
    """Encoders and layers ranked for the targets of a dataset by one or several measures.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per target, measure, encoder and layer, best first within target and measure; columns
        ``COLUMNS``. ``status`` is ``ok``, ``unreliable``, ``inapplicable`` or ``failed``; ``note`` says why.
    advice : list of str
        What is wrong with the molecules or the ranking, and what to do about it, the weightiest first.
    notes : list of str
        What was left out, and what to mind in reading the table.
    run : dict
        Versions, digests, arguments and device.
    replicates : dict
        :class:`molrate.statistics.intervals.Replicates` of what each (target, measure, encoder, layer) is
        ordered by.
    expectations : Expectations
        Errors to expect of each candidate.
    consensus : pandas.DataFrame, optional
        Encoders and layers by their mean rank over measures and targets.
    sensitivity : pandas.DataFrame, optional
        How the order changes with settings, if that was asked for.
    """

    frame: pd.DataFrame
    advice: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    replicates: dict[tuple[str, str, str, str], Replicates] = field(default_factory=dict)
    expectations: Expectations = field(default_factory=Expectations)
    consensus: pd.DataFrame | None = None
    sensitivity: pd.DataFrame | None = None

    @property
    def best(self) -> pd.Series:
        """The row of the best encoder and layer; over several targets or measures, that of best mean rank.

        Only encoders and layers that were ranked for every target and measure are compared.

        Raises
        ------
        InputError
            If nothing was ranked.
        """
        ranked = self.frame[self.frame["rank"].notna()]
        ranks = ranked.groupby(["encoder", "layer"], sort=False)["rank"]
        votes = len(ranked.groupby(["target", "measure"]))
        everywhere = ranked[ranks.transform("count") == votes]
        if everywhere.empty:
            raise InputError("no encoder was ranked for every target; see the notes and the status column")
        mean_rank = ranks.transform("mean")[everywhere.index]
        return everywhere.iloc[int(mean_rank.to_numpy().argmin())]

    @cached_property
    def verdict(self) -> Verdict:
        """What to fine-tune, whether it is worth it, and how sure that is; ``print`` shows it in words."""
        metrics = list(self.frame["metric"].dropna().unique())
        sure = how_sure(self.measure, self.form, self.run.get("arguments", {}), metrics)
        return make_verdict(self.frame, self.measure, self.expectations, sure, self.run.get("seconds"))

    @property
    def measure(self) -> str:
        """The measure that orders, the first one."""
        return str(self.frame["measure"].iloc[0])

    @property
    def form(self) -> str:
        """What of it orders, one of ``FORMS``."""
        return str(self.run.get("arguments", {}).get("rank_by", "excess"))

    @property
    def complete(self) -> bool:
        """Whether every encoder that was asked for could be scored."""
        return bool((self.frame["status"] != "failed").all())

    @property
    def layers(self) -> pd.DataFrame:
        """Layers within encoders; see :func:`layer_table`."""
        return layer_table(self)

    def layer_profile(self, encoder: str, target: str, measure: str | None = None) -> pd.DataFrame:
        """A measure's excess of the layers of an encoder, in order of depth.

        Parameters
        ----------
        encoder, target : str
        measure : str, optional
            By default the one that orders.

        Returns
        -------
        pandas.DataFrame
            ``layer``, ``depth`` from 1, ``value`` and its 95 % interval ``low``, ``high``; no row where the
            encoder was not ranked.
        """
        vote = target, measure or self.measure, encoder
        depths = {key[3]: depth for depth, key in enumerate((k for k in self.replicates if k[:3] == vote), 1)}
        rows = self.frame[(self.frame[["target", "measure", "encoder"]] == list(vote)).all(axis=1)]
        rows = rows.assign(depth=rows["layer"].map(depths), value=rows["excess"]).dropna(subset="depth")
        rows = rows.astype({"depth": int}).sort_values("depth")
        return rows[["layer", "depth", "value", "low", "high"]].reset_index(drop=True)

    def difference(
        self, target: str, measure: str, one: tuple[str, str], other: tuple[str, str]
    ) -> tuple[float, float, float]:
        """Paired difference of two candidates (encoder, layer), with its own 95 % interval.

        Both are taken on the same blocks of molecules and permutations, so that what they share cancels.
        """
        gap = self.replicates[target, measure, *one] - self.replicates[target, measure, *other]
        return gap.excess, *gap.interval()

    def separation(
        self, target: str, measure: str, one: tuple[str, str], other: tuple[str, str]
    ) -> tuple[float, float, float, bool]:
        """Paired difference of two candidates as the tiers have it: corrected for all pairs of the ranking.

        Parameters
        ----------
        target, measure : str
        one, other : (encoder, layer)

        Returns
        -------
        difference, low, high : float
        separable : bool
            Whether the corrected interval leaves out 0, as for the first of a tier and all of those below.
        """
        keys, p_values = self._p_values[target, measure]
        p_value = p_values[keys.index((target, measure, *one)), keys.index((target, measure, *other))]
        gap = self.replicates[target, measure, *one] - self.replicates[target, measure, *other]
        return gap.excess, *corrected_interval(gap, p_value), bool(p_value <= 1 - LEVEL)

    @cached_property
    def _p_values(self) -> dict[tuple[str, str], tuple[list[tuple[str, str, str, str]], Matrix]]:
        """Corrected p-values of all pairs of every target and measure, with the keys in their order."""
        votes: dict[tuple[str, str], list[tuple[str, str, str, str]]] = {}
        for key in self.replicates:
            votes.setdefault(key[:2], []).append(key)
        return {
            vote: (keys, pairwise_p_values([self.replicates[key] for key in keys]))
            for vote, keys in votes.items()
        }

    def top(self, n: int = 3) -> pd.DataFrame:
        """The first `n` rows of every target and measure, best first.

        Parameters
        ----------
        n : int

        Returns
        -------
        pandas.DataFrame
            Rows of :attr:`frame` whose rank is at most `n`.
        """
        return self.frame[(self.frame["rank"] <= n).fillna(False)]

    def compare(
        self, first: str, second: str, target: str | None = None, measure: str | None = None
    ) -> pd.DataFrame:
        """Paired differences of two encoders, each by its best layer.

        Parameters
        ----------
        first, second : str
            Names of encoders.
        target, measure : str, optional
            By default all that both were ranked for.

        Returns
        -------
        pandas.DataFrame
            A row for each target and measure: the layers compared, ``difference`` (positive where `first`
            is better, in what the ranking orders by) and its 95 % interval ``low``, ``high``.

        Raises
        ------
        UsageError
            If the two were not ranked together.

        Examples
        --------
        >>> import molrate
        >>> ranking = molrate.score("freesolv", encoders=["ecfp4", "rdkit-descriptors"])
        >>> len(ranking.compare("ecfp4", "rdkit-descriptors"))
        1
        """
        import pandas as pd

        best: dict[tuple[str, str, str], tuple[str, float]] = {}
        for (task, by, encoder, layer), replicates in self.replicates.items():
            key = (task, by, encoder)
            if key not in best or replicates.excess > best[key][1]:
                best[key] = layer, replicates.excess
        rows = []
        for task, by, encoder in best:
            if encoder != first or (task, by, second) not in best:
                continue
            if target not in (None, task) or measure not in (None, by):
                continue
            layers = best[task, by, first][0], best[task, by, second][0]
            gap, low, high = self.difference(task, by, (first, layers[0]), (second, layers[1]))
            rows.append((task, by, *layers, gap, low, high))
        if not rows:
            ranked = ", ".join(dict.fromkeys(key[2] for key in best))
            raise UsageError(f"{first!r} and {second!r} were not ranked together; ranked: {ranked}")
        columns = ["target", "measure", "first_layer", "second_layer", "difference", "low", "high"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def _tables(self) -> RankingTables:
        return RankingTables(
            self.frame,
            self.verdict,
            self.advice,
            self.notes,
            self.run,
            self.consensus,
            self.sensitivity,
            layer_table(self),
        )

    def to_text(self, view: View | None = None) -> str:
        """The verdict, the tables and what asks to be done, as they stand in a terminal.

        Parameters
        ----------
        view : View, optional
            What is shown, and how wide; see :class:`molrate.ranking.report.View`.
        """
        return to_text(self._tables, view)

    def to_html(self) -> str:
        """The verdict, the tables and notes as HTML."""
        return to_html(self._tables)

    def to_csv(self) -> str:
        """The tidy rows as CSV."""
        return to_csv(self._tables)

    def to_json(self) -> str:
        """Rows, notes and the record of the run as one JSON document."""
        return to_json(self._tables)

    def plot(self, measure: str | None = None) -> Figure:
        """Candidates with their intervals, best first, a panel for each target; needs Matplotlib.

        Parameters
        ----------
        measure : str, optional
            By default the one that orders.

        Returns
        -------
        matplotlib.figure.Figure
            ``savefig`` writes it as SVG, PNG or PDF.

        Raises
        ------
        UsageError
            If the measure ranked nothing.
        """
        from molrate.ranking.figure import draw_ranking

        name = measure or self.measure
        rows = self.frame[(self.frame["measure"] == name) & self.frame["rank"].notna()]
        if rows.empty:
            others = self.frame.loc[self.frame["rank"].notna(), "measure"].unique()
            instead = f"; there are {', '.join(others)}" if len(others) else ", nor did another measure"
            raise UsageError(f"{name!r} ranked nothing here{instead}")
        return draw_ranking(rows, printed_name(name), self.form)

    def plot_layers(self, measure: str | None = None, encoders: Sequence[str] | None = None) -> Figure:
        """What layers are ordered by, by depth, a panel for each target; needs Matplotlib.

        Parameters
        ----------
        measure : str, optional
            By default the one that orders.
        encoders : sequence of str, optional
            By default the best five that were ranked by several layers.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        UsageError
            If no encoder was ranked by several layers.
        """
        from molrate.ranking.figure import draw_layers

        name = measure or self.measure
        table = self.layers
        table = table[(table["measure"] == name) & (table["layers"] > 1)].sort_values("rank_by_best")
        profiles = {
            str(target): {
                str(encoder): self.layer_profile(str(encoder), str(target), name)
                for encoder in (rows["encoder"].head(_PROFILES) if encoders is None else encoders)
                if encoder in set(rows["encoder"])
            }
            for target, rows in table.groupby("target", sort=False)
        }
        if not any(profiles.values()):
            raise UsageError(f"no encoder was ranked by several layers by {name!r}; rank with layer='all'")
        return draw_layers(profiles, printed_name(name))

    def save(self, path: str | Path) -> None:
        """Write the ranking to ``.csv``, ``.json`` or ``.parquet``, with the record of the run.

        JSON holds the record; Parquet has it in its schema's metadata under ``molrate``; beside a CSV it
        goes into ``PATH.run.json``.

        Raises
        ------
        UsageError
            If the ending is another.
        InputError
            If the file cannot be written.
        """
        write_tables(self._tables, check_output(path, WRITABLE))

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.to_text()


def rank_targets(
    candidates: Sequence[Candidate],
    scored_targets: Sequence[ScoredTarget],
    measures: Sequence[Measure],
    rank_by: str = "excess",
    common_dimension: CommonDimension = AUTO,
    memory: Memory | None = None,
) -> tuple[list[dict[str, Any]], dict[tuple[str, str, str, str], Replicates]]:
    """Tidy rows of all targets, with what they are ordered by; see :func:`ranking_rows`."""
    rows: list[dict[str, Any]] = []
    replicates: dict[tuple[str, str, str, str], Replicates] = {}
    for scored_target in scored_targets:
        reads_gradients = any(measure.reads_gradients for measure in measures)
        gradients = scored_target.make_gradients() if reads_gradients else {}
        of_target = scored_target.rows, scored_target.resampling
        scored = score_candidates(candidates, *of_target, measures, common_dimension, gradients, memory)
        more_rows, more_replicates = ranking_rows(
            scored_target.target.name, scored_target.resampling, scored, rank_by
        )
        rows += more_rows
        replicates |= more_replicates
    return rows, replicates


def transrates_beside(
    rows: Sequence[dict[str, Any]],
    candidates: Sequence[Candidate],
    scored_targets: Sequence[ScoredTarget],
    common_dimension: CommonDimension = AUTO,
    memory: Memory | None = None,
) -> dict[tuple[str, str, str], float]:
    """Excess of TransRate of every target, encoder and layer, from rows that have it or else computed."""
    name = TransRate.name
    own = [row for row in rows if row["measure"] == name]
    if not own:
        own, _ = rank_targets(
            candidates,
            scored_targets,
            [TransRate()],
            common_dimension=common_dimension,
            memory=memory,
        )
    return {(row["target"], row["encoder"], row["layer"]): row["excess"] for row in own if "excess" in row}


def with_transrate(
    rows: Sequence[dict[str, Any]], transrates: Mapping[tuple[str, str, str], float]
) -> list[dict[str, Any]]:
    """Rows with TransRate's excess of the same encoder and layer."""
    return [
        row | {"transrate": transrates.get((row["target"], row["encoder"], row["layer"]))} for row in rows
    ]


def ranking_rows(
    target: str, resampling: Resampling, scored: Sequence[Scored], rank_by: str = "excess"
) -> tuple[list[dict[str, Any]], dict[tuple[str, str, str, str], Replicates]]:
    """Tidy rows of one target, ranked and put into tiers within each measure, with what they are ordered by.

    Parameters
    ----------
    target : str
    resampling : Resampling
    scored : sequence of Scored
    rank_by : {"excess", "relative", "z", "value"}

    Raises
    ------
    UsageError
        If the form is unknown, or no measure has it.
    """
    if rank_by not in FORMS:
        raise UsageError(f"unknown form {rank_by!r} (--rank-by); known: {', '.join(FORMS)}")
    rows: list[dict[str, Any]] = []
    replicates: dict[tuple[str, str, str, str], Replicates] = {}
    for measure in dict.fromkeys(outcome.measure.name for outcome in scored):
        outcomes = [outcome for outcome in scored if outcome.measure.name == measure]
        all_replicates = [
            None if outcome.table is None else outcome.replicates(rank_by) for outcome in outcomes
        ]
        usable = [each for each in all_replicates if each is not None and each.usable]
        places = iter(_places(usable))
        for outcome, each in zip(outcomes, all_replicates, strict=True):
            row = _row(target, resampling, outcome, rank_by)
            if each is not None and each.usable:
                row |= next(places)
                replicates[target, measure, outcome.candidate.encoder, outcome.candidate.layer] = each
            rows.append(row)
    return rows, replicates


def _places(replicates: Sequence[Replicates]) -> list[dict[str, Any]]:
    """Rank, tier and distance from the best, of each candidate."""
    if not replicates:
        return []
    values = np.array([candidate.excess for candidate in replicates])
    best = int(values.argmax())
    p_values = pairwise_p_values(replicates)
    places = []
    for index, (candidate, tier) in enumerate(zip(replicates, tiers(values, p_values), strict=True)):
        gap = replicates[best] - candidate
        low, high = corrected_interval(gap, p_values[best, index])
        places.append(
            {
                "rank": int((values > candidate.excess).sum()) + 1,
                "tier": tier,
                "gap_to_best": gap.excess,
                "gap_to_best_low": low,
                "gap_to_best_high": high,
            }
        )
    return places


def _row(target: str, resampling: Resampling, scored: Scored, rank_by: str) -> dict[str, Any]:
    candidate, sizes = scored.candidate, np.bincount(resampling.codes)
    row = blank_row(target, resampling.task) | {
        "measure": scored.measure.name,
        "encoder": candidate.encoder,
        "kind": candidate.kind,
        "layer": candidate.layer,
        "pooling": candidate.pooling,
        "n": len(resampling.codes),
        "dimension": scored.dimension,
        "classes": len(sizes),
        "smallest_class": int(sizes.min()),
        "seconds": scored.seconds,
    }
    if scored.table is None:
        inapplicable = isinstance(scored.error, NotApplicableError)
        return row | {"status": "inapplicable" if inapplicable else "failed", "note": str(scored.error)}
    estimated = scored.estimate
    low, high = scored.interval()
    corrected_low, corrected_high = scored.interval(corrected=True)
    row |= {
        "value": estimated.value,
        "null_mean": estimated.null_mean,
        "null_sd": estimated.null_sd,
        "excess": estimated.excess,
        "low": low,
        "high": high,
        "corrected": estimated.corrected,
        "corrected_low": corrected_low,
        "corrected_high": corrected_high,
        "z": estimated.z,
        "relative": estimated.excess / scored.reach,
        "rmse": scored.rmse,
        "status": "unreliable" if scored.warning else "ok",
        "note": scored.warning,
    }
    if np.isnan(estimated.value):
        return row | {"status": "failed", "note": f"{scored.measure.name} of these features is not a number"}
    if not scored.replicates(rank_by).usable:
        row["note"] = f"not ranked: {scored.measure.name} has no {rank_by} form here. {row['note']}".strip()
    return row


def blank_row(target: str, task: str) -> dict[str, Any]:
    """A row with nothing but its target."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    return row | {"target": target, "task": task, "encoder": "", "layer": "", "pooling": "none", "kind": ""}


def failed_row(target: Target, measure: Measure, encoder: str, error: Exception) -> dict[str, Any]:
    """Row of an encoder that failed, or (without a name) of a target that cannot be ranked by."""
    row = blank_row(target.name, target.task)
    return row | {"measure": measure.name, "encoder": encoder, "status": "failed", "note": str(error)}


def ranking_frame(dataset: str, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a frame of fixed types, best first within target and measure."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["dataset"] = dataset
    whole = ["rank", "tier", "layer_rank", "n", "dimension", "classes", "smallest_class", "prior"]
    text = ["dataset", "target", "task", "measure", "encoder", "kind", "layer", "pooling", "status", "note"]
    text += ["metric", "unit", "frozen_from", "finetuned_from", "labels_seen"]
    for column in COLUMNS:
        if column in whole:
            frame[column] = frame[column].astype("Int64")
        elif column not in text:
            frame[column] = frame[column].astype(float)
    within = frame[frame["rank"].notna()].groupby(["target", "measure", "encoder"], sort=False)["rank"]
    frame["layer_rank"] = within.rank(method="min").astype("Int64")
    keys = []
    for column in ("target", "measure"):
        order = {name: position for position, name in enumerate(frame[column].unique())}
        frame[f"_{column}"] = frame[column].map(order)
        keys.append(f"_{column}")
    frame = frame.sort_values([*keys, "rank"], kind="stable", na_position="last")
    return frame.drop(columns=keys).reset_index(drop=True)


def with_expectations(
    rows: Sequence[dict[str, Any]],
    expectations: Expectations,
    units: Mapping[str, str],
    dataset: str,
    seen: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Rows with errors to expect, the encoder's place in the study, and whether it has seen the labels.

    Parameters
    ----------
    rows : sequence of dict
        Of :func:`ranking_rows`.
    expectations : Expectations
    units : mapping of str to str
        By target.
    dataset : str
        Its name.
    seen : mapping of str to str
        ``yes`` or ``unknown`` by encoder; those that have not are left out.
    """
    places = prior_places(dataset)
    whole = []
    for row in rows:
        expected = expectations.by_candidate.get((row["target"], row["encoder"], row["layer"]))
        encoder = row["encoder"]
        columns = {} if expected is None else expected.columns()
        columns |= {"unit": units.get(row["target"], ""), "prior": places.get(encoder)}
        whole.append(row | columns | {"labels_seen": seen.get(encoder, "")})
    return whole


_OF_LAYERS = [
    *("target", "measure", "encoder", "layers", "best_layer", "best", "last_layer", "last"),
    *("gain", "gain_low", "gain_high", "cut_at", "frozen_best", "frozen_last", "depth_tau"),
    *("rank_by_best", "rank_by_last"),
]


def layer_table(ranking: Ranking) -> pd.DataFrame:
    """Best and last layer of every encoder that was ranked by several.

    Parameters
    ----------
    ranking : Ranking
        Layers of an encoder count as deeper in the order they were scored.

    Returns
    -------
    pandas.DataFrame
        One row per target, measure and encoder: ``best_layer`` and ``last_layer`` with what they are
        ordered by; ``gain`` of the best over the last with its paired interval ``gain_low``,
        ``gain_high``, corrected for the number of layers; ``cut_at``, the best layer where that interval is
        above 0 and no more error is to be expected of it, else the last; ``frozen_best`` and
        ``frozen_last``, errors to expect; ``depth_tau``,
        Kendall's tau of depth and order (1: deeper is better throughout); ``rank_by_best`` and
        ``rank_by_last`` among encoders.

    References
    ----------
    Frustratingly Easy Transferability Estimation, section 4.3.
    """
    import pandas as pd

    rows = []
    found: dict[tuple[str, str, str], list[tuple[str, float]]] = {}
    for (target, measure, encoder, layer), replicates in ranking.replicates.items():
        found.setdefault((target, measure, encoder), []).append((layer, replicates.excess))
    for (target, measure, encoder), layers in found.items():
        names, values = zip(*layers, strict=True)
        best = names[int(np.argmax(values))]
        gap = ranking.replicates[target, measure, encoder, best]
        gap -= ranking.replicates[target, measure, encoder, names[-1]]
        # The best was looked for among all layers.
        low, high = gap.interval(1 - (1 - LEVEL) / max(1, len(names) - 1))
        is_worth_it = low > 0 and not _costs(ranking, target, encoder, best, names[-1])
        rows.append(
            {
                "target": target,
                "measure": measure,
                "encoder": encoder,
                "layers": len(names),
                "best_layer": best,
                "best": max(values),
                "last_layer": names[-1],
                "last": values[-1],
                "gain": gap.excess,
                "gain_low": low,
                "gain_high": high,
                "cut_at": best if is_worth_it else names[-1],
                "frozen_best": _frozen(ranking, target, encoder, best),
                "frozen_last": _frozen(ranking, target, encoder, names[-1]),
                "depth_tau": _depth_tau(values),
            }
        )
    if not rows:
        return pd.DataFrame(columns=_OF_LAYERS)
    table = pd.DataFrame(rows, columns=_OF_LAYERS[:-2])
    for column in ("best", "last"):
        by_vote = table.groupby(["target", "measure"], sort=False)[column]
        table[f"rank_by_{column}"] = by_vote.rank(ascending=False, method="min").astype("Int64")
    return table


def _frozen(ranking: Ranking, target: str, encoder: str, layer: str) -> float:
    """Frozen error or area to expect; NaN where it is not known."""
    expected = ranking.expectations.by_candidate.get((target, encoder, layer))
    return float("nan") if expected is None else expected.frozen.value


def _costs(ranking: Ranking, target: str, encoder: str, best: str, last: str) -> bool:
    """Whether more error is to be expected of the best layer than of the last."""
    expected = [ranking.expectations.by_candidate.get((target, encoder, layer)) for layer in (best, last)]
    if expected[0] is None or expected[1] is None:
        return False
    return bool(expected[0].frozen.loss > expected[1].frozen.loss)


def _depth_tau(values: Sequence[float]) -> float:
    """Kendall's tau-b of depth and value; NaN of a single layer or constant values."""
    if len(values) < 2:
        return float("nan")
    from scipy.stats import kendalltau

    return float(kendalltau(np.arange(len(values)), values).statistic)
