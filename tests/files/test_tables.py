import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from molrate.errors import InputError
from molrate.files.library import Library
from molrate.files.matrices import table_keys
from molrate.files.tables import Table, read_table


def test_a_table_of_columns():
    table = Table.from_columns(
        {"smiles": ["C", None, b"CC"], "id": [2**63 + 1, None, 3], "y": [1.5, float("nan"), 2]}
    )
    assert table.column("smiles") == ["C", "", "CC"]
    assert table.column("id") == ["9223372036854775809", "", "3"]
    assert table.column("y") == ["1.5", "nan", "2"]
    assert len(table) == 3
    with pytest.raises(InputError, match="columns of unequal length: a 1, b 2"):
        Table.from_columns({"a": [1], "b": [1, 2]})


def test_an_index_that_was_set_is_a_column(tmp_path):
    frame = pd.DataFrame({"smiles": ["C", "CC"], "y": [1, 2]}).set_index("smiles")
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.header == ("y", "smiles")
    assert table.index == ("smiles",)
    assert table.column("smiles") == ["C", "CC"]


@pytest.mark.parametrize("rows", [slice(10, 40, 2), [7, 3, 30]])
def test_positions_that_were_filtered_are_a_column(tmp_path, rows):
    frame = pd.DataFrame({"smiles": [f"{'C' * n}" for n in range(1, 51)]}).iloc[rows]
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.header == ("smiles", "__index_level_0__")
    assert table.column("__index_level_0__") == list(map(str, frame.index))
    whole = pd.DataFrame({"smiles": ["C", "CC"]})
    whole.to_parquet(tmp_path / "whole.parquet")
    assert read_table(tmp_path / "whole.parquet").header == ("smiles",)


@pytest.mark.parametrize("start", [0, 7])
def test_an_index_that_was_set_is_a_column_where_pandas_stores_it_as_a_range(tmp_path, start):
    frame = pd.DataFrame({"smiles": ["C", "CC", "CCC"]})
    frame.index = pd.RangeIndex(start, start + 3, name="id")
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=2)
    ids = [str(start + n) for n in range(3)]
    assert pq.read_schema(tmp_path / "t.parquet").names == ["smiles"]
    assert read_table(tmp_path / "t.parquet").column("id") == ids
    assert [row.id for row in Library([str(tmp_path / "t.parquet")]).rows()] == ids
    assert table_keys(tmp_path / "t.parquet")["id"] == ids


def test_cells_of_parquet_keep_all_their_digits(tmp_path):
    columns = {
        "id": pa.array([2**53 + 1, None, 2**63 - 1], pa.int64()),
        "y": pa.array([0.1, None, 1e-7], pa.float64()),
        "text": pa.array(["a", "b", "a"]).dictionary_encode(),
        "smiles": pa.array([b"C", None, b"CC\xff"], pa.binary()),
        "list": pa.array([[1, 2], None, []]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.column("id") == ["9007199254740993", "", "9223372036854775807"]
    assert table.column("y") == ["0.1", "", "1e-07"]
    assert table.column("text") == ["a", "b", "a"]
    assert table.column("smiles") == ["C", "", "CC\\xff"]
    assert table.column("list") == ["[1, 2]", "", "[]"]


def test_rows_that_cannot_be_read_end_the_reading_unless_they_are_kept(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("smiles,y\nC,0\n\nCC\nCCC,1,2\n")
    with pytest.raises(
        InputError, match=r"row 3 \(line 4\): 1 field where the header has 2: 'CC'; 1 more rows"
    ):
        read_table(path)
    assert len(read_table(path, keep_unreadable=True)) == 4
    path.write_text("smiles,y\nC,0\n\nCC,1\n")
    assert read_table(path).column("y") == ["0", "", "1"]


def test_bytes_that_are_not_utf_8_are_noted(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_bytes(b"smiles,name\nC,a\nCC,caf\xe9\n")
    assert read_table(path).column("name") == ["a", "caf\\xe9"]
    assert (
        "1 row with bytes that are not UTF-8, the first row 2: name: not UTF-8 text (byte 0xe9)"
        in caplog.text
    )


def test_names_with_blanks_and_names_that_are_twice(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("smiles , y,a,a\nC,1,2,3\n")
    table = read_table(path)
    assert table.header == ("smiles ", " y", "a", "a")
    assert table.column("y") == ["1"]
    with pytest.raises(InputError, match=r"two columns are named a \(columns 3 and 4\); rename one"):
        table.column("a")
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        read_table(tmp_path / "d.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"smiles,y\n", "the table has no rows"),
        ("a.csv", b"smiles,y\nC,1\nC,1,2,3\n", r"row 2 \(line 3\): 4 fields where the header has 2"),
        ("a.parquet", b"PAR1 but not really", "not a Parquet file"),
        ("a.csv.gz", b"not gzip", "damaged or cut off: Not a gzipped file"),
        ("a.csv", b"smiles;y\nC;1\n", "seem to be separated by ';'"),
        ("a.tsv", b"smiles,y\nC,1\n", "seem to be separated by ','"),
        ("a.xls", b"", "unknown format; molrate reads csv"),
    ],
)
def test_bad_files_are_named_with_the_reason(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        read_table(tmp_path / name)
    assert name in str(raised.value)


def test_parquet_that_decodes_to_other_molecules_fails_its_checksum(damaged_parquet):
    with pytest.raises(InputError, match=r"l\.parquet: damaged or cut off after row 0: .*CRC checksum"):
        read_table(damaged_parquet)


def test_formats_give_the_same_table(tmp_path):
    rows = "smiles,y\nCCO,1\nNA,\n"
    (tmp_path / "a.csv").write_text(rows)
    (tmp_path / "a.tsv").write_text(rows.replace(",", "\t"))
    pd.DataFrame({"smiles": ["CCO", "NA"], "y": ["1", ""]}).to_parquet(tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        # "NA" is text here; whether it is missing is for the column's reader to say.
        table = read_table(path)
        assert (table.header, table.column("smiles"), table.column("y")) == (
            ("smiles", "y"),
            ["CCO", "NA"],
            ["1", ""],
        )
