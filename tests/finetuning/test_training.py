"""Training: what a loss is a mean over, and which epoch is the last."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.utils.data import DataLoader

from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.training import BestEpoch, FinetuningRun
from molrate.models.head import MaskedLoss


class Drawn(torch.utils.data.Dataset):
    """Rows of features and targets."""

    def __init__(self, features, targets):
        self.features, self.targets = features, targets

    def __len__(self):
        return len(self.features)

    def __getitem__(self, row):
        return self.features[row], self.targets[row]


def losses(kind, targets, batch_size, weights=None):
    """Losses of an epoch in batches, and of all rows together, with a head that does not learn."""
    n_outputs = 3 if kind == "multiclass" else targets.shape[1]
    torch.manual_seed(0)
    features, head = torch.randn(len(targets), 4), nn.Linear(4, n_outputs)
    loss = MaskedLoss(kind, weights)
    run = FinetuningRun(nn.Identity(), head, loss, 0.0, 0.0, FinetuningConfig(head_rate=0.0))
    loader = DataLoader(Drawn(features, targets), batch_size)
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(run, loader, loader)
    metrics = trainer.callback_metrics
    with torch.no_grad():
        return (
            float(metrics["train_loss"]),
            float(metrics["validation_loss"]),
            float(loss(head(features), targets)),
        )


@pytest.mark.parametrize("kind", ["regression", "binary"])
@pytest.mark.parametrize("batch_size", [3, 5, 16])
def test_every_measured_value_counts_alike_in_the_loss_of_an_epoch(kind, batch_size):
    generator = np.random.default_rng(1)
    targets = generator.normal(size=(16, 3)) if kind == "regression" else generator.integers(0, 2, (16, 3))
    targets = torch.tensor(targets, dtype=torch.float32)
    targets[:10, 1:] = float("nan")
    targets[6:9] = float("nan")
    train, validation, whole = losses(kind, targets, batch_size)
    assert validation == pytest.approx(whole, rel=1e-5)
    assert train == pytest.approx(whole, rel=1e-5)


def test_weighted_classes_count_by_their_weights_in_the_validation_loss():
    codes = torch.tensor([[0.0]] * 9 + [[1.0]] * 4 + [[2.0]] * 3)
    _, validation, whole = losses("multiclass", codes, 4, torch.tensor([0.2, 1.0, 5.0]))
    assert validation == pytest.approx(whole, rel=1e-5)


def last_and_kept(losses, patience):
    """The last epoch and the one that is kept, where epochs 0, 1, ... validate with such losses."""
    best, module = BestEpoch(patience), nn.Linear(1, 1)
    for epoch, loss in enumerate(losses):
        trainer = SimpleNamespace(
            callback_metrics={"validation_loss": loss},
            state=SimpleNamespace(fn=TrainerFn.FITTING if epoch else TrainerFn.VALIDATING),
            current_epoch=epoch - 1,
            max_epochs=len(losses) - 1,
        )
        best.on_validation_end(trainer, module)
        if trainer.should_stop:
            break
    return epoch, best.best_epoch


def test_the_frozen_encoder_is_kept_but_ends_nothing():
    far, passing = [1.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], [2.0, 0.5]
    assert last_and_kept([*far, *passing], patience=2) == (9, 9)
    assert last_and_kept(far, patience=2) == (7, 0)
    assert last_and_kept([1.0, 9.0, 10.0, 10.0, 0.1], patience=2) == (3, 0)
    assert last_and_kept([1.0, 9.0, float("nan"), 0.1], patience=2) == (2, 0)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=20), st.none() | st.integers(1, 12))
def test_a_trial_ends_when_training_is_no_better_for_so_many_epochs(losses, patience):
    trained = [1 + int(np.argmin(losses[1 : end + 1])) for end in range(1, len(losses))]
    late = [end for end, best in enumerate(trained, start=1) if patience and end - best >= patience]
    last = min([*late, len(losses) - 1])
    assert last_and_kept(losses, patience) == (last, int(np.argmin(losses[: last + 1])))
