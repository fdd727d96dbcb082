import pickle
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

import molrate
from molrate.embedding.settings import EmbeddingSettings
from molrate.encoders.base import load_encoder
from molrate.errors import UsageError, WeightsError
from molrate.files.library import Chunk, Row
from molrate.models.linear import fit_model, fitted_before
from molrate.models.model import TunedModel
from molrate.screening.stage import EmbeddingStage, ScreeningStage

TASKS = ("regression", "classification")
SMILES = ["CCO", "c1ccccc1O", "C*C", "bad(", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "[Na+].CC(=O)[O-]"]


def chunk(texts):
    return Chunk(0, [Row("l.smi", number, "", text, "") for number, text in enumerate(texts, start=1)])


def block(smiles):
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.Compute2DCoords(molecule)
    return Chem.MolToMolBlock(molecule)


@pytest.mark.parametrize("encoder", ["gcn-untrained", "grover-small-chembl", "ecfp4"])
def test_embeddings_are_those_of_embed(encoder):
    stage = EmbeddingStage(encoder)
    stage.prepare()
    table = stage.table(chunk(SMILES))
    expected = molrate.embed(SMILES, encoder)
    columns = [f"x{dimension}" for dimension in range(expected.shape[1])]
    np.testing.assert_allclose(table[columns].to_numpy(), expected, rtol=1e-5, atol=1e-6)
    assert table["status"][3] == "invalid"
    assert table["canonical_smiles"][5] == "CC(=O)[O-]"
    unsupported = np.isnan(expected).all(axis=1) & (table["status"] != "invalid")
    assert (table.loc[unsupported, "status"] == "unsupported").all()
    assert (table.loc[table["status"] != "ok", "error"] != "").all()


def test_a_chunk_without_any_molecule_has_the_same_columns():
    stage = EmbeddingStage("gcn-untrained")
    stage.prepare()
    full, empty = stage.table(chunk(SMILES)), stage.table(chunk(["bad(", ""]))
    assert empty.columns.tolist() == full.columns.tolist()
    assert empty.dtypes.tolist() == full.dtypes.tolist()


def test_records_of_an_sdf_are_read_as_molecules():
    stage = EmbeddingStage("ecfp4")
    blocks = [block("CCO"), "broken\n\n\n  1  0\n", block("CCO").replace("C  ", "Qq ")]
    rows = [Row("l.sdf", n, "", text, "", structure=True) for n, text in enumerate(blocks, start=1)]
    table = stage.table(Chunk(0, rows))
    assert table["canonical_smiles"].tolist() == ["CCO", "", ""]
    assert table["status"].tolist() == ["ok", "unreadable", "unreadable"]
    assert table["error"][1] == "RDKit cannot read this record"
    assert table["smiles"][1] == "broken"


def test_molecules_that_are_too_large_are_reported_and_not_computed():
    stage = EmbeddingStage("ecfp4", max_atoms=50)
    table = stage.table(chunk(["C" * 50, "C" * 51, "C" * 251, "C" * 10_000, "[13C@@H2]" * 20]))
    assert table["error"].tolist()[:4] == [
        "",
        "51 atoms, more than 50 (--max-atoms)",
        "SMILES of 251 characters, more than 250 (--max-atoms 50)",
        "SMILES of 10000 characters, more than 250 (--max-atoms 50)",
    ]
    assert table["status"].tolist() == ["ok", "unsupported", "unsupported", "unsupported", "ok"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    dataset = molrate.load_dataset("freesolv")
    record = fit_model(dataset, load_encoder("rdkit-descriptors"), folder)
    return folder, record, dataset


def test_a_fitted_model_predicts_as_scikit_learn_does(fitted):
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    folder, record, dataset = fitted
    features = molrate.embed(dataset.smiles.tolist(), "rdkit-descriptors").astype(np.float64)
    y = dataset.targets[0].values
    kept = features.std(axis=0) > 1e-6 * (1 + np.abs(features.mean(axis=0)))
    scaled = np.clip(StandardScaler().fit_transform(features[:, kept]), -10, 10)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    scaled *= np.minimum(1, 2.5 * np.median(norms) / norms)
    expected = RidgeCV(np.logspace(-2, 5, 15)).fit(scaled, (y - y.mean()) / y.std()).predict(scaled)
    found = TunedModel.load(folder).predict(dataset.smiles.tolist())["predicted_freesolv"]
    np.testing.assert_allclose(found, expected * y.std() + y.mean(), atol=2e-3)
    assert record["metrics"]["folds"]["mean"]["rmse"] < 2


def test_bounds_hold_the_share_they_promise(fitted):
    folder, record, dataset = fitted
    stage = ScreeningStage(str(folder), level=0.8)
    stage.prepare()
    table = stage.table(chunk(dataset.smiles.tolist()))
    y = dataset.targets[0].values
    inside = (table["low_freesolv"] <= y) & (y <= table["high_freesolv"])
    # Of molecules that the model was fitted to, somewhat more.
    assert 0.78 <= inside.mean() <= 0.95
    assert len(record["calibration"]["freesolv"]) == len(y)
    np.testing.assert_allclose(table["similarity"], 1)


@pytest.mark.parametrize(("dataset", "target"), [("two", "active"), ("three", "level")])
def test_classes(tmp_path, dataset, target):
    esol = molrate.load_dataset("esol")
    y = esol.targets[0].values[:300]
    labels = {"active": np.where(y > np.median(y), "yes", "no"), "level": pd.qcut(y, 3, ["a", "b", "c"])}
    source = tmp_path / "t.csv"
    pd.DataFrame({"smiles": esol.smiles[:300], target: labels[target]}).to_csv(source, index=False)
    record = fit_model(
        molrate.load_dataset(source, target), load_encoder("rdkit-descriptors"), tmp_path / "m"
    )
    stage = ScreeningStage(str(tmp_path / "m"))
    stage.prepare()
    table = stage.table(chunk([*esol.smiles[:300], "bad("]))
    predicted = table[stage.predicted].to_numpy()
    assert ((predicted[:300] >= 0) & (predicted[:300] <= 1)).all()
    sets = table[f"classes_{target}"]
    inside = [label in labels_of.split("|") for label, labels_of in zip(labels[target], sets, strict=False)]
    assert np.mean(inside) >= 0.88
    assert np.isnan(predicted[300]).all()
    assert sets[300] == ""
    assert record["metrics"]["folds"]["mean"]["auroc"] > 0.8


def test_a_model_fitted_before_is_taken_up_only_for_the_same_call(fitted, tmp_path):
    folder, _, dataset = fitted
    assert fitted_before(folder, dataset, "rdkit-descriptors")
    assert not fitted_before(tmp_path, dataset, None)
    with pytest.raises(UsageError, match=r"ranked \(none before, last now\)"):
        fitted_before(folder, dataset, None)
    with pytest.raises(UsageError, match=r"encoder\.name \(rdkit-descriptors before, ecfp4 now\)"):
        fitted_before(folder, dataset, "ecfp4")
    with pytest.raises(UsageError, match=r"table.*task\.targets"):
        fitted_before(folder, molrate.load_dataset("esol"), "rdkit-descriptors")
    with pytest.raises(UsageError, match=r"settings\.seed \(0 before, 1 now\)"):
        fitted_before(folder, dataset, "rdkit-descriptors", embedding=EmbeddingSettings(seed=1))


def test_a_model_is_not_taken_up_for_another_task_other_weights_or_versions(fitted, tmp_path, monkeypatch):
    frame = pd.DataFrame({"smiles": fitted[2].smiles[:80], "y": np.arange(80) % 2})
    frame.to_csv(tmp_path / "t.csv", index=False)
    tables = {task: molrate.load_dataset(tmp_path / "t.csv", "y", task=task) for task in TASKS}
    folder = tmp_path / "m"
    layer = EmbeddingSettings(layer="layer-3")
    fit_model(tables["regression"], load_encoder("gcn-untrained"), folder, ranked="last", embedding=layer)
    assert fitted_before(folder, tables["regression"], None)
    with pytest.raises(UsageError, match=r"task\.kind \(regression before, binary now\)"):
        fitted_before(folder, tables["classification"], None)
    for name, changed in (("torch", r"encoder\.weights.*versions\.torch"), ("rdkit", r"versions\.rdkit")):
        with monkeypatch.context() as patched:
            for module in ("molrate.files.requests", "molrate.encoders.checkpoints"):
                patched.setattr(
                    f"{module}.version",
                    lambda package, name=name: "0.1" if package == name else metadata.version(package),
                )
            with pytest.raises(UsageError, match=changed):
                fitted_before(folder, tables["regression"], None)
    weights = bytearray((folder / "encoder.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "encoder.safetensors").write_bytes(weights)
    with pytest.raises(WeightsError, match=r"encoder\.safetensors: it is not the file that model\.json was"):
        fitted_before(folder, tables["regression"], None)


def test_identities_tell_models_apart_and_settings_travel_alone(fitted, tmp_path):
    folder, _, _ = fitted
    stage = ScreeningStage(str(folder))
    stage.prepare()
    assert len(pickle.dumps(stage)) < 500
    again = pickle.loads(pickle.dumps(stage))
    assert again == stage
    assert again.identity() == stage.identity()
    assert stage.identity() != ScreeningStage(str(folder), level=0.5).identity()
    one, other = EmbeddingStage("gcn-untrained"), EmbeddingStage("gcn-untrained", seed=1)
    assert one.identity() != other.identity()
    with pytest.raises(WeightsError, match="no finished fine-tuned model"):
        ScreeningStage(str(tmp_path)).prepare()


def test_a_chunk_is_the_same_table_whatever_is_computed_together(monkeypatch, fitted):
    smiles = [*SMILES, "C" * 2000, "OCC", "OCC"]
    stage = ScreeningStage(str(fitted[0]))
    together = stage.table(chunk(smiles))
    monkeypatch.setattr("molrate.screening.stage._BLOCK", 2)
    pd.testing.assert_frame_equal(stage.table(chunk(smiles)), together)


def test_molecules_that_the_encoder_does_not_support_are_said_to_be_left_out(tmp_path, caplog):
    table = molrate.load_dataset("freesolv")
    smiles = [*table.smiles[:60], "N->[Fe]"]
    pd.DataFrame({"smiles": smiles, "y": np.arange(61.0)}).to_csv(tmp_path / "t.csv", index=False)
    fit_model(
        molrate.load_dataset(tmp_path / "t.csv", "y"), load_encoder("gcn-untrained"), tmp_path / "model"
    )
    assert "left out: 1 molecules that gcn-untrained does not support, the first in row 61" in caplog.text
