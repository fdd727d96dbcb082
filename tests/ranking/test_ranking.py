"""The ranking engine on features whose order is known, with layers, consensus and sensitivity."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

import molrate
from molrate.data.targets import Target
from molrate.errors import InputError, UsageError
from molrate.measures import MEASURES, cka, logme, transrate
from molrate.measures.rowspace import leading_components
from molrate.ranking.candidates import (
    Candidate,
    ScoredTarget,
    check_common_dimension,
    choose_measures,
    score_candidates,
)
from molrate.ranking.consensus import consensus_table
from molrate.ranking.outcomes import label_warning
from molrate.ranking.ranking import Ranking, layer_table, rank_targets, ranking_frame, ranking_rows
from molrate.ranking.score_features import score_features
from molrate.ranking.sensitivity import sensitivity_table
from molrate.statistics.resampling import make_resampling

N = 200


@pytest.fixture(scope="module")
def pool():
    generator = np.random.default_rng(0)
    signal = generator.normal(size=(N, 3))
    values = signal @ [1.0, 0.5, 0.25] + 0.3 * generator.normal(size=N)
    noise = generator.normal(size=(N, 9))
    layers = [np.c_[signal * share, noise] for share in (0.1, 0.6, 2.0, 1.0)]
    candidates = [Candidate("deep", f"layer-{i}", layer) for i, layer in enumerate(layers)]
    candidates += [Candidate("flat", "only", np.c_[signal[:, :1], noise]), Candidate("noise", "only", noise)]
    return candidates, ScoredTarget(
        Target("y", "regression", values), np.arange(N), make_resampling(values, "regression")
    )


def ranked(pool, names, rank_by="excess", **options):
    candidates, scored_target = pool
    measures = [MEASURES[name]() for name in names]
    rows, replicates = rank_targets(candidates, [scored_target], measures, rank_by, **options)
    return Ranking(ranking_frame("drawn", rows), replicates=replicates)


def test_rows_hold_what_the_measures_give(pool):
    frame = ranked(pool, ["logme", "cka"]).frame.set_index(["measure", "encoder", "layer"])
    candidates, scored_target = pool
    for candidate in candidates:
        for name, function in (("logme", logme), ("cka", cka)):
            row = frame.loc[(name, candidate.encoder, candidate.layer)]
            expected = function(candidate.features, scored_target.target.values, "regression")
            assert row["value"] == pytest.approx(expected, rel=1e-9)
            null = [
                function(candidate.features, scored_target.target.values[order], "regression")
                for order in scored_target.resampling.permutations
            ]
            assert row["null_mean"] == pytest.approx(np.mean(null), rel=1e-9)
            assert row["excess"] == pytest.approx(expected - np.mean(null), rel=1e-7)


def test_order_tiers_and_distances_follow_the_replicates(pool):
    ranking = ranked(pool, ["lfc"])
    frame = ranking.frame
    assert frame["excess"].is_monotonic_decreasing
    assert frame["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["tier"].iloc[0] == 1
    assert frame["tier"].is_monotonic_increasing
    assert frame.set_index("encoder").loc["noise", "tier"] > 1
    best, last = frame.iloc[0], frame.iloc[-1]
    gap, low, high, separable = ranking.separation(
        "y", "lfc", (best["encoder"], best["layer"]), (last["encoder"], last["layer"])
    )
    assert separable
    assert (last["gap_to_best"], last["gap_to_best_low"], last["gap_to_best_high"]) == pytest.approx(
        (gap, low, high)
    )
    assert gap == pytest.approx(best["excess"] - last["excess"])
    deep = frame[frame["encoder"] == "deep"]
    assert sorted(deep["layer_rank"]) == [1, 2, 3, 4]
    assert set(frame[frame["encoder"] != "deep"]["layer_rank"]) == {1}


def test_forms_of_the_order(pool):
    frame = ranked(pool, ["h-score"], "relative").frame
    reach = 9 - frame["null_mean"]
    np.testing.assert_allclose(frame["relative"], frame["excess"] / reach)
    assert frame["relative"].is_monotonic_decreasing
    assert ranked(pool, ["cka"], "z").frame["z"].is_monotonic_decreasing
    lower = ranked(pool, ["rogi-xd"], "value").frame
    assert lower["value"].is_monotonic_increasing
    unbounded = ranked(pool, ["logme"], "relative").frame
    assert unbounded["rank"].isna().all()
    assert unbounded["note"].str.contains("has no relative form").all()
    with pytest.raises(UsageError, match="unknown form 'guess'"):
        ranking_rows("y", pool[1].resampling, [], "guess")


def test_a_common_dimension_is_that_of_principal_components(pool):
    frame = ranked(pool, ["cka"], common_dimension=4).frame
    assert set(frame["dimension"]) == {4}
    row = frame[frame["encoder"] == "noise"].iloc[0]
    reduced = leading_components(pool[0][-1].features, 4)
    assert row["value"] == pytest.approx(cka(reduced, pool[1].target.values, "regression"), rel=1e-9)


def test_transrate_alone_is_compared_in_what_all_candidates_have(pool):
    candidates, scored_target = pool
    wide = np.random.default_rng(1).normal(size=(N, 60))
    candidates = [*candidates, Candidate("wide", "only", wide)]
    frame = ranked((candidates, scored_target), ["transrate", "cka"]).frame
    dimensions = frame.groupby("measure")["dimension"].unique()
    # Ten ranges of 20 molecules leave room for ten components, of which the narrowest has nine.
    assert dimensions["transrate"].tolist() == [9]
    assert sorted(dimensions["cka"]) == [9, 10, 12, 60]
    assert set(frame["status"]) == {"ok"}
    codes = scored_target.resampling.codes
    row = frame[(frame["encoder"] == "wide") & (frame["measure"] == "transrate")].iloc[0]
    assert row["value"] == pytest.approx(transrate(leading_components(wide, 9), codes), rel=1e-9)
    alone = ranked((candidates[-1:], scored_target), ["transrate"]).frame
    assert alone["dimension"].tolist() == [10]
    full = ranked((candidates[-1:], scored_target), ["transrate"], common_dimension=None).frame
    assert full["value"].item() == pytest.approx(transrate(wide, codes), rel=1e-9)
    assert full["status"].tolist() == ["unreliable"]


def test_features_of_low_rank_do_not_narrow_the_others(pool):
    candidates, scored_target = pool
    thin = Candidate("thin", "only", candidates[-1].features[:, :2] @ np.ones((2, 30)))
    wide = Candidate("wide", "only", np.random.default_rng(1).normal(size=(N, 60)))
    frame = ranked(([thin, wide], scored_target), ["transrate"]).frame.set_index("encoder")
    assert frame.loc["wide", ["dimension", "status"]].tolist() == [10, "ok"]
    # Of one direction, unit rows are 1 and -1.
    assert frame.loc["thin", "status"] == "inapplicable"


def test_a_candidate_that_does_not_vary_fails_alone(pool):
    candidates, scored_target = pool
    constant = Candidate("constant", "only", np.ones((N, 5)))
    frame = ranked(([candidates[-1], constant], scored_target), ["transrate"]).frame
    assert frame["status"].tolist() == ["ok", "failed"]
    assert frame["dimension"].iloc[0] == 9
    assert "same for all molecules" in frame["note"].iloc[1]


def test_a_candidate_that_does_not_vary_fails_by_every_measure(pool):
    _, scored_target = pool
    constant = Candidate("constant", "only", np.ones((N, 5)))
    names = [name for name in MEASURES if MEASURES[name].inputs in ("statistics", "features")]
    ranking = ranked(([constant], scored_target), names)
    assert set(ranking.frame["status"]) == {"failed"}
    assert ranking.frame["note"].str.contains("same for all molecules").all()
    assert layer_table(ranking).empty
    assert "failed" in ranking.to_text()


@pytest.mark.parametrize("value", ["some", 0, -3, 2.5])
def test_what_is_no_common_dimension_is_refused(value):
    with pytest.raises(UsageError, match="auto, none or a positive number"):
        check_common_dimension(value)


def test_what_has_no_value_says_why(pool):
    candidates, scored_target = pool
    measures = [MEASURES[name]() for name in ("logistic", "leep", "etran", "cka")]
    broken = Candidate("broken", "only", np.full((N, 3), np.nan))
    scored = score_candidates([candidates[0], broken], scored_target.rows, scored_target.resampling, measures)
    rows, replicates = ranking_rows("y", scored_target.resampling, scored)
    by_key = {(row["measure"], row["encoder"]): row for row in rows}
    assert by_key["logistic", "deep"]["status"] == "inapplicable"
    assert "classification only" in by_key["logistic", "deep"]["note"]
    assert by_key["leep", "deep"]["status"] == "inapplicable"
    assert "source-class probabilities" in by_key["leep", "deep"]["note"]
    assert by_key["etran", "deep"]["status"] == "failed"
    assert "at least two" in by_key["etran", "deep"]["note"]
    assert by_key["cka", "broken"]["status"] == "failed"
    assert "not finite" in by_key["cka", "broken"]["note"]
    assert list(replicates) == [("y", "cka", "deep", "layer-0")]


def test_all_leaves_out_what_needs_more_and_says_so():
    measures, notes = choose_measures(["all"])
    names = {measure.name for measure in measures}
    assert {"transrate", "logme", "loo", "knn"} <= names
    assert not {"taskonomy", "leep", "rsa", "ds"} & names
    assert "taskonomy (needs training)" in notes[0]
    more = {measure.name for measure in choose_measures(["all"], met={"reference"})[0]}
    assert more - names == {"rsa", "depara"}
    with pytest.raises(UsageError, match="no measure to rank by"):
        choose_measures([])
    with pytest.raises(UsageError, match="TransRate's factor"):
        choose_measures(["logme"], scale_by_dimension=True)


def test_layers_stand_beside_the_rule_that_deeper_is_better(pool):
    ranking = ranked(pool, ["cka"])
    table = layer_table(ranking).set_index("encoder")
    deep = table.loc["deep"]
    assert (deep["best_layer"], deep["last_layer"]) == ("layer-2", "layer-3")
    gap = (
        ranking.replicates["y", "cka", "deep", "layer-2"] - ranking.replicates["y", "cka", "deep", "layer-3"]
    )
    # The best of four layers was looked for in three differences to the last.
    low, high = gap.interval(1 - 0.05 / 3)
    assert (deep["gain"], deep["gain_low"], deep["gain_high"]) == pytest.approx((gap.excess, low, high))
    assert deep["cut_at"] == ("layer-2" if low > 0 else "layer-3")
    assert deep["depth_tau"] == pytest.approx(2 / 3)
    assert table["rank_by_best"].to_dict() == {"deep": 1, "flat": 2, "noise": 3}


def test_consensus_is_the_mean_rank(pool):
    ranking = ranked(pool, ["cka", "logme", "lfc"])
    frame = ranking.frame
    table = consensus_table(frame, ranking.replicates)
    assert table["tier"].is_monotonic_increasing
    assert table["tier"].iloc[0] < table.set_index("encoder").loc["noise", "tier"]
    table = table.set_index(["encoder", "layer"])
    ranks = frame.pivot_table(index=["encoder", "layer"], columns="measure", values="rank").astype(float)
    for key, votes in ranks.iterrows():
        row = table.loc[key]
        assert row["mean_rank"] == pytest.approx(votes.mean())
        assert 1 <= row["low"] <= row["mean_rank"] <= row["high"] <= 6
        assert row["borda"] == pytest.approx((6 - votes.mean()) / 5)
    votes = {name: ranks[name].to_numpy() for name in ranks}
    taus = [
        kendalltau(votes["cka"], votes["logme"]).statistic,
        kendalltau(votes["cka"], votes["lfc"]).statistic,
    ]
    taus.append(kendalltau(votes["logme"], votes["lfc"]).statistic)
    assert consensus_table(frame, ranking.replicates).attrs["agreement"] == pytest.approx(np.mean(taus))


def test_targets_vote_by_rank_whatever_their_scale():
    generator = np.random.default_rng(2)
    signal = generator.normal(size=(N, 2))
    features = {"one": np.c_[signal[:, :1], generator.normal(size=(N, 3))], "two": signal}
    labels = {"a": signal[:, 1], "b": signal[:, 1] * 1e6 + signal[:, 0], "c": signal[:, 0]}
    import pandas as pd

    rankings = [
        score_features(features, values, name, measures=["rogi-xd"]) for name, values in labels.items()
    ]
    frame = pd.concat([ranking.frame for ranking in rankings], ignore_index=True)
    replicates = {key: each for ranking in rankings for key, each in ranking.replicates.items()}
    table = consensus_table(frame, replicates).set_index("encoder")
    assert table.loc["two", "votes"] == 3
    assert table.loc["two", "mean_rank"] < table.loc["one", "mean_rank"]


def test_sensitivity_compares_with_the_same_ranking(pool):
    candidates, scored_target = pool
    measures = [MEASURES["transrate"](), MEASURES["cka"]()]
    _, base = rank_targets(candidates, [scored_target], measures)
    table = sensitivity_table(
        candidates, [scored_target], measures, base, "excess", {"same": lambda: candidates}
    )
    settings = table.groupby("setting")["measure"].apply(set).to_dict()
    assert settings["epsilon squared"] == {"transrate"}
    assert settings["bins"] == {"transrate"}
    assert settings["subsample"] == {"transrate", "cka"}
    unchanged = table[table["setting"] == "pooling"]
    np.testing.assert_allclose(unchanged["tau"], 1.0)
    assert unchanged["same_best"].all()
    assert table["tau"].between(-1, 1).all()


def test_a_pool_of_one_needs_no_order():
    with pytest.raises(InputError, match="no encoder was ranked"):
        _ = Ranking(ranking_frame("drawn", [])).best


def test_labels_that_leave_a_measure_to_chance_are_named():
    generator = np.random.default_rng(0)
    classes = make_resampling(np.r_[np.ones(5), np.zeros(55)], "classification", permutations=0)
    assert label_warning(MEASURES["logistic"](), classes) == "the smallest class has 5 molecules"
    ties = make_resampling(np.r_[np.zeros(150), generator.normal(size=50)], "regression", permutations=0)
    assert "equal values left" in label_warning(MEASURES["transrate"](), ties)
    assert label_warning(MEASURES["logme"](), ties) == ""


def test_top_compare_and_save(tmp_path):
    found = molrate.score("freesolv", encoders=["ecfp4", "rdkit-descriptors", "gcn-untrained"])
    assert found.top(2)["rank"].tolist() == [1, 2]
    gap = found.compare("ecfp4", "gcn-untrained")
    rows = found.frame.set_index("encoder")
    assert gap["difference"].item() == pytest.approx(
        rows.loc["ecfp4", "excess"] - rows.loc["gcn-untrained", "excess"]
    )
    assert gap["low"].item() < gap["difference"].item() < gap["high"].item()
    with pytest.raises(UsageError, match="were not ranked together"):
        found.compare("ecfp4", "gin-masking")
    found.save(tmp_path / "r.csv")
    assert len(pd.read_csv(tmp_path / "r.csv")) == 3
    with pytest.raises(UsageError, match=r"\.txt is not written; it can be a file"):
        found.save(tmp_path / "r.txt")
