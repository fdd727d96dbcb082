"""Lightning: that it is installed, its advice for those who ask, and signals that stay as they were."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from molrate.errors import UsageError

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

logger = logging.getLogger(__name__)

_ADVICE = (r".*LeafSpec", r".*does not have many workers", r".*Checkpoint directory")
"""On versions of torch yet to come, on loading batches in other processes, and on folders in use."""


def require_lightning() -> None:
    """Make sure that Lightning is installed.

    Raises
    ------
    UsageError
        If it is not; the message says how to install it.
    """
    if find_spec("lightning") is None:
        raise UsageError('training needs Lightning: pip install "molrate[train]"')


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep what Lightning says beside warnings to itself, unless molrate itself is to tell details."""
    lightning = logging.getLogger("lightning.pytorch")
    level = lightning.level
    if not logger.isEnabledFor(logging.INFO):
        lightning.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for advice in _ADVICE:
                warnings.filterwarnings("ignore", message=advice)
            yield
    finally:
        lightning.setLevel(level)


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Let signals do to a training what they do elsewhere, and leave their handlers as they were.

    Lightning makes an exit of an interrupt, and takes SIGTERM for a reason to end as if all were done.
    """
    taken = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit as exit_:
        if isinstance(exit_.__context__, KeyboardInterrupt):
            raise exit_.__context__ from None
        raise
    finally:
        for number, handler in taken.items():
            if handler is not None and threading.current_thread() is threading.main_thread():
                signal.signal(number, handler)
    if trainer.received_sigterm:
        signal.raise_signal(signal.SIGTERM)
