import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from molrate import MoleculeEncoder, load_dataset
from molrate.errors import InputError, UsageError

SMILES = np.array(["CCO", "c1ccccc1", "CC(=O)N", "C[C@H](N)C(=O)O"])


@parametrize_with_checks([MoleculeEncoder()])
def test_scikit_learn_checks_that_need_no_numbers(estimator, check):
    check(estimator)


# scikit-learn skips its checks on data for estimators of text, as they draw numbers; the two tests below
# ask the same of SMILES.


def test_fitting_twice_pickling_and_order_change_nothing():
    encoder = MoleculeEncoder("gin-untrained").fit(SMILES)
    expected = encoder.transform(SMILES)
    np.testing.assert_array_equal(encoder.fit(SMILES[::-1]).transform(SMILES), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(SMILES), expected)
    np.testing.assert_array_equal(MoleculeEncoder("gin-untrained").fit_transform(SMILES), expected)
    np.testing.assert_allclose(encoder.transform(SMILES[::-1])[::-1], expected, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([encoder.transform([s]) for s in SMILES]), expected, atol=1e-6)
    for same in (SMILES.tolist(), pd.Series(SMILES), SMILES[:, None], pd.DataFrame({"s": SMILES})):
        np.testing.assert_array_equal(encoder.transform(same), expected)


def test_what_scikit_learn_refuses():
    with pytest.raises(NotFittedError):
        MoleculeEncoder().transform(SMILES)
    with pytest.raises(ValueError, match="0 sample"):
        MoleculeEncoder().fit([])
    with pytest.raises(ValueError, match="1d array"):
        MoleculeEncoder().fit(np.array([["C", "CC"]]))


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
    with pytest.raises(InputError, match="does not support this molecule"):
        MoleculeEncoder("gin-untrained").fit(["C"]).transform(["C", "N->[Fe]"])
    kept = MoleculeEncoder(on_invalid="keep").fit(["C"]).transform(["C", "x"])
    assert np.isnan(kept[1]).all()
    alone = MoleculeEncoder("gin-untrained", on_invalid="keep").fit(["C"])
    for smiles in (["x"], ["N->[Fe]", "x"], []):
        rows = alone.transform(smiles)
        assert rows.shape == (len(smiles), 300)
        assert np.isnan(rows).all()
    with pytest.raises(UsageError, match="known: fail, keep"):
        MoleculeEncoder(on_invalid="skip").fit(["C"])


def test_clones_keep_their_parameters():
    encoder = MoleculeEncoder("gat-untrained", layer="layer-2", pooling="max", random_state=3)
    assert clone(encoder).get_params() == encoder.get_params()


def test_one_layer_is_read():
    with pytest.raises(UsageError, match="a model reads one layer; gin-untrained has"):
        MoleculeEncoder("gin-untrained", layer="all").fit(["CC"])
