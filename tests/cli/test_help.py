"""Help of every command at 80 columns, as committed in ``help/``.

``MOLRATE_UPDATE_HELP=1 pytest tests/cli/test_help.py`` writes those files anew; read the difference before it
is committed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from molrate.cli.main import cli
from molrate.finetuning.config import FinetuningConfig

FOLDER = Path(__file__).parent / "help"
WIDTH = 80
SETTINGS = ("standardisation", "duplicates", "layer", "pooling", "precision")


def all_commands():
    """Names as they are called, with the command of each."""
    commands = {"": cli}
    for name in cli.list_commands(None):
        command = cli.get_command(None, name)
        commands[name] = command
        for part in getattr(command, "commands", {}):
            commands[f"{name} {part}"] = command.commands[part]
    return commands


COMMANDS = all_commands()


def options_of(name):
    return [option for option in COMMANDS[name].params if isinstance(option, click.Option)]


def shown(name):
    result = CliRunner().invoke(
        cli, [*name.split(), "--help"], prog_name="molrate", terminal_width=WIDTH, color=False
    )
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_as_committed(name):
    path = FOLDER / f"{'-'.join(['molrate', *name.split()])}.txt"
    text = shown(name)
    if os.environ.get("MOLRATE_UPDATE_HELP"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_no_snapshot_is_of_a_command_that_is_gone():
    names = {"-".join(["molrate", *name.split()]) for name in COMMANDS}
    assert {path.stem for path in FOLDER.glob("*.txt")} == names


@pytest.mark.parametrize("name", COMMANDS)
def test_help_can_be_read(name):
    text = shown(name)
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    assert "\\b" not in text
    assert "\b" not in text
    examples = text[text.index("Examples:") :].splitlines()[1:]
    calls = [line.strip() for line in examples if line.startswith("    ")]
    assert 2 <= len(calls) <= 4
    assert all(f"molrate {name}".strip() in call or call.startswith("molrate ") for call in calls)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does_in_sentences(name):
    for option in options_of(name):
        assert option.help, option.name
        assert option.help[0].isupper(), option.name
        assert option.help.endswith("."), option.name
        assert len(option.help.split()) >= 3, option.name


def test_examples_name_options_that_are_there():
    for name in COMMANDS:
        text = shown(name)
        for line in text[text.index("Examples:") :].splitlines()[1:]:
            words = line.split("molrate ", 1)[-1].split()
            if not line.startswith("    ") or words[0] not in COMMANDS:
                continue
            called = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
            known = {flag for option in options_of(called) for flag in option.opts}
            given = {word for word in words if word.startswith("-") and word != "-"}
            assert given <= known, line


def test_a_letter_is_the_same_option_everywhere():
    letters = {}
    for name in COMMANDS:
        for option in options_of(name):
            long = [flag for flag in option.opts if flag.startswith("--")]
            for letter in set(option.opts) - set(long):
                letters.setdefault(letter, set()).update(long)
    assert letters == {
        "-e": {"--encoder"},
        "-t": {"--target"},
        "-m": {"--model"},
        "-o": {"--output"},
        "-q": {"--quiet"},
        "-v": {"--verbose"},
    }


def test_every_target_encoder_model_and_output_has_its_letter():
    for name in COMMANDS:
        for option in options_of(name):
            for long in ("--encoder", "--target", "--model", "--output"):
                if long in option.opts:
                    assert long[1:3] in option.opts, name


def test_finetune_and_benchmark_train_alike_by_default():
    config = FinetuningConfig()
    expected = {
        "learning_rate": config.learning_rates,
        "weight_decay": config.weight_decays,
        "batch_size": config.batch_size,
        "class_weights": config.class_weights,
        "training_precision": config.training_precision,
    }
    for name in ("finetune", "benchmark"):
        defaults = {option.name: option.default for option in options_of(name)}
        assert config.n_epochs is config.patience is None
        assert not isinstance(defaults["epochs"], int)
        assert not isinstance(defaults["patience"], int)
        assert {key: defaults[key] for key in expected} == expected


def test_settings_that_travel_are_options_of_every_command_on_the_way():
    for name in ("score", "finetune", "predict", "screen"):
        assert {option.name for option in options_of(name)} >= set(SETTINGS)
    for name in ("predict", "screen"):
        assert all(option.default is None for option in options_of(name) if option.name in SETTINGS)


def test_help_comes_at_once_and_imports_nothing_heavy():
    resource = pytest.importorskip("resource", reason="NOT TESTED: no count of processor time here")
    code = (
        "import sys, json, atexit; sys.argv = ['molrate', '--help'];"
        "heavy = ('torch', 'rdkit', 'deepchem', 'pandas', 'sklearn', 'lightning', 'matplotlib');"
        "atexit.register(lambda: print(json.dumps([n for n in heavy if n in sys.modules]), file=sys.stderr));"
        "import molrate.cli; molrate.cli.main()"
    )
    # Of the processor: others may keep it busy.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert json.loads(result.stderr) == []
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
