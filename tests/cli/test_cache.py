import pytest
from click.testing import CliRunner

import molrate
from molrate.cli.main import cli
from molrate.errors import UsageError


def run(*arguments, **options):
    return CliRunner().invoke(cli, arguments, **options)


def test_what_is_kept_is_listed_and_cleared_after_a_yes(fresh_cache):
    molrate.embed(["CCO"], "ecfp4")
    assert "embeddings         1 file" in run("cache", "list").output
    assert "cache embeddings: 1 file," in run("info").output
    declined = run("cache", "clear", "embeddings", input="n\n")
    assert (declined.exit_code, declined.stdout) == (0, "nothing was removed\n")
    assert "1 file" in run("cache", "list").output
    assert "removed embeddings" in run("cache", "clear", "--yes").output
    assert run("cache", "clear", "--yes").output == "nothing to remove\n"


def test_a_kind_that_is_none_is_refused(fresh_cache):
    with pytest.raises(UsageError, match="unknown KIND 'all'"):
        run("cache", "clear", "all", catch_exceptions=False)


def test_standard_input_without_an_answer_is_no_interrupt(fresh_cache):
    molrate.embed(["CCO"], "ecfp4")
    with pytest.raises(UsageError, match="standard input has no answer"):
        run("cache", "clear", catch_exceptions=False, input="")
    assert "1 file" in run("cache", "list").output


def test_info_says_what_a_report_needs(fresh_cache):
    output = run("info").output
    for line in ("molrate: 0", "devices: cpu", "MOLRATE_WEIGHTS: not set", "cache weights: 0 files"):
        assert line in output
    assert "ecfp4" in output
