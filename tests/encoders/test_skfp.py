import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rdkit import Chem
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

import molrate
from molrate.cli.main import cli
from molrate.encoders.base import describe_encoder, load_encoder
from molrate.errors import UsageError

SMILES = ["CCO", "C", "c1ccccc1C(=O)NC", "C[Si](C)(C)C", "[Na+]", "CC(=O)Nc1ccc(O)cc1"]


@pytest.fixture
def library():
    return pytest.importorskip("skfp.fingerprints", reason="NOT TESTED: the skfp extra is not installed")


def test_a_diameter_in_the_name_is_a_radius(library):
    for name, radius in (("ECFP4", 2), ("ecfp6", 3), ("ECFPFingerprint?radius=3", 3)):
        generator = GetMorganGenerator(radius=radius, fpSize=2048)
        expected = [generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(text)) for text in SMILES]
        np.testing.assert_array_equal(molrate.embed(SMILES, f"skfp:{name}"), expected)
    expected = library.MAPFingerprint(fp_size=1024, radius=3, variant="count").transform(
        [Chem.CanonSmiles(text) for text in SMILES]
    )
    vectors = molrate.embed(SMILES, "skfp:MAP6?fp_size=1024&variant=count")
    np.testing.assert_array_equal(vectors, expected)
    assert describe_encoder("skfp:MAP4?fp_size=512")["layers"] == {"fingerprint": 512}


def test_molecules_without_numbers_are_named_and_the_others_stay(library):
    encoder = load_encoder("skfp:BCUT2D")
    molecules = [Chem.MolFromSmiles(text) for text in ("CCO", "[H][H]", "N->[Fe]", "CC=O")]
    batch = encoder.featurise(molecules)
    assert batch.rows == [0, 3]
    assert batch.errors[2].startswith("skfp:BCUT2D fails: ValueError")
    alone = encoder.featurise(molecules[3:]).content
    np.testing.assert_array_equal(encoder.forward(batch.content)["fingerprint"][1:], alone)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MAP5", "unknown fingerprint 'MAP5'.*known: .*MACCS, MAGPIE"),
        ("CLAMP", "unknown fingerprint"),
        ("USR", "reads conformers"),
        ("MAP4?n_jobs=2", "no option n_jobs; it has fp_size, radius"),
        ("MAP4?fp_size=-3", "fp_size"),
        ("MAP4?variant=best", "minhash"),
    ],
)
def test_what_cannot_be_had_is_said(library, name, message):
    with pytest.raises(UsageError, match=message):
        load_encoder(f"skfp:{name}")


def test_it_takes_no_weights(library, tmp_path):
    with pytest.raises(UsageError, match="has no weights"):
        load_encoder("skfp:MAP4", weights=tmp_path)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "skfp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "skfp", None)
    with pytest.raises(UsageError, match=r"pip install 'molrate\[skfp\]'"):
        load_encoder("skfp:MAP4")


def test_it_is_ranked_fitted_saved_and_screens(library, tmp_path):
    table = pd.DataFrame({"smiles": molrate.load_dataset("freesolv").smiles[:120]})
    table["y"] = molrate.load_dataset("freesolv").targets[0].values[:120]
    table.to_csv(tmp_path / "t.csv", index=False)

    def run(*arguments):
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    names = ["-e", "skfp:MAP4?fp_size=256", "-e", "ecfp4"]
    ranked = run("score", tmp_path / "t.csv", "--target", "y", *names)
    assert "skfp:MAP4?fp_size=256" in ranked
    model = tmp_path / "model"
    run("finetune", tmp_path / "t.csv", "--target", "y", *names[:2], "-o", model)
    run("predict", tmp_path / "t.csv", "-m", model, "-o", tmp_path / "p.csv")
    run("screen", tmp_path / "t.csv", "-m", model, "-o", tmp_path / "hits", "--jobs", "1")
    predicted = pd.read_csv(tmp_path / "p.csv")["predicted_y"]
    screened = pd.read_parquet(tmp_path / "hits" / "parts")["predicted_y"]
    assert predicted.notna().all()
    np.testing.assert_allclose(screened, predicted, rtol=1e-6)


def test_a_fingerprint_object_can_be_registered(library, monkeypatch):
    monkeypatch.setattr("molrate.encoders.base._REGISTERED", {})
    molrate.register_encoder("avalon", library.AvalonFingerprint(sparse=True), kind="baseline")
    expected = library.AvalonFingerprint().transform(["CCO"])
    np.testing.assert_array_equal(molrate.embed(["CCO"], "avalon"), expected)
