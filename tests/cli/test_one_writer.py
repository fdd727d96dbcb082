"""A file that one command writes is refused to all others, whichever they are."""

import threading
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from molrate.cli.main import cli
from molrate.errors import UsageError
from molrate.files.locks import exclusive_file


@contextmanager
def written_by_another(path):
    """Another thread, which is to locks what another process is, writes a file."""
    begun, ended = threading.Event(), threading.Event()

    def write():
        with exclusive_file(path):
            begun.set()
            ended.wait()

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["score", "freesolv", "-e", "ecfp4"], "out.csv"),
        (["embed", "TABLE", "-e", "ecfp4"], "out.csv"),
        (["predict", "TABLE", "-m", "MODEL"], "out.csv"),
        (["screen", "TABLE", "-m", "MODEL"], "out.csv"),
        (["screen", "TABLE", "-m", "MODEL"], "out.csv.gz"),
        (["convert", "MODEL/encoder.pt"], "out.safetensors"),
    ],
)
def test_a_file_has_one_writer(tmp_path, arguments, output):
    places = {"TABLE": tmp_path / "t.csv", "MODEL": tmp_path / "model"}
    places["TABLE"].write_text("smiles\nCCO\n")
    places["MODEL"].mkdir()
    arguments = [next((a.replace(k, str(v)) for k, v in places.items() if k in a), a) for a in arguments]
    with written_by_another(tmp_path / output):
        done = CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / output)])
    assert isinstance(done.exception, UsageError), done.output
    assert "another molrate process" in str(done.exception)
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["score", "freesolv", "-e", "ecfp4", "--plot"], "out.svg"),
        (["score", "freesolv", "-e", "ecfp4", "--report"], "out.html"),
        (["evaluate", "--plot"], "out.pdf"),
        (["evaluate", "--curves"], "out.png"),
    ],
)
def test_a_figure_or_page_has_one_writer(tmp_path, arguments, output):
    with written_by_another(tmp_path / output):
        done = CliRunner().invoke(cli, [*arguments, str(tmp_path / output)])
    assert isinstance(done.exception, UsageError), done.output
    assert "another molrate process" in str(done.exception)
    assert not (tmp_path / output).exists()
