import bz2
import gzip
import io
import sys
import zipfile

import pyarrow as pa
import pytest

from molrate.errors import InputError
from molrate.files.formats import Format, format_of, required_format
from molrate.files.tables import read_table

TEXT = b"smiles,y\nC,1\nCC,2\n"


def zipped(*names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return stream.getvalue()


COMPRESSED = {
    "gz": gzip.compress(TEXT),
    "bz2": bz2.compress(TEXT),
    "zst": pa.Codec("zstd").compress(TEXT, asbytes=True),
    "zip": zipped("t.csv"),
}


@pytest.mark.parametrize("compression", COMPRESSED)
def test_text_is_decompressed(tmp_path, compression):
    path = tmp_path / f"t.csv.{compression}"
    path.write_bytes(COMPRESSED[compression])
    assert format_of(path) == Format("csv", compression)
    assert read_table(path).column("y") == ["1", "2"]
    path.write_bytes(COMPRESSED[compression][:-8])
    with pytest.raises(InputError, match=r"damaged or cut off|cannot be read"):
        read_table(path)


@pytest.mark.parametrize("compression", ["gz", "bz2", "zst", "zip"])
def test_compressed_data_that_is_not_named_so(tmp_path, compression):
    path = tmp_path / "t.csv"
    path.write_bytes(COMPRESSED[compression])
    with pytest.raises(InputError, match=r"not text; name it \.(csv\.(gz|bz2|zst)|zip)"):
        read_table(path)


@pytest.mark.parametrize("name", ["t.zip", "t.csv.zip"])
def test_archives_that_python_cannot_unpack(tmp_path, encrypted, deflate64, name):
    path = tmp_path / name
    path.write_bytes(zipped("t.csv"))
    encrypted(path)
    with pytest.raises(InputError, match=r"it is encrypted; unpack it with another program"):
        read_table(path)
    path.write_bytes(zipped("t.csv"))
    deflate64(path)
    with pytest.raises(InputError, match=r"Python cannot unpack it \(.*\); unpack it with another program"):
        read_table(path)


def test_damage_within_an_archive_of_lzma(tmp_path):
    path = tmp_path / "t.csv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("t.csv", TEXT * 1000)
    content = bytearray(path.read_bytes())
    content[60:120] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or cut off"):
        read_table(path)


def test_gzip_of_several_parts_is_read_to_the_end(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(TEXT) + gzip.compress(b"CCC,3\n"))
    assert read_table(path).column("y") == ["1", "2", "3"]


def test_archives_have_one_member(tmp_path):
    path = tmp_path / "t.zip"
    path.write_bytes(zipped("inner.csv", "__MACOSX/inner.csv"))
    assert read_table(path).column("smiles") == ["C", "CC"]
    path.write_bytes(zipped("a.csv", "b.csv"))
    with pytest.raises(InputError, match=r"archive of 2 files \(a\.csv, b\.csv\)"):
        read_table(path)
    path.write_bytes(zipped("a.exe"))
    with pytest.raises(InputError, match="unknown format"):
        read_table(path)


@pytest.mark.parametrize("name", ["t.xls", "t.parquet.gz", "t", "t.csv.rar", "t.gz", "t.txt"])
def test_unknown_formats(name):
    assert format_of(name) is None
    with pytest.raises(InputError, match="unknown format; molrate reads csv"):
        required_format(name)


def test_standard_input_is_bytes_of_the_format_named(monkeypatch):
    text = "smiles\ty\té\nC\t1\tü\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="ascii"))
    table = read_table("-", "tsv")
    assert table.header == ("smiles", "y", "é")
    assert table.cells(2) == ["ü"]
