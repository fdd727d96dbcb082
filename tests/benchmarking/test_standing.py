from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import molrate
from molrate.benchmarking.comparison import evaluate
from molrate.benchmarking.read import CLEAN
from molrate.benchmarking.standing import stand_in_study
from molrate.cli.main import cli
from molrate.data.datasets import load_dataset
from molrate.encoders import base
from molrate.errors import UsageError
from molrate.finetuning.data import TrainingData
from molrate.measures.base import DEFAULT_MEASURE

STUDIED = {"gcn-untrained": 2.7, "gin-untrained": 2.2, "gat-untrained": 2.9}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Fine-tunings of three untrained networks and a fingerprint on FreeSolv, made up."""
    folder = tmp_path_factory.mktemp("study")
    known = load_dataset("freesolv")
    split = TrainingData.of(known, "random", 0).split
    shared = {"dataset": "freesolv", "split": "random", "metric": "rmse", "status": "ok"}
    shared |= {"deviation": known.targets[0].values[split.test].std()}
    shared |= {"n_train": len(split.train), "n_test": len(split.test), "seconds": 100.0, "n_layers": 5}
    shared |= {"n_parameters": 1000, "dimension": 300}
    rows = [
        {**shared, "seed": seed, "encoder": name, "kind": "control", "frozen": False, "family": name}
        | {"test": test + 0.01 * seed, "validation": test, "frozen_test": test}
        for seed in (0, 1)
        for name, test in STUDIED.items()
    ]
    baseline = {**rows[0], "encoder": "ecfp4", "kind": "baseline", "frozen": True, "family": "ecfp"}
    pd.DataFrame([*rows, baseline, {**baseline, "seed": 1}]).to_csv(folder / "finetuning.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def standing(study, tmp_path_factory):
    return stand_in_study(tmp_path_factory.mktemp("out"), ["graphsage-untrained"], ["knn"], study=study)


def test_a_new_measure_is_compared_with_the_fine_tuning_that_is_there(standing):
    (outcome,) = standing.evaluation.outcomes
    assert sorted(outcome.encoders) == sorted(STUDIED)
    assert {DEFAULT_MEASURE, "transrate", "knn"} <= set(outcome.predictors)
    assert outcome.mean_truth.tolist() == pytest.approx([-STUDIED[name] - 0.005 for name in outcome.encoders])
    # The scores are those of a ranking of the same molecules.
    data = load_dataset("freesolv")
    split = TrainingData.of(data, "random", 0).split
    part = data.take(sorted([*split.train, *split.validation]))
    ranked = molrate.score(part, encoders=[*STUDIED, "graphsage-untrained", "ecfp4"], measures=["knn"]).frame
    expected = ranked.set_index("encoder").loc[outcome.encoders, "excess"]
    assert outcome.predictors["knn"].tolist() == pytest.approx(expected.tolist())


def test_a_new_encoder_has_a_place(standing):
    row = standing.encoders.iloc[0]
    assert (row["encoder"], row["dataset"], row["of"]) == ("graphsage-untrained", "freesolv", 4)
    better = sum(test + 0.005 < row["expect fine-tuned"] for test in STUDIED.values())
    assert row["place"] == 1 + better
    assert row["best"] == "gin-untrained 2.21"
    assert 1 <= row["by score"] <= 4
    text = standing.to_markdown()
    assert "3 encoders of the study scored on the training molecules of one split of freesolv" in text
    assert f"| freesolv | graphsage-untrained | {row['by score']} of 4 |" in text


def test_what_is_left_out_is_said(standing):
    (outcome,) = standing.evaluation.outcomes
    predictors = {name: scores for name, scores in outcome.predictors.items() if name != "knn"}
    lacking = replace(outcome, predictors=predictors, unscored={"knn": ["gin-untrained"]})
    text = replace(standing, evaluation=evaluate([lacking])).to_markdown()
    assert "left out: knn (freesolv: no score of gin-untrained)." in text
    assert "left out" not in standing.to_markdown()


def test_another_table_is_not_the_studys(study, tmp_path):
    known = load_dataset("freesolv")
    fewer = pd.DataFrame({"smiles": known.smiles[:300], "y": known.targets[0].values[:300]})
    fewer.to_csv(tmp_path / "freesolv.csv", index=False)
    with pytest.raises(UsageError, match="is not the table of the study's freesolv: 210 molecules"):
        stand_in_study(tmp_path / "o", datasets=[str(tmp_path / "freesolv.csv")], target=["y"], study=study)
    other = pd.DataFrame({"smiles": known.smiles, "y": known.targets[0].values[::-1]})
    other.to_csv(tmp_path / "freesolv.csv", index=False)
    with pytest.raises(UsageError, match="the target is another, or the rows are in another order"):
        stand_in_study(tmp_path / "o", datasets=[str(tmp_path / "freesolv.csv")], target=["y"], study=study)
    with pytest.raises(UsageError, match="esol is not in the study; it has freesolv"):
        stand_in_study(tmp_path / "o", datasets=["esol"], study=study)


def test_an_encoder_that_fails_has_no_place(study, tmp_path, monkeypatch):
    monkeypatch.setattr(base, "_REGISTERED", {})
    molrate.register_encoder("constant", lambda smiles: np.ones((len(smiles), 3)))
    standing = stand_in_study(tmp_path / "out", ["constant"], study=study)
    row = standing.encoders.iloc[0]
    assert row[["by score", "place"]].isna().all()
    assert row["note"] == "features are the same for all molecules"
    assert not standing.complete
    assert (
        "| freesolv | constant | failed: features are the same for all molecules |" in standing.to_markdown()
    )


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "molrate.encoders.cards.EncoderCard.available_offline",
        property(lambda card: card.name in {*STUDIED, "grover-small-untrained", "gin-untrained"}),
    )
    command = ["benchmark", "--study", "freesolv", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    # Untrained networks of the study that ships.
    assert "3 encoders of the study scored" in done.output
    assert f"| {DEFAULT_MEASURE} | " in done.output
    assert CLEAN in done.output
    for options in (["--epochs", "3"], ["--seeds", "1"], ["--split", "scaffold"]):
        refused = CliRunner().invoke(cli, [*command, *options])
        assert refused.exit_code == 2
        assert f"{options[0]} has no meaning with --study" in refused.output
    assert CliRunner().invoke(cli, ["benchmark", "-o", str(tmp_path / "out")]).exit_code == 2
