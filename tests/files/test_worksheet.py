import datetime
import re
import zipfile

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


def edit_sheet(path, pattern, replacement):
    """Change the XML of the first worksheet."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name], count = re.subn(pattern, replacement, parts[name])
    assert count
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


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


@pytest.mark.parametrize("size", ["A1", "A1:B2", "A1:ZZ99"])
def test_rows_are_read_beyond_the_size_that_is_stored(save, size):
    rows = [["smiles", "y", "id"], ["C", 1, "a"], ["CC"], [], ["CCC", 3, "c"]]
    path = save(rows)
    edit_sheet(path, rb'<dimension ref="[^"]*"', f'<dimension ref="{size}"'.encode())
    found = list(Library([str(path)]).rows())
    assert [(row.number, row.text, row.id, row.error) for row in found] == [
        (1, "C", "a", ""),
        (2, "CC", "", ""),
        (3, "", "", "empty line (line 4)"),
        (4, "CCC", "c", ""),
    ]


def test_a_formula_beyond_the_size_that_is_stored_is_seen(save):
    path = save([["smiles", "y"], ["C", 1], ["CC", 2], ["CCC", "=1+2"]])
    edit_sheet(path, rb'<dimension ref="[^"]*"', b'<dimension ref="A1:B2"')
    with pytest.raises(InputError, match=r"row 3 has a formula whose value is not stored \(=1\+2\)"):
        read_table(path)


def test_rows_of_formulas_only_are_not_dropped(save):
    path = save([["smiles", "y"], ["C", 1], ["=A2", "=B2"]])
    with pytest.raises(InputError, match=r"row 2 has a formula whose value is not stored \(=A2\)"):
        read_table(path)
    path = save([["smiles", '="y"'], ["C", 1]])
    with pytest.raises(InputError, match="the header has a formula whose value is not stored"):
        read_table(path)


def test_a_formula_that_gives_an_empty_text_has_a_value(save):
    path = save([["smiles", "y", "remark"], ["C", 1, '=IF(B2>1,"x","")'], ["CC", 2, "kept"]])
    edit_sheet(path, rb'<c r="C2"( t="\w+")?>(<f>.*?</f>)<v ?/>', rb'<c r="C2" t="str">\2<v></v>')
    table = read_table(path)
    assert table.column("remark") == ["", "kept"]
    assert table.column("y") == ["1", "2"]


def test_formulas_of_empty_texts_below_the_last_row_are_no_rows(save):
    path = save([["smiles", "y"], ["C", 1], ['=""', '=""']])
    edit_sheet(path, rb"<c r=\"(\w+)\"( t=\"\w+\")?>(<f>.*?</f>)<v ?/>", rb'<c r="\1" t="str">\3<v></v>')
    assert len(read_table(path)) == 1


def test_a_sheet_that_is_damaged_further_down(save):
    path = save([["smiles", "y"], *(["C" * (n % 9 + 1), n] for n in range(3000))])
    edit_sheet(path, rb'<c r="B2500"[^>]*>', b"<c <<")
    with pytest.raises(InputError, match=r"t\.xlsx: damaged or cut off after row \d{4}: "):
        read_table(path)


def test_what_is_no_workbook_says_what_to_do(tmp_path):
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(InputError, match=r"old format \(\.xls\) or one with a password; save it as \.xlsx"):
        read_table(path)
    path.write_text("smiles,y\nC,1\n")
    with pytest.raises(
        InputError, match=r"no Excel workbook \(\.xlsx\); name it by what it is, such as \.csv"
    ):
        read_table(path)


def test_a_workbook_with_encrypted_parts(save, encrypted):
    path = save([["smiles", "y"], ["C", 1]])
    encrypted(path)
    with pytest.raises(
        InputError, match=r"cannot be read as a workbook: .*encrypted.*save it in a spreadsheet"
    ):
        read_table(path)


def test_without_openpyxl(save, monkeypatch):
    path = save([["smiles"], ["C"]])
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(UsageError, match=r'pip install "molrate\[excel\]"'):
        read_table(path)
