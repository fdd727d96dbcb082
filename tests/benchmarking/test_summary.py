import re
from dataclasses import replace

import numpy as np
from click.testing import CliRunner

from molrate.benchmarking.comparison import evaluate
from molrate.benchmarking.read import read_results
from molrate.benchmarking.summary import to_markdown
from molrate.cli.main import cli
from molrate.errors import InputError, UsageError


def test_every_row_of_a_table_has_its_columns(results):
    text = to_markdown(evaluate(read_results(results), "transrate"))
    assert text.startswith("24 fine-tunings (0.7 hours) of 6 encoders on a, r")
    tables = re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE)
    assert len(tables) == 10
    for table in tables:
        assert len({line.count("|") for line in table.strip().split("\n")}) == 1
    assert "| transrate | 1.00 | " in text
    truth = "| a | 6 | 2 | 1.00 | 1.00 | 1.00 | 0.0% | network-5 (auroc 0.851) | network-5 "
    assert f"{truth}| 0.0% | 0.0 | 14.7% | 11.8% |" in text
    assert "| all | 2 | 1.00 |" in text


def test_a_predictor_that_ties_has_no_first(results):
    outcomes = read_results(results)
    alike = replace(
        outcomes[0], predictors=outcomes[0].predictors | {"depth": np.array([0, 0, 0, 1, 1, 1.0])}
    )
    text = to_markdown(evaluate([alike, outcomes[1]], "depth"))
    assert "| network-5 (auroc 0.851) | 3 encoders alike | " in text


def test_measures_that_are_not_there_are_not_drawn(results, tmp_path):
    plot = ["evaluate", str(results), "--plot", str(tmp_path / "f.png")]
    assert CliRunner().invoke(cli, plot).exit_code == 0
    for path in (results / "scores").glob("*.csv"):
        path.unlink()
    result = CliRunner().invoke(cli, plot)
    assert result.exit_code == 0, result.output


def test_the_command(results, tmp_path):
    written = ["-o", str(tmp_path / "out"), "--plot", str(tmp_path / "f.png")]
    curves = ["--curves", str(tmp_path / "c.svg")]
    measures = ["--measure", "transrate", "--measure", "reversed"]
    result = CliRunner().invoke(cli, ["evaluate", str(results), *written, *curves, *measures])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "summary.md").read_text() == result.output
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "c.svg").read_text()
    result = CliRunner().invoke(cli, ["evaluate", str(results), "--dataset", "r"])
    assert "12 fine-tunings (0.3 hours) of 6 encoders on r," in result.output
    refused = CliRunner().invoke(cli, ["evaluate", str(results), "--plot", "f.png", "--measure", "nothing"])
    assert refused.exit_code == 2
    assert "--measure nothing: it is not in these results" in refused.output
    refused = CliRunner().invoke(cli, ["evaluate", str(results), "--reference", "nothing"])
    assert refused.exit_code == 2
    for wrong in (["--plot", str(tmp_path / "f.xyz")], ["-o", str(tmp_path / "f.png")]):
        failed = CliRunner().invoke(cli, ["evaluate", str(results), *wrong])
        assert isinstance(failed.exception, UsageError | InputError)
    unwritable = CliRunner().invoke(cli, ["evaluate", str(results), "--plot", str(tmp_path / "no" / "f.png")])
    assert unwritable.exit_code != 0
