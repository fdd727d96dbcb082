import datetime

import pytest

from molrate.errors import InputError, UsageError
from molrate.files.library import Library
from molrate.files.tables import read_table

openpyxl = pytest.importorskip("openpyxl")


@pytest.fixture
def save(tmp_path):
    def write(*sheets):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for n, rows in enumerate(sheets):
            sheet = book.create_sheet(f"s{n}")
            for row in rows:
                sheet.append(row)
        path = tmp_path / "t.xlsx"
        book.save(path)
        return path

    return write


def test_cells_are_text_as_shown(save):
    path = save(
        [["ID", "smiles", "y", "when"], [7, "CCO", 1.5, datetime.date(2026, 1, 2)], ["007", "C", 2.0, None]]
    )
    table = read_table(path)
    assert table.header == ("ID", "smiles", "y", "when")
    assert table.column("ID") == ["7", "007"]
    assert table.column("y") == ["1.5", "2"]
    assert table.column("when")[0].startswith("2026-01-02")
    assert [(row.id, row.text) for row in Library([str(path)]).rows()] == [("7", "CCO"), ("007", "C")]


def test_blank_and_long_rows(save):
    path = save([["smiles", "y"], ["C", 1], [None, None], ["CC", 2, "extra"], ["CCC", None]])
    rows = list(Library([str(path)]).rows())
    assert [row.error for row in rows] == [
        "",
        "empty line (line 3)",
        "3 cells where the header has 2 (line 4)",
        "",
    ]
    with pytest.raises(InputError, match=r"row 3 \(line 4\): 3 cells where the header has 2"):
        read_table(path)


def test_the_first_sheet_is_read_and_the_others_are_named(save, caplog):
    path = save([["smiles"], ["C"]], [["other"], ["x"]])
    assert read_table(path).column("smiles") == ["C"]
    assert "worksheet 's0' is read, not 's1'" in caplog.text
    with pytest.raises(InputError, match="no cells"):
        read_table(save([]))
    path.write_bytes(b"PK\3\4 no workbook")
    with pytest.raises(InputError, match=r"damaged or cut off|cannot be read as a workbook"):
        read_table(path)


def test_a_formula_without_a_stored_value_is_refused(save):
    path = save([["smiles", "y"], ["C", "=1+1"]])
    with pytest.raises(InputError, match=r"row 1 has a formula whose value is not stored \(=1\+1\)"):
        read_table(path)


def test_without_openpyxl(save, monkeypatch):
    path = save([["smiles"], ["C"]])
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(UsageError, match=r'pip install "molrate\[excel\]"'):
        read_table(path)
