"""Settings on their way from a ranking to a model and its predictions."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import molrate
from molrate.cli.main import cli
from molrate.errors import MolrateError, UsageError

CHOSEN = {
    "standardisation": "none",
    "duplicates": "merge",
    "layer": "layer-2",
    "pooling": "sum",
    "precision": "fp32",
}
OPTIONS = [word for name, value in CHOSEN.items() for word in (f"--{name}", value)]
OTHERS = {"standardisation": "largest-fragment", "duplicates": "keep", "layer": "last", "pooling": "max"}


def run(*arguments):
    """Exit code and what was said, errors as :func:`molrate.cli.main.main` ends with them."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if isinstance(result.exception, MolrateError):
        return result.exception.exit_code, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Molecules, some of them salts and some twice with other values, and one row that is none."""
    dataset = molrate.load_dataset("freesolv")
    smiles = [f"{text}.Cl" if row % 9 == 0 else text for row, text in enumerate(dataset.smiles[:80])]
    frame = pd.DataFrame({"smiles": smiles, "y": dataset.targets[0].values[:80]})
    frame = pd.concat([frame, frame[:10].assign(y=frame["y"][:10] + 2)], ignore_index=True)
    frame["active"] = np.where(frame["y"] > frame["y"].median(), "yes", "no")
    frame.loc[len(frame)] = ["bad(", 1.0, "yes"]
    path = tmp_path_factory.mktemp("table") / "my.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def models(table, tmp_path_factory):
    """A model of `finetune` and one of `screen --train`, with the same settings."""
    folder = tmp_path_factory.mktemp("models")
    quick = ["--frozen", "--epochs", 2, "--learning-rate", 1e-3]
    common = ["-t", "y", "-e", "gcn-untrained", *OPTIONS]
    code, output = run("finetune", table, *common, *quick, "-o", folder / "tuned")
    assert code == 0, output
    code, output = run("screen", table, "--train", table, *common, "-o", folder / "hits", "--jobs", 1)
    assert code == 5, output
    return {"finetune": folder / "tuned", "screen": folder / "hits" / "model"}


@pytest.mark.parametrize("maker", ["finetune", "screen"])
def test_a_model_keeps_its_settings_in_one_place(models, maker):
    record = json.loads((models[maker] / "model.json").read_text())
    assert {name: record["settings"][name] for name in CHOSEN} == CHOSEN
    assert record["settings"]["weights"] == record["encoder"]["before"]["weights"]
    assert record["settings"]["seed"] == 0
    assert not {"layer", "pooling", "standardisation"} & (record.keys() | record["encoder"].keys())


@pytest.mark.parametrize("maker", ["finetune", "screen"])
def test_merged_rows_are_one_molecule_of_training(models, maker, table):
    lines = (models[maker] / "training.smi").read_text().splitlines()
    assert len(lines) == len(set(lines)) == (56 if maker == "finetune" else 80)
    assert any("." in line for line in lines)


@pytest.mark.parametrize("maker", ["finetune", "screen"])
def test_predictions_take_the_settings_of_the_model_and_repeat_them_if_asked(models, maker, table, tmp_path):
    for name, options in (("plain", []), ("again", OPTIONS)):
        code, output = run("predict", table, "-m", models[maker], *options, "-o", tmp_path / f"{name}.csv")
        assert code == 5, output
    plain, again = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("plain", "again"))
    pd.testing.assert_frame_equal(plain, again)
    assert plain["canonical_smiles"].str.contains(".", regex=False).any()
    expected = molrate.load_model(models[maker]).predict(plain["smiles"].tolist())["predicted_y"]
    np.testing.assert_allclose(plain["predicted_y"], expected.astype(float), rtol=1e-5)
    assert json.loads((tmp_path / "plain.csv.run.json").read_text())["model"]["settings"]["pooling"] == "sum"


@pytest.mark.parametrize("command", ["predict", "screen"])
@pytest.mark.parametrize("name", OTHERS)
def test_settings_that_disagree_with_the_model_are_refused_with_both(models, table, tmp_path, command, name):
    options = ["-m", models["finetune"], f"--{name}", OTHERS[name], "-o", tmp_path / "out.csv"]
    code, output = run(command, table, *options)
    assert code == 2
    assert OTHERS[name] in output
    assert f"made with {CHOSEN[name]}" in output
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-e", "ecfp4"], "made with gcn-untrained"),
        (["-t", "y"], "--target goes with --train"),
        (["--task", "regression"], "--task goes with --train"),
        (["--censored", "drop"], "--censored goes with --train"),
        (["--seed", 1], "--seed goes with --train"),
        (["--weights", "w.pth"], "--weights goes with --train"),
    ],
)
def test_screen_refuses_what_a_model_has_learned_already(models, table, tmp_path, options, message):
    code, output = run("screen", table, "-m", models["finetune"], "-o", tmp_path / "hits", *options)
    assert code == 2
    assert message in output


def test_python_refuses_them_too(models, table, tmp_path):
    with pytest.raises(UsageError, match="made with sum"):
        molrate.screen(table, models["finetune"], tmp_path / "hits", pooling="mean", jobs=1)


def test_the_ranked_encoder_is_fitted_with_the_settings_it_was_ranked_with(table, tmp_path, monkeypatch):
    names = ["gcn-untrained", "gin-untrained"]
    monkeypatch.setattr("molrate.ranking.score.default_encoders", lambda: names)
    options = ["--train", table, "-t", "y", "--layer", "all", "--pooling", "max", "--duplicates", "merge"]
    code, output = run("screen", table, *options, "-o", tmp_path / "hits", "--jobs", 1)
    assert code == 5, output
    record = json.loads((tmp_path / "hits" / "model" / "model.json").read_text())
    settings = {"layer": "all", "pooling": "max", "duplicates": "merge"}
    best = molrate.score(table, "y", encoders=names, **settings).best
    assert record["encoder"]["name"] == best["encoder"]
    assert record["settings"]["layer"] == best["layer"]
    assert record["settings"]["pooling"] == "max"
    other = ["--train", table, "-t", "y", "--pooling", "max", "--duplicates", "merge", "--resume"]
    code, output = run("screen", table, *other, "-o", tmp_path / "hits", "--jobs", 1)
    assert code == 2
    assert "ranked (all before, last now)" in output


def test_the_class_that_is_sought_is_kept_and_another_may_be_ranked_by(table, tmp_path):
    quick = ["--frozen", "--epochs", 1, "--learning-rate", 1e-3, "-e", "ecfp4"]
    code, output = run("finetune", table, "-t", "active", "--positive", "no", *quick, "-o", tmp_path / "m")
    assert code == 0, output
    record = json.loads((tmp_path / "m" / "model.json").read_text())
    assert record["settings"]["positive"] == {"active": "no"}
    options = ["-m", tmp_path / "m", "--positive", "yes", "--top", 3, "--jobs", 1]
    code, output = run("screen", table, *options, "-o", tmp_path / "hits")
    assert code == 5, output
    best = pd.read_csv(tmp_path / "hits" / "top.csv")
    assert best["predicted_active=no"].is_monotonic_increasing


def test_a_frozen_grover_keeps_its_precision(table, tmp_path):
    common = {"target": "y", "n_epochs": 1, "learning_rates": [1e-3], "frozen": True}
    models = {
        precision: molrate.finetune(
            table, "grover-small-chembl", tmp_path / precision, precision=precision, **common
        )
        for precision in ("fp32", "bf16")
    }
    assert {name: model.encoder.precision for name, model in models.items()} == dict.fromkeys(models) | {
        name: name for name in models
    }
    smiles = ["CCO", "c1ccccc1O"]
    vectors = molrate.embed(smiles, molrate.load_encoder("grover-small-chembl", precision="bf16"))
    model = models["bf16"]
    molecules = molrate.data.molecules.standardise(smiles)
    expected = model.head.values(vectors, "regression")
    np.testing.assert_array_equal(model.outputs(molecules).mean, expected)
    with pytest.raises(UsageError, match="precision bf16 is for frozen"):
        molrate.finetune(table, "grover-small-chembl", tmp_path / "x", target="y", precision="bf16")
