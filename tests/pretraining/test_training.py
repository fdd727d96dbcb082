import csv
import gzip
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rdkit.Chem import rdMolDescriptors
from safetensors.torch import load_file

import molrate
from molrate.cli.main import cli
from molrate.encoders.base import load_encoder
from molrate.errors import InputError, UsageError, WeightsError
from molrate.pretraining.config import PretrainingConfig, read_config
from molrate.pretraining.corpus import CorpusBatches, parse, read_corpus
from molrate.pretraining.labels import Vocabularies
from molrate.pretraining.objective import unigram_losses
from molrate.pretraining.training import PretrainingRun, noam_factor, pretrain

ENCODER = {"width": 8, "depth": 3, "n_heads": 2, "n_blocks": 2}
SETTINGS = {
    "encoder": ENCODER,
    "n_steps": 6,
    "batch_size": 8,
    "n_warmup_steps": 2,
    "min_context_count": 2,
    "n_vocabulary_molecules": 100,
    "n_held_out": 16,
    "validate_every": 2,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "esol.smi.gz"
    smiles = molrate.load_dataset("esol").smiles[:120]
    with gzip.open(path, "wt") as file:
        file.write("\n".join([*smiles, "not a molecule"]))
    return path


def labelling(corpus, **settings):
    vocabularies = Vocabularies.of(parse(read_corpus(corpus)), 2)
    return {
        "vocabularies": vocabularies,
        "depth": 3,
        "n_blocks": 2,
        "label_fraction": 0.15,
        "mask_inputs": True,
    } | settings


def batches(corpus, first, last, **settings):
    smiles = read_corpus(corpus)
    return list(CorpusBatches(smiles, 8, 0, first=first, last=last, **labelling(corpus, **settings)))


def test_a_batch_is_the_same_whenever_it_is_made(corpus):
    straight, later = batches(corpus, 0, 20), batches(corpus, 17, 20)
    for one, other in zip(straight[17:], later, strict=True):
        assert torch.equal(one.atom_rows, other.atom_rows)
        assert torch.equal(one.bond_labels, other.bond_labels)
        assert torch.equal(one.graph.atoms.features, other.graph.atoms.features)


def test_unigram_losses_are_entropies(corpus):
    counted = batches(corpus, 0, 14)
    found = unigram_losses(counted, counted)
    shares = np.bincount(torch.cat([batch.atom_labels for batch in counted]).numpy()) + 1.0
    # Smoothing aside, what is counted and what is measured are the same labels.
    shares /= shares.sum()
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    assert found["atom_context"] == pytest.approx(2 * entropy, rel=0.1)
    groups = torch.cat([batch.groups for batch in counted]).numpy().mean(axis=0).clip(1e-9, 1 - 1e-9)
    entropy = -(groups * np.log(groups) + (1 - groups) * np.log(1 - groups)).mean()
    assert found["groups"] == pytest.approx(4 * entropy, rel=0.1)


def test_every_molecule_has_labels_and_masks_hide_them(corpus):
    (shown,), (hidden,) = (batches(corpus, 0, 1, mask_inputs=mask) for mask in (False, True))
    assert torch.equal(shown.atom_rows, hidden.atom_rows)
    assert set(shown.atom_molecule[shown.atom_rows].tolist()) == set(range(8))
    for batch, expected in ((shown, False), (hidden, True)):
        features = batch.graph.atoms.features[batch.graph.atoms.inverses[0][batch.atom_rows]]
        assert (not features.any()) is expected
        own = batch.graph.bonds.features[batch.graph.bonds.inverses[0][batch.bond_rows]][:, 151:]
        assert (not own.any()) is expected
    assert (hidden.bond_rows % 2 == 0).all()


def test_totals_are_those_of_rdkit(corpus):
    (batch,) = batches(corpus, 0, 1)
    smiles = read_corpus(corpus)
    rows = np.random.default_rng([0, 0]).permutation(len(smiles))[:8]
    molecules = parse([smiles[row] for row in rows])
    # In the units of the targets: A^2 over 8 and atoms, less typical values, over their spread.
    polar, atoms = batch.totals()[:, 2].numpy(), batch.totals()[:, 5].numpy()
    expected = [rdMolDescriptors.CalcTPSA(molecule) / 8 for molecule in molecules]
    np.testing.assert_allclose(polar * 5 + 11, expected, atol=1e-4)
    np.testing.assert_allclose(atoms * 9 + 29, [mol.GetNumAtoms() for mol in molecules], atol=1e-4)


def test_the_schedule_warms_up_and_decays():
    config = PretrainingConfig(
        n_steps=100, n_warmup_steps=10, initial_rate=1e-4, peak_rate=1e-3, final_rate=1e-5
    )
    rates = [config.peak_rate * noam_factor(step, config) for step in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(rates, [1e-4, 5.5e-4, 1e-3, 1e-4, 1e-5])


def test_a_run_that_was_stopped_ends_as_one_that_was_not(corpus, tmp_path, monkeypatch):
    config = PretrainingConfig(**SETTINGS)
    pretrain(corpus, config, tmp_path / "straight")
    original = PretrainingRun.training_step

    def stopped(self, batch, number):
        if self.global_step == 3:
            raise KeyboardInterrupt
        return original(self, batch, number)

    monkeypatch.setattr(PretrainingRun, "training_step", stopped)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        pretrain(corpus, config, tmp_path / "stopped")
    monkeypatch.setattr(PretrainingRun, "training_step", original)
    pretrain(corpus, config, tmp_path / "stopped")
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "stopped"))
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=2e-3, rtol=1e-3)
    curves = []
    for name in ("straight", "stopped"):
        with (tmp_path / name / "curve.csv").open() as file:
            curves.append([row["step"] for row in csv.DictReader(file)])
    assert curves == [["0", "2", "4", "6"]] * 2

    finished = (tmp_path / "stopped" / "model.safetensors").stat()
    pretrain(corpus, config, tmp_path / "stopped")
    assert (tmp_path / "stopped" / "model.safetensors").stat() == finished


def test_equal_runs_give_equal_files(corpus, tmp_path):
    config = PretrainingConfig(**SETTINGS)
    one, other = (pretrain(corpus, config, tmp_path / name).read_bytes() for name in ("one", "other"))
    assert one == other


def test_a_task_of_a_slurm_job_trains_by_itself(corpus, tmp_path, slurm_job):
    assert pretrain(corpus, PretrainingConfig(**SETTINGS), tmp_path).is_file()


def test_a_folder_holds_one_run(corpus, tmp_path, monkeypatch):
    config, folder = PretrainingConfig(**SETTINGS), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("molrate.pretraining.training.write_weights", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pretrain(corpus, config, folder)
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(content) == ["curve.csv", "last.ckpt", "request.json", "vocabularies.json"]
    for name, value in (("seed", 1), ("peak_rate", 0.01), ("mask_inputs", False), ("n_steps", 8)):
        with pytest.raises(UsageError, match=rf"settings\.{name} \(.* before, .* now\)"):
            pretrain(corpus, replace(config, **{name: value}), folder)
    (tmp_path / "other.smi").write_text("\n".join(read_corpus(corpus)[:-1]))
    with pytest.raises(UsageError, match="corpus"):
        pretrain(tmp_path / "other.smi", config, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == content
    pretrain(corpus, replace(config, n_workers=1), folder)
    (folder / "request.json").unlink()
    with pytest.raises(UsageError, match=r"and no request\.json"):
        pretrain(corpus, config, folder)


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("place", ["state_dict", "callbacks", "loops", None])
def test_code_in_a_checkpoint_is_refused_and_not_run(corpus, tmp_path, place):
    config, path = PretrainingConfig(**SETTINGS), tmp_path / "run" / "last.ckpt"
    pretrain(corpus, config, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    checkpoint = torch.load(path, weights_only=True)
    payload = Payload(tmp_path / "made")
    if place is None:
        checkpoint = payload
    else:
        checkpoint[place]["more"] = payload
    torch.save(checkpoint, path)
    with pytest.raises(WeightsError, match="refused"):
        pretrain(corpus, config, tmp_path / "run")
    assert not (tmp_path / "made").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "made").exists()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="damaged"):
        pretrain(corpus, config, tmp_path / "run")


def test_the_command_trains_and_its_weights_embed(corpus, tmp_path):
    settings = tmp_path / "settings.toml"
    lines = [f"{key} = {value}" for key, value in SETTINGS.items() if key != "encoder"]
    lines += ["[encoder]", *(f"{key} = {value}" for key, value in ENCODER.items())]
    settings.write_text("\n".join(lines))
    result = CliRunner().invoke(
        cli, ["pretrain", str(corpus), "--config", str(settings), "-o", str(tmp_path / "run")]
    )
    assert result.exit_code == 0, result.output
    with (tmp_path / "run" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["atom_context"]) < float(rows[0]["atom_context"])
    encoder = load_encoder("grover-small-untrained", tmp_path / "run" / "model.safetensors")
    assert molrate.embed(["CCO", "C"], encoder).shape == (2, 32)


def test_settings_are_checked(tmp_path):
    path = tmp_path / "settings.toml"
    cases = {
        "n_step = 3": "unknown key",
        'n_steps = "many"': "type int",
        "n_steps = 3": "lacks",
        "n_steps =": "TOML",
        "n_steps = true": "n_steps is to be of type int, not True",
        "record = 3": "unknown key 'record'",
    }
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_config(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("validate_every = 0", "validate_every is to be 1 or more, not 0"),
        ("batch_size = 0", "batch_size is to be 1 or more"),
        ("n_held_out = 0", "n_held_out is to be 1 or more"),
        ("label_fraction = 15", "label_fraction is a share above 0 and up to 1, not 15"),
        ("peak_rate = nan", "peak_rate is to be above zero, not nan"),
        ('precision = "half"', "unknown precision 'half'; known: 32-true"),
        ("widht = 8", r"unknown key 'widht' in \[encoder\]; known: width"),
        ('width = "8"', "width is to be a whole number of 1 or more, not '8'"),
        ("n_heads = 3", "width 8 is to be a multiple of n_heads 3"),
        ("depth = 0", "depth is to be a whole number of 1 or more"),
        ('activation = "relu6"', "unknown activation 'relu6'; known: "),
        ("dense = 1", "dense is to be true or false, not 1"),
        ("dropout = 1.0", "dropout is a share from 0 to below 1"),
    ],
)
def test_what_cannot_be_trained_with_is_told_before_anything_is_read(changed, message, tmp_path):
    path, (key, value) = tmp_path / "settings.toml", changed.split(" = ")
    settings = {"width": "8", "depth": "2", "n_heads": "2", "n_blocks": "1"}
    of_encoder = key in (*settings, "widht", "activation", "dense", "dropout")
    inside = settings | ({key: value} if of_encoder else {})
    lines = ["[encoder]", *(f"{name} = {own}" for name, own in inside.items())]
    path.write_text("\n".join(lines if of_encoder else [changed, *lines]))
    with pytest.raises(UsageError, match=message) as refused:
        read_config(path)
    assert str(path) in str(refused.value)


def test_an_empty_corpus_is_an_error(tmp_path):
    (tmp_path / "empty.smi").write_text("\n")
    with pytest.raises(InputError, match="no SMILES"):
        read_corpus(tmp_path / "empty.smi")
    (tmp_path / "plain.smi.gz").write_text("CCO\n")
    with pytest.raises(InputError, match="damaged or cut off: Not a gzipped file"):
        read_corpus(tmp_path / "plain.smi.gz")


def test_a_corpus_that_leaves_nothing_to_train_on_is_refused_before_anything_is_written(corpus, tmp_path):
    config = PretrainingConfig(**SETTINGS | {"n_held_out": 121})
    with pytest.raises(InputError, match="none of 121 molecules is left to train on when n_held_out = 121"):
        pretrain(corpus, config, tmp_path / "run")
    assert not (tmp_path / "run" / "request.json").exists()


def test_a_batch_without_a_molecule_takes_the_next_ones(corpus):
    labels = labelling(corpus)
    smiles = ["bad", "CCO", "worse", "CCN", "worst"]
    made = list(CorpusBatches(smiles, 1, 0, last=10, **labels))
    assert all(len(batch.groups) == 1 for batch in made)
    later = list(CorpusBatches(smiles, 1, 0, first=7, last=10, **labels))
    for one, other in zip(made[7:], later, strict=True):
        assert torch.equal(one.properties, other.properties)
    with pytest.raises(InputError, match="none of the 2 SMILES of the corpus is valid"):
        next(iter(CorpusBatches(["bad", "worse"], 1, 0, **labels)))
