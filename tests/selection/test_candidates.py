import numpy as np
import pandas as pd
import pytest

from molrate.finetuning.config import Transfer
from molrate.ranking.expected import Expectations, Expected, Performance
from molrate.selection.candidates import Candidate, Entry, better_layers, make_candidates, make_shortlist

N = 100


def expected(value, noise=0.0, metric="rmse", seed=0):
    """Of a candidate whose difference to others of the same seed is uncertain by the noise alone."""
    moves = 0.05 * np.random.default_rng(0).normal(size=N) / N
    moves += noise * np.random.default_rng(seed).normal(size=N) / np.sqrt(N)
    return Expected(Performance(metric, value, moves, degrees=N - 1.0))


def expectations(**layers):
    """Of layers of one encoder, by target a or b."""
    return Expectations(
        {
            (target, "e", layer): each
            for layer, of_targets in layers.items()
            for target, each in of_targets.items()
        }
    )


def test_what_the_score_expects_goes_into_the_race_of_one_target_alone():
    names = ["rdkit-descriptors", "ecfp4", "gcn-untrained"]
    frame = pd.DataFrame(
        {"encoder": names, "rank": [2, 3, 1], "tier": 1, "seconds": 1.0, "n": 10, "metric": "rmse"}
    )
    frame = frame.assign(target="y", frozen=[1.0, 2.0, 0.9], finetuned=[np.nan, np.nan, 0.7])
    entries = {entry.encoder: entry for entry in make_shortlist(frame)}
    network = Candidate("gcn-untrained", "fine-tuned")
    assert entries["gcn-untrained"].expected(network, "rmse") == 0.7
    assert entries["gcn-untrained"].expected(Candidate("gcn-untrained", "frozen"), "rmse") == 0.9
    assert entries["ecfp4"].expected(Candidate("ecfp4", "estimated"), "rmse") == 2.0
    nothing = [
        entries["gcn-untrained"].expected(network, "auroc"),
        entries["gcn-untrained"].expected(Candidate("gcn-untrained", "frozen", layer="layer-1"), "rmse"),
        entries["gcn-untrained"].expected(network.with_descriptors, "rmse"),
        Entry("gcn-untrained", 1, 0.1, True).expected(network, "rmse"),
    ]
    both = make_shortlist(pd.concat([frame, frame.assign(target="z")]))
    nothing += [entry.expected(Candidate(entry.encoder, "frozen"), "rmse") for entry in both]
    assert np.isnan(nothing).all()


def test_a_layer_that_is_clearly_better_than_the_last_is_taken_and_the_best_of_them():
    found = expectations(
        one={"a": expected(0.9)},
        two={"a": expected(0.8)},
        three={"a": expected(1.2)},
        last={"a": expected(1.0)},
    )
    assert better_layers(found, {"e": "last"}) == {"e": "two"}


def test_areas_are_better_where_they_are_larger():
    found = expectations(
        one={"a": expected(0.9, metric="auroc")},
        two={"a": expected(0.7, metric="auroc")},
        last={"a": expected(0.8, metric="auroc")},
    )
    assert better_layers(found, {"e": "last"}) == {"e": "one"}


def test_a_gain_that_may_be_chance_is_none():
    clear, doubtful = (
        expectations(one={"a": expected(0.9, noise, seed=1)}, last={"a": expected(1.0, noise, seed=2)})
        for noise in (0.01, 0.2)
    )
    assert better_layers(clear, {"e": "last"}) == {"e": "one"}
    assert better_layers(doubtful, {"e": "last"}) == {}


def test_the_more_layers_are_looked_at_the_clearer_a_gain_must_be():
    # 1.96 standard errors of the difference and somewhat more: enough for one look, not for six.
    of_last = expected(1.0, 0.05, seed=2)
    error = np.sqrt(((expected(0.9, 0.05, seed=1).frozen.moves - of_last.frozen.moves) ** 2).sum())
    one = expected(1.0 - 2.2 * error, 0.05, seed=1)
    others = {f"layer{number}": {"a": expected(1.1)} for number in range(5)}
    assert better_layers(expectations(one={"a": one}, last={"a": of_last}), {"e": "last"}) == {"e": "one"}
    assert better_layers(expectations(one={"a": one}, last={"a": of_last}, **others), {"e": "last"}) == {}


@pytest.mark.parametrize(("of_b", "taken"), [(0.99, {"e": "one"}), (1.01, {})])
def test_a_layer_is_worse_on_no_target(of_b, taken):
    last = {"a": expected(1.0, 0.05, seed=2), "b": expected(1.0, 0.05, seed=2)}
    one = {"a": expected(0.7, 0.05, seed=1), "b": expected(of_b, 0.05, seed=1)}
    assert better_layers(expectations(one=one, last=last), {"e": "last"}) == taken


def test_encoders_that_could_not_be_judged_have_no_layer():
    found = expectations(one={"a": expected(0.5)})
    assert better_layers(found, {"e": "last", "other": "last"}) == {}
    assert better_layers(Expectations(), {"e": "last"}) == {}
    some = expectations(one={"a": expected(0.5)}, last={"a": expected(1.0), "b": expected(1.0)})
    assert better_layers(some, {"e": "last"}) == {}


def test_a_layer_is_tried_frozen_beside_the_last():
    entries = [Entry("e", 1, 0.0, True, layer="two"), Entry("f", 1, 0.0, True)]
    candidates = make_candidates(entries)
    assert [each.name for each in candidates] == [
        "e, frozen",
        "f, frozen",
        "e two, frozen",
        "e, fine-tuned",
        "f, fine-tuned",
    ]
    assert candidates[2].transfer == Transfer(frozen=True, layer="two")
    assert candidates[2].with_descriptors == Candidate("e", "frozen", descriptors=True, layer="two")
    assert candidates[2].with_descriptors.model == "e two + descriptors"
