"""Pretraining runs: Lightning, the Noam schedule, held-out losses, and resuming at any step."""

from __future__ import annotations

import csv
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, OnExceptionCheckpoint
from torch.utils.data import DataLoader

from molrate.encoders.grover_checkpoint import write_weights
from molrate.encoders.grover_network import Grover
from molrate.pretraining.config import PretrainingConfig
from molrate.pretraining.corpus import CorpusBatches, LabelledBatch, parse, read_corpus
from molrate.pretraining.labels import Vocabularies
from molrate.pretraining.objective import Losses, Pretraining

logger = logging.getLogger(__name__)

VOCABULARIES, CURVE, WEIGHTS = "vocabularies.json", "curve.csv", "model.safetensors"
_CHECKPOINT = "last.ckpt"
_INTERRUPTED = "interrupted.ckpt"


def noam_factor(step: int, config: PretrainingConfig) -> float:
    """Learning rate of a step over the peak rate: linear warm-up, then exponential decay."""
    if step < config.n_warmup_steps:
        share = step / config.n_warmup_steps
        return (config.initial_rate + share * (config.peak_rate - config.initial_rate)) / config.peak_rate
    share = (step - config.n_warmup_steps) / max(1, config.n_steps - config.n_warmup_steps)
    return float((config.final_rate / config.peak_rate) ** min(1.0, share))


class PretrainingRun(LightningModule):
    """The objective under Adam and the Noam schedule."""

    def __init__(self, config: PretrainingConfig, vocabularies: Vocabularies) -> None:
        super().__init__()
        self.config = config
        torch.manual_seed(config.seed)
        sizes = len(vocabularies.atoms), len(vocabularies.bonds)
        self.objective = Pretraining(Grover(**config.encoder), *sizes)

    def training_step(self, batch: LabelledBatch, _: int) -> torch.Tensor:
        """Loss of a batch; its parts are logged for the learning curve."""
        losses: Losses = self.objective(batch)
        self._log("train", losses, batch)
        return losses.total

    def validation_step(self, batch: LabelledBatch, _: int) -> None:
        """Held-out losses."""
        self._log("held-out", self.objective(batch), batch)

    def _log(self, stage: str, losses: Losses, batch: LabelledBatch) -> None:
        parts = {f"{stage} {name}": value.detach() for name, value in losses.parts().items()}
        self.log_dict(parts, batch_size=len(batch.groups), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam with the released code's weight decay, and the schedule by step."""
        optimizer = torch.optim.Adam(
            self.parameters(), lr=self.config.peak_rate, weight_decay=self.config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: noam_factor(step, self.config))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class LearningCurve(Callback):
    """One row for each validation; rows are part of the checkpoint, so that a resumed run goes on."""

    def __init__(self, path: Path, config: PretrainingConfig) -> None:
        self.path = path
        self.config = config
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

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add a row and write all of them."""
        step, seconds = trainer.global_step, self._elapsed()
        molecules = step * self.config.batch_size * trainer.world_size
        row = {
            "step": step,
            "molecules": molecules,
            "seconds": round(seconds, 1),
            "learning rate": self.config.peak_rate * noam_factor(step, self.config),
            **{key: round(float(value), 5) for key, value in sorted(trainer.callback_metrics.items())},
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            with self.path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(self.rows[-1]))
                writer.writeheader()
                writer.writerows(self.rows)
            held_out = ", ".join(f"{k[9:]} {v:.4g}" for k, v in row.items() if k.startswith("held-out"))
            speed = molecules / seconds
            logger.info("step %d, %.0f s, %.0f molecules/s; held out: %s", step, seconds, speed, held_out)


def _split(smiles: list[str], config: PretrainingConfig) -> tuple[list[str], list[str]]:
    """Molecules to train on, and those held out."""
    order = np.random.default_rng([config.seed, 2]).permutation(len(smiles))
    held_out, rest = order[: config.n_held_out], order[config.n_held_out :]
    return [smiles[row] for row in rest], [smiles[row] for row in held_out]


def _vocabularies(folder: Path, smiles: list[str], config: PretrainingConfig) -> Vocabularies:
    """Those of an earlier run into the folder, else counted in the first molecules."""
    path = folder / VOCABULARIES
    if not path.is_file():
        sample = parse(smiles[: config.n_vocabulary_molecules])
        Vocabularies.of(sample, config.min_context_count).write(path)
    return Vocabularies.read(path)


def _loader(batches: CorpusBatches, config: PretrainingConfig) -> DataLoader[LabelledBatch]:
    return DataLoader(batches, batch_size=None, num_workers=config.n_workers)


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
    InputError
        If the corpus cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = _split(read_corpus(corpus), config)
    vocabularies = _vocabularies(folder, train, config)
    labelling = {
        "vocabularies": vocabularies,
        "depth": config.encoder["depth"],
        "n_blocks": config.encoder["n_blocks"],
        "label_fraction": config.label_fraction,
        "mask_inputs": config.mask_inputs,
    }
    checkpoints = [path for path in (folder / _CHECKPOINT, folder / _INTERRUPTED) if path.is_file()]
    checkpoint = max(checkpoints, key=lambda path: path.stat().st_mtime, default=None)
    first = 0
    if checkpoint is not None:
        first = torch.load(checkpoint, weights_only=False, map_location="cpu")["global_step"]
    n_validation = max(1, len(held_out) // config.batch_size)
    validation = CorpusBatches(held_out, config.batch_size, config.seed, last=n_validation, **labelling)
    batches = CorpusBatches(train, config.batch_size, config.seed, first=first, **labelling)
    run = PretrainingRun(config, vocabularies)
    curve = LearningCurve(folder / CURVE, config)
    trainer = Trainer(
        max_steps=config.n_steps,
        max_epochs=-1,
        devices=config.devices,
        precision=config.precision,  # type: ignore[arg-type]
        callbacks=[
            curve,
            ModelCheckpoint(
                folder,
                _CHECKPOINT[:-5],
                every_n_train_steps=config.validate_every // 4 or 1,
                enable_version_counter=False,
            ),
            OnExceptionCheckpoint(folder, _INTERRUPTED[:-5]),
        ],
        val_check_interval=config.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=config.validate_every,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
    )
    if checkpoint is None:
        trainer.validate(run, _loader(validation, config), verbose=False)
    trainer.fit(
        run, _loader(batches, config), _loader(validation, config), ckpt_path=checkpoint, weights_only=False
    )
    weights = {name: value.half() for name, value in run.objective.encoder.state_dict().items()}
    settings = {"output": "both", **config.encoder}
    write_weights(folder / WEIGHTS, weights, settings, pretraining=config.record(), corpus=corpus.name)
    return folder / WEIGHTS


__all__ = ["LearningCurve", "PretrainingRun", "noam_factor", "pretrain"]
