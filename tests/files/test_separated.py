import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrate.errors import InputError
from molrate.files.formats import EMPTY_LINE, Format
from molrate.files.library import Library
from molrate.files.records import open_records
from molrate.files.separated import LOOK_AHEAD_BYTES, LOOK_AHEAD_LINES
from molrate.files.tables import read_table


def records(path, name="csv"):
    with open_records(str(path), Format(name)) as opened:
        return opened.header, list(opened.rows)


def readable(path, name="csv"):
    return [list(cells) for _, _, cells, error, _ in records(path, name)[1] if not error]


def errors(path, name="csv"):
    return [(number, line, error) for number, line, _, error, _ in records(path, name)[1] if error]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=2, max_size=12)
    )
)
def test_what_pythons_csv_writes_comes_back_row_by_row(tmp_path_factory, rows):
    header, *rest = [[f"c{n}" for n in range(len(rows[0]))], *rows[1:]]
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([header, *rest])
    path.write_bytes(stream.getvalue().encode())
    found, read = records(path)
    assert list(found) == header
    assert [list(cells) for _, _, cells, error, _ in read] == rest
    assert [number for number, *_ in read] == list(range(1, len(rest) + 1))
    table = read_table(path)
    for place in range(len(header)):
        assert table.cells(place) == [row[place].strip() for row in rest]


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=12))
def test_a_stream_and_a_table_have_the_same_rows(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("both") / "t.csv"
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("id", "smiles"), *rows])
    path.write_bytes(stream.getvalue().encode())
    streamed, table = list(Library([str(path)]).rows()), read_table(path)
    assert [row.number for row in streamed] == [record[0] for record in table.records]
    assert [row.text for row in streamed] == table.column("smiles")


@pytest.mark.parametrize("quote", ['"open,1', 'x,"5" long', 'CCC,"1'])
def test_a_stray_quote_in_csv_is_its_line_and_swallows_nothing(tmp_path, quote):
    lines = [f"{'C' * n},{n}" for n in range(1, 3000)]
    lines[1500] = quote
    path = tmp_path / "t.csv"
    path.write_text("smiles,y\n" + "\n".join(lines) + "\n")
    assert [(number, line) for number, line, error in errors(path)] == [(1501, 1502)]
    assert errors(path)[0][2].startswith("stray quote")
    assert readable(path) == [line.split(",") for n, line in enumerate(lines) if n != 1500]
    with pytest.raises(InputError, match=r"t\.csv: row 1501 \(line 1502\): stray quote"):
        read_table(path)


def test_two_stray_quotes_that_would_take_in_rows_between_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('smiles,name,y\nC,"alpha,1\nCC,b,2\nCCC,c,3\nCCCC,"delta,4\nCCCCC,e,5\n')
    assert [number for number, _, _ in errors(path)] == [1, 4]
    assert [row[2] for row in readable(path)] == ["2", "3", "5"]


def test_a_quote_in_tsv_is_a_character(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text('smiles\tname\nC\t"alpha\nCC\tbeta"\nCCC\t"c"\n')
    assert readable(path, "tsv") == [["C", '"alpha'], ["CC", 'beta"'], ["CCC", '"c"']]


def test_rows_are_counted_by_records_with_their_line_beside(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('smiles,note\nC,"one\ntwo\nthree"\nCC\nCCC,x,y\n\nCCCC,z\n')
    assert errors(path) == [
        (2, 5, "1 field where the header has 2"),
        (3, 6, "3 fields where the header has 2"),
        (4, 7, EMPTY_LINE),
    ]
    assert [(number, line) for number, line, *_ in records(path)[1]] == [
        (1, 2),
        (2, 5),
        (3, 6),
        (4, 7),
        (5, 8),
    ]
    assert [row.error for row in Library([str(path)]).rows()][1] == "1 field where the header has 2 (line 5)"


def test_looking_ahead_is_bounded(tmp_path):
    for n_lines, width in ((LOOK_AHEAD_LINES + 5, 3), (20, LOOK_AHEAD_BYTES // 10)):
        path = tmp_path / f"{n_lines}.csv"
        path.write_text('smiles,note\nC,"open\n' + f"{'C' * width},x\n" * n_lines + 'CC,close"\n')
        assert [number for number, _, _ in errors(path)] == [1]
        assert len(readable(path)) == n_lines + 1
    inside = tmp_path / "inside.csv"
    inside.write_text('smiles,note\nC,"open' + "\nx" * 900 + '"\nCC,y\n')
    assert [len(row[1].split("\n")) for row in readable(inside)] == [901, 1]


def test_many_stray_quotes_take_no_longer_than_their_lines(tmp_path):
    import time

    path = tmp_path / "t.csv"
    path.write_text("smiles,y\n" + 'C,"1\nCC,2\n' * 5000)
    started = time.process_time()
    assert len(errors(path)) == 5000
    assert len(readable(path)) == 5000
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n", "its header cannot be read: empty line"),
        (b'"a,b\nC,1\n', "its header cannot be read: stray quote"),
        (b"smiles,y\rC,1\r", "carriage returns only"),
        (b"smiles;y\nC;1\n", "separated by ';'; separate them by ','"),
        (b"smiles\ty\nC\t1\n", r"separated by '\\t'"),
        ("smiles,y\nC,1\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
    ],
)
def test_headers_that_are_none(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        records(path)


def test_headers_come_back_as_they_are(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbf, smiles ,note,note,"a\nb"\n1,C,x,y,z\n')
    header, rows = records(path)
    assert header == ("", " smiles ", "note", "note", "a\\x0ab")
    assert rows[0][2] == ["1", "C", "x", "y", "z"]


def test_smi_lines_with_extensions_names_and_blanks(tmp_path):
    path = tmp_path / "t.smi"
    path.write_text(
        "C[C@H](F)Cl |&1:1,r| F620\nCCO\tname with blanks \n  CC  \n\n"
        "CCO |(0,0,;1,0,;2,1,)|\tm2\nCCO |&1:0 x\n"
    )
    assert readable(path, "smi") == [
        ["C[C@H](F)Cl |&1:1,r|", "F620"],
        ["CCO", "name with blanks"],
        ["CC", ""],
        ["CCO |(0,0,;1,0,;2,1,)|", "m2"],
        ["CCO |&1:0 x", ""],
    ]
    assert errors(path, "smi") == [(4, 4, EMPTY_LINE)]


def test_bytes_that_are_not_utf_8_cost_their_cell(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"smiles,name\nC,caf\xe9\nC\xff,x\nCC,y\n")
    rows = list(Library([str(path)]).rows())
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert rows[0].note == "name: not UTF-8 text (byte 0xe9)"
    assert rows[0].id == "caf\\xe9"
    assert rows[1].error.startswith("not UTF-8 text (byte 0xff)")
    assert rows[1].text == "C\\xff"
    assert read_table(path).column("name") == ["caf\\xe9", "x", "y"]
