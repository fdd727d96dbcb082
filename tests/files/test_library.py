import bz2
import gzip
import io
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from molrate.embedding.table import RowMolecules
from molrate.errors import InputError, UsageError
from molrate.files.library import Library
from molrate.files.sources import Sources


def read(*names, **options):
    return list(Library.find([str(name) for name in names], **options).rows())


def test_csv_with_rows_that_cannot_be_read(tmp_path):
    path = tmp_path / "library.csv"
    path.write_bytes(
        b"\xef\xbb\xbfname,SMILES,x\r\n"
        b"a,CCO,1\r\n"
        b"b,CC\r\n"
        b"\r\n"
        b'"c, d","CCN",2\n'
        b"e,C\0C,3\n"
        b"f,C\xffC,4\n"
        b'g,"CCC,5\n'
        b"h,c1ccccc1,6"
    )
    found = [(row.number, row.id, row.text, row.error) for row in read(path)]
    assert [(number, name, text) for number, name, text, error in found if not error] == [
        (1, "a", "CCO"),
        (4, "c, d", "CCN"),
        (5, "e", "C\0C"),
        (8, "h", "c1ccccc1"),
    ]
    assert [(number, error) for number, _, _, error in found if error] == [
        (2, "2 fields where the header has 3 (line 3)"),
        (3, "empty line (line 4)"),
        (6, "not UTF-8 text (byte 0xff)"),
        (7, "stray quote: unexpected end of data (line 8)"),
    ]
    assert found[4][2] == "C\0C"
    assert found[5][2] == "C\\xffC"


def test_smi_tsv_and_gz(tmp_path):
    (tmp_path / "a.smi").write_bytes(b"CCO ethanol and more\n\nC\n")
    with gzip.open(tmp_path / "b.tsv.gz", "wb") as file:
        file.write(b"id\tsmiles\n1\tCC\n")
    assert [row[1:5] for row in read(tmp_path / "a.smi")] == [
        (1, "ethanol and more", "CCO", ""),
        (2, "", "", "empty line"),
        (3, "", "C", ""),
    ]
    assert [row[1:5] for row in read(tmp_path / "b.tsv.gz")] == [(1, "1", "CC", "")]


def test_sdf_records(tmp_path):
    molecules = [Chem.MolFromSmiles(smiles) for smiles in ("CCO", "c1ccccc1")]
    blocks = []
    for name, molecule in zip(("first", "second"), molecules, strict=True):
        molecule.SetProp("_Name", name)
        blocks.append(Chem.MolToMolBlock(molecule) + "> <x>\n1\n\n")
    path = tmp_path / "l.sdf"
    path.write_text("$$$$\n".join([blocks[0], "\n", blocks[1]]))
    first, empty, second = read(path)
    assert (first.number, first.id, second.number, second.id) == (1, "first", 3, "second")
    assert Chem.MolToSmiles(Chem.MolFromMolBlock(second.text)) == "c1ccccc1"
    assert empty.error == "empty record (line 15)"


def test_parquet(tmp_path):
    path = tmp_path / "l.parquet"
    pd.DataFrame({"chembl_id": [7, 8, 9], "smiles": ["C", None, "CC"], "y": 0}).to_parquet(path)
    assert [row[1:5] for row in read(path)] == [(1, "7", "C", ""), (2, "8", "", ""), (3, "9", "CC", "")]
    (tmp_path / "no.parquet").write_bytes(b"PAR1 this is none")
    with pytest.raises(InputError, match=r"no\.parquet: not a Parquet file"):
        read(tmp_path / "no.parquet")
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    (tmp_path / "bad.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.parquet: damaged"):
        read(tmp_path / "bad.parquet")


def test_parquet_that_decodes_to_other_molecules_fails_its_checksum(damaged_parquet):
    with pytest.raises(InputError, match=r"l\.parquet: damaged or cut off after row 0: .*CRC checksum"):
        read(damaged_parquet)


def test_control_characters_stay_in_smiles_and_are_shown_elsewhere(tmp_path):
    (tmp_path / "l.csv").write_bytes(b"smiles,id\nC\rC,a\nCC,b\x0cb\nC\x1bC,c\n")
    pd.DataFrame({"smiles": ["C\nC", "CC"], "id": ["x\ry", "z"]}).to_parquet(tmp_path / "l.parquet")
    rows = read(tmp_path / "l.csv") + read(tmp_path / "l.parquet")
    assert [(row.text, row.id) for row in rows] == [
        ("C\rC", "a"),
        ("CC", "b\\x0cb"),
        ("C\x1bC", "c"),
        ("C\nC", "x\\x0dy"),
        ("CC", "z"),
    ]
    table = RowMolecules.read(rows, "none").table({}, {})
    assert table["smiles"].tolist() == ["C\\x0dC", "CC", "C\\x1bC", "C\\x0aC", "CC"]
    assert table["status"].tolist() == ["invalid", "ok", "invalid", "invalid", "ok"]
    assert "line break" in table["error"][3]


def test_parquet_of_other_kinds(tmp_path):
    binary = pa.table({"smiles": pa.array([b"CC", b"C\xff"], pa.binary())})
    pq.write_table(binary, tmp_path / "binary.parquet")
    spoiled = pa.table({"smiles": pa.array([b"CC", b"C\xff"], pa.binary()).cast(pa.string(), safe=False)})
    pq.write_table(spoiled, tmp_path / "spoiled.parquet")
    for name in ("binary", "spoiled"):
        assert [row.text for row in read(tmp_path / f"{name}.parquet")] == ["CC", "C\\xff"]
    twice = pa.table([pa.array(["C"]), pa.array(["CC"])], names=["smiles", "smiles"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="two columns are named smiles"):
        read(tmp_path / "twice.parquet")
    (tmp_path / "l.parquet.gz").write_bytes(b"")
    with pytest.raises(InputError, match="unknown format"):
        read(tmp_path / "l.parquet.gz")


def test_results_are_no_libraries(tmp_path):
    (tmp_path / "a.smi").write_text("C\n")
    for run in ("out", "earlier"):
        (tmp_path / run / "parts").mkdir(parents=True)
        (tmp_path / run / "parts" / "part-000000.csv").write_text("smiles\nC\n")
    (tmp_path / "earlier" / "manifest.json").write_text("{}")
    found = Library.find([str(tmp_path)], output=tmp_path / "out").sources
    assert found == [str(tmp_path / "a.smi")]


def make_results(folder):
    """What a model, a selection and two runs over libraries leave, and files of other programs."""
    noted = '{"versions": {"molrate": "0.0"}}'
    contents = {
        "model/model.json": noted,
        "model/training.smi": "C\n",
        "begun/request.json": noted,
        "begun/ranking.csv": "encoder\n",
        "hits/manifest.json": "{}",
        "hits/parts/part-000000.csv": "smiles\nC\n",
        "out/manifest.json": "{}",
        "out/parts/part-000000.csv": "smiles\nC\n",
        "out/model/model.json": noted,
        "out/model/training.smi": "C\n",
        "vendor/model.json": "[1, 2",
        "vendor/request.json": '{"url": "x"}',
        "vendor/b.smi": "CC\n",
        "a.smi": "C\n",
    }
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize(
    ("pattern", "sources", "results"),
    [
        ("", ["a.smi", "vendor/b.smi"], ["begun", "hits", "model"]),
        ("*", ["a.smi", "vendor/b.smi"], ["begun", "hits", "model"]),
        ("**/*.smi", ["a.smi", "vendor/b.smi"], ["model"]),
        ("[hv]*/**/*.[cs]*", ["vendor/b.smi"], ["hits"]),
    ],
)
def test_results_are_no_libraries_in_folders_and_where_patterns_match(tmp_path, pattern, sources, results):
    make_results(tmp_path)
    found = Sources(tmp_path / "out")
    assert found.find(f"{tmp_path}/{pattern}") == [str(tmp_path / name) for name in sources]
    said = [entry for entry in found.passed_over if "unknown format" not in entry]
    assert said == [f"{tmp_path / name} (results of another run)" for name in results]


def test_a_pattern_that_matches_results_only(tmp_path):
    make_results(tmp_path)
    for pattern in ("*/parts", "**/*.csv", "m*"):
        with pytest.raises(InputError, match="all that matches are results; name their folder itself"):
            Sources().find(f"{tmp_path}/{pattern}")


def test_results_that_are_named_are_read(tmp_path):
    make_results(tmp_path)
    for name in ("hits", "hits/parts", "hits/*/*.csv"):
        assert Sources().find(f"{tmp_path}/{name}") == [str(tmp_path / "hits/parts/part-000000.csv")]
    assert Sources().find(f"{tmp_path}/model") == [str(tmp_path / "model/training.smi")]


def test_an_output_is_no_input(tmp_path):
    (tmp_path / "a.csv").write_text("smiles\nC\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    for name, output in (("a.csv", "a.csv"), ("link.csv", "a.csv"), ("a.csv", "link.csv"), ("a.csv", ".")):
        with pytest.raises(UsageError, match=r": .* is read there; name another output"):
            Library.find([str(tmp_path / name)], output=tmp_path / output)
    (tmp_path / "link.csv").unlink()
    for name in ("", "*.csv"):
        with pytest.raises(
            UsageError, match=r"a\.csv is one of the files to be read and would be overwritten"
        ):
            Library.find([f"{tmp_path}/{name}"], output=tmp_path / "a.csv")


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_an_earlier_result_beside_its_input_is_passed_over_and_said(tmp_path, ending, caplog):
    (tmp_path / "a.smi").write_text("C\n")
    output = tmp_path / f"hits.{ending}"
    content = b"source,row,id,smiles\na.smi,1,,C\n"
    output.write_bytes(gzip.compress(content) if ending == "csv.gz" else content)
    for name in ("", "*"):
        library = Library.find([f"{tmp_path}/{name}"], output=output)
        assert library.sources == [str(tmp_path / "a.smi")]
        assert f"{output} (the output of this run)" in caplog.text
    output.write_bytes(b"\x1f\x8b damaged")
    with pytest.raises(UsageError, match="would be overwritten"):
        Library.find([str(tmp_path)], output=output)


def test_rows_before_a_failure_come_first(tmp_path):
    (tmp_path / "a.smi").write_text("C\nCC\nCCC\n")
    library = Library([str(tmp_path / "a.smi"), str(tmp_path / "gone.smi")])
    chunks = library.chunks(2, broken=True)
    assert [len(next(chunks).rows), len(next(chunks).rows)] == [2, 1]
    with pytest.raises(InputError, match="no such file"):
        next(chunks)
    whole = library.chunks(2)
    assert len(next(whole).rows) == 2
    with pytest.raises(InputError, match="no such file"):
        next(whole)


def test_a_file_named_twice_by_other_words(tmp_path):
    (tmp_path / "a.smi").write_text("C\n")
    with pytest.raises(UsageError, match="named twice"):
        read(tmp_path / "a.smi", f"{tmp_path}/../{tmp_path.name}/a.smi")


def test_labels_stand_in_a_column(tmp_path):
    (tmp_path / "l.tsv").write_text("smiles\tactive\nC\t1\nCC\t \n")
    pd.DataFrame({"smiles": ["C"], "active": [0]}).to_parquet(tmp_path / "l.parquet")
    (tmp_path / "l.smi").write_text("C\n")
    assert [row.label for row in read(tmp_path / "l.tsv", label_column="active")] == ["1", ""]
    assert [row.label for row in read(tmp_path / "l.parquet", label_column="active")] == ["0"]
    assert [row.label for row in read(tmp_path / "l.tsv")] == ["", ""]
    with pytest.raises(
        InputError, match=r"l\.smi: no column 'active' \(label_column=\); its columns are smiles, id"
    ):
        read(tmp_path / "l.smi", label_column="active")


def test_folders_globs_and_their_order(tmp_path, caplog):
    for folder in ("deep", ".hidden", "elsewhere"):
        (tmp_path / "l" / folder).mkdir(parents=True)
    for name in ("b10.smi", "b2.smi", "deep/c.smi.bz2", "notes.txt", ".backup.smi", ".hidden/d.smi", "x.ism"):
        content = b"C\n"
        (tmp_path / "l" / name).write_bytes(bz2.compress(content) if name.endswith("bz2") else content)
    (tmp_path / "l" / "elsewhere").rmdir()
    (tmp_path / "l" / "linked").symlink_to(tmp_path / "l" / "deep")
    library = Library.find([str(tmp_path / "l")])
    names = ["b2.smi", "b10.smi", "deep/c.smi.bz2"]
    assert library.sources == [str(tmp_path / "l" / name) for name in names]
    assert [row.source for row in read(tmp_path / "l" / "b*.smi")] == library.sources[:2]
    for name in ("notes.txt (unknown format)", "x.ism (unknown format)", "linked (a link to a folder"):
        assert name in caplog.text
        assert any(name in entry for entry in library.passed_over)
    assert ".backup" not in caplog.text


def test_standard_input(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(b"C methane\nCC\n"))
    monkeypatch.setattr(sys, "stdin", stream)
    assert [row[:4] for row in read("-", input_format="smi")] == [
        ("-", 1, "methane", "C"),
        ("-", 2, "", "CC"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"x,y\nC,1\n", "no SMILES column found; its columns are x, y"),
        (b"sm\xffiles\nC\n", r"no SMILES column found; its columns are sm\\xffiles"),
    ],
)
def test_headers(tmp_path, content, message):
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "l.csv")


def test_errors(tmp_path):
    (tmp_path / "l.csv").write_text("smiles,x\nC,1\n")
    with pytest.raises(InputError, match=r"no column 'z' \(id_column=\)"):
        read(tmp_path / "l.csv", id_column="z")
    with pytest.raises(InputError, match="no such file or folder"):
        read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="no file matches"):
        read(tmp_path / "*.smi")
    (tmp_path / "a.xyz").write_text("")
    with pytest.raises(InputError, match="unknown format; molrate reads csv"):
        read(tmp_path / "a.xyz")
    with pytest.raises(UsageError, match="named twice"):
        read(tmp_path / "l.csv", tmp_path)
    with pytest.raises(UsageError, match="read alone"):
        read("-", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no library in this folder"):
        read(tmp_path / "empty")


def test_a_file_that_is_cut_off_says_where(tmp_path):
    lines = "".join(f"{'C' * (number % 50 + 1)} m{number}\n" for number in range(20000)).encode()
    (tmp_path / "l.smi.gz").write_bytes(gzip.compress(lines)[:-2000])
    seen = []
    with pytest.raises(InputError, match=r"l\.smi\.gz: damaged or cut off after row (\d+)"):
        seen.extend(Library.find([str(tmp_path / "l.smi.gz")]).rows())
    vanishing = Library.find([str(tmp_path / "l.smi.gz")])
    (tmp_path / "l.smi.gz").unlink()
    with pytest.raises(InputError, match="no such file"):
        list(vanishing.rows())


@given(
    st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=30), st.integers(1, 7)
)
def test_every_line_is_a_row_whatever_it_holds(tmp_path_factory, lines, size):
    path = tmp_path_factory.mktemp("lines") / "l.csv"
    path.write_bytes(b"smiles,id\n" + b"".join(line + b"\n" for line in lines))
    chunks = list(Library.find([str(path)]).chunks(size))
    rows = [row for chunk in chunks for row in chunk.rows]
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) == len(lines) or any(line.count(b'"') for line in lines)
    if len(rows) < len(lines):
        return
    assert [len(chunk.rows) for chunk in chunks[:-1]] == [size] * max(0, len(chunks) - 1)
    assert len({chunk.digest for chunk in chunks}) == len(chunks)
    for row, line in zip(rows, lines, strict=True):
        readable = line.count(b",") == 1 and not row.error and b'"' not in line
        assert not readable or row.text == line.decode("utf-8", "surrogateescape").split(",")[0].strip()


def test_progress_goes_from_nothing_to_all(tmp_path):
    lines = "".join(f"{'C' * (number % 50 + 1)} m{number}\n" for number in range(20000))
    (tmp_path / "a.smi").write_text(lines)
    (tmp_path / "b.smi.gz").write_bytes(gzip.compress(lines.encode()))
    pd.DataFrame({"smiles": ["C"] * 200000}).to_parquet(tmp_path / "c.parquet")
    library = Library.find([str(tmp_path)])
    shares = []
    for number, _ in enumerate(library.rows()):
        if number % 5000 == 0:
            shares.append(library.share_read)
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert len({round(share, 1) for share in shares}) > 5
    assert library.share_read == 1
    assert Library(["-"]).share_read is None
