"""Training of an encoder and its head: Lightning, the epoch that is kept, and resuming at any epoch."""

from __future__ import annotations

import csv
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Sampler

from molrate.encoders.checkpoints import DamagedWeightsError
from molrate.encoders.training_checkpoints import read_training_checkpoint, trainer_plugins
from molrate.errors import InputError, WeightsError
from molrate.files.output import write_atomically
from molrate.finetuning.config import FinetuningConfig
from molrate.models.head import Head, MaskedLoss
from molrate.quiet_lightning import interruptible, quiet_lightning
from molrate.randomness import generators_kept, reseed

logger = logging.getLogger(__name__)

_CHECKPOINT, _CURVE = "last.ckpt", "curve.csv"
_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""Lightning's words."""
_FEW_PARAMETERS = 10_000_000


@dataclass(frozen=True)
class Examples:
    """Molecules of one part of a split, ready to be batched.

    Attributes
    ----------
    encoded : sequence
        What `collate` joins: molecules in an encoder's form, or their embeddings.
    targets : Tensor of float32, shape (n, n_targets)
        Scaled values or class codes, NaN where not measured.
    collate : callable
    """

    encoded: Sequence[Any]
    targets: Tensor
    collate: Callable[[Sequence[Any]], Any]

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: Sequence[int]) -> tuple[Any, Tensor]:
        """Some molecules and their targets."""
        return self.collate([self.encoded[row] for row in rows]), self.targets[list(rows)]


class Batches(Sampler[list[int]]):
    """Rows in batches of nearly equal size, in an order that depends on seed and epoch alone.

    No batch is left with a single molecule, whose batch statistics might not exist.

    Parameters
    ----------
    n, batch_size : int
    seed : int, optional
        None keeps the order of rows.
    """

    def __init__(self, n: int, batch_size: int, seed: int | None = None) -> None:
        self.n, self.seed = n, seed
        self.n_batches = max(1, min(round(n / batch_size), n // 2))
        self.epoch = 0
        # Lightning looks here for what to tell the epoch.
        self.sampler = self

    def __len__(self) -> int:
        return self.n_batches

    def set_epoch(self, epoch: int) -> None:
        """Lightning says which epoch begins."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        order: npt.NDArray[np.intp] = np.arange(self.n)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n)
        for rows in np.array_split(order, self.n_batches):
            yield rows.tolist()


class FinetuningRun(LightningModule):
    """Encoder, head and loss under AdamW, whose rates rise over a warm-up and fall as a cosine.

    Batch norms keep the statistics they were pretrained with: those of a batch of a few molecules, one of
    them far outside, would throw all others off.

    Parameters
    ----------
    encoder : torch.nn.Module
        Batches to embeddings (n, d); an identity where embeddings do not change.
    head : Head
    loss : MaskedLoss
    learning_rate : float
        Of the encoder.
    weight_decay : float
    config : FinetuningConfig
        Its seed draws each step's dropout, so that a resumed run equals a straight one.
    criterion : callable, optional
        Scaled outputs of the validation part (n, n_outputs) to what is to be small; the loss if not given.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: Head,
        loss: MaskedLoss,
        learning_rate: float,
        weight_decay: float,
        config: FinetuningConfig,
        criterion: Callable[[Tensor], float] | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.loss = encoder, head, loss
        self.learning_rate, self.weight_decay, self.config = learning_rate, weight_decay, config
        self.criterion = criterion
        self._norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm)]
        self._validated: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Draw dropout from seed and step, and let batch norms be as they were."""
        for norm in self._norms:
            norm.eval()
        reseed(self.config.seed * 1_000_003 + self.global_step, self.device)

    def training_step(self, batch: tuple[Any, Tensor], _: int) -> Tensor:
        """Loss of one batch."""
        loss = self._loss(batch)[1]
        # Batches weigh by what was measured in them, as rows may have been measured for some targets only.
        measured = int((~batch[1].isnan()).sum())
        self.log("train_loss", loss, batch_size=measured, on_step=False, on_epoch=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Nothing is validated yet."""
        self._validated = []

    def validation_step(self, batch: tuple[Any, Tensor], _: int) -> Tensor:
        """Loss of one batch, nothing learned."""
        outputs, loss, share = self._loss(batch)
        self._validated.append((outputs.detach(), loss.detach() * share, share))
        return loss

    def on_validation_epoch_end(self) -> None:
        """The loss of all validation rows together, whatever the batches, and what is chosen by."""
        outputs, losses, shares = zip(*self._validated, strict=True)
        loss = torch.stack(losses).sum() / torch.stack(shares).sum()
        self.log("validation_loss", loss)
        if self.criterion is not None:
            self.log("validation_criterion", self.criterion(torch.cat(outputs)))

    def _loss(self, batch: tuple[Any, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs for a batch, their mean loss, and what it is a mean over."""
        molecules, targets = batch
        outputs = self.head(self.encoder(molecules))
        return outputs, self.loss(outputs, targets), self.loss.share(targets)

    def configure_optimizers(self) -> Any:
        """AdamW over encoder and head, each at its own rate, and the schedule of both."""
        groups = [{"params": list(self.head.parameters()), "lr": self.config.head_rate}]
        encoder = list(self.encoder.parameters())
        if encoder and self.learning_rate > 0:
            groups.append({"params": encoder, "lr": self.learning_rate})
        # A fused step of scaled gradients cannot be clipped, so Lightning refuses it in mixed precision.
        fused = self.config.training_precision == "fp32"
        optimizer = torch.optim.AdamW(groups, weight_decay=self.weight_decay, fused=fused)
        n_steps = int(self.trainer.estimated_stepping_batches)
        schedule = partial(_share_of_rate, n_steps=n_steps, warm_up=self.config.warm_up)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


def _share_of_rate(step: int, n_steps: int, warm_up: float) -> float:
    """What a learning rate is multiplied by: it rises linearly, and falls as half a cosine."""
    n_rising = max(1, round(warm_up * n_steps))
    if step < n_rising:
        return (step + 1) / n_rising
    return (1 + math.cos(math.pi * (step - n_rising) / max(1, n_steps - n_rising))) / 2


class BestEpoch(Callback):
    """Losses of every epoch, the state of the best one, and the end when training gets no better.

    Epoch 0 is the model before training, a head fitted to the encoder as it is. It may be kept, but ends
    nothing: training leads away from a fitted head at first, and most networks take more than a few epochs to
    come back and pass it.

    Parameters
    ----------
    patience : int or None
        Epochs without a better one of training; None ends nothing.
    curve : pathlib.Path, optional
        CSV file that is written anew with each epoch.
    """

    _kept = ("rows", "best", "best_value", "best_epoch", "trained_value", "trained_epoch", "ended")

    def __init__(self, patience: int | None, curve: Path | None = None) -> None:
        self.patience, self.curve = patience, curve
        self.rows: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.best_value, self.best_epoch, self.ended = float("inf"), 0, False
        self.trained_value, self.trained_epoch = float("inf"), 0

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {name: getattr(self, name) for name in self._kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the epochs of an earlier run."""
        for name in self._kept:
            setattr(self, name, state_dict[name])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights where validation is best so far; stop where training gets no better."""
        losses = trainer.callback_metrics
        value = float(losses.get("validation_criterion", losses["validation_loss"]))
        epoch = trainer.current_epoch + 1 if _is_fitting(trainer) else 0
        if value < self.best_value:
            self.best_value, self.best_epoch = value, epoch
            self.best = {name: kept.detach().clone() for name, kept in pl_module.state_dict().items()}
        if epoch and value < self.trained_value:
            self.trained_value, self.trained_epoch = value, epoch
        late = self.patience is not None and epoch - self.trained_epoch >= self.patience
        diverged = not np.isfinite(float(losses["validation_loss"]))
        self.ended = late or diverged or epoch == trainer.max_epochs
        trainer.should_stop = self.ended
        if epoch == 0:
            self._note(0, trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch's losses."""
        self._note(trainer.current_epoch + 1, trainer)

    def _note(self, epoch: int, trainer: Trainer) -> None:
        losses = {name: round(float(value), 6) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": epoch, **losses})
        if self.curve is not None:
            table = StringIO()
            writer = csv.DictWriter(table, fieldnames=list(self.rows[-1]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            write_atomically(self.curve, table.getvalue().encode())


@contextmanager
def threads_for(encoder: nn.Module) -> Iterator[None]:
    """One thread for the small networks that most encoders are, torch's own number for larger ones.

    Steps on a few molecules gain nothing from a second thread, lose much where another process wants the
    same core, and with one thread their numbers do not depend on how many cores there are.
    """
    n_threads = torch.get_num_threads()
    small = sum(value.numel() for value in encoder.parameters()) < _FEW_PARAMETERS
    torch.set_num_threads(1 if small else n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _is_fitting(trainer: Trainer) -> bool:
    """Whether validation follows an epoch of training; it comes before the first one, too."""
    return trainer.state.fn == TrainerFn.FITTING


@dataclass(frozen=True)
class GridPoint:
    """What training with one learning rate and weight decay gave.

    Attributes
    ----------
    learning_rate, weight_decay : float
    validation : float
        Smallest loss, or what else is chosen by; infinite where even the start has none.
    n_epochs, best_epoch : int
        Epochs run, and the one whose weights are kept; 0 is the frozen encoder.
    seconds : float
    state : dict of str to Tensor
        Weights of the best epoch.
    curve : tuple of float
        What is chosen by, of the frozen encoder and after each epoch, to six digits.
    """

    learning_rate: float
    weight_decay: float
    validation: float
    n_epochs: int
    best_epoch: int
    seconds: float
    state: dict[str, Tensor]
    curve: tuple[float, ...] = ()

    def record(self) -> dict[str, float]:
        """All but the weights and the curve."""
        return {name: value for name, value in vars(self).items() if name not in ("state", "curve")}


def train(
    run: FinetuningRun,
    start: Head,
    parts: tuple[Examples, Examples],
    config: FinetuningConfig,
    device: str,
    folder: Path | None = None,
    progress: bool = False,
) -> GridPoint:
    """Train for all epochs, or as patience has it, or go on where a run into the same folder stopped.

    Parameters
    ----------
    run : FinetuningRun
        Encoder and head as they are kept if no epoch is better. Is trained in place: its weights afterwards
        are those of the last epoch.
    start : Head
        What the head is when training begins.
    parts : (Examples, Examples)
        To train on and to stop by.
    config : FinetuningConfig
    device : str
        ``cpu`` or ``cuda``.
    folder : pathlib.Path, optional
        Receives a checkpoint after every epoch, and the losses.
    progress : bool
        Show a bar on standard error.
    """
    started = time.perf_counter()
    best = BestEpoch(config.patience, folder and folder / _CURVE)
    checkpoint = None if folder is None else _resume(folder / _CHECKPOINT, best)
    if not best.ended:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        loaders = _loader(parts[0], config, config.seed), _loader(parts[1], config, None)
        with quiet_lightning():
            trainer = _trainer(config, len(parts[0]), device, best, folder, progress)
            _fit(trainer, run, start, loaders, checkpoint, best)
    return GridPoint(
        run.learning_rate,
        run.weight_decay,
        best.best_value,
        max(0, len(best.rows) - 1),
        best.best_epoch,
        round(time.perf_counter() - started, 2),
        best.best,
        tuple(row.get("validation_criterion", row["validation_loss"]) for row in best.rows),
    )


def _resume(path: Path, best: BestEpoch) -> Path | None:
    """The checkpoint to go on from, if there is one, with what it says of its epochs.

    Raises
    ------
    WeightsError
        If it holds more than tensors and plain values.
    """
    if not path.is_file():
        return None
    try:
        checkpoint = read_training_checkpoint(path)
    except DamagedWeightsError as error:
        logger.warning("%s is damaged (%s); this trial starts again", path, error)
        path.unlink()
        return None
    try:
        best.load_state_dict(checkpoint["callbacks"][best.state_key])
    except (KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: no checkpoint of fine-tuning; remove it: {error!r}") from error
    return path


def _fit(
    trainer: Trainer,
    run: FinetuningRun,
    start: Head,
    loaders: tuple[DataLoader[Any], DataLoader[Any]],
    checkpoint: Path | None,
    best: BestEpoch,
) -> None:
    """Train, with Lightning's bar on standard error."""
    training, validation = loaders
    on_gpu = trainer.strategy.root_device.type == "cuda"
    try:
        with redirect_stdout(sys.stderr), generators_kept(on_gpu), interruptible(trainer):
            if checkpoint is None:
                trainer.validate(run, validation, verbose=False)
                run.head.load_state_dict(start.state_dict())
            if not best.ended:
                trainer.fit(run, training, validation, ckpt_path=checkpoint)
    except OSError as error:
        raise InputError(f"checkpoints cannot be written: {error}") from error


def _loader(part: Examples, config: FinetuningConfig, seed: int | None) -> DataLoader[Any]:
    batches = Batches(len(part), config.batch_size, seed)
    rows: Any = range(len(part))
    return DataLoader(rows, batch_sampler=batches, collate_fn=part.batch)


def _trainer(
    config: FinetuningConfig,
    n_molecules: int,
    device: str,
    best: BestEpoch,
    folder: Path | None,
    progress: bool,
) -> Trainer:
    callbacks: list[Callback] = [best]
    if folder is not None:
        name = _CHECKPOINT.removesuffix(".ckpt")
        callbacks.append(ModelCheckpoint(folder, name, enable_version_counter=False))
    return Trainer(
        accelerator="gpu" if device.startswith("cuda") else "cpu",
        devices=[int(device.removeprefix("cuda:"))] if ":" in device else 1,
        max_epochs=config.passes(n_molecules),
        precision=_PRECISIONS[config.training_precision],  # type: ignore[arg-type]
        gradient_clip_val=config.clipped_norm,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=folder is not None,
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=trainer_plugins(),
    )


def embed_examples(
    encoder: nn.Module, part: Examples, batch_size: int, device: str
) -> npt.NDArray[np.float32]:
    """Embeddings of a part as the encoder is, shape (n, d)."""
    encoder.eval().to(device)
    with torch.inference_mode():
        batches = (part.batch(rows)[0] for rows in Batches(len(part), batch_size))
        found = [encoder(move_data_to_device(batch, device)) for batch in batches]
    return torch.cat(found).cpu().numpy()


def predict(
    run: FinetuningRun, kind: str, part: Examples, batch_size: int, device: str
) -> npt.NDArray[np.float64]:
    """Predictions for a part, shape (n, n_outputs), in the target's unit or as probabilities."""
    run.eval().to(device)
    with torch.inference_mode():
        batches = (part.batch(rows)[0] for rows in Batches(len(part), batch_size))
        found = [run.head.predict(run.encoder(move_data_to_device(batch, device)), kind) for batch in batches]
    return torch.cat(found).double().cpu().numpy()
