"""Checkpoints of Lightning that are whole or not there, and that nothing is run from when they are read."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.plugins.io import TorchCheckpointIO

from molrate.encoders.checkpoints import read_pickle
from molrate.files.output import write_atomically


def trainer_plugins() -> list[Any]:
    """Plugins of every trainer: plain checkpoints, and one machine whatever scheduler started the process.

    By itself Lightning takes every task of a SLURM job for a part of one distributed training, refuses jobs
    of several tasks, and warns where ``srun`` is installed.
    """
    return [PlainCheckpoints(), LightningEnvironment()]


class PlainCheckpoints(TorchCheckpointIO):
    """Tensors and plain values, written beside their place and moved into it.

    Lightning by itself writes into the folder for temporary files, from where a move to another file system
    is a copy that can be cut off, and reads with the unpickler, which runs what a file tells it to.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises
        ------
        InputError
            If the file system refuses.
        """
        stream = BytesIO()
        torch.save(checkpoint, stream)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), stream.getvalue())

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Read a checkpoint.

        Raises
        ------
        WeightsError
            If it is damaged, or holds more than tensors and plain values.
        """
        return read_training_checkpoint(Path(path))


def read_training_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :class:`PlainCheckpoints` wrote; nothing in it is run.

    Raises
    ------
    DamagedWeightsError
        If it is damaged.
    WeightsError
        If it holds more than tensors and plain values.
    """
    checkpoint: dict[str, Any] = read_pickle(
        path, advice="Remove it, and what it was to go on with begins anew"
    )
    return checkpoint
