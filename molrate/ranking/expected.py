"""Errors to expect of a model on each candidate, for molecules that it has not seen, with intervals.

The frozen encoder's come from what leave-one-out ridge predicts for each molecule (the measure ``loo``); of
fingerprints, descriptors and whatever else has nothing to train, from a random forest where that is better,
as one fits it to them. The fine-tuned one's come from linearised fine-tuning (``tangent``) where it has
gradients, else from the frozen one's, and from how fine-tuned errors went with either in the study that ships
with molrate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from molrate.data.targets import MAIN_METRIC
from molrate.errors import InputError
from molrate.files.kept import Content
from molrate.measures.leave_one_out import MOST_ROWS, LeaveOneOut
from molrate.measures.residuals import Residuals, residuals_of
from molrate.measures.sample import Sample
from molrate.measures.tangent import Tangent, label_columns
from molrate.ranking.candidates import AllGradients, Candidate, ScoredTarget, full_sample
from molrate.ranking.forecasts import Relation, relation_of
from molrate.ranking.forest import FOREST, forest_residuals
from molrate.ranking.memory import Memory
from molrate.ranking.outliers import Outliers, find_outliers
from molrate.statistics.intervals import LEVEL, student_quantile
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Codes
from molrate.statistics.threads import map_in_threads

CHANCE = 0.5
"""Area under the curve of a guess."""


@dataclass(frozen=True, eq=False)
class Performance:
    """An error or an area under the curve, with how far every molecule moves it.

    Attributes
    ----------
    metric : {"rmse", "auroc"}
    value : float
    moves : ndarray, shape (G,)
        What each molecule adds to the value, to first order; parallel for all candidates of a target, so
        that what they share cancels in a difference. Empty where the value is known by a relation alone.
    degrees : float
        Of freedom.
    scatter : float
        Standard deviation, in logarithms of the loss, of real training about what it was derived by; 0 of
        what was measured on these molecules.
    """

    metric: str
    value: float
    moves: npt.NDArray[np.float64]
    degrees: float
    scatter: float = 0.0

    @cached_property
    def error(self) -> float:
        """Standard error of the value over samples of as many molecules."""
        return _norm(self.moves)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Interval of the value; an error stays above 0 and an area within 0 and 1."""
        loss = self.loss
        if loss <= 0 or not np.isfinite(loss):
            return self.value, self.value
        reach = student_quantile(self.degrees, level)
        if self.metric == "rmse":
            width = reach * np.hypot(self.error / loss, self.scatter)
            return loss * np.exp(-width), loss * np.exp(width)
        if loss >= 1:
            return self.value, self.value
        # On the scale of log odds, where the loss moves by d(log loss) / (1 - loss).
        width = reach * np.hypot(self.error / loss, self.scatter) / (1 - loss)
        odds = np.log(self.value / loss)
        low, high = 1 / (1 + np.exp(-(odds + np.array([-width, width]))))
        return float(low), float(high)

    @property
    def loss(self) -> float:
        """The error, or what the area lacks of 1."""
        return self.value if self.metric == "rmse" else 1 - self.value

    def gain_over(
        self, other: Performance, level: float = LEVEL, forecast: bool = False
    ) -> tuple[float, float, float]:
        """How much better this one is than another on the same molecules, with an interval.

        Parameters
        ----------
        other : Performance
        level : float
        forecast : bool
            Whether the interval also holds the scatter of real training about forecasts.

        Returns
        -------
        gain, low, high : float
            Positive where this one is better: of a smaller error or a larger area.
        """
        sign = -1.0 if self.metric == "rmse" else 1.0
        gain = sign * (self.value - other.value)
        error = _norm(self.moves - other.moves)
        if forecast:
            error = float(np.hypot(error, np.hypot(self.scatter * self.loss, other.scatter * other.loss)))
        reach = student_quantile(min(self.degrees, other.degrees), level) * error
        return gain, gain - reach, gain + reach


def _norm(moves: npt.NDArray[np.float64]) -> float:
    count = len(moves)
    return float(np.sqrt((moves**2).sum() * count / max(1, count - 1)))


@dataclass(frozen=True, eq=False)
class Expected:
    """What to expect of a candidate.

    Attributes
    ----------
    frozen : Performance
        Of a model on the features as they are.
    finetuned : Performance, optional
        None where nothing of the candidate can be trained, or nothing says.
    related : bool
        Whether `finetuned` comes from the study's relation, and not from these molecules.
    trainable : bool
        Whether the candidate can be fine-tuned.
    model : str
        What reads the features: ``loo``, the linear model of that measure, or ``forest``.
    """

    frozen: Performance
    finetuned: Performance | None = None
    related: bool = False
    trainable: bool = True
    model: str = LeaveOneOut.name

    @property
    def best(self) -> Performance:
        """Of the fine-tuned model where there is one, else of the frozen one."""
        return self.frozen if self.finetuned is None else self.finetuned

    @property
    def measured(self) -> Performance:
        """The best that is judged on these molecules: what a comparison with others can be decided by."""
        return self.frozen if self.related else self.best

    def columns(self) -> dict[str, object]:
        """Columns of the table of a ranking."""
        frozen_low, frozen_high = self.frozen.interval()
        columns: dict[str, object] = {
            "metric": self.frozen.metric,
            "frozen": self.frozen.value,
            "frozen_low": frozen_low,
            "frozen_high": frozen_high,
            "frozen_from": self.model,
        }
        if self.finetuned is not None:
            low, high = self.finetuned.interval()
            columns |= {"finetuned": self.finetuned.value, "finetuned_low": low, "finetuned_high": high}
            columns["finetuned_from"] = "study" if self.related else Tangent.name
        return columns


Key = tuple[str, str, str]
"""Target, encoder, layer."""


@dataclass(frozen=True)
class Expectations:
    """What to expect of candidates, and of knowing nothing of a molecule.

    Attributes
    ----------
    by_candidate : dict of (target, encoder, layer) to Expected
        Without candidates whose features could not be judged.
    guesses : dict of str to Performance
        By target, of the mean of the other molecules.
    outliers : dict of str to Outliers
        By target, where few molecules rule it.
    """

    by_candidate: dict[Key, Expected] = field(default_factory=dict)
    guesses: dict[str, Performance] = field(default_factory=dict)
    outliers: dict[str, Outliers] = field(default_factory=dict)

    def last_layer(self, target: str, encoder: str) -> str | None:
        """The deepest layer of an encoder that was judged, as layers are judged in order of depth."""
        layers = [layer for (name, of, layer) in self.by_candidate if (name, of) == (target, encoder)]
        return layers[-1] if layers else None

    def beat_guessing(self, target: str) -> bool | None:
        """Whether any candidate predicts a target better than a guess, all looked at together.

        Returns
        -------
        bool or None
            None where no candidate could be judged.
        """
        judged = [each.measured for (name, _, _), each in self.by_candidate.items() if name == target]
        if not judged:
            return None
        level = 1 - (1 - LEVEL) / len(judged)
        return any(each.gain_over(self.guesses[target], level)[1] > 0 for each in judged)


def expectations_of(
    candidates: Sequence[Candidate],
    scored_targets: Sequence[ScoredTarget],
    dataset: str = "",
    memory: Memory | None = None,
) -> Expectations:
    """What to expect of every candidate on every target.

    Parameters
    ----------
    candidates : sequence of Candidate
    scored_targets : sequence of ScoredTarget
    dataset : str
        Its name; the study's rows of it are not used.
    memory : Memory, optional
        Where left-out errors are kept, and read in place of computing them.
    """
    found = Expectations()
    for scored in scored_targets:
        name = scored.target.name
        if scored.target.task == "regression":
            ruling = find_outliers(scored.target.values, scored.resampling.groups)
            if ruling is not None:
                found.outliers[name] = ruling
        relations = {
            measure: relation_of(measure, scored.target.task, dataset)
            for measure in (LeaveOneOut.name, Tangent.name)
        }
        gradients = scored.make_gradients(controls=False)
        judge = partial(_judge, scored=scored, gradients=gradients, memory=memory)
        # The study fine-tuned whole encoders, and says nothing of those that are cut.
        last = {candidate.encoder: candidate.layer for candidate in candidates}
        of_cut = relations | {LeaveOneOut.name: None}
        pairs = [(each, relations if last[each.encoder] == each.layer else of_cut) for each in candidates]
        for (candidate, _), judged in zip(pairs, map_in_threads(judge, pairs), strict=True):
            if judged is not None:
                found.by_candidate[name, candidate.encoder, candidate.layer], found.guesses[name] = judged
    return found


def _judge(
    pair: tuple[Candidate, Mapping[str, Relation | None]],
    scored: ScoredTarget,
    gradients: AllGradients,
    memory: Memory | None,
) -> tuple[Expected, Performance] | None:
    """Expectation of a candidate and of a guess; None where its features cannot be judged."""
    candidate, relations = pair
    try:
        judged = _left_out(full_sample(candidate, scored, gradients), candidate.is_estimated, memory)
    except InputError:
        # The candidate's own row says what is wrong with it.
        return None
    by_model = {model: performance_of(residuals) for model, residuals in judged.items()}
    performance, guess = by_model[LeaveOneOut.name], guess_of(judged[LeaveOneOut.name])
    model = Tangent.name if Tangent.name in by_model else LeaveOneOut.name
    relation = relations.get(model)
    if model == Tangent.name:
        return Expected(performance, _no_worse(by_model[model], performance, guess, relation)), guess
    if FOREST in by_model and by_model[FOREST].loss < performance.loss:
        return Expected(by_model[FOREST], trainable=False, model=FOREST), guess
    if not candidate.trainable or relation is None:
        return Expected(performance, trainable=candidate.trainable), guess
    finetuned = _no_worse(performance, performance, guess, relation)
    return Expected(performance, finetuned, related=True), guess


def _no_worse(
    expected: Performance, frozen: Performance, guess: Performance, relation: Relation | None
) -> Performance:
    """What an expected performance comes to, never worse than frozen.

    ``molrate finetune`` starts from the frozen encoder and keeps it where training does not help.
    """
    forecast = expected if relation is None else related(expected, guess, relation)
    return replace(min(forecast, frozen, key=lambda each: each.loss), scatter=forecast.scatter)


def _left_out(sample: Sample, is_estimated: bool, memory: Memory | None) -> dict[str, Residuals]:
    """What models get wrong of molecules that they have not seen, by model."""
    judged = sample.at_most(MOST_ROWS)
    codes = judged.resampling.codes if judged.resampling.task == "classification" else None
    of_sample = label_columns(judged.resampling), judged.resampling.groups, codes

    def compute() -> Content:
        found = {LeaveOneOut.name: LeaveOneOut().residuals(sample)}
        if sample.gradients is not None:
            found[Tangent.name] = Tangent().residuals(sample)
        if is_estimated:
            found[FOREST] = forest_residuals(sample)
        return {model: residuals.errors for model, residuals in found.items()}, {}

    errors, _ = compute() if memory is None else memory.recall("errors", sample, is_estimated, compute)
    return {model: residuals_of(by_model, *of_sample) for model, by_model in errors.items()}


def related(expected: Performance, guess: Performance, relation: Relation) -> Performance:
    """Fine-tuned performance by the study's relation to what is expected.

    Parameters
    ----------
    expected : Performance
        By the measure that the relation is of.
    guess : Performance
    relation : Relation
    """
    share = min(expected.loss / guess.loss, 1.0) if guess.loss > 0 else 0.0
    loss = relation.loss(share) * guess.loss
    scale = loss / expected.loss if expected.loss > 0 else 1.0
    value = loss if expected.metric == "rmse" else 1 - loss
    return replace(expected, value=value, moves=expected.moves * scale, scatter=relation.scatter)


def performance_of(residuals: Residuals) -> Performance:
    """Error or area of predictions, with what each molecule adds to it."""
    if residuals.scores is None or residuals.codes is None:
        return _root_mean_square(residuals.errors, residuals.groups)
    return _area(residuals.scores, residuals.codes, residuals.groups)


def guess_of(residuals: Residuals) -> Performance:
    """Error of the mean of the other molecules, or the area of a guess."""
    if residuals.codes is None:
        return _root_mean_square(residuals.deviations, residuals.groups)
    n_groups = int(residuals.groups.max()) + 1
    degrees = _class_degrees(residuals.codes)
    return Performance(MAIN_METRIC["classification"], CHANCE, np.zeros(n_groups), degrees)


def _root_mean_square(errors: Matrix, groups: Codes) -> Performance:
    squares = (errors**2).mean(axis=1)
    mean = float(squares.mean())
    rmse = float(np.sqrt(mean))
    moves = (squares - mean) / (2 * rmse * len(squares)) if rmse > 0 else np.zeros(len(squares))
    return Performance(MAIN_METRIC["regression"], rmse, _of_groups(moves, groups), max(1, int(groups.max())))


def _area(scores: Matrix, codes: Codes, groups: Codes) -> Performance:
    """Area under the curve, the mean over classes one against the rest, by its structural components.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated receiver operating
    characteristic curves, Biometrics 44, 1988.
    """
    n_classes = scores.shape[1]
    areas, moves = [], np.zeros(len(codes))
    sides = range(1, 2) if n_classes == 2 else range(n_classes)
    for code in sides:
        area, of_molecules = _components(scores[:, code], codes == code)
        areas.append(area)
        moves += of_molecules / len(sides)
    value = float(np.mean(areas))
    return Performance(MAIN_METRIC["classification"], value, _of_groups(moves, groups), _class_degrees(codes))


def _components(scores: Matrix, positive: npt.NDArray[np.bool_]) -> tuple[float, Matrix]:
    """Area, and what each molecule adds to it, shape (n,)."""
    from scipy.stats import rankdata

    placed = rankdata(scores)
    won = np.empty(len(scores))
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    won[positive] = (placed[positive] - rankdata(scores[positive])) / n_negative
    won[~positive] = 1 - (placed[~positive] - rankdata(scores[~positive])) / n_positive
    area = float(won[positive].mean())
    return area, (won - area) / np.where(positive, n_positive, n_negative)


def _class_degrees(codes: Codes) -> float:
    return float(max(1, int(np.bincount(codes).min()) - 1))


def _of_groups(moves: Matrix, groups: Codes) -> npt.NDArray[np.float64]:
    """Rows of a molecule move together."""
    return np.bincount(groups, weights=moves).astype(np.float64)
