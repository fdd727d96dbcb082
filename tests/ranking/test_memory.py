"""Kept scores: what is read in place of being computed, and what is not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import molrate
from molrate.errors import InputError
from molrate.measures.base import FeaturesMeasure
from molrate.measures.logme import LogME
from molrate.measures.sample import make_sample
from molrate.measures.transrate import TransRate
from molrate.ranking import memory as memories
from molrate.ranking import outcomes
from molrate.ranking.memory import Memory, settings_of
from molrate.ranking.outcomes import judge_sample

N = 60


@pytest.fixture
def sample():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(N, 5))
    return make_sample(features, features[:, 0] + generator.normal(size=N), "regression", permutations=3)


@pytest.fixture
def kept(fresh_cache):
    def files():
        return sorted((fresh_cache / "scores").glob("*.safetensors"))

    return files


def count(monkeypatch):
    """Calls of what computes outcomes."""
    calls = []
    compute = outcomes._computed
    monkeypatch.setattr(outcomes, "_computed", lambda *given: (calls.append(given), compute(*given))[1])
    return calls


def same(one, other):
    assert one[:3] == other[:3] or np.isnan(one.rmse)
    np.testing.assert_array_equal(one.table, other.table)
    np.testing.assert_array_equal(one.spread, other.spread)


def test_an_equal_sample_is_read_and_not_computed(sample, kept, monkeypatch):
    calls = count(monkeypatch)
    measures = [LogME(), TransRate()]
    first = judge_sample(sample, measures, Memory())
    second = judge_sample(replace(sample, derived={}), measures, Memory())
    assert len(calls) == len(kept()) == 1
    for one, other, plain in zip(first, second, judge_sample(sample, measures), strict=True):
        same(one, other)
        same(one, plain)


def test_nothing_is_kept_unless_asked_for(sample, kept):
    judge_sample(sample, [LogME()])
    assert kept() == []


def other_samples(sample):
    resampling = sample.resampling
    yield replace(sample, features=sample.features + 1e-9)
    yield replace(sample, gradients=sample.features)
    yield replace(sample, reference=sample.features)
    yield replace(sample, resampling=replace(resampling, values=resampling.values[::-1].copy()))
    yield replace(sample, resampling=replace(resampling, codes=resampling.codes[::-1].copy()))
    yield replace(sample, resampling=replace(resampling, blocks=np.roll(resampling.blocks, 1)))
    yield replace(sample, resampling=replace(resampling, permutations=resampling.permutations[:2]))
    yield replace(sample, resampling=replace(resampling, groups=resampling.groups // 2))
    yield replace(sample, resampling=replace(resampling, seed=1))
    yield replace(sample, resampling=replace(resampling, task="classification"))


def test_whatever_is_different_of_a_sample_is_computed(sample, kept):
    def compute():
        return {"one": np.ones(1)}, {}

    memory = Memory()
    memory.recall("any", sample, 1, compute)
    for number, other in enumerate(other_samples(sample)):
        memory.recall("any", other, 1, compute)
        assert len(kept()) == 2 + number


def test_measures_are_told_apart_by_kind_and_settings(sample, kept):
    for measures in ([LogME()], [LogME(centre=False)], [TransRate()], [TransRate(epsilon_squared=0.2)]):
        judge_sample(sample, measures, Memory())
    assert len(kept()) == 4


def test_other_code_does_not_read_what_this_code_kept(sample, kept, monkeypatch):
    judge_sample(sample, [LogME()], Memory())
    monkeypatch.setattr(memories, "_code_digest", lambda: "other")
    judge_sample(sample, [LogME()], Memory())
    assert len(kept()) == 2


def test_a_damaged_file_is_computed_again(sample, kept, caplog):
    (first,) = judge_sample(sample, [LogME()], Memory())
    (path,) = kept()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (again,) = judge_sample(sample, [LogME()], Memory())
    assert "is damaged" in caplog.text
    same(first, again)
    caplog.clear()
    judge_sample(sample, [LogME()], Memory())
    assert not caplog.text


class Mine(FeaturesMeasure):
    """A measure of somebody else, whose code may change from day to day."""

    name = "mine"
    title = "Mine"
    reference = "none"
    about = "none"

    def value(self, features, labels):
        return float(features[0, 0])


def test_measures_of_others_are_computed_every_time(sample, kept):
    assert settings_of([LogME(), Mine()]) is None
    judge_sample(sample, [Mine()], Memory())
    assert kept() == []


def test_a_measure_that_fails_is_not_kept(kept):
    equal = make_sample(np.ones((N, 3)), np.arange(N) / N, "regression")
    (failed,) = judge_sample(equal, [LogME()], Memory())
    assert isinstance(failed, InputError)
    assert kept() == []


def test_a_ranking_made_again_is_the_same(fresh_cache, kept):
    generator = np.random.default_rng(0)
    smiles = ["C" * n + tail for n in range(1, 16) for tail in ("O", "N", "Cl")]
    table = pd.DataFrame({"smiles": smiles, "y": generator.normal(size=len(smiles))})
    first = molrate.score(table, "y", encoders=["ecfp4", "rdkit-descriptors"])
    n_kept = len(kept())
    again = molrate.score(table, "y", encoders=["ecfp4", "rdkit-descriptors"])
    assert n_kept == len(kept()) > 0
    pd.testing.assert_frame_equal(first.frame.drop(columns="seconds"), again.frame.drop(columns="seconds"))
    table["y"] = table["y"].to_numpy()[::-1].copy()
    assert not molrate.score(table, "y", encoders=["ecfp4"]).frame["value"].isin(first.frame["value"]).any()
