"""Documentation that cannot drift from the program."""

import doctest
import importlib
import re
import signal
from pathlib import Path

import click
import pytest

from molrate.cli.main import cli
from molrate.errors import PARTIAL_EXIT_CODE, InputError, UsageError, WeightsError
from molrate.measures import MEASURES
from molrate.ranking.ranking import COLUMNS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def options(command):
    found = {option for parameter in command.params for option in getattr(parameter, "opts", [])}
    return {option for option in found if option.startswith("-")}


def test_every_command_is_in_the_readme():
    for name in cli.list_commands(None):
        assert f"molrate {name}" in README


def test_every_option_the_readme_names_exists():
    known = set().union(*(options(cli.get_command(None, name)) for name in cli.list_commands(None)))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README))
    assert named <= known


@pytest.mark.parametrize("name", ["Snakefile", "screening.nf"])
def test_every_option_of_a_workflow_exists(name):
    text = (ROOT / "docs" / "workflows" / name).read_text(encoding="utf-8")
    lines = re.sub(r"\\\n|\"\n +\"", " ", text)
    commands = re.findall(r"molrate (score|finetune|screen) (.*?)(?:\|\||$)", lines, re.M)
    assert {command for command, _ in commands} == {"score", "finetune", "screen"}
    for command, arguments in commands:
        named = set(re.findall(r"(?<!\S)-{1,2}[a-z][a-z-]*", arguments))
        assert named
        assert named <= options(cli.get_command(None, command))


@pytest.mark.parametrize("name", cli.list_commands(None))
def test_every_option_has_help(name):
    command = cli.get_command(None, name)
    assert command.help
    options_of = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options_of if not option.help] == []


def test_exit_codes_are_those_of_the_readme():
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.M)}
    assert codes == {
        0,
        1,
        UsageError.exit_code,
        InputError.exit_code,
        WeightsError.exit_code,
        PARTIAL_EXIT_CODE,
        128 + signal.SIGINT,
        128 + signal.SIGTERM,
    }


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"make ([a-z]+)  +#", README)) == {"score", "test"}
    pages = [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.yml")]
    named = {
        name for page in pages for name in re.findall(r"(?:`|run: )make ([a-z-]+)", page.read_text("utf-8"))
    }
    assert {"score", "test"} | named <= targets
    assert {"docs", "lint", "test", "wheel"} <= named


@pytest.mark.parametrize("module", ["molrate", "molrate.embedding.transformer"])
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_measure_stands_in_its_page_word_for_word():
    page = " ".join((ROOT / "docs" / "measures.md").read_text(encoding="utf-8").split())
    for name in MEASURES:
        assert f"### `{name}`: {MEASURES[name].title}" in page
        assert MEASURES[name].about in page


def test_the_columns_of_a_ranking_are_explained():
    page = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    plain = {"dataset", "target", "task", "measure", "encoder", "kind", "layer", "pooling"}
    plain |= {"n", "dimension", "classes", "smallest_class", "seconds"}
    assert [name for name in COLUMNS if name not in plain and f"`{name}`" not in page] == []
