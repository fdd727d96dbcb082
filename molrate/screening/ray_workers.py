"""Chunks on a Ray cluster: actors that each hold a model, on this machine or on many.

Chunks are read here and parts written here, in order, so that a run on a cluster leaves the same bytes as a
local one and resumes like it. What actors read, a model's folder or checkpoints, is to be where every node
can read it under the same path.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from molrate.errors import MolrateError, UsageError
from molrate.files.library import Chunk
from molrate.ray_cluster import connected, fetch
from molrate.screening.parts import make_part
from molrate.screening.stage import Stage
from molrate.screening.workers import PartBytes, Workers

logger = logging.getLogger(__name__)

_WAITING = 3
"""Chunks for each actor that are read ahead, or wait for an earlier one to be finished."""
_ATTEMPTS = 3
_LOOKS, _PAUSE = 10, 0.5
"""How often, and at what distance in seconds, it is seen what is free."""


class _Actor:
    """A worker's end: a stage made ready once."""

    def __init__(self, stage: Stage, suffix: str) -> None:
        import torch

        torch.set_num_threads(1)
        stage.prepare()
        self.stage, self.suffix = stage, suffix

    def make(self, chunk: Chunk) -> PartBytes:
        """The part of a chunk."""
        return make_part(chunk, self.stage.table(chunk), self.suffix)


def run_on_ray(
    chunks: Iterator[Chunk],
    stage: Stage,
    suffix: str,
    n_workers: int | None = None,
    address: str | None = None,
) -> Iterator[PartBytes]:
    """Parts of chunks, in order.

    An actor that is lost is started again, and its chunk tried up to three more times.

    Parameters
    ----------
    chunks : iterator of Chunk
    stage : Stage
    suffix : str
        Format of the parts.
    n_workers : int, optional
        Actors; by default one for each core, or GPU if the stage's device is one, of the cluster.
    address : str, optional
        Of a cluster, as ``ray.init`` takes it; one is started on this machine if none is given.

    Raises
    ------
    UsageError
        If Ray is not installed or the cluster cannot be reached.
    MolrateError
        If a chunk failed in every attempt, or as the stage raises it.
    """
    with connected(address):
        workers = _Actors(stage, suffix, n_workers)
        try:
            yield from workers.run(chunks)
        finally:
            workers.end()


class _Actors(Workers):
    """Actors, all started first."""

    def __init__(self, stage: Stage, suffix: str, n_workers: int | None) -> None:
        import ray

        on_gpu = getattr(stage, "device", "cpu") != "cpu"
        resource = "GPU" if on_gpu else "CPU"
        n_free = _room_for_workers(resource)
        if not n_free:
            raise UsageError(f"the Ray cluster has no free {resource} with a core; start nodes that have")
        if n_workers is not None and n_workers > n_free:
            # More would wait for ever, and the output with them.
            logger.warning("the Ray cluster has room for %d workers, not for %d", n_free, n_workers)
        n_workers = min(n_workers or n_free, n_free)
        actor = ray.remote(_Actor).options(
            num_cpus=1, num_gpus=1 if on_gpu else 0, max_restarts=_ATTEMPTS, max_task_retries=_ATTEMPTS
        )
        self.n_ahead = _WAITING * n_workers
        self._actors = [actor.remote(stage, suffix) for _ in range(n_workers)]
        self._idle = list(self._actors)
        self._running: dict[Any, tuple[Any, int]] = {}

    @property
    def is_free(self) -> bool:
        """Whether an actor is idle."""
        return bool(self._idle)

    def begin(self, chunk: Chunk) -> None:
        """Call an idle actor."""
        actor = self._idle.pop()
        self._running[actor.make.remote(chunk)] = actor, chunk.index

    def finish_one(self) -> tuple[int, PartBytes | Exception]:
        """Result of the first call to be done."""
        import ray

        (done, *_), _ = ray.wait(list(self._running), num_returns=1)
        actor, index = self._running.pop(done)
        self._idle.append(actor)
        return index, _result(done)

    def end(self) -> None:
        """Give back what the actors hold."""
        import ray

        for actor in self._actors:
            ray.kill(actor)


def _room_for_workers(resource: str) -> int:
    """How many actors can start now; waits a little for what an earlier run gives back."""
    import ray

    def room(resources: dict[str, float]) -> int:
        return int(min(resources.get(resource, 0), resources.get("CPU", 0)))

    for _ in range(_LOOKS):
        n_free = room(ray.available_resources())
        if n_free == room(ray.cluster_resources()):
            break
        time.sleep(_PAUSE)
    return n_free


def _result(done: Any) -> PartBytes | Exception:
    import ray

    try:
        made: PartBytes = fetch(done)
    except ray.exceptions.RayActorError as error:
        lost = MolrateError(
            f"a Ray worker could not start, or was lost {_ATTEMPTS + 1} times: {error}; --resume goes on "
            "with what is missing"
        )
        lost.__cause__ = error
        return lost
    except Exception as error:  # Raised again where the parts are read.
        return error
    return made
