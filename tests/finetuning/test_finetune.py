import json
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import molrate
from molrate.cli.main import cli
from molrate.data.molecules import standardise
from molrate.data.parts import read_split_column
from molrate.encoders.base import load_encoder
from molrate.errors import InputError, UsageError, WeightsError
from molrate.finetuning import tuning
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.finetune import describe, run_finetuning
from molrate.finetuning.training import Batches, BestEpoch, Examples
from molrate.finetuning.tuning import tune
from molrate.models.metrics import target_metrics
from molrate.models.model import TunedModel

QUICK = FinetuningConfig(learning_rates=(1e-3,), n_epochs=3, n_hidden=16)


def finetune(table, encoder, folder, config, target, split="random", weights=None, **transfer):
    data = TrainingData.of(molrate.load_dataset(table, target), split, config.seed)
    return run_finetuning(data, encoder, folder, config, Transfer(**transfer), weights=weights)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """120 molecules of ESOL: numbers, one with gaps, two classes, three, and a row that is no molecule."""
    dataset = molrate.load_dataset("esol")
    y = dataset.targets[0].values[:120]
    frame = pd.DataFrame({"smiles": dataset.smiles[:120], "y": y, "z": y**2})
    frame["soluble"] = np.where(y > np.median(y), "yes", "no")
    frame["level"] = pd.qcut(y, 3, labels=["low", "middle", "high"])
    frame.loc[::7, "z"] = np.nan
    frame.loc[120] = ["not a molecule", 1.0, 1.0, "yes", "low"]
    path = tmp_path_factory.mktemp("table") / "esol.csv"
    frame.to_csv(path, index=False)
    return path


def test_a_model_of_an_encoder_that_has_seen_the_labels_says_so(table, tmp_path, monkeypatch):
    monkeypatch.setattr("molrate.encoders.base._REGISTERED", {})
    known = pd.read_csv(table)["smiles"][:60]
    molrate.register_encoder("knowing", lambda smiles: [[float(len(s))] for s in smiles], trained_on=known)
    record = finetune(table, "knowing", tmp_path / "m", QUICK, target="y")
    (told,) = [note for note in record["notes"] if "Trained on" in note]
    assert told.startswith("Trained on measurements of these molecules: knowing of 50%. What is shown of it")
    assert f"note: {told}" in describe(record, tmp_path / "m")
    record = finetune(table, "ecfp4", tmp_path / "other", QUICK, target="y")
    assert not any("Trained on" in note for note in record["notes"])


@pytest.mark.parametrize(("encoder", "frozen"), [("gcn-untrained", False), ("grover-small-chembl", True)])
def test_a_model_read_again_predicts_what_was_measured(table, tmp_path, encoder, frozen):
    record = finetune(table, encoder, tmp_path / "m", QUICK, target=["y", "z"], frozen=frozen)
    model = TunedModel.load(tmp_path / "m")
    frame = pd.read_csv(table)
    predicted = model.predict(frame["smiles"].tolist())
    assert predicted["status"].tolist() == ["ok"] * 120 + ["invalid"]
    assert np.isnan(predicted.loc[120, ["predicted_y", "predicted_z"]].astype(float)).all()
    test = np.array(record["split"]["test"])
    for target in molrate.load_dataset(table, ["y", "z"]).targets:
        found = predicted[f"predicted_{target.name}"].to_numpy()[test]
        again = target_metrics(target.take(test), found)
        for name, value in record["metrics"]["test"]["by_target"][target.name].items():
            assert again[name] == pytest.approx(value, rel=1e-3, abs=1e-3)


def test_a_molecule_whose_embedding_is_not_finite_is_said_to_be_left_out(table, tmp_path, monkeypatch):
    kind = type(load_encoder("gcn-untrained"))
    whole, n_batches = kind.embed, []

    def embed(self, *arguments):
        layers = whole(self, *arguments)
        if not n_batches:
            next(iter(layers.values()))[3, 0] = np.inf
        n_batches.append(1)
        return layers

    monkeypatch.setenv("MOLRATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kind, "embed", embed)
    record = finetune(table, "gcn-untrained", tmp_path / "m", QUICK, "y", frozen=True)
    assert record["unsupported"] == {3: "its embedding is not finite"}


def test_a_task_of_a_slurm_job_trains_by_itself(table, tmp_path, slurm_job, recwarn):
    record = finetune(table, "gcn-untrained", tmp_path / "m", QUICK, "y")
    assert len(record["trials"]) == 1
    assert not [warning for warning in recwarn if "srun" in str(warning.message)]


def test_training_learns(table):
    data = TrainingData.of(molrate.load_dataset(table, "y"))
    config = FinetuningConfig(learning_rates=(1e-4, 1e-3), n_epochs=10)
    tuned = tune(data, load_encoder("grover-small-chembl"), config, device="cpu")
    assert tuned.metrics["test"]["by_target"]["y"]["r2"] > 0.5
    assert len(tuned.trials) == 2
    assert tuned.best.validation == min(trial.validation for trial in tuned.trials)


def test_what_has_nothing_to_train_gets_an_estimator(table, tmp_path):
    record = finetune(table, "rdkit-descriptors", tmp_path / "m", QUICK, target=["y", "z"])
    assert record["trials"] == []
    assert record["metrics"]["test"]["by_target"]["y"]["r2"] > 0.6
    assert set(record["estimators"][0]) <= {"forest", "boosting", "linear"}
    model = TunedModel.load(tmp_path / "m")
    test = record["split"]["test"]
    predicted = model.predict(pd.read_csv(table)["smiles"].tolist()).loc[test, "predicted_y"]
    known = molrate.load_dataset(table, "y").targets[0].take(np.array(test))
    rmse = record["metrics"]["test"]["by_target"]["y"]["rmse"]
    assert target_metrics(known, predicted.to_numpy())["rmse"] == pytest.approx(rmse, rel=1e-6)
    with pytest.raises(UsageError, match="nothing to train"):
        finetune(table, "ecfp4", tmp_path / "n", QUICK, target="y", n_layers=1)


@pytest.mark.parametrize("encoder", ["gcn-untrained", "ecfp4"])
def test_an_ensemble_is_the_mean_of_its_members_and_tells_their_spread(table, tmp_path, encoder):
    config = replace(QUICK, ensemble=3, n_epochs=1)
    record = finetune(table, encoder, tmp_path / "m", config, target=["y", "z"])
    assert len(record["members"]) == len(record["by_fold"]) == 3
    assert set(record["metrics"]) == {"folds", "test"}
    model = TunedModel.load(tmp_path / "m")
    frame = pd.read_csv(table)
    predicted = model.predict(frame["smiles"].tolist())
    molecules = standardise(frame["smiles"].tolist())
    alone = model.outputs(molecules, "cpu").by_member
    assert alone.shape == (3, 121, 2)
    np.testing.assert_allclose(predicted["predicted_y"], alone[:, :, 0].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(predicted["spread_z"], alone[:, :, 1].std(axis=0), rtol=1e-6)
    # Every molecule but those of the test part was left out once.
    known = len(record["split"]["train"]) + len(record["split"]["validation"])
    assert len(record["calibration"]["y"]) == known
    assert len(model.training) == known
    library = tmp_path / "library.csv"
    frame[["smiles"]].to_csv(library, index=False)
    hits = molrate.screen(library, model, tmp_path / "hits", jobs=1).frame
    for column in ("predicted_y", "spread_z", "low_y", "high_z"):
        np.testing.assert_allclose(hits[column], predicted[column], rtol=1e-5, atol=1e-5)


def test_folds_of_an_ensemble_share_no_molecule_with_the_test_part_or_each_other(table):
    data = TrainingData.of(molrate.load_dataset(table, "level"))
    splits = data.folds(4, seed=0)
    for split in splits:
        parts = [set(split.train), set(split.validation), set(split.test)]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert not set.union(*parts) & set(data.split.test)
    left_out = np.concatenate([split.test for split in splits])
    assert sorted(left_out) == sorted([*data.split.train, *data.split.validation])


@pytest.mark.parametrize("frozen", [False, True])
def test_descriptors_stand_beside_the_embedding(table, tmp_path, frozen):
    plain = finetune(table, "gcn-untrained", tmp_path / "p", QUICK, target="y", frozen=frozen)
    record = finetune(
        table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=frozen, descriptors=True
    )
    model = TunedModel.load(tmp_path / "m")
    assert model.head.width > 300 == TunedModel.load(tmp_path / "p").head.width
    assert record["metrics"]["test"]["mean"]["rmse"] < plain["metrics"]["test"]["mean"]["rmse"]
    test = record["split"]["test"]
    predicted = model.predict(pd.read_csv(table)["smiles"].tolist()).loc[test, "predicted_y"]
    known = molrate.load_dataset(table, "y").targets[0].take(np.array(test))
    again = target_metrics(known, predicted.to_numpy())["rmse"]
    assert again == pytest.approx(record["metrics"]["test"]["by_target"]["y"]["rmse"], rel=1e-3)


def test_the_frozen_encoder_is_epoch_zero(table, tmp_path):
    """Where training only does harm, the model is the closed form's, and the record says so."""
    harmful = FinetuningConfig(learning_rates=(10.0,), head_rate=10.0, n_epochs=2, patience=2, n_hidden=8)
    record = finetune(table, "gcn-untrained", tmp_path / "m", harmful, target="y")
    assert record["best"]["best_epoch"] == 0
    kept = TunedModel.load(tmp_path / "m").encoder.trainable().network.state_dict()
    for name, value in load_encoder("gcn-untrained").trainable().network.state_dict().items():
        assert torch.equal(kept[name], value)
    curve = pd.read_csv(next((tmp_path / "m").glob("rate-*.csv")))
    assert curve["epoch"].tolist() == [0, 1, 2]
    assert curve["validation_loss"].idxmin() == 0


@pytest.mark.parametrize("encoder", ["gcn-untrained", "grover-small-chembl"])
def test_mixed_precision_trains_as_full_precision_does(table, encoder):
    data = TrainingData.of(molrate.load_dataset(table, "y"))
    tuned = {
        precision: tune(
            data, load_encoder(encoder), replace(QUICK, training_precision=precision), device="cpu"
        )
        for precision in ("fp32", "bf16")
    }
    losses = [one.best.validation for one in tuned.values()]
    assert losses[1] == pytest.approx(losses[0], rel=0.2)
    half = replace(QUICK, training_precision="fp16")
    with pytest.raises(UsageError, match="fp16 is for GPUs"):
        tune(data, load_encoder(encoder), half, device="cpu")


def test_estimators_are_fitted_whatever_the_precision_of_training(table):
    """Those that a model is compared with are, with its settings, on the CPU."""
    data = TrainingData.of(molrate.load_dataset(table, "y"))
    half = replace(QUICK, training_precision="fp16", estimators=("linear",))
    tuned = tune(data, load_encoder("rdkit-descriptors"), half, device="cpu")
    assert np.isfinite(tuned.metrics["test"]["by_target"]["y"]["rmse"])


@pytest.mark.parametrize(("named", "chosen_by"), [(None, "auroc"), ("auroc", "auroc"), ("mcc", "mcc")])
def test_validation_chooses_by_the_metric_that_is_named_and_for_classes_by_the_area(table, named, chosen_by):
    data = TrainingData.of(molrate.load_dataset(table, "soluble"))
    config = replace(QUICK, metric=named)
    tuned = tune(data, load_encoder("gcn-untrained"), config, device="cpu")
    value = tuned.metrics["validation"]["by_target"]["soluble"][chosen_by]
    assert -tuned.best.validation == pytest.approx(value, abs=1e-6)
    with pytest.raises(UsageError, match=r"metric rmse: the task is binary, whose metrics are auroc"):
        tune(data, load_encoder("gcn-untrained"), replace(QUICK, metric="rmse"), device="cpu")


def test_a_metric_that_the_validation_part_does_not_have_is_refused(table):
    frame = pd.read_csv(table)[:120]
    frame["part"] = ["train"] * 80 + ["validation"] * 20 + ["test"] * 20
    frame.loc[80:99, "soluble"] = "yes"
    dataset = molrate.Dataset.from_frame(frame, "soluble")
    data = TrainingData.of(dataset, assignment=read_split_column(frame, "part"))
    with pytest.raises(InputError, match="metric auroc: it does not exist for the validation part"):
        tune(data, load_encoder("gcn-untrained"), replace(QUICK, metric="auroc"), device="cpu")
    by_loss = tune(data, load_encoder("gcn-untrained"), QUICK, device="cpu").best
    # A loss is zero at least; an area counts as its negative, so that less is better.
    assert by_loss.validation >= 0


@pytest.mark.parametrize("target", ["soluble", "level", "y"])
def test_a_rate_that_diverges_leaves_the_others(table, target):
    data = TrainingData.of(molrate.load_dataset(table, target))
    config = replace(QUICK, learning_rates=(1e30, 1e-3), metric="rmse" if target == "y" else None)
    tuned = tune(data, load_encoder("gin-untrained"), config, device="cpu")
    wild, tame = tuned.trials
    assert wild.best_epoch == 0
    assert wild.n_epochs < tame.n_epochs == 3
    assert np.isfinite(tuned.predicted).all()


@pytest.mark.parametrize("target", ["y", "soluble"])
def test_the_frozen_encoders_head_may_be_kept_and_training_begins_with_another(table, target, monkeypatch):
    data = TrainingData.of(molrate.load_dataset(table, target))
    still = replace(QUICK, learning_rates=(1e-12,), head_rate=1e-12, n_epochs=1, metric=None)
    monkeypatch.setattr(tuning, "_START_PENALTY", 0.0)
    same = tune(data, load_encoder("gcn-untrained"), still, device="cpu")
    monkeypatch.setattr(tuning, "_START_PENALTY", 1e9)
    other = tune(data, load_encoder("gcn-untrained"), still, device="cpu")
    assert same.best.curve[1] == pytest.approx(same.best.curve[0], abs=1e-5)
    assert other.best.curve[0] == same.best.curve[0]
    assert abs(other.best.curve[1] - other.best.curve[0]) > 1e-3
    assert other.frozen == same.frozen
    if target == "y":
        assert other.best.best_epoch == 0
        assert other.metrics == other.frozen


def test_batch_norms_keep_their_statistics(table):
    encoder = load_encoder("gin-untrained")
    data = TrainingData.of(molrate.load_dataset(table, "y"))
    tuned = tune(data, encoder, replace(QUICK, n_epochs=5), device="cpu")
    before = encoder.trainable().network.state_dict()
    after = tuned.members[0].network.state_dict()
    statistics = [name for name in before if "running_" in name]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)


def test_every_epoch_has_an_order_of_its_own(table, monkeypatch):
    orders = []
    batch = Examples.batch
    monkeypatch.setattr(Examples, "batch", lambda self, rows: orders.append(tuple(rows)) or batch(self, rows))
    config = FinetuningConfig(learning_rates=(1e-3,), n_epochs=3, n_hidden=8)
    tune(
        TrainingData.of(molrate.load_dataset(table, "y")),
        load_encoder("gcn-untrained"),
        config,
        Transfer(frozen=True),
        device="cpu",
    )
    of_training = [rows for rows in orders if rows != tuple(range(len(rows)))]
    assert len(set(of_training)) == 3 * 3


def test_a_molecule_unlike_any_in_training_gets_a_prediction_within_reach(table):
    data = TrainingData.of(molrate.load_dataset(table, "y"))
    encoder = load_encoder("gin-untrained")
    tuned = tune(data, encoder, QUICK, Transfer(pooling="sum"), device="cpu")
    head = tuned.members[0].head.eval()
    far = torch.full((1, 300), 1e6)
    assert torch.isfinite(head.feature_limit)
    assert torch.equal(head(far), head(10 * far))
    typical = head.feature_mean[None]
    spread = float(head.target_scale)
    with torch.no_grad():
        reach = abs(float(head.predict(far, "regression") - head.predict(typical, "regression")))
    assert reach < 30 * spread


def test_frozen_encoders_stay_and_tuned_ones_move(table, tmp_path):
    before = load_encoder("grover-small-chembl").trainable().network.state_dict()
    longer = replace(QUICK, learning_rates=(3e-4,), n_epochs=15, patience=15)
    for frozen in (True, False):
        record = finetune(table, "grover-small-chembl", tmp_path / f"{frozen}", longer, "y", frozen=frozen)
        after = TunedModel.load(tmp_path / f"{frozen}").encoder.trainable().network.state_dict()
        same = all(torch.equal(value, after[name]) for name, value in before.items())
        assert same is (frozen or record["best"]["best_epoch"] == 0)
        assert frozen or record["best"]["best_epoch"] > 0


def test_a_run_that_was_stopped_ends_as_one_that_was_not(table, tmp_path, monkeypatch):
    arguments = {"target": "y", "config": QUICK}
    finetune(table, "gcn-untrained", tmp_path / "straight", **arguments)
    note = BestEpoch.on_train_epoch_end

    def stop(self, trainer, module):
        note(self, trainer, module)
        if trainer.current_epoch == 2:
            raise RuntimeError("stopped")

    monkeypatch.setattr(BestEpoch, "on_train_epoch_end", stop)
    with pytest.raises(RuntimeError, match="stopped"):
        finetune(table, "gcn-untrained", tmp_path / "stopped", **arguments)
    assert not (tmp_path / "stopped" / "model.json").exists()
    with pytest.raises(WeightsError, match="no finished fine-tuned model"):
        TunedModel.load(tmp_path / "stopped")
    monkeypatch.setattr(BestEpoch, "on_train_epoch_end", note)
    epochs = []
    monkeypatch.setattr(
        BestEpoch,
        "on_train_epoch_end",
        lambda self, trainer, module: epochs.append(trainer.current_epoch) or note(self, trainer, module),
    )
    finetune(table, "gcn-untrained", tmp_path / "stopped", **arguments)
    assert epochs == [2]
    states = [TunedModel.load(tmp_path / name).head.state_dict() for name in ("straight", "stopped")]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value)


def test_a_trial_that_had_ended_trains_no_further(table, tmp_path, monkeypatch):
    config = FinetuningConfig(learning_rates=(1e-3, 1e-4), n_epochs=30, patience=1, n_hidden=8)
    write = "molrate.finetuning.finetune.write_model"
    with monkeypatch.context() as patched:
        patched.setattr(write, lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(RuntimeError, match="killed"):
            finetune(table, "gcn-untrained", tmp_path / "m", config, target="y", frozen=True)
    ended = [len(path.read_text().splitlines()) for path in sorted(tmp_path.glob("m/trials/*/curve.csv"))]
    monkeypatch.setattr("molrate.finetuning.training._fit", None)
    record = finetune(table, "gcn-untrained", tmp_path / "m", config, target="y", frozen=True)
    assert sorted(trial["n_epochs"] + 2 for trial in record["trials"]) == sorted(ended)
    assert not (tmp_path / "m" / "trials").exists()


def test_a_damaged_checkpoint_costs_its_trial_only(table, tmp_path, caplog, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("molrate.finetuning.finetune.write_model", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)
    (checkpoint,) = tmp_path.glob("m/trials/*/last.ckpt")
    checkpoint.write_bytes(b"")
    record = finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)
    assert "last.ckpt is damaged" in caplog.text
    assert record["best"]["n_epochs"] == 3


def test_a_mistaken_command_can_be_corrected(table, tmp_path):
    with pytest.raises(UsageError, match="gcn-untrained has 0 to"):
        finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", n_layers=99)
    assert finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)["metrics"]


def test_an_interrupt_is_one(table, tmp_path, monkeypatch):
    def interrupt(self, *_):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(BestEpoch, "on_train_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)
    assert signal.getsignal(signal.SIGINT) is before


def test_no_batch_has_a_single_molecule():
    for n in range(2, 40):
        for batch_size in (2, 3, 8):
            sizes = [len(rows) for rows in Batches(n, batch_size, seed=0)]
            assert sum(sizes) == n
            assert min(sizes) >= 2


def test_a_folder_holds_one_run(table, tmp_path):
    first = finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)
    assert finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True) == json.loads(
        json.dumps(first)
    )
    with pytest.raises(UsageError, match=r"dataset \(sha256.*targets.* \(\[\"y\"\] before, \[\"z\"\] now\)"):
        finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="z", frozen=True)
    with pytest.raises(UsageError, match=r"settings\.n_epochs \(3 before, 4 now\)"):
        finetune(table, "gcn-untrained", tmp_path / "m", replace(QUICK, n_epochs=4), target="y", frozen=True)
    (tmp_path / "m" / "request.json").unlink()
    with pytest.raises(UsageError, match=r"model\.json and no request\.json"):
        finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)


def test_parts_that_a_table_names_otherwise_are_another_run(table, tmp_path):
    frame = pd.read_csv(table)
    arguments = {"target": "y", "split_column": "part", "n_epochs": 1, "frozen": True}
    frame["part"] = ["train"] * 80 + ["test"] * 41
    model = molrate.finetune(frame, "gcn-untrained", tmp_path / "m", **arguments)
    assert set(model.record["split"]["test"]) == set(range(80, 120))
    assert model.record["split"]["method"] == "column 'part'"
    frame["part"] = ["train"] * 70 + ["test"] * 51
    with pytest.raises(UsageError, match=r"split\.rows \(sha256"):
        molrate.finetune(frame, "gcn-untrained", tmp_path / "m", **arguments)


def test_the_comparison_is_of_the_same_test_molecules(table, tmp_path):
    record = finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target=["y", "z"])
    rows = {row["what"]: row for row in record["comparison"]["rows"]}
    assert list(rows) == [
        "gcn-untrained",
        "the same frozen",
        "forest on rdkit-descriptors",
        "forest on ecfp4",
        "the mean",
    ]
    modes = {path.stat().st_mode for path in (tmp_path / "m").iterdir()}
    assert modes == {table.stat().st_mode}
    assert record["comparison"]["n"] == len(record["split"]["test"]) == record["split"]["molecules"]["test"]
    assert rows["gcn-untrained"]["value"] == pytest.approx(record["metrics"]["test"]["mean"]["rmse"])
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows.values())
    y, z = (target.values for target in molrate.load_dataset(table, ["y", "z"]).targets)
    test, train = (record["split"][part] for part in ("test", "train"))
    of_means = [np.sqrt(np.nanmean((column[test] - np.nanmean(column[train])) ** 2)) for column in (y, z)]
    spreads = [np.nanstd(column[train]) for column in (y, z)]
    assert rows["the mean"]["value"] == pytest.approx(np.mean(np.divide(of_means, spreads)))


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_code_in_a_checkpoint_is_refused_and_not_run(table, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("molrate.finetuning.finetune.write_model", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)
    (path,) = tmp_path.glob("m/trials/*/last.ckpt")
    whole = torch.load(path, weights_only=True)
    for content in (whole | {"callbacks": Payload(tmp_path / "made")}, Payload(tmp_path / "made")):
        torch.save(content, path)
        with pytest.raises(WeightsError, match="refused"):
            finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)
        assert not (tmp_path / "made").exists()
    # What would have happened.
    torch.load(path, weights_only=False)
    assert (tmp_path / "made").exists()


def test_contradictions_are_refused(table, tmp_path):
    with pytest.raises(UsageError, match="frozen trains no layer"):
        finetune(table, "gin-untrained", tmp_path / "m", QUICK, target="y", frozen=True, n_layers=2)
    with pytest.raises(UsageError, match="layer is for frozen="):
        finetune(table, "gin-untrained", tmp_path / "m", QUICK, target="y", layer="layer-2")
    with pytest.raises(UsageError, match="n_epochs is to be 1 or more"):
        FinetuningConfig(n_epochs=0)
    with pytest.raises(UsageError, match="learning_rates is to be above zero"):
        FinetuningConfig(learning_rates=(0.0,))
    with pytest.raises(InputError, match="classes and numbers apart"):
        finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target=["y", "soluble"], frozen=True)


def test_settings_without_effect_are_said(table, tmp_path, caplog):
    molrate.finetune(table, "ecfp4", tmp_path / "a", target="y", metric="mae", patience=3, batch_size=8)
    (said,) = [record.message for record in caplog.records if "change nothing" in record.message]
    assert said.endswith("change nothing: --patience, --metric, --batch-size")
    caplog.clear()
    frozen = replace(QUICK, learning_rates=(1e-4,))
    finetune(table, "gcn-untrained", tmp_path / "b", frozen, "y", frozen=True)
    assert any("--frozen keeps as it is" in record.message for record in caplog.records)
    caplog.clear()
    finetune(table, "gcn-untrained", tmp_path / "c", QUICK, "y")
    assert not [record for record in caplog.records if record.message.startswith("gcn-untrained")]


def test_molecules_to_test_on_bring_their_own_values(table, tmp_path):
    frame = pd.read_csv(table)[:100]
    smiles, y = frame["smiles"].tolist(), frame["y"].tolist()
    with pytest.raises(UsageError, match="test is a table with the columns of the dataset, not a list"):
        molrate.finetune(smiles[:60], "ecfp4", tmp_path / "m", target=y[:60], test=smiles[40:100])
    test = molrate.Dataset.from_molecules(smiles[60:], y[60:])
    model = molrate.finetune(smiles[:60], "ecfp4", tmp_path / "m", target=y[:60], test=test)
    assert model.record["split"]["test"] == list(range(60, 100))
    tested = model.test(test)
    assert tested.targets[0].values.tolist() == y[60:]
    errors = tested.predicted[:, 0] - y[60:]
    assert model.record["metrics"]["test"]["mean"]["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)))


def test_an_estimator_knows_all_that_it_learned_from(table, tmp_path):
    record = finetune(table, "ecfp4", tmp_path / "m", QUICK, "y")
    learned = (tmp_path / "m" / "training.smi").read_text().split()
    assert len(learned) == len(record["split"]["train"]) + len(record["split"]["validation"])
    frame = pd.read_csv(table).iloc[record["split"]["validation"]]
    predicted = TunedModel.load(tmp_path / "m").predict(frame["smiles"].tolist())
    assert predicted["similarity"].tolist() == [1.0] * len(frame)


def test_what_is_not_computed_is_told_as_on_the_command_line(table, tmp_path):
    finetune(table, "ecfp4", tmp_path / "m", QUICK, "y")
    texts = ["CCO", "*CC |$_R1;;$|", "C" * 1200, "nonsense"]
    model = TunedModel.load(tmp_path / "m")
    predicted = model.predict(texts)
    assert predicted["status"].tolist() == ["ok", "unsupported", "unsupported", "invalid"]
    assert predicted["predicted_y"].notna().tolist() == [True, False, False, False]
    assert model.predict(texts, max_atoms=2000)["status"].tolist()[2] == "ok"
    pd.DataFrame({"smiles": texts}).to_csv(tmp_path / "t.csv", index=False)
    CliRunner().invoke(
        cli, ["predict", str(tmp_path / "t.csv"), "-m", str(tmp_path / "m"), "-o", str(tmp_path / "p.csv")]
    )
    assert pd.read_csv(tmp_path / "p.csv")["status"].tolist() == predicted["status"].tolist()


def test_the_commands(table, tmp_path):
    runner, model = CliRunner(), str(tmp_path / "m")
    quick = ["--epochs", "2", "--learning-rate", "1e-3", "-q", "--frozen", "-e", "ecfp4"]
    done = runner.invoke(cli, ["finetune", str(table), "--target", "level", "-o", model, *quick])
    assert done.exit_code == 0, done.output
    assert "random split: 84 train, 12 validation, 24 test molecules" in done.output
    assert "test: auroc" in done.output
    out = tmp_path / "predictions.csv"
    done = runner.invoke(cli, ["predict", str(table), "-m", model, "-o", str(out), "-q"])
    assert done.exit_code == 5
    predictions = pd.read_csv(out)
    assert len(predictions) == 121
    names = [f"predicted_level={label}" for label in ("high", "low", "middle")]
    np.testing.assert_allclose(predictions.loc[:119, names].sum(axis=1), 1, atol=1e-5)
    assert json.loads(out.with_name("predictions.csv.run.json").read_text())["model"]["task"]["targets"] == [
        "level"
    ]
    with pytest.raises(InputError, match="has a column 'predicted_level=high' already"):
        runner.invoke(cli, ["predict", str(out), "-m", model], catch_exceptions=False)


def test_damaged_models_are_refused(table, tmp_path):
    finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)
    head = (tmp_path / "m" / "head.safetensors").read_bytes()
    (tmp_path / "m" / "head.safetensors").write_bytes(head[:100])
    with pytest.raises(WeightsError, match=r"head\.safetensors: .*damaged"):
        TunedModel.load(tmp_path / "m")
    with pytest.raises(WeightsError, match=r"head\.safetensors: .*fit the model again, into another folder"):
        finetune(table, "gcn-untrained", tmp_path / "m", QUICK, target="y", frozen=True)
    (tmp_path / "m" / "model.json").write_text('{"format": 99}')
    with pytest.raises(WeightsError, match="not a model of format 5"):
        TunedModel.load(tmp_path / "m")


def test_python_fits_predicts_frames_and_screens(table, tmp_path):
    frame = pd.read_csv(table)
    model = molrate.finetune(
        frame, "ecfp4", tmp_path / "m", target="y", frozen=True, n_epochs=2, learning_rates=[1e-3]
    )
    ours = frame.set_index(pd.Index(range(7, 7 + len(frame))))
    predicted = molrate.load_model(tmp_path / "m").predict(ours[["smiles", "level"]])
    assert predicted.index.tolist() == ours.index.tolist()
    assert predicted.columns.tolist()[:4] == ["smiles", "level", "canonical_smiles", "predicted_y"]
    assert predicted["status"].tolist() == ["ok"] * 120 + ["invalid"]
    assert (predicted["low_y"] <= predicted["predicted_y"])[:120].all()
    of_list = model.predict(frame["smiles"].tolist())
    np.testing.assert_array_equal(of_list["predicted_y"], predicted["predicted_y"])
    with pytest.raises(InputError, match="'predicted_y' already"):
        model.predict(frame.assign(predicted_y=1))
    beside = model.predict(frame[["smiles"]].assign(status="x", canonical_smiles="y", similarity=2))
    own = ["smiles", "status", "canonical_smiles", "similarity", "molrate_canonical_smiles", "predicted_y"]
    assert beside.columns.tolist()[:6] == own
    assert beside["status"].unique().tolist() == ["x"]
    assert beside["molrate_status"].tolist() == predicted["status"].tolist()
    frame[["smiles"]].to_csv(tmp_path / "l.csv", index=False)
    hits = molrate.screen(tmp_path / "l.csv", model, tmp_path / "hits", jobs=1)
    np.testing.assert_allclose(hits.frame["predicted_y"], predicted["predicted_y"], rtol=1e-6)
    assert hits.top(3)["predicted_y"].is_monotonic_decreasing


def test_the_epoch_of_several_numbers_is_chosen_whatever_their_units(table, tmp_path):
    frame = pd.read_csv(table)
    config = replace(QUICK, metric="rmse")
    curves, said = [], []
    for factor in (1.0, 1e-4):
        frame.assign(z=frame["z"] * factor).to_csv(tmp_path / "table.csv", index=False)
        folder = tmp_path / f"m{factor}"
        record = finetune(tmp_path / "table.csv", "gcn-untrained", folder, config, target=["y", "z"])
        curves.append(pd.read_csv(next(folder.glob("rate-*.csv")))["validation_criterion"])
        said.append(
            (record["metrics"]["validation"]["mean"]["rmse"], record["comparison"]["rows"][0]["value"])
        )
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-3)
    assert said[0] == pytest.approx(said[1], rel=1e-3)
    assert record["comparison"]["unit"] == "spreads in training"
    text = describe(record, folder)
    assert "  z: rmse " in text
    assert "] spreads in training, beside" in text
