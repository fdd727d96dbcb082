import gzip

import pandas as pd
import pytest

from molrate.errors import InputError, UsageError
from molrate.files.output import check_output, write_atomically
from molrate.files.tables import read_table

ROWS = "smiles,y\nCCO,1\nNA,\n"


def test_formats_give_the_same_table(tmp_path):
    (tmp_path / "a.csv").write_text(ROWS)
    (tmp_path / "a.tsv").write_text(ROWS.replace(",", "\t"))
    with gzip.open(tmp_path / "a.csv.gz", "wt") as stream:
        stream.write(ROWS)
    pd.DataFrame({"smiles": ["CCO", "NA"], "y": ["1", ""]}).to_parquet(tmp_path / "a.parquet")
    tables = [read_table(path) for path in sorted(tmp_path.iterdir())]
    assert len(tables) == 4
    for table in tables:
        # "NA" is text here; whether it is missing is for the column's reader to say.
        assert table.to_dict("list") == {"smiles": ["CCO", "NA"], "y": ["1", ""]}


def test_smi_files_have_no_header_and_keep_empty_lines_as_rows(tmp_path):
    (tmp_path / "a.smi").write_text("CCO ethanol of the shelf\n\nC\n")
    table = read_table(tmp_path / "a.smi")
    assert table.to_dict("list") == {"smiles": ["CCO", "", "C"], "id": ["ethanol of the shelf", "", ""]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"smiles,y\n", "the table has no rows"),
        ("a.csv", b"smiles,y\nC,1\nC,1,2,3\n", "line 3"),
        ("a.csv", b"smiles,y\n\xff\xfeC,1\n", "not UTF-8"),
        ("a.csv", b"smiles,y\nC,1,\nCC,2,\n", "more fields than the header has names"),
        ("a.parquet", b"PAR1 but not really", "cannot be read"),
        ("a.csv.gz", b"not gzip", "cannot be read"),
        ("a.csv", b"smiles;y\nC;1\n", "seem to be separated by ';'"),
        ("a.tsv", b"smiles,y\nC,1\n", "seem to be separated by ','"),
        ("a.xlsx", b"", "unknown table format '.xlsx'; molrate reads .csv"),
    ],
)
def test_bad_files_are_named_with_the_reason(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        read_table(tmp_path / name)
    assert name in str(raised.value)


def test_parquet_that_decodes_to_other_molecules_fails_its_checksum(damaged_parquet):
    with pytest.raises(InputError, match=r"l\.parquet: cannot be read: .* CRC checksum"):
        read_table(damaged_parquet)


def test_empty_lines_are_rows_so_that_row_numbers_hold(tmp_path):
    (tmp_path / "a.csv").write_text("smiles\nC\n\nCC\n")
    assert read_table(tmp_path / "a.csv")["smiles"].tolist() == ["C", "", "CC"]


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "a.csv")


def test_outputs_are_checked_before_the_work(tmp_path):
    with pytest.raises(UsageError, match=r"suffix must be one of \.csv"):
        check_output(tmp_path / "a.txt", (".csv",))
    with pytest.raises(InputError, match="does not exist"):
        check_output(tmp_path / "none" / "a.csv", (".csv",))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        check_output(tmp_path / "folder.csv", (".csv",))


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    old = tmp_path / "a.csv"
    old.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_atomically(old, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
