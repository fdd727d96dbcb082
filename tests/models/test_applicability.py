import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.DataStructs import BulkTanimotoSimilarity

import molrate
from molrate.data.molecules import standardise
from molrate.errors import WeightsError
from molrate.models.applicability import Domain


@pytest.mark.parametrize("pairs", [1, 1000, 1_000_000])
def test_similarities_are_those_rdkit_computes_pair_by_pair(monkeypatch, pairs):
    monkeypatch.setattr("molrate.models.applicability._PAIRS", pairs)
    training = molrate.load_dataset("freesolv").smiles.tolist()[:150]
    asked = [*molrate.load_dataset("b3db").smiles.tolist()[:80], *training[:3], "[Xe]", "not a molecule"]
    molecules = standardise(asked)
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    known = [generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in training]
    expected = [
        max(BulkTanimotoSimilarity(generator.GetFingerprint(Chem.MolFromSmiles(text)), known))
        if text
        else np.nan
        for text in molecules.canonical
    ]
    found = Domain(training).nearest(molecules)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
    assert found[-3] == 1
    assert found[-2] == 0


def test_nothing_to_compare_gives_no_similarity():
    assert np.isnan(Domain([]).nearest(standardise(["CCO"]))).all()
    assert np.isnan(Domain(["CCO"]).nearest(standardise(["bad(", ""]))).all()


def test_damaged_training_molecules_are_an_error():
    with pytest.raises(WeightsError, match="damaged"):
        Domain(["CCO", "C1CC"])
