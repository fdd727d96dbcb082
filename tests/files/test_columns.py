import pytest

from molrate.errors import InputError
from molrate.files.columns import (
    find_column,
    find_id,
    find_smiles,
    is_about_rows,
    names_beside,
    natural_key,
)


@pytest.mark.parametrize(
    ("header", "place"),
    [
        (["x", "SMILES"], 1),
        (["canonical_smiles", "smiles"], 1),
        (["x", " Canonical Smiles "], 1),
        (["Structure", "mol"], 1),
    ],
)
def test_smiles_are_found_by_usual_names(header, place):
    assert find_smiles(header, "t.csv") == place


@pytest.mark.parametrize("header", [["smiles", "smiles"], ["smiles", "SMILES "], ["x", "smiles", "Smiles"]])
def test_two_columns_of_smiles_are_refused(header):
    with pytest.raises(InputError, match=r"two columns are named .*rename one or name the one to take"):
        find_smiles(header, "t.csv")
    assert find_smiles(["smiles", "SMILES"], "t.csv", "SMILES") == 1


@pytest.mark.parametrize(
    "name", ["id", "ID", "Name", "mol_id", "Compound ID", "chembl-id", "ZINC_ID", "Molecule ChEMBL ID", "CID"]
)
def test_identifiers_are_found_by_usual_names(name):
    assert find_id(["smiles", name], "t.csv") == 1
    assert find_id(["smiles", "y"], "t.csv") is None


def test_columns_are_named_without_the_blanks_around_them():
    assert find_column(["smiles", " y "], "y", "t.csv", "--target") == 1
    assert find_column(["smiles", "y", " y "], "y", "t.csv", "--target") == 1
    with pytest.raises(InputError, match=r"two columns are named y \(columns 2 and 3\); rename one"):
        find_column(["smiles", "y", "y"], "y", "t.csv", "--target")
    with pytest.raises(InputError, match=r"t\.csv: no column 'Y' \(target=\); its columns are '', y"):
        find_column(["", "y"], "Y", "t.csv", "--target")


def test_columns_about_rows_are_no_features():
    about = ["", "Unnamed: 0", "__index_level_0__", "index", "row", "Compound ID", "SMILES", "status", "note"]
    assert all(map(is_about_rows, about))
    assert not any(map(is_about_rows, ["x0", "pIC50", "mw", "y"]))


def test_results_give_way_to_columns_of_a_table_unless_they_are_predictions():
    results = ["canonical_smiles", "predicted_y", "low_y", "similarity", "status", "error", "note"]
    assert list(names_beside(results, ["smiles", "error", 7], "t.csv").values()) == [
        *results[:5],
        "molrate_error",
        "note",
    ]
    for header in (["low_y"], ["status", "molrate_status"]):
        with pytest.raises(InputError, match=rf"t\.csv: it has a column '{header[-1]}' already"):
            names_beside(results, header, "t.csv")


def test_numbers_in_names_sort_as_numbers():
    names = ["part.10.parquet", "part.2.parquet", "part.1.parquet", "a2b10", "a2b9", "01", "1"]
    assert sorted(names, key=natural_key) == [
        "01",
        "1",
        "a2b9",
        "a2b10",
        "part.1.parquet",
        "part.2.parquet",
        "part.10.parquet",
    ]
