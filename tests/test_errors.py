import os
import subprocess
import sys

import pytest

import molrate
from molrate.errors import MolrateError, UsageError


def test_errors_name_arguments_in_python():
    with pytest.raises(UsageError, match=r"unknown encoder 'x' \(encoders=\)"):
        molrate.load_encoder("x")


def test_errors_name_options_on_the_command_line():
    command = [sys.executable, "-m", "molrate", "score", "freesolv", "-e", "x"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 2
    assert "unknown encoder 'x' (--encoder)" in done.stderr


@pytest.mark.parametrize(
    ("message", "python"),
    [
        ("-o hits.csv: the suffix must be .csv", "hits.csv: the suffix must be .csv"),
        ("take another folder (-o)", "take another folder"),
        ("a dash -- here stays, and 2-o too", "a dash -- here stays, and 2-o too"),
    ],
)
def test_the_place_of_outputs_has_no_name_in_python(message, python):
    assert str(MolrateError(message)) == python


def test_a_command_to_type_keeps_its_options():
    message = "no such file (--weights); get it with `hf download a/b --revision c`"
    assert str(MolrateError(message)) == "no such file (weights=); get it with `hf download a/b --revision c`"
