import numpy as np
import pytest
from rdkit import Chem

from molrate.encoders.base import load_encoder
from molrate.errors import UsageError

SMILES = ["CCO", "C", "[Na+]", "c1ccccc1C(=O)NC", "C[Si](C)(C)C", "[U]", "B1OC1"]


def embed(name, smiles):
    encoder = load_encoder(name)
    (vectors,) = encoder.forward(
        encoder.featurise([Chem.MolFromSmiles(text) for text in smiles]).content
    ).values()
    return vectors


def test_ecfp_bits_are_those_of_an_independent_expansion():
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    expected = np.zeros((len(SMILES), 2048))
    for row, text in enumerate(SMILES):
        expected[row, list(generator.GetFingerprint(Chem.MolFromSmiles(text)).GetOnBits())] = 1
    np.testing.assert_array_equal(embed("ecfp4", SMILES), expected)


def test_descriptors_are_defined_for_every_element_and_do_not_depend_on_the_batch():
    together = embed("rdkit-descriptors", SMILES * 30)
    assert np.isfinite(together).all()
    assert abs(together).max() <= 10
    alone = np.concatenate([embed("rdkit-descriptors", [text]) for text in SMILES])
    np.testing.assert_allclose(together, np.tile(alone, (30, 1)), rtol=1e-6)


def test_controls_take_no_weights(tmp_path):
    with pytest.raises(UsageError, match="has no weights"):
        load_encoder("ecfp4", weights=tmp_path)


def test_molecules_whose_descriptors_are_undefined_are_reported():
    encoder = load_encoder("rdkit-descriptors")
    smiles = ["CC", "[H][H]", "[H+]", "*", "CO"]
    batch = encoder.featurise([Chem.MolFromSmiles(text) for text in smiles])
    assert batch.rows[0] == 0
    assert batch.rows[-1] == 4
    assert set(batch.errors) >= {1, 2}
    assert np.isfinite(encoder.forward(batch.content)["values"]).all()
