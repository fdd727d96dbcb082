import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from rdkit import Chem

import molrate
from molrate.data.datasets import Dataset, as_dataset
from molrate.data.frames import smiles_of
from molrate.errors import InputError, UsageError

SMILES = ["C" * n for n in range(1, 31)]
Y = [float(n) for n in range(30)]
COLUMNS = {"smiles": SMILES, "y": Y}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "arrow"])
def test_frames_of_every_library_give_the_same_dataset(make):
    dataset = as_dataset(make(COLUMNS), target="y")
    assert dataset.smiles.tolist() == SMILES
    assert dataset.targets[0].values.tolist() == Y
    assert dataset.targets[0].task == "regression"
    assert dataset.source == Dataset.from_frame(pd.DataFrame(COLUMNS), "y").source


def test_a_file_and_its_frame_rank_alike(tmp_path):
    frame = pd.DataFrame({"structure": SMILES, "y": Y})
    frame.to_csv(tmp_path / "t.csv", index=False)
    encoders = ["ecfp4", "rdkit-descriptors"]
    of_file = molrate.score(tmp_path / "t.csv", target="y", encoders=encoders)
    of_frame = molrate.score(frame, smiles="structure", target="y", encoders=encoders)
    of_lists = molrate.score(SMILES, Y, encoders=encoders)
    expected = of_file.frame["value"].tolist()
    assert of_frame.frame["value"].tolist() == pytest.approx(expected)
    assert of_lists.frame["value"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    "molecules",
    [
        SMILES,
        np.array(SMILES),
        pd.Series(SMILES, index=range(5, 35)),
        [Chem.MolFromSmiles(s) for s in SMILES],
    ],
    ids=["list", "array", "series", "molecules"],
)
def test_sequences_of_molecules_take_values(molecules):
    dataset = as_dataset(molecules, pd.Series(Y, name="logP"))
    assert dataset.smiles.tolist() == SMILES
    assert [target.name for target in dataset.targets] == ["logP"]


def test_several_targets_come_as_a_matrix_or_by_name():
    matrix = np.column_stack([Y, Y])
    assert [target.name for target in as_dataset(SMILES, matrix).targets] == ["y1", "y2"]
    assert [target.name for target in as_dataset(SMILES, {"a": Y, "b": Y}).targets] == ["a", "b"]


def test_a_molecule_that_is_missing_is_an_invalid_row():
    dataset = as_dataset([None, float("nan"), *SMILES[2:]], Y)
    assert dataset.smiles.tolist()[:3] == ["", "", "CCC"]
    ranking = molrate.score(dataset, encoders=["ecfp4"])
    assert ranking.frame["n"].tolist() == [28]


def test_integers_with_gaps_stay_what_they_are():
    frame = pl.DataFrame({"smiles": SMILES, "y": Y, "id": [2**62 + 1, None, *range(28)]})
    assert as_dataset(frame, "y").ids.tolist()[0] == str(2**62 + 1)


def test_an_index_of_its_own_names_the_rows():
    frame = pd.DataFrame(COLUMNS, index=[f"m{n}" for n in range(30)])
    assert as_dataset(frame, "y").ids.tolist()[:2] == ["m0", "m1"]
    assert as_dataset(frame.reset_index(drop=True), "y").ids.tolist()[:2] == ["1", "2"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((pd.DataFrame(COLUMNS),), InputError, r"with target=; its columns are smiles, y"),
        ((pd.DataFrame(COLUMNS), "z"), InputError, r"no column 'z' \(target=\)"),
        ((pd.DataFrame({"y": Y}), "y"), InputError, "Name it with smiles="),
        ((pd.DataFrame(columns=["smiles", "y"]), "y"), InputError, "no rows"),
        ((SMILES,), UsageError, "measured values"),
        ((SMILES, Y[:3]), InputError, "3 values for 30 molecules"),
        (([1.0, 2.0], [1, 2]), UsageError, "row 1 is a float; a SMILES"),
        ((3, "y"), UsageError, "not a int"),
    ],
)
def test_what_is_no_dataset_is_refused_in_the_words_of_python(arguments, error, message):
    with pytest.raises(error, match=message):
        molrate.score(*arguments)


def test_two_columns_of_one_name_are_refused():
    frame = pd.DataFrame(np.array([SMILES, SMILES, Y], dtype=object).T, columns=["smiles", "y", "y"])
    with pytest.raises(InputError, match="two columns are named y"):
        molrate.score(frame, "y")


def test_a_dataset_is_taken_with_some_of_its_targets():
    dataset = as_dataset(SMILES, {"a": Y, "b": Y})
    assert [target.name for target in as_dataset(dataset, "b").targets] == ["b"]
    with pytest.raises(InputError, match="has no target c"):
        as_dataset(dataset, ["c"])


def test_a_single_string_is_not_taken_for_its_letters():
    with pytest.raises(UsageError, match="'CCO' is one string where a sequence"):
        Dataset.from_molecules("CCO", [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "column",
    [list, np.array, pd.Series, pd.Index, pl.Series, pa.array, lambda values: pa.chunked_array([values])],
    ids=["list", "numpy", "series", "index", "polars", "arrow", "chunked"],
)
def test_one_column_of_any_library_is_a_sequence(column):
    smiles, values = ["CCO", "CCN", "CCC"], [0.5, 1.5, 2.5]
    dataset = as_dataset(column(smiles), column(values))
    assert dataset.smiles.tolist() == smiles
    assert [target.name for target in dataset.targets] == ["y"]
    assert dataset.targets[0].values.tolist() == values


def test_a_column_keeps_its_name():
    for column in (pd.Series([1.5, 2.5], name="logP"), pl.Series("logP", [1.5, 2.5])):
        assert as_dataset(["CCO", "CCN"], column).targets[0].name == "logP"


def test_missing_values_of_pandas_are_rows_without_a_molecule():
    frame = pd.DataFrame({"smiles": [*SMILES, None], "y": [*Y, 1.0]}).convert_dtypes()
    assert frame["smiles"].iloc[-1] is pd.NA
    named = frame.assign(name=["M1", None, np.nan, pd.NA, *frame["smiles"][4:]])
    assert Dataset.from_frame(named, "y").ids[:5].tolist() == ["M1", "", "", "", SMILES[4]]
    assert Dataset.from_frame(frame, "y").smiles.tolist() == [*SMILES, ""]
    assert Dataset.from_molecules(frame["smiles"], frame["y"]).smiles[-1] == ""


def test_a_frame_may_offer_nothing_but_its_stream():
    class Stream:
        def __init__(self, table):
            self._table = table

        def __arrow_c_stream__(self, requested_schema=None):
            return self._table.__arrow_c_stream__(requested_schema)

    assert as_dataset(Stream(pa.table(COLUMNS)), "y").smiles.tolist() == SMILES


def test_an_array_of_no_dimension_is_one_string():
    with pytest.raises(UsageError, match="one string where a sequence of molecules is expected"):
        smiles_of(np.array("CCO"))
