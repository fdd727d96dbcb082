"""Code blocks of Markdown pages: found, checked against the program, and run."""

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

import molrate
from molrate.cli.main import cli, main

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<why>[^\n]+) -->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_SHELL = set("|&;<>$*`'\"(){}")
_NUMBER = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True)
class Block:
    """A fenced block: language, text, why it is not run (empty if it is), and the lines it stands on."""

    language: str
    code: str
    why: str
    start: int
    end: int


def blocks_of(text):
    """Every fenced block of a page, in order."""
    return [
        Block(
            found["language"],
            re.sub(rf"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            found["why"] or "",
            text[: found.start("code")].count("\n"),
            text[: found.end()].count("\n"),
        )
        for found in _FENCE.finditer(text)
    ]


def calls_of(code):
    """The calls of a shell block: continued lines are one, comments none."""
    lines = re.sub(r"\\\n\s*", "", code).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def check_call(call):
    """Every option of every molrate command in a line exists, and takes the value it is given."""
    for words in _molrate_calls(call):
        command, name, rest = cli, "molrate", words
        with click.Context(command, info_name=name, **command.context_settings) as context:
            while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
                found = command.get_command(context, rest[0])
                assert found is not None, f"no command {' '.join(words)!r}"
                command, rest = found, rest[1:]
                settings = command.context_settings
                context = click.Context(command, parent=context, info_name=words[0], **settings)
            values, _, _ = command.make_parser(context).parse_args(list(rest))
            for parameter in command.params:
                if isinstance(parameter.type, click.Choice) and parameter.name in values:
                    parameter.type_cast_value(context, values[parameter.name])


def _molrate_calls(call):
    lexer = shlex.shlex(call, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    part = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;<>()"):
            if "molrate" in part:
                yield part[part.index("molrate") + 1 :]
            part = []
        else:
            part.append(word)


def check_python(code):
    """It parses, and what it takes from molrate exists and has the arguments that it is given."""
    for node in ast.walk(ast.parse(code)):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            continue
        if node.value.id == "molrate":
            assert hasattr(molrate, node.attr), f"molrate.{node.attr}"
    for node in ast.walk(ast.parse(code)):
        function = node.func if isinstance(node, ast.Call) else None
        if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "molrate":
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            parameters = inspect.signature(getattr(molrate, function.attr)).parameters
            free = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
            assert free or given <= set(parameters), f"molrate.{function.attr}: {given - set(parameters)}"


def run_call(call, monkeypatch, capsys):
    """Run a line: a plain molrate command in this process, as imports take seconds; others by the shell."""
    words = shlex.split(call, comments=True)
    if words[0] == "molrate" and not _SHELL & set(call.split(" #")[0]):
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        output = capsys.readouterr()
        assert stopped.value.code in (0, None), f"{call}\nended with {stopped.value.code}\n{output.err}"
        return output.out
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-ec", call],
        env={**os.environ, "PATH": os.pathsep.join(folders), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{call}\nended with {done.returncode}\n{done.stderr}"
    return done.stdout


def without_numbers(text):
    """Words of an output: numbers and the lengths of lines differ between machines."""
    return re.sub(r"\s*N\s*", " N ", _NUMBER.sub("N", " ".join(text.split()))).replace("under N", "N")
