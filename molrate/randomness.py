"""Random numbers of torch that depend on a seed alone, and a generator that is left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers on the CPU from a seed while the block runs.

    The user's generators are as they were afterwards, those of GPUs too: they are not touched.

    Parameters
    ----------
    seed : int

    Examples
    --------
    >>> import torch
    >>> before = torch.random.get_rng_state()
    >>> with seeded(0):
    ...     _ = torch.rand(3)
    >>> bool((torch.random.get_rng_state() == before).all())
    True
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the generators of GPUs as well, which are not put back.
        torch.default_generator.manual_seed(seed)
        yield


def reseed(seed: int, device: torch.device) -> None:
    """Seed the generators that a step of training on a device draws from; see :func:`generators_kept`."""
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def generators_kept(on_gpu: bool) -> Iterator[None]:
    """Put torch's generators back after the block, which may seed them.

    Parameters
    ----------
    on_gpu : bool
        Whether those of GPUs are among them.
    """
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if on_gpu else []):
        yield
