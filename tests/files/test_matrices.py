import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from molrate.errors import InputError
from molrate.files.matrices import FeatureFile, find_features, told_apart
from molrate.files.tables import read_arrays

X = np.arange(40, dtype=float).reshape(10, 4)


def frame(**more):
    return pd.DataFrame(X, columns=list("abcd")).assign(**more)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet"])
def test_index_ids_and_targets_are_no_features(tmp_path, ending):
    table = frame(**{"": range(10), "Compound ID": range(10), "y": 1.0, "smiles": "C", "row": range(10)})
    path = tmp_path / f"f.{ending}"
    if ending == "parquet":
        table.iloc[3:].to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    (file,) = find_features(path, ["y"])
    assert file.columns == ("a", "b", "c", "d")
    np.testing.assert_array_equal(file.read(), X[3:] if ending == "parquet" else X)


def test_an_archive_of_arrays_that_python_cannot_unpack(tmp_path, encrypted):
    path = tmp_path / "f.npz"
    np.savez(path, x=X)
    (file,) = find_features(path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(X[5].tobytes(), X[6].tobytes(), 1))
    with pytest.raises(InputError, match=r"f\.npz: array x cannot be read: Bad CRC-32.*; write it again"):
        file.read()
    path.write_bytes(whole)
    encrypted(path)
    with pytest.raises(InputError, match=r"cannot be read as features: .*encrypted"):
        find_features(path)
    with pytest.raises(
        InputError, match=r"cannot be read as an \.npz of arrays \(extra_arrays=\): .*encrypted"
    ):
        read_arrays(path, "--extra-arrays")


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float64(), 4)]
)
def test_a_column_of_lists_is_a_matrix(tmp_path, kind):
    values = [*X[:9].tolist(), None]
    pq.write_table(pa.table({"id": range(10), "embedding": pa.array(values, kind)}), tmp_path / "f.parquet")
    (file,) = find_features(tmp_path / "f.parquet")
    assert (file.layer, file.shape) == ("embedding", (10, 4))
    np.testing.assert_array_equal(file.read()[:9], X[:9])
    assert file.finite().tolist() == [True] * 9 + [False]


def test_lists_of_unequal_length_and_lists_as_text(tmp_path):
    pq.write_table(pa.table({"embedding": [[1.0, 2.0], [3.0]]}), tmp_path / "f.parquet")
    (file,) = find_features(tmp_path / "f.parquet")
    with pytest.raises(InputError, match="row 2 of column embedding has 1 values where the first has 2"):
        file.read()
    pd.DataFrame({"embedding": [[1.0, 2.0]]}).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(
        InputError, match="column embedding holds lists as text; write one column a dimension"
    ):
        find_features(tmp_path / "f.csv")


def test_text_that_comes_late_and_words_for_missing_values(tmp_path):
    rows = [f"{n},{n}" for n in range(1500)]
    rows[3] = "NA,null"
    (tmp_path / "f.csv").write_text("a,b\n" + "\n".join(rows) + "\n")
    (file,) = find_features(tmp_path / "f.csv")
    assert file.shape == (1500, 2)
    assert np.flatnonzero(~file.finite()).tolist() == [3]
    rows[1200] = "n/d,1"
    (tmp_path / "f.csv").write_text("a,b\n" + "\n".join(rows) + "\n")
    (file,) = find_features(tmp_path / "f.csv")
    with pytest.raises(InputError, match=r"f\.csv: row 1201 of column a is not a number \('n/d'\)"):
        file.read()
    rows[1200] = "1"
    (tmp_path / "f.csv").write_text("a,b\n" + "\n".join(rows) + "\n")
    with pytest.raises(InputError, match=r"row 1201 \(line 1202\): 1 field where the header has 2"):
        find_features(tmp_path / "f.csv")


@pytest.mark.parametrize("name", ["{}.parquet", "part.{}.parquet", "{}-of-12.csv"])
def test_parts_stand_in_natural_order_and_what_is_not_read_is_named(tmp_path, name):
    for n in range(12):
        part, path = pd.DataFrame({"a": [float(n)]}), tmp_path / name.format(n)
        part.to_csv(path, index=False) if path.suffix == ".csv" else part.to_parquet(path)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.parquet").write_text("x")
    (file,) = find_features(tmp_path)
    assert file.read().ravel().tolist() == list(range(12))
    assert file.passed_over == (str(tmp_path / "notes.txt"),)


def test_files_of_one_stem_are_told_apart(tmp_path):
    (tmp_path / "other").mkdir()
    for path in (tmp_path / "f.csv", tmp_path / "other" / "f.csv", tmp_path / "g.csv"):
        frame().to_csv(path, index=False)
    frame().to_parquet(tmp_path / "f.parquet")
    names = [tmp_path / "f.csv", tmp_path / "f.parquet", tmp_path / "g.csv"]
    assert [file.name for file in told_apart([find_features(n)[0] for n in names])] == [
        "f.csv",
        "f.parquet",
        "g",
    ]
    both = told_apart([find_features(n)[0] for n in (tmp_path / "f.csv", tmp_path / "other" / "f.csv")])
    assert [file.name for file in both] == [str(tmp_path / "f.csv"), str(tmp_path / "other" / "f.csv")]
    with pytest.raises(InputError, match="it is given twice"):
        told_apart([find_features(tmp_path / "f.csv")[0]] * 2)


def test_columns_are_described():
    columns = ("pIC50", *(f"x{n}" for n in range(300)), "mw", "d1", "d2")
    assert FeatureFile("f", "features", (1, 1), columns).describe_columns() == "pIC50, x0 to x299, mw, d1, d2"
