import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from molrate import MoleculeEncoder, load_dataset
from molrate.errors import InputError, UsageError


@parametrize_with_checks([MoleculeEncoder()])
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


def test_in_a_pipeline():
    dataset = load_dataset("freesolv")
    smiles, values = dataset.smiles[:200], dataset.targets[0].values[:200]
    model = make_pipeline(MoleculeEncoder("ecfp4"), Ridge(10.0)).fit(smiles[:150], values[:150])
    assert model.score(smiles[150:], values[150:]) > 0.2
    column = pd.DataFrame({"smiles": smiles[:5]})
    np.testing.assert_array_equal(model[0].transform(column), model[0].transform(smiles[:5]))


def test_names_of_the_output():
    encoder = MoleculeEncoder("gin-untrained").set_output(transform="pandas").fit(["C"])
    frame = encoder.transform(["C", "CC"])
    assert frame.shape == (2, 300)
    assert frame.columns[0] == "moleculeencoder0"


def test_invalid_smiles_stop_or_stay_as_nan():
    with pytest.raises(InputError, match="row 2 'x'"):
        MoleculeEncoder().fit(["C"]).transform(["C", "x"])
    kept = MoleculeEncoder(on_invalid="keep").fit(["C"]).transform(["C", "x"])
    assert np.isnan(kept[1]).all()
    with pytest.raises(UsageError, match="known: fail, keep"):
        MoleculeEncoder(on_invalid="skip").fit(["C"])


def test_clones_keep_their_parameters():
    encoder = MoleculeEncoder("gat-untrained", layer="layer-2", pooling="max", random_state=3)
    assert clone(encoder).get_params() == encoder.get_params()
