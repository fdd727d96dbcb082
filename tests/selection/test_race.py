"""Races whose results are given, so that nothing is trained."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import molrate
from molrate.errors import InputError
from molrate.finetuning.data import TrainingData
from molrate.selection import candidates
from molrate.selection.candidates import Candidate, Entry, make_shortlist
from molrate.selection.jobs import Job, Result
from molrate.selection.leaderboard import make_leaderboard
from molrate.selection.race import Drop, Race

GOOD, ALIKE, BAD = (Candidate(name, "estimated") for name in ("good", "alike", "bad"))
NETWORK = Candidate("network", "frozen")
ERRORS = {GOOD: 0.5, ALIKE: 0.5, BAD: 3.0, NETWORK: 0.6}


@pytest.fixture(scope="module")
def data():
    dataset = molrate.load_dataset("esol")
    rows = np.arange(200)
    return TrainingData.of(dataset.take(rows))


@pytest.fixture(scope="module")
def folds(data):
    return data.folds(5, 0)


class Results:
    """Results of candidates whose errors are of a given size; jobs are done when :meth:`do` says so."""

    def __init__(self, data, folds, errors=ERRORS, failing=()):
        self.data, self.folds, self.errors, self.failing = data, folds, errors, failing
        self.done = {}

    def do(self, job):
        if job.candidate in self.failing:
            self.done[job] = Result("it diverged", np.nan, np.empty((0, 0)), {}, [], None, 1.0)
            return
        rows = np.sort(self.folds[job.fold].test)
        # Descriptors beside an embedding change nothing here.
        size = self.errors[Candidate(job.candidate.encoder, job.candidate.mode)]
        names = sorted(candidate.name for candidate in self.errors)
        seed = [job.fold, names.index(job.candidate.name.replace(" + descriptors", ""))]
        noise = size * np.random.default_rng(seed).normal(size=(len(rows), 1))
        value = float(np.sqrt((noise**2).mean()))
        predicted = self.data.values[rows] + noise
        self.done[job] = Result(None, value, predicted, {}, [], None, 1.0)

    def race(self, candidates, expected=None):
        told = {} if expected is None else {"expected": lambda one: expected.get(one, np.nan)}
        return Race(self.data, self.folds, "rmse", candidates, self.done.get, **told)


def run(results, race, max_jobs=None, aside=()):
    """Do all jobs in their order."""
    order = []
    while pending := race.standing(max_jobs, aside).pending:
        order.append(pending[0])
        results.do(pending[0])
    return order


def test_what_is_clearly_worse_is_dropped_after_one_fold_and_equals_run_all(data, folds):
    results = Results(data, folds)
    race = results.race([BAD, GOOD, ALIKE])
    order = run(results, race)
    standing = race.standing()
    assert standing.is_decided
    assert standing.dropped == {BAD: Drop(1, standing.ranked[0])}
    assert set(standing.ranked[:2]) == {GOOD, ALIKE}
    assert standing.ranked[2] == BAD
    assert [job.fold for job in order if job.candidate == BAD] == [0]
    assert [job.fold for job in order if job.candidate == GOOD] == [0, 1, 2, 3, 4]


def test_what_is_expected_counts_as_one_more_fold(data, folds):
    results = Results(data, folds, {GOOD: 0.5, ALIKE: 0.5})
    plain = results.race([GOOD, ALIKE])
    for n in range(1, 6):
        for candidate in (GOOD, ALIKE):
            results.do(Job(candidate, n - 1))
        worse, better = sorted((GOOD, ALIKE), key=lambda one: -plain.values(one, range(n)).mean())
        lead = float((plain.values(worse, range(n)) - plain.values(better, range(n))).sum())
        for share in (0.9, 1.1):
            told = results.race([GOOD, ALIKE], {better: 9.0, worse: 9.0 - share * lead})
            assert told.standing().ranked[0] == (worse if share > 1 else better)
            # Nothing is told apart by it.
            assert told.difference(GOOD, ALIKE) == plain.difference(GOOD, ALIKE)


def test_of_fewer_folds_one_is_the_best_if_the_score_expects_it_too(data, folds):
    results, pair = Results(data, folds, {GOOD: 0.5, ALIKE: 0.6}), [GOOD, ALIKE]
    for one in pair:
        results.do(Job(one, 0))
    race = results.race(pair)
    better, worse = sorted(pair, key=lambda one: race.values(one, [0])[0])
    for fold in (1, 2):
        results.do(Job(worse, fold))
    found = race.difference(better, worse)
    assert found.mean < 0 < found.high

    def first(expected):
        return results.race(pair, expected).standing().ranked[0]

    assert first({}) == worse
    assert first({better: 0.4, worse: 0.5}) == better
    assert first({better: 0.5, worse: 0.4}) == worse
    assert first({better: 0.4}) == worse
    # What is worse on the folds is not the best for being expected to be.
    for fold in (1, 2):
        results.do(Job(better, fold))
        del results.done[Job(worse, fold)]
    assert first({better: 0.5, worse: 0.4}) == better


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.1, 5), min_size=3, max_size=3), st.floats(-3, 3), st.permutations([GOOD, ALIKE, BAD])
)
def test_of_what_is_expected_the_level_and_the_order_do_not_matter(data, folds, values, shift, order):
    results = Results(data, folds, {GOOD: 0.5, ALIKE: 0.55, BAD: 0.6, NETWORK: 0.52})
    for candidate in (GOOD, ALIKE, BAD, NETWORK):
        results.do(Job(candidate, 0))
    expected = dict(zip((GOOD, ALIKE, BAD), values, strict=True))
    moved = {one: value + shift for one, value in expected.items()}
    first = results.race([GOOD, ALIKE, BAD, NETWORK], expected).standing().ranked
    again = results.race([NETWORK, *order], moved).standing().ranked
    race = results.race([])
    sums = sorted(race.values(one, [0])[0] + value for one, value in expected.items())
    # Those as good as equal are ordered by rounding.
    gaps = np.diff(sums)
    assume(min(gaps) > 1e-9)
    assert first == again


def test_without_expectations_the_mean_of_the_folds_orders(data, folds):
    results = Results(data, folds, {GOOD: 0.5, ALIKE: 0.55})
    results.do(Job(GOOD, 0))
    results.do(Job(ALIKE, 0))
    plain = results.race([GOOD, ALIKE]).standing().ranked
    # Of one alone it tells no difference.
    assert results.race([GOOD, ALIKE], {ALIKE: 0.001}).standing().ranked == plain


def test_a_decision_stands_whatever_later_folds_say(data, folds):
    """Every state on the way has the rounds that the end has."""
    results = Results(data, folds, {GOOD: 0.5, ALIKE: 0.53, BAD: 0.7})
    race = results.race([BAD, GOOD, ALIKE])
    dropped = [{}]
    while pending := race.standing().pending:
        results.do(pending[0])
        now = race.standing().dropped
        assert dropped[-1].items() <= now.items()
        dropped.append(now)
    assert len(results.done) == len(dropped) - 1


@pytest.mark.parametrize("n", [1, 7])
def test_so_many_jobs_are_the_first_of_all(data, folds, n):
    results, fewer = Results(data, folds), Results(data, folds)
    everything = run(results, results.race([BAD, GOOD, ALIKE]))
    assert run(fewer, fewer.race([BAD, GOOD, ALIKE]), max_jobs=n) == everything[:n]


def test_the_best_network_runs_with_descriptors_after_the_first_fold(data, folds):
    results = Results(data, folds)
    order = run(results, results.race([GOOD, NETWORK]))
    described = [job for job in order if job.candidate == NETWORK.with_descriptors]
    assert [job.fold for job in described][:2] == [0, 1]
    assert order.index(described[0]) > order.index(Job(NETWORK, 0))


def test_what_fails_is_out_and_the_reason_kept(data, folds):
    results = Results(data, folds, failing={GOOD})
    race = results.race([GOOD, ALIKE])
    run(results, race)
    standing = race.standing()
    assert standing.failed == {GOOD: "it diverged"}
    assert standing.leader == ALIKE
    every = Results(data, folds, failing={GOOD, ALIKE})
    race = every.race([GOOD, ALIKE])
    run(every, race)
    with pytest.raises(InputError, match="good: it diverged; alike: it diverged"):
        _ = race.standing().leader


def measured(data, folds, errors):
    """Results of candidates, one for each fold whose typical error is given."""
    results = Results(data, folds)
    for candidate, sizes in errors.items():
        for fold, size in enumerate(sizes):
            results.errors = {GOOD: 1, ALIKE: 1, BAD: 1, NETWORK: 1} | {candidate: size}
            results.do(Job(candidate, fold))
    return results


def board_of(race, standing):
    shortlist = {one.encoder: Entry(one.encoder, None, 0.0, False) for one in race.candidates}
    return make_leaderboard(race, standing, shortlist)


def test_one_that_had_no_time_is_not_the_best_by_a_lucky_fold(data, folds):
    results = measured(data, folds, {GOOD: [1], ALIKE: [1] * 5, BAD: [1.2] * 5})
    race = results.race([GOOD, ALIKE, BAD])
    lucky = 0.95 * race.values(ALIKE, [0])[0] / race.values(GOOD, [0])[0]
    race = measured(data, folds, {GOOD: [lucky], ALIKE: [1] * 5, BAD: [1.2] * 5}).race([GOOD, ALIKE, BAD])
    gap = race.difference(GOOD, ALIKE, 2)
    assert gap.mean < 0 < gap.high
    standing = race.standing(aside={GOOD})
    assert standing.leader == ALIKE
    assert not standing.is_decided


def test_one_that_had_no_time_is_the_best_where_it_is_told_apart(data, folds):
    results = measured(data, folds, {GOOD: [0.2], ALIKE: [1] * 5})
    # As of an earlier run, in which it was not there to drop the other.
    assert results.race([ALIKE, GOOD]).standing(aside={GOOD}).leader == GOOD


def test_a_round_that_was_not_finished_counts_for_those_that_ran_it(data, folds):
    """The end by --max-jobs, Ctrl-C and the news of a running race alike."""
    results = measured(data, folds, {GOOD: [1, 0.9], ALIKE: [0.95, 3], BAD: [1.1]})
    race = results.race([ALIKE, GOOD, BAD])
    values = {one: race.values(one, [0, 1]).mean() for one in (GOOD, ALIKE)}
    assert race.values(GOOD, [0])[0] > race.values(ALIKE, [0])[0]
    assert values[GOOD] < values[ALIKE]
    standing = race.standing(max_jobs=5)
    assert standing.pending == ()
    assert standing.ranked == (GOOD, ALIKE, BAD)
    board = board_of(race, standing)
    assert board["model"].tolist() == ["good", "alike", "bad"]
    assert (board["difference"] >= 0).all()


SIZES = st.lists(st.sampled_from([0.3, 0.8, 1, 1.2, 3]), max_size=5)
STATES = st.fixed_dictionaries(dict.fromkeys((GOOD, ALIKE, BAD, NETWORK), SIZES))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(errors=STATES, max_jobs=st.integers(1, 20), aside=st.sets(st.sampled_from((GOOD, ALIKE, NETWORK))))
def test_no_rival_with_the_same_folds_has_a_better_mean_than_the_best(data, folds, errors, max_jobs, aside):
    race = measured(data, folds, errors).race(list(errors))
    standing = race.standing(max_jobs, aside)
    if not standing.ranked:
        return
    own = race.folds_of(standing.leader)
    for rival in standing.ranked:
        if race.folds_of(rival) == own:
            assert race.values(rival, own).mean() >= race.values(standing.leader, own).mean()
        # One of fewer folds is first where it is told apart, one of more never behind without that.
        if len(race.folds_of(rival)) > len(own):
            assert race.difference(standing.leader, rival, standing.n_others).high < 0
    board = board_of(race, standing)
    assert board["state"].iloc[0] == "best"
    assert (board.loc[board["folds"] == len(own), "difference"] >= 0).all()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(errors=STATES, order=st.permutations((GOOD, ALIKE, BAD, NETWORK)))
def test_the_standing_does_not_depend_on_the_order_of_candidates(data, folds, errors, order):
    results = measured(data, folds, errors)
    race, other = results.race(list(errors)), results.race(order)
    assert race.standing().ranked == other.standing().ranked
    kept = ["model", "state", "tier", "difference"]
    boards = [board_of(one, one.standing()) for one in (race, other)]
    ran = [board.loc[board["folds"] > 0, kept] for board in boards]
    pd.testing.assert_frame_equal(*ran)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    errors=st.fixed_dictionaries(
        dict.fromkeys((GOOD, ALIKE, BAD), st.lists(st.sampled_from([0.3, 1, 3]), min_size=5, max_size=5))
    )
)
def test_where_all_folds_are_there_the_means_order(data, folds, errors):
    race = measured(data, folds, errors).race(list(errors))
    means = {one: race.values(one, range(5)).mean() for one in errors}
    assert list(race.standing().ranked) == sorted(means, key=means.__getitem__)


def test_of_equal_candidates_the_simplest_is_the_best(data, folds):
    """Fine-tuning that kept the frozen encoder."""
    frozen, tuned = NETWORK, Candidate("network", "fine-tuned")
    results = measured(data, folds, {frozen: [1] * 5})
    results.done |= {Job(tuned, fold): results.done[Job(frozen, fold)] for fold in range(5)}
    for order in ([frozen, tuned], [tuned, frozen]):
        assert results.race(order).standing().ranked == (frozen, tuned)


def test_a_dropped_row_says_what_it_was_told_apart_from(data, folds):
    results = Results(data, folds)
    race = results.race([BAD, GOOD, ALIKE])
    run(results, race)
    state = board_of(race, race.standing()).set_index("model").loc["bad", "state"]
    assert state.startswith("dropped after 1 fold, behind ")


def test_the_better_of_two_areas_under_the_curve_leads(folds):
    dataset = molrate.load_dataset("esol").take(np.arange(200))
    labels = np.where(dataset.targets[0].values > -2.5, "yes", "no")
    frame = pd.DataFrame({"smiles": dataset.smiles, "soluble": labels})
    data = TrainingData.of(molrate.data.datasets.Dataset.from_frame(frame, "soluble"))
    folds = data.folds(5, 0)
    done = {}
    for candidate, noise in ((GOOD, 0.2), (BAD, 5.0)):
        for number, fold in enumerate(folds):
            rows = np.sort(fold.test)
            scores = data.values[rows] + noise * np.random.default_rng(number).normal(size=(len(rows), 1))
            predicted = 1 / (1 + np.exp(-scores))
            value = molrate.models.metrics.main_value(
                [target.take(rows) for target in data.targets], "binary", predicted
            )
            done[Job(candidate, number)] = Result(None, value, predicted, {}, [], None, 1.0)
    race = Race(data, folds, "auroc", [BAD, GOOD], done.get)
    standing = race.standing()
    assert standing.ranked[0] == GOOD
    assert BAD in standing.dropped
    assert race.difference(BAD, GOOD).low > 0


def ranked_frame(**columns):
    names = ["ecfp4", *(f"{kind}-untrained" for kind in ("gcn", "gat", "gin", "graphsage"))]
    frame = pd.DataFrame({"encoder": names, "rank": [1, 2, 3, 4, 5], "tier": 1, "seconds": 1.0, "n": 10})
    return frame.assign(target="y", **columns)


def test_the_shortlist_is_the_baselines_and_then_the_order_of_the_score():
    shortlist = [entry.encoder for entry in make_shortlist(ranked_frame())]
    assert shortlist[:4] == ["rdkit-descriptors", "ecfp4", "gcn-untrained", "gat-untrained"]
    assert shortlist[4:] == ["gin-untrained", "graphsage-untrained"]


def test_the_encoder_of_the_least_expected_error_is_raced_wherever_the_score_has_it(monkeypatch):
    monkeypatch.setattr(candidates, "NETWORKS", 2)
    monkeypatch.setattr(candidates, "_BY_SCORE", 1)
    frozen, finetuned = [0.1, 0.9, 0.6, 0.8, 0.7], [None, 0.9, 0.6, 0.8, 0.3]
    frame = ranked_frame(metric="rmse", frozen=frozen, finetuned=finetuned)
    expected = [entry.encoder for entry in make_shortlist(frame)]
    assert expected[2:] == ["gcn-untrained", "graphsage-untrained"]
    frame = ranked_frame(metric="auroc", frozen=frozen, finetuned=finetuned)
    assert [entry.encoder for entry in make_shortlist(frame)][2:] == ["gcn-untrained", "gat-untrained"]
    by_prior = ranked_frame(prior=pd.array([1, 5, 4, 3, 2], dtype="Int64"))
    assert [entry.encoder for entry in make_shortlist(by_prior)][2:] == [
        "gcn-untrained",
        "graphsage-untrained",
    ]
