"""Training: what a loss is a mean over."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader

from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.training import FinetuningRun
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
