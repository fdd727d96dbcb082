"""The decision of a ranking: what to fine-tune, whether it is worth it, how sure that is.

Every sentence is made from the rows of the ranking and from expected errors; see
:mod:`molrate.ranking.expected` for these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from molrate.data.targets import MAIN_METRIC
from molrate.encoders.cards import BASELINES
from molrate.measures.base import printed_name
from molrate.measures.leave_one_out import MOST_ROWS
from molrate.ranking.expected import Expectations, Expected, Performance
from molrate.ranking.forest import FOREST
from molrate.statistics.intervals import LEVEL, student_quantile
from molrate.statistics.resampling import BLOCKS, FEW_MOLECULES

if TYPE_CHECKING:
    import pandas as pd

SEEN = "yes"
"""Of an encoder that was trained on labels of the dataset."""
DESCRIPTORS = "rdkit-descriptors"
FEW = 50
"""Molecules below which a ranking says little."""
_NAMED = 3
_FINE_TUNE, _TAKE, _WORTH, _SURE, _ALL = "Fine-tune", "Take", "Worth it?", "How sure", "For all"
_NOTHING_SHOWS = (
    "no candidate alone, nor the luckiest of them all, is told from a guess at 95 %. That does not exclude a "
    "weak relation, which more molecules would show."
)
_RULED = (
    "not at all: a few molecules rule the squared errors, which say nothing of the others; see the warning "
    "below."
)
_ONE = "there was one encoder to choose from."
_BETTER, _SAME, _WORSE = "better", "no clear difference", "worse"
_EXTREME = 6
"""Decimals, and digits before the point, from which on figures are written with an exponent."""
_ANSWERS = {_BETTER: "yes", _SAME: "not clear", _WORSE: "no"}
"""To whether something is worth it."""


@dataclass(frozen=True)
class Comparison:
    """The proposed encoder against a baseline, on the same molecules.

    Attributes
    ----------
    baseline : str
    value : float
        What the baseline is expected to reach.
    gain, low, high : float
        How much better the encoder is, with a 95 % interval.
    model : str
        What reads the baseline, ``loo`` (a linear model) or ``forest``; empty of a guess.
    outcome : {"better", "no clear difference", "worse"}
        What the interval decides.
    """

    baseline: str
    value: float
    gain: float
    low: float
    high: float
    model: str = ""

    @property
    def outcome(self) -> str:
        """What the interval decides."""
        return _BETTER if self.low > 0 else _WORSE if self.high < 0 else _SAME


@dataclass(frozen=True)
class Choice:
    """The decision for one target.

    Attributes
    ----------
    target, task : str
    molecules, rows, candidates : int
        Rows are more than molecules where some repeat one.
    smallest_class : int
        Rows of the rarest class; of the smallest range in regression.
    encoder, layer : str
        What to fine-tune; empty where nothing is proposed.
    metric, unit : str
        ``rmse`` or ``auroc``, and the unit of the first.
    decimals : int
        With which figures of the metric are written, see :func:`written`.
    expected, low, high : float
        Fine-tuned error or area to expect for molecules not seen, with a 95 % interval; frozen where nothing
        says what fine-tuning does.
    tied : tuple of str
        Other encoders that these molecules do not tell from it, neither by the measure nor as worse by the
        loss to expect.
    promising : str
        The encoder of the smallest expected loss, where that is clearly less than the proposed one's; empty
        elsewhere.
    comparisons : tuple of Comparison
        With baselines, the best first.
    trainable : bool
        Whether what is proposed is to be fine-tuned; given features, functions and encoders that are cut
        at an inner layer are taken as they are.
    finetuned : bool
        Whether comparisons are of fine-tuned models; of frozen features otherwise.
    fine_tune, worth_it : str
        Sentences.
    """

    target: str
    task: str
    molecules: int
    rows: int
    candidates: int
    smallest_class: int
    encoder: str
    layer: str
    metric: str
    unit: str
    decimals: int
    expected: float
    low: float
    high: float
    tied: tuple[str, ...]
    promising: str
    comparisons: tuple[Comparison, ...]
    trainable: bool
    finetuned: bool
    fine_tune: str
    worth_it: str

    @property
    def counted(self) -> str:
        """Molecules, and rows where these are more."""
        return f"{self.molecules} molecules" + (f" in {self.rows} rows" if self.rows > self.molecules else "")

    @property
    def short(self) -> str:
        """Of what too few were measured; empty where there are enough."""
        return _short(self.task, self.molecules, self.smallest_class)


@dataclass(frozen=True)
class Verdict:
    """The decision of a ranking.

    Attributes
    ----------
    dataset : str
    heading : str
        What was ranked.
    choices : tuple of Choice
        One for each target.
    encoder, layer : str
        What to fine-tune for all targets, the one of best mean rank; empty where nothing is proposed.
    how_sure : str

    Examples
    --------
    >>> print(molrate.score("freesolv").verdict)
    """

    dataset: str
    heading: str
    choices: tuple[Choice, ...]
    encoder: str
    layer: str
    how_sure: str

    def choice_for(self, target: str) -> Choice:
        """The decision for one of the targets."""
        return next(choice for choice in self.choices if choice.target == target)

    @property
    def labelled(self) -> list[tuple[str, str]]:
        """Sentences with the question each answers, in reading order; the heading has none."""
        lines = [("", self.heading)]
        for choice in self.choices:
            if len(self.choices) > 1:
                lines.append(("", f"{choice.target}: {choice.task}, {choice.counted}"))
            lines += [
                (_FINE_TUNE if choice.trainable else _TAKE, choice.fine_tune),
                (_WORTH, choice.worth_it),
            ]
        if len(self.choices) > 1 and self.encoder:
            named = [choice.target for choice in self.choices if choice.encoder]
            over = (
                "the targets" if len(named) == len(self.choices) else f"what is predicted: {', '.join(named)}"
            )
            lines.append((_ALL, f"{self.encoder}, the encoder of the best mean rank over {over}."))
        return [*lines, (_SURE, self.how_sure)]

    @property
    def sentences(self) -> list[str]:
        """All of it, a line each."""
        return [f"{label}  {text}" if label else text for label, text in self.labelled]

    def record(self) -> dict[str, Any]:
        """Plain values."""
        record = asdict(self)
        for choice, made in zip(record["choices"], self.choices, strict=True):
            for comparison, kept in zip(choice["comparisons"], made.comparisons, strict=True):
                comparison["outcome"] = kept.outcome
            for name in ("expected", "low", "high"):
                choice[name] = choice[name] if math.isfinite(choice[name]) else None
        return record

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def make_verdict(
    frame: pd.DataFrame,
    measure: str,
    expectations: Expectations,
    how_sure: str,
    seconds: float | None = None,
) -> Verdict:
    """The decision that rows of a ranking and expected errors lead to.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of a :class:`molrate.Ranking`.
    measure : str
        That orders.
    expectations : Expectations
    how_sure : str
    seconds : float, optional
        What the ranking took.
    """
    rows = frame[(frame["measure"] == measure) & (frame["encoder"] != "")]
    choices = []
    for target, of_target in rows.groupby("target", sort=False):
        choices.append(_Chooser(str(target), of_target, expectations).choose())
    encoder, layer = _for_all(rows, choices)
    if rows["rank"].isna().all():
        how_sure = "not at all: nothing was ranked."
    elif all(expectations.beat_guessing(choice.target) is False for choice in choices):
        ruled = any(choice.target in expectations.outliers for choice in choices)
        how_sure = _RULED if ruled else _NOTHING_SHOWS
    elif not encoder and not any(choice.encoder for choice in choices):
        how_sure = "nothing is proposed that it could be said of."
    else:
        if eligible(rows)["encoder"].nunique() == 1:
            how_sure = _ONE
        how_sure = _with_size(choices, how_sure)
    dataset = str(frame["dataset"].iloc[0]) if len(frame) else ""
    heading = _heading(dataset, rows, choices, seconds)
    return Verdict(dataset, heading, tuple(choices), encoder, layer, how_sure)


def _with_size(choices: Sequence[Choice], how_sure: str) -> str:
    """How sure it is, once it is said of which targets too few molecules were measured."""
    few = [(choice, short) for choice in choices if choice.encoder and (short := choice.short)]
    if not few:
        return how_sure
    counts = " and ".join(
        f"{short}{f' with {choice.target}' if len(choices) > 1 else ''}" for choice, short in few
    )
    enough = FEW if any(choice.molecules < FEW for choice, _ in few) else FEW_MOLECULES
    too_few = (
        f"not sure: {counts} are too few to rank by. Go by the prior and the baselines, and rank again with "
        f"{enough} or more."
    )
    return too_few if len(few) == len(choices) else f"{too_few} For the rest: {how_sure}"


def _short(task: str, molecules: int, smallest_class: int) -> str:
    """Of what too few were measured; empty where there are enough."""
    if molecules < FEW:
        return f"{molecules} molecules"
    if task == "classification" and smallest_class < FEW_MOLECULES:
        return f"{smallest_class} molecules of the rarest class"
    return ""


def _heading(dataset: str, rows: pd.DataFrame, choices: Sequence[Choice], seconds: float | None) -> str:
    given = (rows["kind"] == "features").any()
    if len(choices) == 1:
        (choice,) = choices
        named = dataset if choice.target == dataset else f"{dataset}, {choice.target}"
        alone = given and choice.rows == choice.molecules
        parts = [f"{named}: {choice.task}", f"{choice.rows} rows" if alone else choice.counted]
    else:
        parts = [f"{dataset}: {len(choices)} targets"]
    count = rows.drop_duplicates(["encoder", "layer"]).shape[0]
    parts.append("1 candidate" if count == 1 else f"{count} candidates")
    if seconds is not None:
        parts.append(f"{seconds:.0f} s" if seconds >= 1 else "under 1 s")
    return ", ".join(parts)


def _for_all(rows: pd.DataFrame, choices: Sequence[Choice]) -> tuple[str, str]:
    """Encoder and layer of the best mean rank among those that may be proposed for every target.

    A target that nothing predicts has no vote: its order is chance.
    """
    choices = [choice for choice in choices if choice.encoder]
    if not choices:
        return "", ""
    if len(choices) == 1:
        return choices[0].encoder, choices[0].layer
    ranked = eligible(rows)
    ranked = ranked[ranked["target"].isin([choice.target for choice in choices])]
    ranks = ranked.groupby(["encoder", "layer"], sort=False)["rank"].agg(["mean", "count"])
    everywhere = ranks[ranks["count"] == len(choices)]
    if everywhere.empty:
        return "", ""
    best = everywhere.reset_index().iloc[int(everywhere["mean"].to_numpy(dtype=float).argmin())]
    return str(best["encoder"]), str(best["layer"])


def written(value: float, decimals: int) -> str:
    """A figure with so many decimals; three figures and an exponent where `decimals` is negative."""
    return f"{value:.2e}" if decimals < 0 else f"{value:z.{decimals}f}"


def eligible(rows: pd.DataFrame) -> pd.DataFrame:
    """Ranked rows of what may be proposed: pretrained, and not on labels of the dataset."""
    return rows[rows["rank"].notna() & ~rows["kind"].isin(BASELINES) & (rows["labels_seen"] != SEEN)]


@dataclass(frozen=True)
class _Chooser:
    """Makes the decision for one target.

    `rows` are those of one target and measure, best first.
    """

    target: str
    rows: pd.DataFrame
    expectations: Expectations

    @property
    def unit(self) -> str:
        """Of the target; empty where it is not known."""
        return str(self.rows["unit"].iloc[0])

    @property
    def measure(self) -> str:
        """What orders, as it is printed."""
        return printed_name(str(self.rows["measure"].iloc[0]))

    @property
    def trainable(self) -> bool:
        """Whether candidates are encoders."""
        return bool((self.rows["kind"] != "features").any())

    @property
    def decimals(self) -> int:
        """Two for areas, of errors as that of a guess asks for, more where the least is nearly none."""
        guess = self.expectations.guesses.get(self.target)
        decimals = 2
        if guess is not None and guess.metric != "auroc" and 0 < guess.value < math.inf:
            place = math.floor(math.log10(guess.value))
            if abs(place) >= _EXTREME:
                return -1
            decimals = max(0, 2 - place) if place >= 0 else 1 - place
        judged = [
            each.measured.loss
            for (name, _, _), each in self.expectations.by_candidate.items()
            if name == self.target
        ]
        least = min(judged, default=0.0)
        if 0 < least < 10.0**-decimals / 2:
            return min(_EXTREME, -math.floor(math.log10(least)))
        return decimals

    def show(self, value: float) -> str:
        """A figure of the metric."""
        return written(value, self.decimals)

    @property
    def counts(self) -> tuple[int, int]:
        """Molecules, and the rows they are in."""
        sizes = self.rows["n"].dropna()
        rows = int(sizes.iloc[0]) if len(sizes) else 0
        guess = self.expectations.guesses.get(self.target)
        if guess is None:
            return rows, rows
        # Of more rows a sample was judged, which says nothing of how many molecules all of them are.
        molecules = len(guess.moves)
        return (molecules if molecules < min(rows, MOST_ROWS) else rows), rows

    def choose(self) -> Choice:
        """Decide."""
        ranked, proposable = self.rows[self.rows["rank"].notna()], eligible(self.rows)
        useless = not ranked.empty and self.expectations.beat_guessing(self.target) is False
        first = None if useless or proposable.empty else proposable.iloc[0]
        best = None if first is None else self._taken(first)
        comparisons = self._comparisons(best)
        molecules, rows = self.counts
        sizes = self.rows["smallest_class"].dropna()
        task, smallest = str(self.rows["task"].iloc[0]), int(sizes.iloc[0]) if len(sizes) else 0
        low, high = (float("nan"),) * 2 if best is None else best.best.interval()
        metric = MAIN_METRIC[task]
        tied = [] if first is None else self._tied(first, best, proposable)
        promising, where, promised = self._promising(best, proposable)
        if first is None:
            fine_tune = self._nothing(useless, ranked)
        else:
            fine_tune = self._least(promising, where, promised) + self._proposal(first, best, tied)
            if short := _short(task, molecules, smallest):
                fine_tune = f"undecided: {short} are too few to choose by. First is {fine_tune}"
        return Choice(
            target=self.target,
            task=task,
            molecules=molecules,
            rows=rows,
            candidates=len(self.rows),
            smallest_class=smallest,
            encoder="" if first is None else str(first["encoder"]),
            layer="" if first is None else str(first["layer"]),
            metric=metric,
            unit=self.unit,
            decimals=self.decimals,
            expected=float("nan") if best is None else best.best.value,
            low=low,
            high=high,
            tied=tuple(tied),
            promising=promising,
            comparisons=tuple(comparisons),
            trainable=self.trainable and (best is None or best.trainable),
            finetuned=best is not None and best.finetuned is not None and not best.related,
            fine_tune=fine_tune,
            worth_it=self._worth_of(promising, promised) + self._worth(useless, best, comparisons),
        )

    def _expected(self, row: pd.Series) -> Expected | None:
        return self.expectations.by_candidate.get((self.target, str(row["encoder"]), str(row["layer"])))

    def _taken(self, first: pd.Series) -> Expected | None:
        """What to expect of the first, as it is where a layer below the last comes first."""
        expected = self._expected(first)
        if expected is None or not self._is_cut(first):
            return expected
        return Expected(expected.frozen, trainable=False)

    def _tied(self, first: pd.Series, best: Expected | None, proposable: pd.DataFrame) -> list[str]:
        """Encoders of the first tier that differ from the best row no more than it may, in both respects."""
        close = proposable[(proposable["tier"] == first["tier"]) & (proposable["gap_to_best_low"] <= 0)]
        names = dict.fromkeys(str(row["encoder"]) for _, row in close.iterrows() if self._as_good(row, best))
        return [name for name in names if name != first["encoder"]]

    def _as_good(self, row: pd.Series, best: Expected | None) -> bool:
        """Whether these molecules leave open that the loss to expect of a row is as small as the best's."""
        expected = self._expected(row)
        return best is None or expected is None or expected.measured.gain_over(best.measured)[2] >= 0

    def _baselines(self) -> list[tuple[str, Expected]]:
        """Computed features with what to expect of them, the best first."""
        rows = self.rows[self.rows["kind"] == "baseline"]
        found = [(str(row["encoder"]), self._expected(row)) for _, row in rows.iterrows()]
        known = [(name, each) for name, each in found if each is not None]
        return sorted(known, key=lambda pair: pair[1].frozen.loss)

    def _comparisons(self, best: Expected | None) -> list[Comparison]:
        if best is None:
            return []
        return [
            Comparison(
                name,
                baseline.frozen.value,
                *best.measured.gain_over(baseline.frozen, forecast=True),
                baseline.model,
            )
            for name, baseline in self._baselines()
        ]

    def _promising(self, best: Expected | None, proposable: pd.DataFrame) -> tuple[str, str, Expected | None]:
        """Encoder and layer of the smallest expected loss, if that is clearly smaller than the first's."""
        known = [(row, self._expected(row)) for _, row in proposable.iterrows()]
        others = [(row, each) for row, each in known if each is not None]
        if best is None or not others:
            return "", "", None
        row, least = min(others, key=lambda pair: pair[1].measured.loss)
        # One of many is the luckiest: all of them are looked at together.
        level = 1 - (1 - LEVEL) / len(others)
        if least.measured.gain_over(best.measured, level)[1] <= 0:
            return "", "", None
        return str(row["encoder"]), str(row["layer"]), least

    def _worth_of(self, promising: str, promised: Expected | None) -> str:
        """What the promising encoder is worth over the best baseline, before what the first is worth."""
        comparisons = self._comparisons(promised)
        if promised is None:
            return ""
        if comparisons:
            word = _ANSWERS[comparisons[0].outcome]
            return f"with {promising} {word}: {self._compared(comparisons[0])}. With the first "
        if self.trainable:
            return ""
        return f"with {promising} {self._compared(self._over_guess(promised))}. With the first "

    def _least(self, promising: str, layer: str, promised: Expected | None) -> str:
        """The promising encoder, before the first of the order."""
        if promised is None:
            return ""
        forecast = f"{promising}{self._of_layer(layer)}: {self._performance(promised.measured)}"
        return f"{forecast}, the best forecast. First by {self.measure} is "

    def _of_layer(self, layer: str) -> str:
        """A layer's name, where an encoder has several."""
        if self.rows["encoder"].value_counts().max() == 1:
            return ""
        return f", {layer}" if layer.startswith("layer") else f", layer {layer}"

    def _is_cut(self, first: pd.Series) -> bool:
        """Whether a layer below the last comes first, which is not what fine-tuning does best with."""
        last = self.expectations.last_layer(self.target, str(first["encoder"]))
        return last is not None and last != first["layer"]

    def _proposal(self, first: pd.Series, best: Expected | None, tied: Sequence[str]) -> str:
        sentence = f"{first['encoder']}{self._of_layer(str(first['layer']))}"
        if best is not None:
            sentence += f": {self._promise(best)}"
        if tied:
            more = f" and {len(tied) - _NAMED} more" if len(tied) > _NAMED else ""
            sentence += f". Tied with it: {', '.join(tied[:_NAMED])}{more}"
        return f"{sentence}.{' To fine-tune it, take all its layers.' if self._is_cut(first) else ''}"

    def _promise(self, expected: Expected) -> str:
        """What to expect, fine-tuned and as it is where the first comes from other datasets."""
        if not expected.related:
            frozen = " as it is" if expected.finetuned is None and self.trainable else ""
            return f"{self._performance(expected.best)}{frozen}"
        low, high = (self.show(bound) for bound in expected.best.interval())
        return (
            f"{self._performance(expected.frozen)} as it is; fine-tuned about "
            f"{self.show(expected.best.value)} ({low} to {high}), going by other datasets"
        )

    def _performance(self, performance: Performance) -> str:
        low, high = (self.show(bound) for bound in performance.interval())
        unit = f" {self.unit}" if self.unit and performance.metric == "rmse" else ""
        metric = performance.metric.upper()
        return f"expected {metric} {self.show(performance.value)}{unit} (95 %: {low} to {high})"

    def _nothing(self, useless: bool, ranked: pd.DataFrame) -> str:
        if useless:
            known = self.expectations.guesses[self.target]
            guess = f"their mean does ({self.show(known.value)})"
            if known.metric == "auroc":
                guess = "a coin does"
            count = len(self.rows)
            none = (
                "the one candidate does not predict"
                if count == 1
                else f"none of the {count} candidates predicts"
            )
            return f"nothing yet: {none} {self.target} better than {guess}."
        if ranked.empty:
            return "nothing: no candidate could be ranked; the notes say why."
        if (ranked["kind"].isin(BASELINES)).all():
            return "nothing: only baselines were ranked. Name a pretrained encoder with --encoder."
        return (
            "nothing: every pretrained encoder here was trained on labels of this dataset or of its "
            "molecules."
        )

    def _nothing_worth(self) -> str:
        """Whether there is no relation, or only none that these errors can show."""
        outliers = self.expectations.outliers.get(self.target)
        if outliers is not None:
            makes = "1 molecule makes" if outliers.molecules == 1 else f"{outliers.molecules} molecules make"
            return (
                f"not known: {makes} half of the squared error of all {self.counts[0]}, whatever predicts. "
                "The warning below says what to do."
            )
        shown = self._shown_by_measure()
        if shown is not None:
            return (
                f"not by the models tried, though {self.measure} finds a relation of the labels to {shown}. "
                "molrate select tries others."
            )
        what, more = ("structure", "more molecules") if self.trainable else ("the features", "more")
        return (
            f"no: no candidate finds a relation of the labels to {what}. Check them, or measure {more}, "
            "before training anything."
        )

    def _shown_by_measure(self) -> str | None:
        """The first candidate, if what orders finds a relation in any, all looked at together."""
        ranked = self.rows[self.rows["rank"].notna()]
        # Intervals of one candidate each at 95 %; of many, one is the luckiest.
        level = 1 - (1 - LEVEL) / max(1, len(ranked))
        wider = student_quantile(BLOCKS - 1, level) / student_quantile(BLOCKS - 1, LEVEL)
        found = ranked[ranked["excess"] > wider * (ranked["excess"] - ranked["low"])]
        return None if found.empty else str(found.iloc[0]["encoder"])

    def _worth(self, useless: bool, best: Expected | None, comparisons: Sequence[Comparison]) -> str:
        if useless:
            return self._nothing_worth()
        baselines = self._baselines()
        if best is None:
            if not baselines:
                return "not known: no error could be estimated."
            name, baseline = baselines[0]
            model = f" with a {FOREST}" if baseline.model == FOREST else ""
            return f"start from the best baseline, {name}{model}: {self._performance(baseline.frozen)}."
        if not comparisons and not self.trainable:
            return f"{self._compared(self._over_guess(best))}."
        if not comparisons:
            return (
                "not known: no fingerprints or descriptors were ranked beside it; add --encoder ecfp4 and "
                "--encoder rdkit-descriptors."
            )
        word = _ANSWERS[comparisons[0].outcome]
        parts = "; ".join(self._compared(each) for each in comparisons[:_NAMED])
        instead = f" Take {comparisons[0].baseline}." if comparisons[0].outcome == _WORSE else ""
        return f"{word}: {self._state(best)}{parts}.{instead}{self._missing(comparisons)}"

    def _state(self, best: Expected) -> str:
        """In which state the first is compared, where it is not fine-tuned."""
        if not self.trainable or (best.finetuned is not None and not best.related):
            return ""
        return "before fine-tuning it is " if best.trainable else "as it is, "

    def _over_guess(self, expected: Expected) -> Comparison:
        guess = self.expectations.guesses[self.target]
        than = "guessing" if guess.metric == "auroc" else "their mean"
        return Comparison(than, guess.value, *expected.measured.gain_over(guess))

    def _missing(self, comparisons: Sequence[Comparison]) -> str:
        """What is to be ranked before the answer means much: descriptors are hard to beat."""
        if any(each.baseline == DESCRIPTORS for each in comparisons):
            return ""
        return f" Against descriptors it is not known: add --encoder {DESCRIPTORS}."

    def _compared(self, comparison: Comparison) -> str:
        model = f", {FOREST}" if comparison.model == FOREST else ""
        beside = f"{comparison.baseline} ({self.show(comparison.value)}{model})"
        low, high = self.show(abs(comparison.low)), self.show(abs(comparison.high))
        if comparison.outcome == _SAME:
            return f"{self._about(comparison.gain, beside)}, but anything from {low} worse to {high} better"
        if comparison.outcome == _WORSE:
            low, high = high, low
        return f"{comparison.outcome} than {beside} by {self.show(abs(comparison.gain))} ({low} to {high})"

    def _about(self, gain: float, beside: str) -> str:
        """A gain that may be none."""
        amount = self.show(abs(gain))
        if float(amount) == 0:
            return f"as good as {beside}"
        return f"{amount} {_BETTER if gain > 0 else _WORSE} than {beside}"
