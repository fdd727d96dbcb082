import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import molrate
from molrate.cli.main import cli
from molrate.data.molecules import standardise
from molrate.encoders import base
from molrate.errors import InputError, UsageError, WeightsError
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.data import TrainingData
from molrate.models.metrics import target_metrics
from molrate.models.model import TunedModel
from molrate.report.model import model_page
from molrate.selection.budget import Clock, Costs, TimeUpError
from molrate.selection.candidates import Candidate
from molrate.selection.jobs import Job, JobFolder
from molrate.selection.memory import watched
from molrate.selection.race import Race
from molrate.selection.result import Outcome, read_selection, write_selection
from molrate.selection.run import run_selection

QUICK = FinetuningConfig(n_epochs=1, n_hidden=8, estimators=("linear",))
ENCODERS = ["gcn-untrained"]
N_JOBS = 10


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """120 molecules of ESOL: numbers, and two classes."""
    dataset = molrate.load_dataset("esol")
    y = dataset.targets[0].values[:120]
    frame = pd.DataFrame({"smiles": dataset.smiles[:120], "y": y})
    frame["soluble"] = np.where(y > np.median(y), "yes", "no")
    path = tmp_path_factory.mktemp("table") / "esol.csv"
    frame.to_csv(path, index=False)
    return path


def select_quickly(table, folder, target="y", max_jobs=N_JOBS, seconds=None, config=QUICK, **options):
    data = TrainingData.of(molrate.load_dataset(table, target))
    options = {"encoders": ENCODERS, "device": "cpu", **options}
    if seconds is not None:
        max_jobs = None
    return run_selection(data, folder, config, Clock(seconds), max_jobs=max_jobs, **options)


@pytest.fixture(scope="module")
def uninterrupted(table, tmp_path_factory):
    torch.set_num_threads(1)
    return select_quickly(table, tmp_path_factory.mktemp("whole") / "m")


def without_times(found):
    board = found.leaderboard.drop(columns=["seconds", "mebibytes"])
    return json.loads(board.to_json(orient="records")), found.record


def assert_same(found, other, table):
    assert without_times(found) == without_times(other)
    smiles = pd.read_csv(table)["smiles"].tolist()
    pd.testing.assert_frame_equal(found.model.predict(smiles), other.model.predict(smiles))


def test_the_model_is_an_ensemble_that_predicts_what_was_measured(table, uninterrupted):
    found = uninterrupted
    record = found.model.record
    assert len(found.model.members) == len(found.record["folds"]) > 1
    test = np.array(record["split"]["test"])
    predicted = found.model.predict(pd.read_csv(table)["smiles"].tolist()).loc[test, "predicted_y"]
    target = molrate.load_dataset(table, "y").targets[0].take(test)
    rmse = target_metrics(target, predicted.to_numpy())["rmse"]
    assert found.record["comparison"]["rows"][0]["value"] == pytest.approx(rmse, rel=1e-5)
    # Bounds are of molecules that chose nothing.
    errors = np.sort(np.abs(target.values - predicted.to_numpy()))
    np.testing.assert_allclose(record["calibration"]["y"], errors, rtol=1e-4, atol=1e-5)


@pytest.fixture
def knowing(table, monkeypatch):
    """Name of an encoder that was trained on the values of the table, and gives them back."""
    monkeypatch.setattr(base, "_REGISTERED", {})
    values = pd.read_csv(table).drop_duplicates("smiles").set_index("smiles")["y"]
    known = {standardise([text]).canonical[0]: value for text, value in values.items()}
    molrate.register_encoder(
        "knowing", lambda smiles: [[known[text]] for text in smiles], trained_on=values.index
    )
    return "knowing"


def test_of_an_encoder_that_has_seen_the_labels_the_test_part_is_said_to_prove_little(
    table, tmp_path, knowing, caplog
):
    found = select_quickly(table, tmp_path / "m", max_jobs=3, encoders=[knowing])
    assert found.record["model"] == knowing
    told = "Trained on measurements of these molecules: knowing of 100%. What is shown of it may be too good"
    assert f"{told}; molrate select --exclude-contaminated leaves such encoders out." in caplog.text
    assert f"{told}." in found.record["notes"]
    assert f"note: {told}." in " ".join(str(found).split())
    card = (tmp_path / "m" / "README.md").read_text()
    assert f"\n{told}." in card.split("## Error")[1].split("## ")[0]
    data = TrainingData.of(molrate.load_dataset(table, "y"))
    assert model_page(found.model, data, selection=found).to_html().count(told) == 2


def test_encoders_that_have_seen_the_labels_or_of_another_licence_are_left_out_when_asked(
    table, tmp_path, knowing, caplog
):
    options = {"max_jobs": 3, "encoders": [knowing, *ENCODERS]}
    found = select_quickly(table, tmp_path / "m", exclude_contaminated=True, **options)
    assert knowing not in found.leaderboard["model"].tolist()
    assert ENCODERS[0] in found.leaderboard["model"].tolist()
    assert "left out, as they may have seen the labels: knowing" in caplog.text
    with pytest.raises(UsageError, match=r"exclude_contaminated \(true before, false now\)"):
        select_quickly(table, tmp_path / "m", **options)
    with pytest.raises(UsageError, match="unknown licence"):
        select_quickly(table, tmp_path / "other", licence="free", **options)
    assert not (tmp_path / "other").exists()


def test_jobs_are_as_many_as_asked_for_and_test_molecules_are_in_none(uninterrupted):
    jobs = [json.loads(path.read_text()) for path in (uninterrupted.folder / "jobs").glob("*.json")]
    assert len(jobs) == N_JOBS
    test = set(uninterrupted.model.record["split"]["test"])
    assert all(not test & set(job["rows"]) for job in jobs)
    assert sum(uninterrupted.leaderboard["seconds"]) == pytest.approx(
        sum(job["seconds"] for job in jobs), abs=0.5
    )


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone tells the memory")
def test_the_most_memory_is_of_the_block_alone():
    with watched() as before:
        pass
    with watched() as large:
        held = np.ones(25 * 2**20)
    del held
    with watched() as after:
        pass
    assert large.mebibytes - before.mebibytes > 190
    assert large.mebibytes - after.mebibytes > 190


def test_the_leaderboard_is_of_the_jobs(uninterrupted):
    board = uninterrupted.leaderboard.set_index("model")
    values = {}
    for path in (uninterrupted.folder / "jobs").glob("*.json"):
        job = json.loads(path.read_text())
        candidate = job["job"]["candidate"]
        model = candidate["encoder"] + " + descriptors" * candidate["descriptors"]
        values.setdefault((model, candidate["mode"]), []).append(job["value"])
    assert len(values) > 3
    for (model, mode), of_mode in values.items():
        column = "fine_tuned" if mode == "fine-tuned" else "frozen"
        assert board.loc[model, f"{column}_mean"] == pytest.approx(np.mean(of_mode))
        if len(of_mode) > 1:
            assert board.loc[model, f"{column}_sd"] == pytest.approx(np.std(of_mode, ddof=1))
    best = board.iloc[0]
    assert best["difference"] == 0
    assert best["tier"] == 1


def test_the_best_encoder_is_tried_with_descriptors_too(uninterrupted):
    board = uninterrupted.leaderboard.set_index("model")
    assert board.loc["gcn-untrained + descriptors", "folds"] == 2
    assert board.loc["gcn-untrained + descriptors", "mean"] < board.loc["gcn-untrained", "mean"]


@pytest.mark.parametrize("mode", ["fine-tuned", "frozen"])
def test_members_of_a_network_predict_what_their_jobs_did(table, tmp_path, uninterrupted, mode):
    folder, leader = uninterrupted.folder, Candidate("gcn-untrained", mode, descriptors=mode == "fine-tuned")
    data = TrainingData.of(molrate.load_dataset(table, "y"))
    folds = data.folds(5, QUICK.seed)
    request = json.loads((folder / "request.json").read_text())
    jobs = JobFolder(folder / "jobs", data, folds, QUICK, "cpu", request)
    race = Race(data, folds, jobs.metric, [leader], jobs.result)
    outcome = Outcome(leader, race, uninterrupted.leaderboard, "jobs")
    found = write_selection(tmp_path, data, QUICK, jobs, outcome, structures=True)
    model = TunedModel.load(tmp_path)
    assert found.record["model"] == leader.name
    assert len(model.members) == 2
    by_member = model.outputs(data.molecules, "cpu").by_member
    for fold, predicted in enumerate(by_member):
        rows = np.sort(folds[fold].test)
        expected = jobs.result(Job(leader, fold)).predicted
        np.testing.assert_allclose(predicted[rows], expected, rtol=1e-4, atol=1e-5)
    assert len(model.training) == len(data.split.train) + len(data.split.validation)


def test_a_layer_that_the_score_speaks_for_is_raced_and_can_be_the_model(table, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "molrate.selection.run.better_layers", lambda expectations, last: dict.fromkeys(last, "layer-1")
    )
    found = select_quickly(table, tmp_path / "m", max_jobs=5)
    board = found.leaderboard.set_index("model")
    assert board.loc["gcn-untrained layer-1", "folds"] == 1
    data = TrainingData.of(molrate.load_dataset(table, "y"))
    folds = data.folds(5, QUICK.seed)
    request = json.loads((found.folder / "request.json").read_text())
    jobs = JobFolder(found.folder / "jobs", data, folds, QUICK, "cpu", request)
    leader = Candidate("gcn-untrained", "frozen", layer="layer-1")
    race = Race(data, folds, jobs.metric, [leader], jobs.result)
    outcome = Outcome(leader, race, found.leaderboard, "jobs")
    written = write_selection(tmp_path / "w", data, QUICK, jobs, outcome, structures=True)
    assert written.model.settings["layer"] == "layer-1"
    rows = np.sort(folds[0].test)
    job = jobs.result(Job(leader, 0))
    assert job.predicted != pytest.approx(jobs.result(Job(replace(leader, layer="last"), 0)).predicted)
    predicted = written.model.outputs(data.molecules, "cpu").mean[rows]
    np.testing.assert_allclose(predicted, job.predicted, rtol=1e-4, atol=1e-5)


def test_when_descriptors_win_one_sentence_says_so(table, tmp_path):
    found = select_quickly(table, tmp_path / "m", max_jobs=4)
    assert found.leaderboard["model"].iloc[0] == "rdkit-descriptors"
    assert found.answer.startswith("Use descriptors: rdkit-descriptors with a linear model predicts")
    assert "no encoder that was tried is better" in found.answer
    card = (tmp_path / "m" / "README.md").read_text()
    assert found.answer in card
    for word in ("sha256", "random split", "95 % interval", "conformal", "similarity", "Licence", "seed 0"):
        assert word in card


@pytest.mark.parametrize(
    ("target", "claim"),
    [
        ("noise", "to predict noise better than its mean: test rmse "),
        ("coin", "to predict coin better than a guess: test auroc "),
    ],
)
def test_where_nothing_helps_the_answer_says_so_first(table, tmp_path, target, claim):
    generator = np.random.default_rng(0)
    frame = pd.read_csv(table)
    frame["noise"] = generator.normal(size=len(frame))
    frame["coin"] = generator.choice(["yes", "no"], len(frame))
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = select_quickly(tmp_path / "t.csv", tmp_path / "m", target, max_jobs=2, encoders=["ecfp4"])
    assert found.answer.startswith(f"The best of what was tried is not shown {claim}")
    assert f", on {found.record['comparison']['n']} molecules. It is " in found.answer
    assert "Use " not in found.answer
    card = (tmp_path / "m" / "README.md").read_text().splitlines()
    assert card[card.index("# " + target + ": " + found.model.record["encoder"]["name"]) + 2] == found.answer


def test_few_test_molecules_show_nothing(table, tmp_path):
    pd.read_csv(table).iloc[:45].to_csv(tmp_path / "t.csv", index=False)
    found = select_quickly(tmp_path / "t.csv", tmp_path / "m", max_jobs=2, encoders=["ecfp4"])
    assert found.record["comparison"]["n"] == 9
    assert "better than its mean, for which 9 test molecules are too few. It is " in found.answer


@pytest.mark.parametrize("stop_at", [1, 10])
def test_an_interrupted_run_keeps_its_best_and_ends_as_an_uninterrupted_one(
    table, tmp_path, uninterrupted, stop_at
):
    news = []

    def interrupt(update):
        news.append(update)
        if len(news) == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select_quickly(table, tmp_path / "m", progress=interrupt)
    if stop_at > 1:
        model = TunedModel.load(tmp_path / "m")
        assert model.predict(["CCO"])["status"].tolist() == ["ok"]
        assert json.loads((tmp_path / "m" / "selection.json").read_text())["ended"] == "interrupted"
    assert_same(select_quickly(table, tmp_path / "m"), uninterrupted, table)


def test_what_is_done_is_not_done_again(table, tmp_path, uninterrupted):
    news = []
    again = select_quickly(table, uninterrupted.folder, progress=news.append)
    assert news == []
    assert without_times(again) == without_times(uninterrupted)


def start(table, folder):
    """The same selection in another process."""
    code = (
        "import sys; sys.path[:0] = sys.argv[3:]; import torch; torch.set_num_threads(1);"
        "from test_select import select_quickly; select_quickly(sys.argv[1], sys.argv[2])"
    )
    here = os.path.dirname(__file__)  # noqa: PTH120
    return subprocess.Popen([sys.executable, "-c", code, str(table), str(folder), here])


def test_a_killed_run_ends_as_an_uninterrupted_one(table, tmp_path, uninterrupted):
    process = start(table, tmp_path / "m")
    while not list((tmp_path / "m").glob("jobs/*.json")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert_same(select_quickly(table, tmp_path / "m"), uninterrupted, table)


def test_two_processes_share_a_folder(table, tmp_path, uninterrupted):
    process = start(table, tmp_path / "m")
    while not list((tmp_path / "m").glob("jobs/*.json")) and process.poll() is None:
        time.sleep(0.01)
    news = []
    found = select_quickly(table, tmp_path / "m", progress=news.append)
    assert process.wait() == 0
    ended = [update for update in news if update.result is not None]
    assert 0 < len(ended) < N_JOBS
    assert len(list((tmp_path / "m").glob("jobs/*.json"))) == N_JOBS
    assert_same(found, uninterrupted, table)


@pytest.mark.parametrize("expected", ["as predicted", "too short"])
def test_the_deadline_holds_however_long_a_job_is(table, tmp_path, monkeypatch, expected):
    """A job that cannot end in time is not begun, and one that was expected to is stopped."""
    if expected == "too short":
        monkeypatch.setattr(Costs, "predicted", lambda *_: 0.1)
    endless = replace(QUICK, n_epochs=100_000, patience=100_000)
    began, begun = time.monotonic(), []
    found = select_quickly(
        table,
        tmp_path / "m",
        seconds=9,
        config=endless,
        progress=lambda update: begun.append(update.job.candidate.mode),
    )
    assert time.monotonic() - began < 9 + 2
    assert ("fine-tuned" in begun or "frozen" in begun) == (expected == "too short")
    assert found.record["ended"] == "time"
    assert found.model.predict(["CCO"])["status"].tolist() == ["ok"]


def test_no_model_in_the_time_is_an_error(table, tmp_path):
    with pytest.raises(InputError, match="give more"):
        select_quickly(table, tmp_path / "m", seconds=0.01)


def test_classes_and_no_structures(table, tmp_path):
    found = select_quickly(table, tmp_path / "m", target="soluble", max_jobs=4, structures=False)
    assert found.leaderboard["metric"].unique().tolist() == ["auroc"]
    assert (tmp_path / "m" / "training.smi").read_text() == ""
    assert not [path for path in (tmp_path / "m").rglob("training.smi") if path.read_text()]
    predicted = found.model.predict(["CCO"])
    assert predicted["predicted_soluble=yes"].between(0, 1).all()
    assert predicted["similarity"].isna().all()
    card = (tmp_path / "m" / "README.md").read_text()
    assert "No training molecule is in this folder" in card
    smiles = [text for text in pd.read_csv(table)["smiles"] if len(text) > 12]
    whole = b"".join(path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file())
    assert not [text for text in smiles if text.encode() in whole]


def confidential(path, table):
    """The table with SMILES that are none, and the texts that no file is to hold."""
    frame = pd.read_csv(table).iloc[:60]
    written = frame["smiles"].tolist()
    texts = [text for text in [*written, *standardise(written).canonical] if len(text) > 12]
    frame.loc[[5, 20], "smiles"] = ["SECRETc1ccccc1(", "CCCCCCN(=O)(C)(C)(C)SECRET"]
    frame.to_csv(path, index=False)
    return path, [*texts, "SECRET"]


def files_with(folder, texts):
    held = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [path.name for path, content in held.items() if any(text.encode() in content for text in texts)]


def test_without_structures_invalid_smiles_are_named_by_their_rows(table, tmp_path):
    path, texts = confidential(tmp_path / "t.csv", table)
    found = select_quickly(path, tmp_path / "m", max_jobs=2, structures=False)
    assert files_with(found.folder, texts) == []
    note = "2 invalid SMILES left out: row 6; row 21"
    assert note in found.model.record["notes"]
    assert note in (found.folder / "README.md").read_text()
    quoting = select_quickly(path, tmp_path / "q", max_jobs=2)
    assert "row 6 'SECRETc1ccccc1(': SMILES syntax error" in (quoting.folder / "README.md").read_text()


def test_without_structures_no_reason_of_a_failed_encoder_quotes_a_molecule(table, tmp_path, monkeypatch):
    def refuse(smiles):
        raise ValueError(f"cannot read {smiles[0]}")

    monkeypatch.setattr(base, "_REGISTERED", {})
    path, texts = confidential(tmp_path / "t.csv", table)
    molrate.register_encoder("select-refuses", refuse)
    for structures in (True, False):
        options = {"encoders": ["ecfp4", "select-refuses"], "max_jobs": 1, "structures": structures}
        found = select_quickly(path, tmp_path / str(structures), **options)
        assert ("ranking.csv" in files_with(found.folder, texts)) is structures
    assert files_with(tmp_path / "False", texts) == []


def test_without_structures_a_failed_job_does_not_quote_a_molecule(table, tmp_path, monkeypatch):
    data = TrainingData.of(molrate.load_dataset(table, "y"))
    smiles = data.dataset.smiles[0]

    def later(smiles_of_all):
        raise ValueError(f"no room for {smiles}")

    monkeypatch.setattr(base, "_REGISTERED", {})
    molrate.register_encoder("select-fails", later)
    for structures in (True, False):
        folder, folds = tmp_path / str(structures), data.folds(5, 0)
        jobs = JobFolder(folder, data, folds, QUICK, "cpu", {}, structures=structures)
        error = jobs.run(Job(Candidate("select-fails", "estimated"), 0)).error
        assert (smiles in error) is structures


def test_a_resumed_run_whose_jobs_are_all_done_is_no_longer_interrupted(table, tmp_path):
    def interrupt(update):
        if update.result is not None and len(list((tmp_path / "m").glob("jobs/*.json"))) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select_quickly(table, tmp_path / "m", max_jobs=5, progress=interrupt)
    assert json.loads((tmp_path / "m" / "selection.json").read_text())["ended"] == "interrupted"
    found = select_quickly(table, tmp_path / "m", max_jobs=3)
    assert found.record["ended"] == "jobs"
    assert json.loads((tmp_path / "m" / "selection.json").read_text())["ended"] == "jobs"


@pytest.mark.parametrize("times", [1, 3])
def test_a_table_too_small_is_refused_before_anything_is_written(table, tmp_path, times):
    few = pd.read_csv(table).iloc[:24]
    pd.concat([few] * times).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="'y' has 24 labelled valid molecules, 5 of them in the test"):
        select_quickly(tmp_path / "t.csv", tmp_path / "m", max_jobs=1)
    assert not (tmp_path / "m").exists()


def test_a_test_part_of_scaffolds_that_is_no_fifth_is_told(tmp_path, caplog):
    """Chains on benzene, chains on pyrrole, and single rings, of which four are the test part."""
    smiles = ["C" * n + "c1ccccc1" for n in range(1, 21)]
    smiles += ["C" * n + "n1cccc1" for n in range(1, 10)] + ["C1" + "C" * n + "1" for n in range(2, 14)]
    pd.DataFrame({"smiles": smiles, "y": np.arange(41.0)}).to_csv(tmp_path / "t.csv", index=False)
    dataset = molrate.load_dataset(tmp_path / "t.csv", "y")
    for split, is_told in (("scaffold", True), ("random", False)):
        caplog.clear()
        options = {"encoders": ["ecfp4"], "device": "cpu", "max_jobs": 1}
        run_selection(TrainingData.of(dataset, split), tmp_path / split, QUICK, Clock(None), **options)
        assert ("the test part is 4 molecules, 10% of all where a fifth is meant" in caplog.text) is is_told


@pytest.mark.parametrize("named", [None, ["ecfp4"], ["ecfp4", "gcn-untrained"]])
def test_a_ranking_given_up_advises_what_was_not_done(table, tmp_path, monkeypatch, caplog, named):
    def endless(*_, **__):
        raise TimeUpError

    monkeypatch.setattr("molrate.selection.run.rank_dataset", endless)
    select_quickly(table, tmp_path / "m", encoders=named, max_jobs=1)
    assert ("was given up" in caplog.text) is (named != ["ecfp4"])
    assert ("or name encoders" in caplog.text) is (named is None)


def test_another_request_is_refused(table, uninterrupted):
    with pytest.raises(UsageError, match="another request"):
        select_quickly(table, uninterrupted.folder, config=replace(QUICK, seed=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "say when to stop"),
        (["--budget", "20m", "--max-jobs", "3"], "one of the two"),
        (["--budget", "soon"], "it is no time"),
        (["--budget", "0s"], "it is no time"),
        (["--max-jobs", "0"], "max-jobs"),
        (["--max-jobs", "1", "-e", "nothing-like-it"], "nothing-like-it"),
        (["--max-jobs", "1", "-t", "z"], "no column 'z'"),
    ],
)
def test_bad_options_are_refused(table, tmp_path, options, message):
    target = [] if "-t" in options else ["-t", "y"]
    result = CliRunner().invoke(
        cli, ["select", str(table), *target, "-o", str(tmp_path / "m"), *options], catch_exceptions=True
    )
    assert result.exit_code != 0
    assert message in result.output + str(result.exception)
    assert not (tmp_path / "m" / "model.json").exists()


def test_the_command_prints_the_answer_and_the_leaderboard(table, tmp_path):
    folder = tmp_path / "m"
    arguments = ["select", str(table), "-t", "y", "-o", str(folder), "-e", "ecfp4", "--max-jobs", "1"]
    result = CliRunner().invoke(cli, [*arguments, "--epochs", "1"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "fold 1, rdkit-descriptors: rmse" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Use descriptors: rdkit-descriptors with")
    board = lines[lines.index("") + 1 :]
    assert board[0].split() == ["model", "folds", "rmse", "worse", "by", "s"]
    assert board[1].split()[:3] == [json.loads((folder / "selection.json").read_text())["model"], "best", "1"]
    assert lines[-1] == f"model: {folder}"
    assert result.stdout.rstrip("\n") == str(read_selection(folder))
    written = tmp_path / "p.csv"
    asked = ["predict", str(table), "-m", str(folder), "-o", str(written)]
    assert CliRunner().invoke(cli, asked, catch_exceptions=False).exit_code == 0
    assert pd.read_csv(written)["status"].eq("ok").all()


@pytest.mark.parametrize("mode", ["frozen", "fine-tuned"])
def test_an_untrained_network_of_a_job_is_of_the_seed(table, tmp_path, mode):
    data = TrainingData.of(molrate.load_dataset(table, "y"), seed=1)
    config = replace(QUICK, seed=1)
    folds = data.folds(5, 1)
    jobs = JobFolder(tmp_path / "jobs", data, folds, config, "cpu", {})
    job = Job(Candidate("gin-untrained", mode), 0)
    result = jobs.run(job)
    molecules = data.molecules
    again = jobs.model([job]).outputs(molecules, "cpu").mean[np.sort(folds[0].test)]
    np.testing.assert_allclose(again, result.predicted, rtol=1e-4, atol=1e-4)


def test_repeated_measurements_are_merged_before_encoders_are_ranked(table, tmp_path):
    frame = pd.read_csv(table)
    # A long table: each molecule has one row for a and another for b.
    long = pd.concat([frame.assign(a=frame["y"], b=np.nan), frame.assign(a=np.nan, b=frame["y"])])
    options = {"encoders": ["ecfp4"], "duplicates": "merge", "max_jobs": 1}
    found = molrate.select(long[["smiles", "a", "b"]], "b", output=tmp_path / "m", **options)
    assert found.record["comparison"]["n"] > 10


@pytest.mark.parametrize("ended", ["jobs", "decided"])
def test_a_model_with_a_file_missing_is_not_reported_as_done(table, tmp_path, uninterrupted, ended):
    folder = tmp_path / "m"
    shutil.copytree(uninterrupted.folder, folder)
    record = json.loads((folder / "selection.json").read_text()) | {"ended": ended}
    (folder / "selection.json").write_text(json.dumps(record))
    (folder / "training.smi").unlink()
    n_models = len(list(folder.glob("jobs/*/model.json")))
    with pytest.raises(WeightsError, match=r"training\.smi: it is missing; fit the model again"):
        select_quickly(table, folder)
    assert len(list(folder.glob("jobs/*/model.json"))) == n_models > 0
