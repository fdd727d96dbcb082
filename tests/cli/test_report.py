"""``--report`` and ``--plot`` on the command line."""

import importlib.util

import pytest
from click.testing import CliRunner

from molrate.cli import report
from molrate.cli.main import cli
from molrate.errors import InputError, UsageError

SCORE = ["score", "freesolv", "-e", "ecfp4", "-q"]


def run(*arguments):
    return CliRunner().invoke(cli, list(arguments))


def test_score_writes_a_page_and_a_figure(tmp_path):
    result = run(*SCORE, "--report", str(tmp_path / "r.html"), "--plot", str(tmp_path / "r.pdf"))
    assert result.exit_code == 0, result.output
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "freesolv: which encoder to fine-tune" in page
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.pdf"]


@pytest.mark.parametrize(
    ("command", "library"),
    [
        ("score", "altair"),
        ("score", "vl_convert"),
        ("finetune", "jinja2"),
        ("select", "altair"),
        ("screen", "altair"),
    ],
)
def test_a_missing_library_is_said_before_the_work(monkeypatch, tmp_path, command, library):
    find = importlib.util.find_spec
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == library else find(name))
    (tmp_path / "l.smi").write_text("CCO a\n")
    rest = {
        "score": ["freesolv"],
        "finetune": ["freesolv", "-e", "ecfp4", "-o", str(tmp_path / "m")],
        "select": ["freesolv", "--max-jobs", "1", "-o", str(tmp_path / "m")],
        "screen": [str(tmp_path / "l.smi"), "-m", "no", "-o", str(tmp_path / "h")],
    }
    result = run(command, *rest[command], "--report", str(tmp_path / "r.html"))
    assert result.exit_code == 2
    assert 'pip install "molrate[report]"' in result.output
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "h").exists()


def test_a_page_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    wrong = run(*SCORE, "--report", str(tmp_path / "r.pdf"))
    assert isinstance(wrong.exception, UsageError)
    assert "--report" in wrong.exception.args[0]
    assert ".html" in wrong.exception.args[0]
    nowhere = run(*SCORE, "--report", str(tmp_path / "no" / "r.html"))
    assert isinstance(nowhere.exception, InputError)
    figure = run(*SCORE, "--plot", str(tmp_path / "r.html"))
    assert isinstance(figure.exception, UsageError)


def test_no_structures_is_about_the_page(tmp_path):
    result = run(*SCORE, "--no-structures")
    assert result.exit_code == 2
    assert "--no-structures is about the page of --report" in result.output


def test_a_page_of_a_library_needs_its_folder(tmp_path):
    (tmp_path / "l.smi").write_text("CCO a\n")
    out = str(tmp_path / "out.csv")
    result = run(
        "screen", str(tmp_path / "l.smi"), "-m", "m", "-o", out, "--report", str(tmp_path / "r.html")
    )
    assert result.exit_code == 2
    assert "name a folder with -o" in result.output


def test_a_page_is_there_whole_or_not_at_all(monkeypatch, tmp_path):
    path = tmp_path / "r.html"
    path.write_text("the old one")

    def fail(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr("molrate.report.page.Page.to_html", fail)
    result = run(*SCORE, "--report", str(path))
    assert isinstance(result.exception, RuntimeError)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]
