"""``molrate download``: what it says, where it stops asking, and how it ends."""

import pytest
from click.testing import CliRunner

from molrate.cli.main import cli
from molrate.cli.signals import stopped_by_signals
from molrate.errors import UnreachableError, WeightsError
from molrate.files.downloads import Artifact


@pytest.fixture
def answers(monkeypatch, tmp_path, fresh_cache):
    """What asking for a file leads to, by name; every file asked for is listed."""
    reasons, asked = {}, []

    def locate(self, download=True, patience=None):
        asked.append(self.file)
        if self.file in reasons:
            raise reasons[self.file]
        return tmp_path / self.file

    monkeypatch.setattr(Artifact, "locate", locate)
    return reasons, asked


def run(*arguments):
    return CliRunner().invoke(cli, ["download", *arguments])


def test_size_and_licence_are_said_before_the_file_comes(answers, tmp_path):
    result = run("admet-ai-regression-3")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "admet-ai-regression-3: 1.3 MB, licence MIT, from the package index",
        f"admet-ai-regression-3: {tmp_path / 'admet-ai-regression-3.pt'}",
    ]
    said = "gcn-contextpred: 2.0 MB, licence MIT, from raw.githubusercontent.com"
    assert said in run("gcn-contextpred").stdout
    assert "chemeleon: size unknown" in run("chemeleon").stdout


def test_names_families_and_all_stand_for_each_file_once(answers, monkeypatch, tmp_path):
    _, asked = answers
    run("admet-ai-regression-1", "chemprop")
    assert asked[0] == "admet-ai-regression-1.pt"
    assert len(asked) == len(set(asked)) == 11
    asked.clear()
    fetched = []
    monkeypatch.setattr(
        "molrate.encoders.huggingface.checkpoint.find_weights",
        lambda source, download=False, patience=None: fetched.append((source, download, patience)),
    )
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert run("all", "--patience", "7").exit_code == 0
    assert len(asked) == len(set(asked)) > 25
    assert len(fetched) == 3
    assert {(download, patience) for _, download, patience in fetched} == {(True, 7)}
    for name in ("ecfp4", "grover-small-zinc", "nix"):
        result = run(name)
        assert result.exit_code == 2
        assert "no encoder whose weights are downloaded" in result.stderr


def test_a_place_that_does_not_answer_is_asked_once(answers):
    reasons, asked = answers
    reasons["admet-ai-regression-0.pt"] = UnreachableError("no connection to the package index")
    result = run("admet-ai-regression-0", "admet-ai-regression-1", "gin-masking")
    assert result.exit_code == 5
    assert asked == ["admet-ai-regression-0.pt", "gin_masking.pth"]
    assert "admet-ai-regression-1: not tried, as the package index did not answer" in result.stderr
    assert "admet-ai-regression-1" not in result.stdout


def test_one_that_is_stopped_is_gone_on_with(answers):
    reasons, _ = answers
    reasons["gin_masking.pth"] = KeyboardInterrupt()
    with stopped_by_signals() as stop:
        assert run("gin-masking").exit_code != 0
    assert stop.outlook == "what is done is kept, and the same command goes on from there"


def test_one_that_fails_does_not_keep_the_others(answers):
    reasons, asked = answers
    reasons["admet-ai-regression-0.pt"] = WeightsError("another digest")
    result = run("admet-ai-regression-0", "admet-ai-regression-1")
    assert result.exit_code == 5
    assert len(asked) == 2
    assert run("admet-ai-regression-0").exit_code == 4


def test_offline_says_so(monkeypatch, fresh_cache):
    monkeypatch.setenv("MOLRATE_OFFLINE", "1")
    result = run("admet-ai-regression-0")
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "MOLRATE_OFFLINE is set" in result.stderr


def test_models_of_the_hub_are_not_asked_for_offline(monkeypatch, fresh_cache, tmp_path):
    pytest.importorskip("transformers", reason="NOT TESTED: pip install 'molrate[hf]'")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("MOLRATE_OFFLINE", "1")
    result = run("molencoder")
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "MOLRATE_OFFLINE is set" in result.stderr


def test_what_is_here_is_verified(published_weights):
    result = run("admet-ai-regression-0", "--patience", "3")
    assert result.exit_code == 0
    assert result.stdout.startswith("admet-ai-regression-0: here already, ")
