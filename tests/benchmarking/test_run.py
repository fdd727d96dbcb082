import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from molrate.benchmarking import run as run_module
from molrate.benchmarking.cells import Rows
from molrate.benchmarking.run import run_benchmark, training_part
from molrate.cli.main import cli
from molrate.data.datasets import load_dataset
from molrate.errors import InputError, UsageError
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.data import TrainingData

QUICK = FinetuningConfig(learning_rates=(1e-3,), n_epochs=1, n_hidden=8, estimators=("linear",))
ENCODERS = ["ecfp4", "rdkit-descriptors"]


def run(folder, encoders=ENCODERS, seeds=(0, 1)):
    return list(
        run_benchmark(["freesolv"], encoders, folder, QUICK, seeds=seeds, measures=["transrate", "logme"])
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    return folder, run(folder)


def test_every_cell_has_a_row_and_every_encoder_its_scores(results):
    folder, outcomes = results
    rows = pd.read_csv(folder / "finetuning.csv")
    assert len(outcomes) == len(rows) == 4
    assert (rows["status"] == "ok").all()
    assert (rows["metric"] == "rmse").all()
    assert rows["test"].between(0.5, 10).all()
    for seed in (0, 1):
        scores = pd.read_csv(folder / "scores" / f"freesolv-random-{seed}.csv")
        assert set(scores["encoder"]) == set(ENCODERS)
        assert set(scores["measure"]) == {"transrate", "logme"}
        assert (scores["n"] == 642 - rows.loc[rows["seed"] == seed, "n_test"].iloc[0]).all()


def test_scores_see_nothing_of_the_test_part():
    data = TrainingData.of(load_dataset("freesolv"), seed=3)
    part = training_part(data)
    assert set(data.dataset.smiles[data.split.test]).isdisjoint(part.smiles)
    assert len(part) == len(data.split.train) + len(data.split.validation)


def test_a_killed_run_goes_on_after_its_last_whole_row(results, tmp_path):
    folder, _ = results
    lines = (folder / "finetuning.csv").read_text().splitlines(keepends=True)
    half = lines[3][: len(lines[3]) // 2]
    (tmp_path / "finetuning.csv").write_text("".join([*lines[:3], half]))
    shutil.copyfile(folder / "request.json", tmp_path / "request.json")
    assert len(run(tmp_path)) == 2
    again, before = (pd.read_csv(path / "finetuning.csv") for path in (tmp_path, folder))
    key = ["dataset", "split", "seed", "encoder"]
    again, before = (frame.sort_values(key).reset_index(drop=True) for frame in (again, before))
    np.testing.assert_allclose(again["test"], before["test"], rtol=1e-5)
    assert not run(tmp_path)


def test_an_encoder_that_comes_later_is_added(results, tmp_path):
    run(tmp_path, ["ecfp4"], seeds=(0,))
    added = run(tmp_path, ENCODERS[1:], seeds=(0,))
    assert [outcome.encoder for outcome in added] == ["rdkit-descriptors"]
    scores = pd.read_csv(tmp_path / "scores" / "freesolv-random-0.csv")
    assert set(scores["encoder"]) == set(ENCODERS)


def test_a_table_called_na_is_not_trained_again(tmp_path):
    known = load_dataset("freesolv")
    table = pd.DataFrame({"smiles": known.smiles[:60], "y": known.targets[0].values[:60]})
    table.to_csv(tmp_path / "NA.csv", index=False)
    options = {"target": ["y"], "seeds": [0], "measures": ["logme"]}
    for n_rows in (1, 0):
        found = list(run_benchmark([str(tmp_path / "NA.csv")], ["ecfp4"], tmp_path / "o", QUICK, **options))
        assert [outcome.dataset for outcome in found] == ["NA"] * n_rows


def test_errors_of_several_numbers_have_one_unit(tmp_path):
    known = load_dataset("freesolv")
    energy = known.targets[0].values[:80]
    table = pd.DataFrame({"smiles": known.smiles[:80], "kcal": energy, "cal": 1000 * energy})
    table.to_csv(tmp_path / "two.csv", index=False)
    options = {"target": ["kcal", "cal"], "seeds": [0], "measures": ["logme"], "part": "all"}
    (row,) = run_benchmark([str(tmp_path / "two.csv")], ["ecfp4"], tmp_path / "o", QUICK, **options)
    data = TrainingData.of(load_dataset(str(tmp_path / "two.csv"), ("kcal", "cal")), "random", 0)
    spread = energy[data.split.train].std()
    assert row.deviation == pytest.approx(energy[data.split.test].std() / spread)
    scores = pd.read_csv(tmp_path / "o" / "scores" / "two-random-0.csv").set_index("target")
    assert scores["spread"].to_dict() == pytest.approx({"kcal": spread, "cal": 1000 * spread})


def test_settings_are_not_mixed(results):
    folder, _ = results
    other = FinetuningConfig(learning_rates=(1e-3,), n_epochs=2, n_hidden=8)
    with pytest.raises(UsageError, match=r"datasets\.freesolv\.settings\.n_epochs \(.* before, .* now\)"):
        list(run_benchmark(["freesolv"], ENCODERS, folder, other))


def test_a_table_of_ones_own_is_named_by_its_file_and_may_have_another_budget(results, tmp_path):
    shutil.copytree(results[0], tmp_path / "results")
    source = tmp_path / "mine.csv"
    known = load_dataset("freesolv")
    table = pd.DataFrame({"smiles": known.smiles, "energy": known.targets[0].values})
    table.to_csv(source, index=False)
    longer = FinetuningConfig(learning_rates=(1e-3,), n_epochs=2, n_hidden=8)
    folder = tmp_path / "results"
    (outcome,) = run_benchmark(
        [str(source)], ["rdkit-descriptors"], folder, longer, target=["energy"], seeds=[0]
    )
    assert (outcome.dataset, outcome.target, outcome.status) == ("mine", "energy", "ok")
    assert (tmp_path / "results" / "scores" / "mine-random-0.csv").is_file()
    with pytest.raises(UsageError, match="two datasets have one name"):
        list(run_benchmark(["freesolv", "elsewhere/freesolv.csv"], ENCODERS, tmp_path, QUICK))


@pytest.fixture
def rare(tmp_path):
    """A table of two targets, one of which is rare."""
    known = load_dataset("freesolv")
    table = pd.DataFrame({"smiles": known.smiles, "energy": known.targets[0].values})
    table["rare"] = (np.arange(len(table)) % 40 == 0).astype(int)
    table.to_csv(tmp_path / "rare.csv", index=False)
    return str(tmp_path / "rare.csv")


def test_a_rare_class_does_not_end_the_grid(rare, tmp_path):
    options = {"target": ["rare"], "seeds": range(3), "measures": ["transrate"]}
    outcomes = list(run_benchmark([rare], ["gcn-untrained"], tmp_path, QUICK, **options))
    assert len(outcomes) == 3
    sizes = [set(pd.read_csv(tmp_path / "variants" / f"rare-random-{seed}.csv")["to"]) for seed in range(3)]
    assert all(np.inf in with_seed for with_seed in sizes)
    for outcome in outcomes:
        assert (outcome.status == "ok") == np.isfinite([outcome.validation, outcome.test]).all()
        assert outcome.status == "ok" or outcome.status.endswith("part: it has one class")


def test_the_same_table_in_another_folder_is_the_same(rare, tmp_path):
    options = {"target": ["energy"], "seeds": [0], "measures": ["transrate"]}
    list(run_benchmark([rare], ["ecfp4"], tmp_path / "out", QUICK, **options))
    (tmp_path / "elsewhere").mkdir()
    moved = Path(rare).rename(tmp_path / "elsewhere" / "rare.csv")
    assert list(run_benchmark([str(moved)], ["ecfp4"], tmp_path / "out", QUICK, **options)) == []


def test_another_target_under_the_same_name_is_refused(rare, tmp_path):
    options = {"seeds": [0], "measures": ["transrate"]}
    list(run_benchmark([rare], ["ecfp4"], tmp_path, QUICK, target=["energy"], **options))
    with pytest.raises(UsageError, match=r"datasets\.rare\.table.*datasets\.rare\.targets"):
        list(run_benchmark([rare], ["ecfp4"], tmp_path, QUICK, target=["rare"], **options))
    (tmp_path / "request.json").unlink()
    with pytest.raises(UsageError, match=r"finetuning\.csv and no request\.json"):
        list(run_benchmark([rare], ["ecfp4"], tmp_path, QUICK, target=["energy"], **options))


def test_scores_say_where_they_come_from(results):
    record = json.loads((results[0] / "scores" / "freesolv-random-0.csv.run.json").read_text())
    assert set(record["encoders"]) == set(ENCODERS)
    assert record["source"].startswith("data.csv (sha256:")
    assert {"versions", "encoders", "arguments"} <= set(record["run"])


def test_mistakes_are_told_before_any_work_and_failures_by_the_exit_code(rare, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="device nonsense"):
        list(run_benchmark(["freesolv"], ["ecfp4"], tmp_path, QUICK, device="nonsense"))
    with pytest.raises(UsageError, match="'typo'"):
        list(run_benchmark(["freesolv", "typo"], ["ecfp4"], tmp_path, QUICK))
    assert not (tmp_path / "scores").exists()
    monkeypatch.setattr("molrate.benchmarking.run.tune", refuse)
    failed = CliRunner().invoke(
        cli, ["benchmark", "freesolv", "-e", "ecfp4", "-o", str(tmp_path), "--seeds", "1", "--measure", "cka"]
    )
    assert failed.exit_code == 5
    assert "freesolv random 0 ecfp4: it diverged" in failed.output


def refuse(*_, **__):
    raise InputError("it diverged")


def test_a_measure_that_comes_later_is_added_and_nothing_is_done_twice(results, tmp_path, monkeypatch):
    run(tmp_path, ["ecfp4"], seeds=(0,))
    list(run_benchmark(["freesolv"], ["ecfp4"], tmp_path, QUICK, seeds=[0], measures=["loo"]))
    scores = pd.read_csv(tmp_path / "scores" / "freesolv-random-0.csv")
    assert set(scores["measure"]) >= {"transrate", "logme", "loo"}
    monkeypatch.setattr("molrate.benchmarking.run.score", None)
    assert not run(tmp_path, ["ecfp4"], seeds=(0,))


def test_a_file_that_is_not_ours_stays_whole(tmp_path):
    for content in (b"", b"one line", b"a,b\n1,2"):
        (tmp_path / "finetuning.csv").write_bytes(content)
        with pytest.raises(UsageError, match=r"finetuning\.csv and no request\.json"):
            run(tmp_path)
        with pytest.raises(InputError, match="columns are not those of a benchmark"):
            Rows(tmp_path / "finetuning.csv")
        assert (tmp_path / "finetuning.csv").read_bytes() == content


def test_encoders_trained_as_a_whole_are_scored_under_other_settings_too(tmp_path):
    (outcome, _) = run_benchmark(
        ["freesolv"], ["gcn-untrained", "ecfp4"], tmp_path, QUICK, seeds=[0], measures=["knn"]
    )
    assert outcome.n_layers == 5
    variants = pd.read_csv(tmp_path / "variants" / "freesolv-random-0.csv")
    assert set(variants["encoder"]) == {"gcn-untrained"}
    assert (variants["embedding_seconds"] > 0).all()
    full = variants[np.isinf(variants["to"]) & (variants["measure"] == "transrate")]
    assert full["n"].tolist() == [642 - outcome.n_test]


def test_scores_are_computed_on_the_device_that_is_named(tmp_path, monkeypatch):
    devices = []

    def noted(name, place):
        whole = getattr(run_module, name)

        def call(*arguments, **named):
            devices.append(named["device"] if place is None else arguments[place])
            return whole(*arguments, **named)

        monkeypatch.setattr(run_module, name, call)

    noted("score", None)
    noted("make_candidates", 3)
    monkeypatch.setattr(run_module, "choose_device", lambda device: device)
    options = {"seeds": (0,), "measures": ["logme"], "device": "cpu"}
    for part in ("scores", "variants"):
        list(run_benchmark(["freesolv"], ["gcn-untrained"], tmp_path / "r", QUICK, part=part, **options))
    assert devices == ["cpu", "cpu"]


def test_errors(tmp_path):
    with pytest.raises(UsageError, match="no encoder to benchmark"):
        run(tmp_path, [])
    with pytest.raises(UsageError, match="unknown encoder 'nobody'"):
        run(tmp_path, ["nobody"])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be (used|made)"):
        run(tmp_path / "file")


def test_the_command(tmp_path):
    arguments = ["benchmark", "freesolv", "-e", "ecfp4", "-o", str(tmp_path), "--seeds", "1", "-q"]
    quick = ["--epochs", "1", "--learning-rate", "1e-3", "--measure", "transrate"]
    result = CliRunner().invoke(cli, [*arguments, *quick])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("freesolv random 0 ecfp4: rmse ")
    assert CliRunner().invoke(cli, [*arguments, *quick]).output == ""
