"""Lightning: that it is installed, and its advice, for those who ask for details."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from molrate.errors import UsageError

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
