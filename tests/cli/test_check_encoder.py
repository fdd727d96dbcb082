import pytest
from click.testing import CliRunner

from molrate.cli.main import cli
from molrate.encoders import base

GOOD = """
import numpy as np
import molrate

molrate.register_encoder("lengths", lambda smiles: np.array([[len(text)] for text in smiles]))
"""
BAD = """
import numpy as np
import molrate

molrate.register_encoder("order", lambda smiles: np.arange(len(smiles), dtype=float)[:, None])
"""


@pytest.fixture(autouse=True)
def _registry(monkeypatch):
    monkeypatch.setattr(base, "_REGISTERED", {})


def check(*arguments):
    return CliRunner().invoke(cli, ["check-encoder", *map(str, arguments)])


def test_an_encoder_by_name():
    result = check("gin-untrained")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "gin-untrained:"
    assert len(lines) == 12
    assert all(line.split()[0] in ("passed", "reported", "skipped") for line in lines[1:])
    assert check("ecfp4", "-q").output == ""


def test_files_that_register_encoders(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    assert check(path).output.startswith("lengths:\n")
    path.write_text(BAD)
    result = check(path)
    assert result.exit_code == 5
    assert "FAILED    batch independence" in result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), ("1 / 0", "ZeroDivisionError"), ("x = 1", "registers no")],
)
def test_files_that_cannot_be_used(tmp_path, content, message):
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    result = check(path)
    assert message in str(result.exception)
    assert result.exception.exit_code == 2
