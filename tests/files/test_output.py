import gzip

import pytest

from molrate.errors import InputError, UsageError
from molrate.files.output import (
    check_output,
    choose_destination,
    write_atomically,
    write_text,
    written_atomically,
)

ENDINGS = (".csv", ".csv.gz", ".parquet")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("hits.csv", "file"),
        ("hits.CSV.gz", "file"),
        ("hits.parquet", "file"),
        ("hits", "folder"),
        ("hits.csv/", "folder"),
        ("run-0.5", "folder"),
        ("v1.2", "folder"),
        (".hidden", "folder"),
        ("-", "stdout"),
    ],
)
def test_what_an_output_is_follows_from_its_name(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    assert choose_destination(name, ENDINGS, folder=True, stdout=True).kind == kind


@pytest.mark.parametrize("name", ["hits.xlsx", "hits.txt", "hits.csv.bz2", "hits.json.gz", "hits.gz"])
def test_other_endings_are_refused_with_those_there_are(tmp_path, name):
    with pytest.raises(
        UsageError, match=r"is not written; it can be a file \(\.csv, \.csv\.gz, \.parquet\) or a folder"
    ):
        choose_destination(tmp_path / name, ENDINGS, folder=True)


def test_what_a_command_does_not_write_is_refused(tmp_path):
    with pytest.raises(UsageError, match="it has no ending; it can be a file"):
        choose_destination(tmp_path / "hits", ENDINGS)
    with pytest.raises(UsageError, match="no result goes to standard output"):
        choose_destination("-", ENDINGS)
    with pytest.raises(UsageError, match=r"\.csv is not written; it can be a folder"):
        choose_destination(tmp_path / "model.csv", folder=True)
    (tmp_path / "old.csv").mkdir()
    assert choose_destination(tmp_path / "old.csv", ENDINGS, folder=True).kind == "folder"


def test_outputs_are_checked_before_the_work(tmp_path):
    with pytest.raises(UsageError, match=r"\.txt is not written"):
        check_output(tmp_path / "a.txt", (".csv",))
    with pytest.raises(InputError, match="does not exist"):
        check_output(tmp_path / "none" / "a.csv", (".csv",))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        check_output(tmp_path / "folder.csv", (".csv",))


def test_text_is_compressed_by_its_name_and_is_the_same_bytes_again(tmp_path):
    write_text(tmp_path / "a.csv.gz", "smiles\nC\n")
    first = (tmp_path / "a.csv.gz").read_bytes()
    assert gzip.decompress(first) == b"smiles\nC\n"
    write_text(tmp_path / "a.csv.gz", "smiles\nC\n")
    assert (tmp_path / "a.csv.gz").read_bytes() == first


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    old = tmp_path / "a.csv"
    old.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_atomically(old, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz"])
def test_a_stream_into_a_file_is_whole_or_not_there(tmp_path, name):
    path = tmp_path / name
    with written_atomically(path) as write:
        write(b"one,")
        assert not path.exists()
        write(b"two")
    content = path.read_bytes()
    assert (gzip.decompress(content) if name.endswith("gz") else content) == b"one,two"
    with pytest.raises(InputError, match="broken"):
        _break_off(path)
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def _break_off(path):
    with written_atomically(path) as write:
        write(b"other")
        raise InputError("broken")
