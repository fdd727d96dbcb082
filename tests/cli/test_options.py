"""Options that several commands have."""

import logging

import click
import pytest
from click.testing import CliRunner

from molrate.cli.options import logging_options


@pytest.mark.parametrize(("given", "said"), [([], "WARNING: a word\n"), (["-q"], "")])
def test_quiet_holds_for_libraries_whose_loggers_have_a_level_of_their_own(given, said):
    @click.command()
    @logging_options
    def command():
        logger = logging.getLogger("a_library")
        logger.setLevel(logging.WARNING)
        logger.warning("a word")

    assert CliRunner().invoke(command, given).stderr == said
