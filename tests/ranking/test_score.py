from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import molrate
from molrate.data.datasets import Dataset
from molrate.data.policy import RowPolicy
from molrate.data.targets import parse_target, quantile_bins
from molrate.embedding.settings import EmbeddingSettings
from molrate.encoders.cards import encoder_cards
from molrate.errors import InputError, UsageError, WeightsError
from molrate.measures import domain_similarity, leep, transrate
from molrate.measures.base import DEFAULT_MEASURE
from molrate.measures.rowspace import leading_components
from molrate.ranking.molecules import default_encoders
from molrate.ranking.ranking import COLUMNS
from molrate.ranking.score import expect_of_dataset


def dataset(smiles, **columns):
    targets = tuple(parse_target(name, values) for name, values in columns.items())
    ids = np.arange(len(smiles)).astype(str).astype(object)
    return Dataset("mine", np.array(smiles, dtype=object), targets, ids, "test")


@pytest.fixture(scope="module")
def esol():
    whole = molrate.load_dataset("esol")
    return whole.smiles[:200].tolist(), whole.targets[0].values[:200]


def test_what_is_expected_without_scores_is_what_a_ranking_expects(esol):
    smiles, values = esol
    data, names = dataset(smiles, y=values, level=np.where(values > -3, "high", "low")), ["gin-untrained"]
    ranked = molrate.score(data, encoders=names, measures=["knn"], layer="all").expectations.by_candidate
    alone = expect_of_dataset(data, names, RowPolicy(), EmbeddingSettings(layer="all")).by_candidate
    assert len(ranked) == 12
    assert alone.keys() == ranked.keys()
    for key, expected in alone.items():
        assert expected.columns() == ranked[key].columns()
        np.testing.assert_array_equal(expected.frozen.moves, ranked[key].frozen.moves)


def test_encoders_of_another_licence_are_left_out_and_named(esol, monkeypatch):
    smiles, values = esol
    card = encoder_cards()["grover-small-chembl"]
    monkeypatch.setitem(encoder_cards(), card.name, replace(card, licence="CC-BY-NC-4.0"))
    asked = {"encoders": [card.name, "grover-small-zinc", "ecfp4", "gin-untrained"], "measures": ["knn"]}
    ranking = molrate.score(dataset(smiles, y=values), **asked, licence="permissive")
    assert set(ranking.frame["encoder"]) == {"grover-small-zinc", "ecfp4", "gin-untrained"}
    assert "Left out, as their licence is not permissive: grover-small-chembl." in ranking.advice
    assert ranking.run["arguments"]["licence"] == "permissive"
    ranking = molrate.score(dataset(smiles, y=values), **asked, licence="cc-by-nc-4.0")
    assert set(ranking.frame["encoder"]) == {card.name, "ecfp4", "gin-untrained"}
    with pytest.raises(UsageError, match="unknown licence 'foo'"):
        molrate.score(dataset(smiles, y=values), **asked, licence="foo")
    with pytest.raises(UsageError, match="no encoder is of that licence"):
        molrate.score(dataset(smiles, y=values), encoders=[card.name], licence="MIT")


def test_values_are_transrate_of_the_embeddings(esol):
    smiles, values = esol
    asked = {"encoders": ["gin-untrained", "ecfp4"], "measures": ["transrate"], "layer": "all"}
    ranking = molrate.score(dataset(smiles, y=values), **asked, common_dimension=None)
    assert tuple(ranking.frame.columns) == tuple(COLUMNS)
    assert len(ranking.frame) == 7
    default = molrate.score(dataset(smiles, y=values), **asked).frame
    assert default["transrate"].tolist() == default["excess"].tolist()
    beside = molrate.score(dataset(smiles, y=values), **asked | {"measures": ["h-score"]}).frame
    keys = ["encoder", "layer"]
    by_name = beside.set_index(keys)["transrate"].to_dict()
    assert by_name == pytest.approx(default.set_index(keys)["excess"].to_dict())
    bins = quantile_bins(values)
    for _, row in ranking.frame.iterrows():
        features = molrate.embed(smiles, row["encoder"], row["layer"])
        assert row["value"] == pytest.approx(transrate(features, bins), rel=1e-9)
        assert row["excess"] == pytest.approx(row["value"] - row["null_mean"])
        assert row["n"] == 200
        assert row["dimension"] == features.shape[1]
        by_name = default.set_index(["encoder", "layer"]).loc[row["encoder"], row["layer"]]
        width = by_name["smallest_class"] // 2
        common = leading_components(np.asarray(features, dtype=float), width)
        common = np.pad(common, ((0, 0), (0, width - common.shape[1])))
        assert by_name["value"] == pytest.approx(transrate(common, bins), rel=1e-6)
        assert by_name["dimension"] == width
        assert by_name["status"] == "ok"
    assert ranking.frame["excess"].is_monotonic_decreasing
    assert ranking.best["rank"] == 1
    assert ranking.complete


def test_the_same_seed_gives_the_same_ranking_and_the_record_says_how(esol):
    smiles, values = esol
    first, second = (
        molrate.score(dataset(smiles, y=values), encoders=["gcn-untrained", "ecfp4"], seed=4)
        for _ in range(2)
    )
    columns = [name for name in COLUMNS if name != "seconds"]
    assert first.frame[columns].equals(second.frame[columns])
    assert first.run["arguments"]["seed"] == 4
    assert "untrained, seed 4" in first.run["encoders"]["gcn-untrained"]["weights"]
    assert set(first.run["versions"]) >= {"molrate", "torch", "rdkit", "numpy"}


def test_each_target_is_scored_on_its_labelled_rows(esol):
    smiles, values = esol
    partly = values.copy()
    partly[::4] = np.nan
    classes = np.where(values > np.median(values), "high", "low")
    ranking = molrate.score(dataset(smiles, y=partly, z=classes), encoders=["ecfp4", "gin-untrained"])
    assert ranking.frame.groupby("target")["n"].unique().map(list).to_dict() == {"y": [150], "z": [200]}
    assert ranking.frame.groupby("target")["task"].first().to_dict() == {
        "y": "regression",
        "z": "classification",
    }
    alone = molrate.score(dataset(smiles, y=partly), encoders=["ecfp4"]).frame["value"].iloc[0]
    both = ranking.frame.query("target == 'y' and encoder == 'ecfp4'")["value"].iloc[0]
    assert both == pytest.approx(alone, rel=1e-12)
    assert any("150 of 200 rows" in note for note in ranking.notes)


def test_encoders_are_compared_on_the_molecules_all_can_read(esol):
    smiles, values = esol
    ranking = molrate.score(
        dataset([*smiles, "N->[Fe]", "nonsense"], y=[*values, 1.0, 2.0]), encoders=["ecfp4", "gin-untrained"]
    )
    assert ranking.frame["n"].tolist() == [200, 200]
    assert any("1 invalid SMILES left out: row 202 'nonsense'" in note for note in ranking.notes)
    assert any("1 valid molecules left out for all encoders" in note for note in ranking.notes)


def test_duplicates_are_counted_and_merged_only_on_request():
    whole = molrate.load_dataset("esol")
    smiles, values = whole.smiles[:60].tolist(), whole.targets[0].values[:60]
    again = dataset([*smiles, smiles[0], smiles[1]], y=[*values, values[0] + 1, values[1]])
    kept = molrate.score(again, encoders=["ecfp4"])
    merged = molrate.score(again, encoders=["ecfp4"], duplicates="merge")
    mean = values.copy()
    mean[0] += 0.5
    expected = molrate.score(dataset(smiles, y=mean), encoders=["ecfp4"])
    assert kept.frame["n"].item() == 62
    assert merged.frame["n"].item() == 60
    assert merged.frame["value"].item() == pytest.approx(expected.frame["value"].item(), rel=1e-12)
    assert any(
        "2 rows repeat an earlier molecule, 1 of them with another value of y, by 1 in rows 1 and 61; all"
        in note
        for note in kept.notes
    )
    labels = (values > np.median(values)).astype(int)
    disagreeing = dataset([*smiles, smiles[0], smiles[1]], y=[*labels, 1 - labels[0], labels[1]])
    assert molrate.score(disagreeing, encoders=["ecfp4"], duplicates="merge").frame["n"].item() == 59


def test_one_failed_encoder_does_not_stop_the_others(esol, tmp_path, monkeypatch):
    (tmp_path / "gcn_contextpred.pth").write_bytes(b"broken")
    monkeypatch.setenv("MOLRATE_WEIGHTS", str(tmp_path))
    smiles, values = esol
    mine = dataset(smiles, y=values)
    ranking = molrate.score(mine, encoders=["gcn-contextpred", "ecfp4"])
    assert ranking.frame["status"].tolist() == ["ok", "failed"]
    assert "truncated or altered" in ranking.frame["note"].iloc[1]
    assert not ranking.complete
    assert ranking.best["encoder"] == "ecfp4"
    assert "gcn-contextpred failed" in str(ranking)
    with pytest.raises(WeightsError):
        molrate.score(mine, encoders=["gcn-contextpred"])


def test_weights_that_fail_in_running_are_one_failed_row(esol, tmp_path):
    from molrate import load_encoder

    (tmp_path / "w.pth").write_bytes(b"broken")
    broken = load_encoder("gcn-contextpred", weights=tmp_path / "w.pth")
    mine = dataset(esol[0], y=esol[1])
    ranking = molrate.score(mine, encoders=[broken, "ecfp4"])
    assert ranking.frame["status"].tolist() == ["ok", "failed"]
    with pytest.raises(WeightsError, match="damaged"):
        molrate.score(mine, encoders=[broken])


def test_one_unusable_target_does_not_stop_the_others(esol):
    smiles, values = esol
    ranking = molrate.score(dataset(smiles, bad=["1"] * 200, good=values), encoders=["ecfp4"])
    failed = ranking.frame[ranking.frame["status"] == "failed"]
    assert failed["target"].tolist() == ["bad"]
    assert "bad failed: target 'bad' has one value only (1)" in str(ranking)
    assert not ranking.complete
    assert ranking.best["target"] == "good"


def test_a_target_that_loses_its_molecules_to_an_encoder_is_unusable():
    metal = ["N->[Fe]" + "C" * i for i in range(1, 25)]
    smiles = metal + ["C" * i for i in range(1, 31)]
    lost = [*range(24), *[None] * 30]
    both = dataset(smiles, lost=lost, kept=range(54))
    frame = molrate.score(both, encoders=["ecfp4", "gin-untrained"]).frame
    assert frame[frame["status"] == "failed"]["target"].tolist() == ["lost"]
    with pytest.raises(InputError, match="'lost' has 0 labelled valid molecules"):
        molrate.score(dataset(smiles, lost=lost), encoders=["ecfp4", "gin-untrained"])


def test_without_baselines_the_ranking_says_what_it_cannot(published_weights):
    ranking = molrate.score("freesolv", encoders=["gcn-supervised"])
    assert any("No baseline was ranked" in note for note in ranking.advice)
    assert ranking.verdict.choices[0].worth_it.startswith("not known: no fingerprints or descriptors")


def test_too_few_molecules_for_the_dimension_are_flagged(esol):
    smiles, values = esol
    asked = {"encoders": ["ecfp4"], "measures": ["transrate"]}
    full = molrate.score(dataset(smiles, y=values), **asked, common_dimension="none")
    row = full.frame.iloc[0]
    assert row["status"] == "unreliable"
    assert row["note"] == f"smallest range has {row['smallest_class']} molecules for 2048 dimensions"


@pytest.mark.parametrize(
    ("rows", "column", "message"),
    [
        (3, lambda n: range(n), "has 3 labelled valid molecules; at least 20"),
        (30, lambda n: ["1"] * n, r"has one value only \(1\)"),
        (30, lambda n: ["active"] * n, r"has one class only \(active\)"),
    ],
)
def test_targets_nothing_can_be_learned_from(esol, rows, column, message):
    with pytest.raises(InputError, match=message):
        molrate.score(dataset(esol[0][:rows], y=list(column(rows))), encoders=["ecfp4"])


def test_invalid_molecules():
    with pytest.raises(InputError, match="none of the 25 SMILES is valid: row 1 'x0'"):
        molrate.score(dataset([f"x{i}" for i in range(25)], y=range(25)), encoders=["ecfp4"])
    with pytest.raises(InputError, match="1 invalid SMILES: row 26 'x'"):
        molrate.score(dataset(["C" * i for i in range(1, 26)] + ["x"], y=range(26)), on_invalid="fail")


@pytest.mark.parametrize("option", ["on_invalid", "duplicates"])
def test_unknown_policies_are_refused(esol, option):
    with pytest.raises(UsageError, match="unknown policy 'maybe'"):
        molrate.score(dataset(esol[0], y=esol[1]), encoders=["ecfp4"], **{option: "maybe"})


def test_a_plain_name_is_not_taken_for_a_sequence(esol):
    with pytest.raises(UsageError, match="put the one name into a list"):
        molrate.score(dataset(esol[0], y=esol[1]), encoders="ecfp4")


def test_shows_in_a_notebook_and_as_text(esol):
    ranking = molrate.score(dataset(esol[0], **{"<b>": esol[1]}), encoders=["ecfp4"])
    html = ranking._repr_html_()
    assert "&lt;b&gt;" in html
    assert "ecfp4" in html
    assert max(map(len, str(ranking).splitlines())) <= 80


def test_the_papers_dataset_ranks_pretrained_above_untrained(published_data, published_weights):
    ranking = molrate.score(
        "bbbp", encoders=["gcn-supervised", "graphsage-supervised", "gcn-untrained", "gin-untrained"]
    )
    assert set(ranking.frame["encoder"].iloc[:2]) == {"gcn-supervised", "graphsage-supervised"}
    assert ranking.frame["measure"].unique().tolist() == [DEFAULT_MEASURE]
    assert ranking.frame["n"].unique().tolist() == [2039]


def test_measures_that_need_more_run_when_they_are_given_it(esol, tmp_path):
    smiles, values = esol
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(6), len(values))
    given = {
        "ecfp4/source_probabilities": probabilities,
        "reference/features": values[:, None] + generator.normal(size=(len(values), 4)),
    }
    source = tmp_path / "corpus.smi"
    source.write_text("\n".join(smiles[:60]) + "\n")
    ranking = molrate.score(
        dataset(smiles, y=values),
        encoders=["ecfp4", "rdkit-descriptors"],
        measures=["leep", "rsa", "ds"],
        extra_arrays=given,
        source_molecules=source,
    )
    status = ranking.frame.set_index(["measure", "encoder"])["status"]
    assert status["leep", "ecfp4"] != "inapplicable"
    assert status["leep", "rdkit-descriptors"] == "inapplicable"
    assert set(status["rsa"]) | set(status["ds"]) <= {"ok", "unreliable"}
    bins = quantile_bins(values)
    frame = ranking.frame.set_index(["measure", "encoder"])
    assert frame.loc[("leep", "ecfp4"), "value"] == pytest.approx(leep(probabilities, bins), rel=1e-9)
    features, corpus = molrate.embed(smiles, "ecfp4"), molrate.embed(smiles[:60], "ecfp4")
    expected = domain_similarity(features, bins, corpus)
    assert frame.loc[("ds", "ecfp4"), "value"] == pytest.approx(expected, rel=1e-9)
    assert "leep does not apply" in str(ranking)
    with pytest.raises(InputError, match="has 3 rows, the dataset 200"):
        molrate.score(
            dataset(smiles, y=values), extra_arrays={"ecfp4/source_probabilities": probabilities[:3]}
        )


def test_labels_that_leave_it_to_chance_are_flagged(esol):
    smiles, values = esol
    rare = (values > np.sort(values)[-7]).astype(int)
    frame = molrate.score(dataset(smiles, y=rare), encoders=["rdkit-descriptors"], measures=["cka"]).frame
    assert frame["note"].item() == "the smallest class has 6 molecules"
    tied = np.where(values > np.median(values), np.round(values), -9.0)
    frame = molrate.score(
        dataset(smiles, y=tied), encoders=["rdkit-descriptors"], measures=["lfc", "cka"]
    ).frame
    notes = frame.set_index("measure")["note"]
    assert notes["lfc"].startswith("equal values left")
    assert notes["cka"] == ""


def test_measures_of_fine_tuning_read_gradients_and_others_compute_none(tmp_path, monkeypatch, fresh_cache):
    from molrate.embedding import sketcher
    from molrate.ranking import molecules

    dataset = molrate.load_dataset("freesolv")
    table = tmp_path / "two.csv"
    frame = pd.DataFrame({"smiles": dataset.smiles, "y": dataset.targets[0].values})[:60]
    frame["class"] = np.where(frame["y"] > frame["y"].median(), "high", "low")
    frame.loc[::7, "class"] = None
    frame.to_csv(table, index=False)
    encoders = ["ecfp4", "gcn-untrained"]

    def rank(*measures):
        ranking = molrate.score(table, ["y", "class"], encoders=encoders, measures=measures)
        return ranking.frame.set_index(["target", "measure", "encoder"]).sort_index()

    with monkeypatch.context() as patch:
        patch.setattr(molecules, "sketch_gradients", None)
        rank("loo", "transrate")
    scored = rank("loo", "tangent", "lgc")
    assert (scored["status"] == "ok").all()
    for target in ("y", "class"):
        value = scored.loc[target]["value"]
        assert value["tangent", "ecfp4"] == pytest.approx(value["loo", "ecfp4"], abs=1e-9)
        assert abs(value["tangent", "gcn-untrained"] - value["loo", "gcn-untrained"]) > 1e-4
    assert scored.loc["y", "tangent"]["rmse"].gt(0).all()
    assert scored.loc["class", "tangent"]["rmse"].isna().all()
    assert (
        scored.loc["y"].loc["loo", "gcn-untrained"]["n"]
        > scored.loc["class"].loc["loo", "gcn-untrained"]["n"]
    )
    assert len(list(fresh_cache.rglob("gcn-untrained-*-gradients-*"))) == 2
    monkeypatch.setattr(sketcher, "Sketcher", None)
    again = rank("tangent")
    np.testing.assert_allclose(again["value"], scored.loc[(slice(None), "tangent"), "value"], rtol=1e-9)


def test_a_control_comes_with_a_pretrained_network_of_its_family(monkeypatch):
    cards = {
        name: card
        for name, card in encoder_cards().items()
        if name in ("ecfp4", "gin-untrained", "minimol-untrained", "grover-small-chembl")
    }
    monkeypatch.setattr("molrate.ranking.molecules.encoder_cards", lambda: cards)
    assert set(default_encoders()) == {"ecfp4", "grover-small-chembl"}
    cards["grover-small-untrained"] = encoder_cards()["grover-small-untrained"]
    assert set(default_encoders()) == {"ecfp4", "grover-small-chembl", "grover-small-untrained"}
