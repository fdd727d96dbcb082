"""Errors molrate raises on purpose, each with the exit code the command line ends with.

Every message says what is wrong, where (file, row, option) and what to do about it. Messages are written with
the options of the command line; where molrate is used from Python they name the arguments.
"""

from __future__ import annotations

import re
import sys

_OPTION = re.compile(r"`[^`]*`|(?<![\w-])--([a-z][a-z-]*[a-z])")
"""Or a command, in backticks, which stays as it is."""
_OUTPUT = re.compile(r"(?<![\w-])-o (?=\S)| ?\(-o\)")
_ARGUMENTS = {
    "encoder": "encoders",
    "epochs": "n_epochs",
    "layers": "n_layers",
    "learning-rate": "learning_rates",
    "measure": "measures",
    "smiles-column": "smiles",
    "weight-decay": "weight_decays",
}
"""Options whose argument has another name than the option."""


def in_callers_words(message: str) -> str:
    """A message with the names of arguments in place of options, unless the command line is running.

    >>> in_callers_words("no column 'y' (--target); -o hits: it holds other files; --device gpu: no such one")
    "no column 'y' (target=); hits: it holds other files; device gpu: no such one"
    """
    if getattr(sys.modules.get("molrate.cli.main"), "running", False):
        return message
    return _OUTPUT.sub("", _OPTION.sub(_argument, message))


def _argument(option: re.Match[str]) -> str:
    if option[1] is None:
        return option[0]
    name = _ARGUMENTS.get(option[1], option[1].replace("-", "_"))
    # With a word behind it, it may be an assignment already or the subject of the sentence.
    return name if option.string[option.end() : option.end() + 1] == " " else f"{name}="


class MolrateError(Exception):
    """Base of all deliberate errors; ``exit_code`` is what the command line returns."""

    exit_code = 1

    def __str__(self) -> str:
        return in_callers_words(super().__str__())


class UsageError(MolrateError):
    """An option or argument that cannot be meant as given."""

    exit_code = 2


class InputError(MolrateError):
    """Input data that cannot be used: an unreadable file, a missing column, a constant target."""

    exit_code = 3


class WeightsError(MolrateError):
    """Weights that are missing, altered, truncated, unsafe or of another architecture."""

    exit_code = 4


class UnreachableError(WeightsError):
    """Weights that cannot be downloaded because what they are published on does not answer or serve."""


class UnsupportedMoleculeError(MolrateError):
    """A valid molecule that an encoder's input featurisation does not support."""

    exit_code = 3


PARTIAL_EXIT_CODE = 5
"""Some encoders or molecules failed; everything else was computed and written."""
