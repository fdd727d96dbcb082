"""Pretraining runs: Lightning, the Noam schedule, held-out losses, and resuming at any step."""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader

from molrate.encoders.grover.checkpoint import write_weights
from molrate.encoders.grover.network import Grover
from molrate.encoders.training_checkpoints import read_training_checkpoint, trainer_plugins
from molrate.errors import InputError
from molrate.files.locks import exclusive
from molrate.files.output import write_atomically
from molrate.files.requests import Request, make_request, note_request, take_up
from molrate.pretraining.config import PretrainingConfig
from molrate.pretraining.corpus import CorpusBatches, LabelledBatch, parse, read_corpus
from molrate.pretraining.labels import Vocabularies
from molrate.pretraining.objective import Losses, Pretraining, unigram_losses
from molrate.quiet_lightning import interruptible, quiet_lightning
from molrate.randomness import generators_kept, reseed, seeded

logger = logging.getLogger(__name__)

VOCABULARIES, CURVE, WEIGHTS = "vocabularies.json", "curve.csv", "model.safetensors"
_CHECKPOINT = "last.ckpt"
_FORMAT = 1
_TRACES = ("*.ckpt", WEIGHTS, VOCABULARIES)
"""What a run leaves in its folder."""
_CHECKPOINTS_BETWEEN_MEASUREMENTS = 4
_CLIPPED_NORM = 1.0
_UNIGRAM_BATCHES = 100


def noam_factor(step: int, config: PretrainingConfig) -> float:
    """Learning rate of a step over the peak rate: linear warm-up, then exponential decay."""
    if step < config.n_warmup_steps:
        share = step / config.n_warmup_steps
        return (config.initial_rate + share * (config.peak_rate - config.initial_rate)) / config.peak_rate
    share = (step - config.n_warmup_steps) / max(1, config.n_steps - config.n_warmup_steps)
    return float((config.final_rate / config.peak_rate) ** min(1.0, share))


class PretrainingRun(LightningModule):
    """The objective under Adam and the Noam schedule.

    Parameters
    ----------
    config : PretrainingConfig
    vocabularies : Vocabularies
    train : list of str
        SMILES to train on.
    """

    def __init__(self, config: PretrainingConfig, vocabularies: Vocabularies, train: list[str]) -> None:
        super().__init__()
        self.config, self.vocabularies, self.train_smiles = config, vocabularies, train
        sizes = len(vocabularies.atoms), len(vocabularies.bonds)
        with seeded(config.seed):
            self.objective = Pretraining(Grover(**config.encoder), *sizes)

    def batches(self, smiles: list[str], **numbers: int) -> CorpusBatches:
        """Batches of some molecules, with labels of this run."""
        labelling = {
            "vocabularies": self.vocabularies,
            "depth": self.config.encoder["depth"],
            "n_blocks": self.config.encoder["n_blocks"],
            "label_fraction": self.config.label_fraction,
            "mask_inputs": self.config.mask_inputs,
        }
        return CorpusBatches(smiles, self.config.batch_size, self.config.seed, **numbers, **labelling)

    def held_out_batches(self, smiles: list[str]) -> CorpusBatches:
        """Every whole batch of held-out molecules, always with the same labels."""
        return self.batches(smiles, last=max(1, len(smiles) // self.config.batch_size))

    def train_dataloader(self) -> DataLoader[LabelledBatch]:
        """Batches from the step the run is at, this process's share of them."""
        world_size = self.trainer.world_size
        first = self.trainer.global_step * world_size
        batches = self.batches(
            self.train_smiles, first=first, rank=self.trainer.global_rank, world_size=world_size
        )
        return DataLoader(batches, batch_size=None, num_workers=self.config.n_workers)

    def on_train_batch_start(self, batch: LabelledBatch, batch_idx: int) -> None:
        """Draw dropout from seed and step, so that a resumed run equals a straight one."""
        reseed(self.config.seed * 1_000_003 + self.global_step, self.device)

    def training_step(self, batch: LabelledBatch, _: int) -> torch.Tensor:
        """What is minimised, of one batch."""
        losses: Losses = self.objective(batch)
        return losses.total(self.config.group_weight, self.config.property_weight)

    def configure_optimizers(self) -> Any:
        """Adam with the released code's weight decay, and the schedule by step."""
        optimizer = torch.optim.Adam(
            self.parameters(), lr=self.config.peak_rate, weight_decay=self.config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: noam_factor(step, self.config))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class LearningCurve(Callback):
    """Held-out losses, a row for each measurement; a checkpoint holds them, so that a resumed run goes on.

    Parameters
    ----------
    path : pathlib.Path
        CSV file that is written anew with each row.
    held_out : list of str
        SMILES the losses are measured on, always with the same labels.
    """

    def __init__(self, path: Path, held_out: list[str]) -> None:
        self.path, self.held_out = path, held_out
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self.resumed = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Rows so far and the time they took."""
        return {"rows": self.rows, "seconds": self._elapsed()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the rows of an earlier run."""
        self.rows, self.seconds = list(state_dict["rows"]), state_dict["seconds"]
        self.resumed = time.perf_counter()

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self.resumed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the untrained network."""
        if trainer.global_step == 0:
            self._measure(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Measure at multiples of ``validate_every`` and at the end."""
        assert isinstance(pl_module, PretrainingRun)
        config = pl_module.config
        if trainer.global_step % config.validate_every == 0 or trainer.global_step == config.n_steps:
            self._measure(trainer, pl_module)

    def _measure(self, trainer: Trainer, run: LightningModule) -> None:
        assert isinstance(run, PretrainingRun)
        config, step, seconds = run.config, trainer.global_step, self._elapsed()
        molecules = step * config.batch_size * trainer.world_size
        losses = _held_out_losses(run, self.held_out)
        self.rows.append(
            {
                "step": step,
                "molecules": molecules,
                "seconds": round(seconds, 1),
                "learning rate": round(config.peak_rate * noam_factor(step, config), 8),
                **{name: round(value, 5) for name, value in losses.items()},
            }
        )
        if trainer.is_global_zero:
            table = StringIO()
            writer = csv.DictWriter(table, fieldnames=list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            write_atomically(self.path, table.getvalue().encode())
        described = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        speed = molecules / seconds
        logger.info("step %d, %.0f s, %.0f molecules/s; held out: %s", step, seconds, speed, described)


def _held_out_losses(run: PretrainingRun, smiles: list[str]) -> dict[str, float]:
    """Mean of each loss over batches of held-out molecules."""
    n_batches = max(1, len(smiles) // run.config.batch_size)
    run.eval()
    with torch.no_grad():
        parts = [run.objective(batch.to(run.device)).parts() for batch in run.batches(smiles, last=n_batches)]
    run.train()
    return {name: float(torch.stack([losses[name] for losses in parts]).mean()) for name in parts[0]}


def _split(smiles: list[str], config: PretrainingConfig) -> tuple[list[str], list[str]]:
    """Molecules to train on, and those held out."""
    order = np.random.default_rng([config.seed, 2]).permutation(len(smiles))
    held_out, rest = order[: config.n_held_out], order[config.n_held_out :]
    return [smiles[row] for row in rest], [smiles[row] for row in held_out]


def _vocabularies(folder: Path, smiles: list[str], config: PretrainingConfig) -> Vocabularies:
    """Those counted in the first molecules, kept in the folder for who reads it."""
    sample = parse(smiles[: config.n_vocabulary_molecules])
    vocabularies = Vocabularies.of(sample, config.min_context_count)
    vocabularies.write(folder / VOCABULARIES)
    return vocabularies


def _checkpointing(folder: Path, config: PretrainingConfig) -> Callback:
    """Checkpoints now and then. Where a run is stopped, a step may be half done: it is none to go on from."""
    every = max(1, config.validate_every // _CHECKPOINTS_BETWEEN_MEASUREMENTS)
    return ModelCheckpoint(
        folder, _CHECKPOINT.removesuffix(".ckpt"), every_n_train_steps=every, enable_version_counter=False
    )


def _fit(
    run: PretrainingRun, config: PretrainingConfig, callbacks: list[Callback], checkpoint: Path | None
) -> None:
    trainer = Trainer(
        max_steps=config.n_steps,
        max_epochs=-1,
        devices=config.devices,
        precision=config.precision,  # type: ignore[arg-type]
        callbacks=callbacks,
        gradient_clip_val=_CLIPPED_NORM,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=trainer_plugins(),
    )
    on_gpu = trainer.strategy.root_device.type == "cuda"
    with _denormals_flushed(), generators_kept(on_gpu), interruptible(trainer):
        trainer.fit(run, ckpt_path=checkpoint)


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Take numbers too small for full precision as zero: vanishing gradients are many, and slow otherwise."""
    smallest = torch.tensor([1e-310], dtype=torch.float64)
    flushed = (smallest * 1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)


def pretrain(corpus: Path, config: PretrainingConfig, folder: Path) -> Path:
    """Pretrain an encoder, or go on where a run into the same folder stopped.

    Parameters
    ----------
    corpus : pathlib.Path
        One SMILES a line, ``.gz`` or not.
    config : PretrainingConfig
    folder : pathlib.Path
        Receives vocabularies, the learning curve, checkpoints, and at the end the weights.

    Returns
    -------
    pathlib.Path
        The encoder's weights, float16 safetensors.

    Raises
    ------
    UsageError
        If the folder holds a run of another request, or another process runs into it.
    InputError
        If the corpus cannot be read or is too small, or the folder not written.
    WeightsError
        If a checkpoint in the folder is damaged, or holds more than tensors and plain values.
    """
    # Lightning starts this very command again for each further device.
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    with exclusive(folder) if first else nullcontext():
        smiles = read_corpus(corpus)
        if len(smiles) <= config.n_held_out:
            raise InputError(
                f"{corpus}: none of {len(smiles)} molecules is left to train on when n_held_out = "
                f"{config.n_held_out} are kept apart; take more, or a smaller n_held_out (--config)"
            )
        request = _request(smiles, config)
        begun = take_up(folder, request, _TRACES)
        if not (begun and (folder / WEIGHTS).is_file()):
            note_request(folder, request)
            _pretrain(corpus.name, smiles, config, folder)
    return folder / WEIGHTS


def _request(smiles: list[str], config: PretrainingConfig) -> Request:
    """All that changes the weights; batches are the same however many processes make them."""
    settings = {name: value for name, value in config.record().items() if name != "n_workers"}
    digest = hashlib.sha256("\n".join(smiles).encode()).hexdigest()
    return make_request("pretrain", _FORMAT, corpus=f"sha256:{digest}", settings=settings)


def _pretrain(corpus: str, smiles: list[str], config: PretrainingConfig, folder: Path) -> None:
    train, held_out = _split(smiles, config)
    vocabularies = _vocabularies(folder, train, config)
    checkpoint = folder / _CHECKPOINT
    if checkpoint.is_file():
        # Refused here, before anything else is done with it.
        read_training_checkpoint(checkpoint)
    run = PretrainingRun(config, vocabularies, train)
    curve = LearningCurve(folder / CURVE, held_out)
    with quiet_lightning():
        callbacks = [curve, _checkpointing(folder, config)]
        _fit(run, config, callbacks, checkpoint if checkpoint.is_file() else None)
    weights = {name: value.half() for name, value in run.objective.encoder.state_dict().items()}
    counted = run.batches(train, last=_UNIGRAM_BATCHES)
    # Without times: equal runs give equal files, which are known by their digests.
    first, last = (
        {name: row[name] for name in row if name != "seconds"} for row in (curve.rows[0], curve.rows[-1])
    )
    losses = {
        "untrained": first,
        "unigram": unigram_losses(counted, run.held_out_batches(held_out)),
        "trained": last,
    }
    about = {"corpus": corpus, "pretraining": config.record(), "held_out_losses": losses}
    write_weights(folder / WEIGHTS, weights, config.encoder, "none", **about)
