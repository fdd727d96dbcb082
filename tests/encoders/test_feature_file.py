"""Features of a file stand beside named encoders, each molecule found by its SMILES."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rdkit import Chem

import molrate
from molrate.cli.main import cli
from molrate.encoders.base import describe_encoder, load_encoder
from molrate.errors import InputError, UsageError, WeightsError

SMILES = ["CCO", "c1ccccc1O", "CCN", "CC(C)O", "CCCC", "[Na+].CC(=O)[O-]"]


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(len(SMILES), 3))


def write(path, features, smiles=SMILES):
    frame = pd.DataFrame(features, columns=["f0", "f1", "f2"]).assign(smiles=smiles)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return f"features:{path}"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_molecules_are_found_however_they_are_written(tmp_path, features, ending):
    name = write(tmp_path / f"mine.{ending}", features)
    given = ["OCC", "Oc1ccccc1", "NCC", "OC(C)C", "C(CC)C", "CC(=O)[O-]"]
    order = [3, 0, 5, 1, 4, 2]
    found = molrate.embed([given[row] for row in order], name)
    np.testing.assert_allclose(found, features[order], rtol=1e-6)


def test_every_matrix_of_a_file_is_a_layer(tmp_path, features):
    np.savez(tmp_path / "two.npz", low=features, high=features[:, :2], smiles=np.array(SMILES))
    name = f"features:{tmp_path / 'two.npz'}"
    assert describe_encoder(name)["layers"] == {"low": 3, "high": 2}
    np.testing.assert_allclose(molrate.embed(["CCN"], name), features[[2], :2], rtol=1e-6)
    np.testing.assert_allclose(molrate.embed(["CCN"], name, layer="low"), features[[2]], rtol=1e-6)


def test_what_is_not_there_or_no_number_is_reported(tmp_path, features):
    features[1, 2] = np.nan
    name = write(tmp_path / "mine.csv", features)
    encoder = load_encoder(name)
    encoder.prepare()
    batch = encoder.featurise([Chem.MolFromSmiles(text) for text in ("CCO", "C#N", "c1ccccc1O")])
    assert batch.rows == [0]
    assert batch.errors == {
        1: "no row of mine.csv has this molecule",
        2: "row 2 of mine.csv has values that are not finite",
    }


def test_rows_of_one_molecule_have_to_be_the_same(tmp_path, features):
    twice = np.vstack([features, features[:1]])
    name = write(tmp_path / "same.csv", twice, [*SMILES, "OCC"])
    np.testing.assert_allclose(molrate.embed(["CCO"], name), features[:1], rtol=1e-6)
    twice[-1] += 1
    name = write(tmp_path / "other.csv", twice, [*SMILES, "OCC"])
    with pytest.raises(InputError, match="rows 1 and 7 are of one molecule, CCO"):
        molrate.embed(["CCO"], name)


def test_a_changed_file_is_read_anew(tmp_path, features):
    name = write(tmp_path / "mine.csv", features)
    molrate.embed(SMILES, name)
    write(tmp_path / "mine.csv", features + 1)
    np.testing.assert_allclose(molrate.embed(["CCO"], name), features[:1] + 1, rtol=1e-6)


def test_a_model_of_a_file_that_has_changed_is_refused(tmp_path):
    smiles = ["C" * n + "O" * (n % 3) for n in range(1, 61)]
    features = np.random.default_rng(0).normal(size=(60, 3))
    name = write(tmp_path / "mine.csv", features, smiles)
    table = pd.DataFrame({"smiles": smiles, "y": features[:, 0]})
    molrate.finetune(table, name, tmp_path / "model", target="y")
    predicted = molrate.load_model(tmp_path / "model").predict(smiles)["predicted_y"]
    assert np.corrcoef(predicted, features[:, 0])[0, 1] > 0.9
    write(tmp_path / "mine.csv", -features, smiles)
    with pytest.raises(WeightsError, match="is not what the model was made with"):
        molrate.load_model(tmp_path / "model")


def test_files_that_cannot_be_used_are_refused(tmp_path, features):
    np.savez(tmp_path / "bare.npz", x=features)
    with pytest.raises(InputError, match="no column of SMILES"):
        load_encoder(f"features:{tmp_path / 'bare.npz'}")
    with pytest.raises(InputError, match="no such file"):
        load_encoder(f"features:{tmp_path / 'none.csv'}")
    name = write(tmp_path / "mine.csv", features)
    with pytest.raises(UsageError, match=r"families that read files: .*features"):
        load_encoder(str(tmp_path / "bare.npz"))
    with pytest.raises(UsageError, match="has no weights"):
        load_encoder(name, weights=tmp_path / "mine.csv")
    with pytest.raises(UsageError, match="has no option n"):
        load_encoder(f"{name}?n=3")


def test_they_are_ranked_as_the_encoder_that_made_them(tmp_path):
    table = pd.DataFrame({"smiles": ["C" * n + "O" * (n % 3) for n in range(1, 81)]})
    table["y"] = table["smiles"].str.count("C") + 0.0
    bits = molrate.embed(table["smiles"].tolist(), "ecfp4")
    pd.DataFrame(bits).add_prefix("bit").assign(smiles=table["smiles"]).to_parquet(tmp_path / "bits.parquet")
    table.to_csv(tmp_path / "table.csv", index=False)
    name = f"features:{tmp_path / 'bits.parquet'}"
    out = tmp_path / "ranking.csv"
    arguments = ["score", str(tmp_path / "table.csv"), "--target", "y", "-e", name, "-e", "ecfp4", "-o", out]
    ran = CliRunner().invoke(cli, list(map(str, arguments)))
    assert ran.exit_code == 0, ran.output
    rows = pd.read_csv(out).set_index("encoder")
    for column in ("value", "excess", "dimension"):
        assert rows.loc[name, column] == pytest.approx(rows.loc["ecfp4", column])
    assert "Nobody has told what labels were seen in training by features:" in ran.output.replace("\n  ", " ")
