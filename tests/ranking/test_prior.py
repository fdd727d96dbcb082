"""What the study says before any look at a dataset."""

import numpy as np
import pandas as pd
import pytest

from molrate import paths
from molrate.benchmarking.agreement import weighted
from molrate.benchmarking.read import STATIC_LIST, read_results
from molrate.encoders.cards import encoder_cards
from molrate.ranking import study
from molrate.ranking.contamination import seen_labels
from molrate.ranking.prior import mean_standing, prior_places, relatives, study_performance
from molrate.ranking.study import study_rows


@pytest.fixture
def fresh():
    """Nothing remembered of the study's files, before and after."""
    kept = (prior_places, study_performance, study_rows)
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("BBBP", "bbbp"),
        ("delaney-processed", "esol"),
        ("Lipophilicity", "lipophilicity"),
        ("lipo", "lipophilicity"),
    ],
)
def test_what_is_known_of_a_public_dataset_holds_whatever_its_file_is_called(file, name):
    assert relatives(file) == relatives(name)
    assert prior_places(file) == prior_places(name)
    cards = encoder_cards().values()
    assert [seen_labels(card, file) for card in cards] == [seen_labels(card, name) for card in cards]


def test_standing_is_the_mean_of_standard_scores_elsewhere():
    performance = {
        "a": {"x": 1.0, "y": 3.0},
        "b": {"x": 30.0, "y": 10.0, "z": 20.0},
        "flat": {"x": 1, "y": 1},
    }
    standing = mean_standing(performance)
    spread = np.std([30.0, 10.0, 20.0])
    assert standing == pytest.approx({"x": (-1 + 10 / spread) / 2, "y": (1 - 10 / spread) / 2, "z": 0.0})
    assert mean_standing(performance, without={"b"}) == {"x": -1.0, "y": 1.0}
    assert mean_standing({}) == {}
    assert mean_standing({"baselines alone": {}, **performance}) == standing


def test_a_dataset_says_nothing_of_itself_nor_what_shares_its_molecules():
    assert relatives("bbbp") == {"bbbp", "b3db", "b3db_2000", "logbb"}
    assert relatives("mine") == {"mine"}
    performance = study_performance()
    for dataset in ("freesolv", "bbbp"):
        standing = mean_standing({k: v for k, v in performance.items() if k not in relatives(dataset)})
        ordered = sorted(standing, key=lambda encoder: -standing[encoder])
        assert prior_places(dataset) == {encoder: place for place, encoder in enumerate(ordered, 1)}
    assert prior_places("freesolv") != prior_places("bbbp")


def test_the_static_list_of_an_evaluation_is_made_from_the_other_datasets():
    outcomes = read_results()
    performance = {
        outcome.name: dict(zip(outcome.encoders, outcome.mean_truth.tolist(), strict=True))
        for outcome in outcomes
    }
    for outcome in outcomes:
        standing = mean_standing(performance, relatives(outcome.name))
        assert outcome.predictors[STATIC_LIST].tolist() == [standing[name] for name in outcome.encoders]
    taus = [weighted(outcome.predictors[STATIC_LIST], outcome.mean_truth) for outcome in outcomes]
    assert np.mean(taus) > 0.4


def test_one_dataset_alone_has_the_static_list_of_all_others():
    (alone,) = read_results(datasets=["freesolv"])
    beside = next(outcome for outcome in read_results() if outcome.name == "freesolv")
    assert alone.predictors[STATIC_LIST].tolist() == beside.predictors[STATIC_LIST].tolist()


def test_encoders_are_compared_on_the_same_splits(fresh, monkeypatch, tmp_path):
    (tmp_path / paths.EVIDENCE).mkdir()
    monkeypatch.setattr(study, "shipped", lambda kind: tmp_path / kind)
    splits = [{"x": 2.0, "y": 2.2}, {"x": 1.0, "y": 1.2, "z": 1.1}, {"x": 3.0, "y": 3.2}]
    rows = [("freesolv", seed, name, rmse) for seed, of in enumerate(splits) for name, rmse in of.items()]
    rows += [("esol", 0, "x", 0.5), ("esol", 0, "y", 0.6), ("esol", 1, "y", 0.6)]
    frame = pd.DataFrame(rows, columns=["dataset", "seed", "encoder", "test"])
    frame.assign(status="ok", split="random", task="regression").to_csv(
        tmp_path / paths.EVIDENCE / "finetuning.csv", index=False
    )
    # An encoder of one split does not count by its being easy.
    performance = study_performance()
    assert performance["freesolv"] == pytest.approx({"x": -2.0, "y": -2.2})
    assert performance["esol"] == {"x": -0.5, "y": -0.6}
    assert list(prior_places("esol")) == ["x", "y"]


def test_without_the_studys_files_there_is_no_prior(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(study, "shipped", lambda kind: tmp_path / kind)
    assert not (tmp_path / paths.EVIDENCE).exists()
    assert prior_places("freesolv") == {}


def test_rows_of_encoders_that_saw_the_labels_do_not_count(fresh):
    rows = study_rows()
    pairs = set(rows[["encoder", "dataset"]].itertuples(index=False, name=None))
    # By its card ADMET-AI learned FreeSolv's values, and BBBP's classes.
    assert ("admet-ai-regression-0", "freesolv") not in pairs
    assert ("admet-ai-regression-0", "photoswitch") in pairs
    assert ("minimol", "freesolv") in pairs
