"""Errors molrate raises on purpose, each with the exit code the command line ends with.

Every message says what is wrong, where (file, row, option) and what to do about it.
"""

from __future__ import annotations


class MolrateError(Exception):
    """Base of all deliberate errors; ``exit_code`` is what the command line returns."""

    exit_code = 1


class UsageError(MolrateError):
    """An option or argument that cannot be meant as given."""

    exit_code = 2


class InputError(MolrateError):
    """Input data that cannot be used: an unreadable file, a missing column, a constant target."""

    exit_code = 3


class WeightsError(MolrateError):
    """Weights that are missing, altered, truncated, unsafe or of another architecture."""

    exit_code = 4


class UnsupportedMoleculeError(MolrateError):
    """A valid molecule that an encoder's input featurisation does not support."""

    exit_code = 3


PARTIAL_EXIT_CODE = 5
"""Some encoders or molecules failed; everything else was computed and written."""

INTERRUPTED_EXIT_CODE = 130
"""Ctrl-C, as shells report it (128 + SIGINT)."""
