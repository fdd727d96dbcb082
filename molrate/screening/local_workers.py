"""Chunks on the cores of this machine: a process each, with a model of its own.

Every process has a pipe of its own and this one no thread. A process can thus be ended at any moment, in the
middle of a sentence too: nobody else waits for the rest of it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

from molrate.errors import MolrateError
from molrate.files.library import Chunk
from molrate.screening.parts import make_part
from molrate.screening.stage import Stage
from molrate.screening.workers import PartBytes, Workers

_WAITING = 2
"""Chunks for each process that are in work or wait for an earlier one."""


def run_locally(chunks: Iterator[Chunk], stage: Stage, suffix: str, n_jobs: int) -> Iterator[PartBytes]:
    """Parts of chunks, in order; memory holds no more chunks than the processes work on.

    Parameters
    ----------
    chunks : iterator of Chunk
    stage : Stage
    suffix : str
        Format of the parts.
    n_jobs : int
        Processes; with one, this process works itself, with a thread on every core.

    Raises
    ------
    MolrateError
        If a worker was killed, as the system does when memory runs out.
    """
    if n_jobs == 1:
        stage.prepare()
        for chunk in chunks:
            yield make_part(chunk, stage.table(chunk), suffix)
        return
    workers = _Processes(stage, suffix, n_jobs)
    try:
        yield from workers.run(chunks)
    finally:
        workers.end()


class _Worker:
    """A process, and this one's end of its pipe."""

    def __init__(self, stage: Stage, suffix: str) -> None:
        # A forked process would inherit torch's threads in an unknown state.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, stage, suffix))
        self.process.start()
        # With no other end open here, a process that is gone reads as the end of its pipe.
        theirs.close()


class _Processes(Workers):
    """Processes, started as chunks come."""

    def __init__(self, stage: Stage, suffix: str, n_jobs: int) -> None:
        self.n_ahead = _WAITING * n_jobs
        self._stage, self._suffix, self._n_jobs = stage, suffix, n_jobs
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._running: dict[Any, tuple[_Worker, int]] = {}

    @property
    def is_free(self) -> bool:
        """Whether a process is idle or can be started."""
        return bool(self._idle) or len(self._running) < self._n_jobs

    def begin(self, chunk: Chunk) -> None:
        """Send a chunk; the process reads at once, as it has nothing else to do."""
        with _interrupts_held():
            if not self._idle:
                self._idle.append(_Worker(self._stage, self._suffix))
                self._workers += self._idle
            worker = self._idle.pop()
            self._running[worker.pipe] = worker, chunk.index
        with _killed_workers_named():
            worker.pipe.send(chunk)

    def finish_one(self) -> tuple[int, PartBytes | Exception]:
        """Read what the first process to be done has sent."""
        pipe: Any = connection.wait(list(self._running))[0]
        with _killed_workers_named():
            result = pipe.recv()
        worker, index = self._running.pop(pipe)
        self._idle.append(worker)
        return index, result

    def end(self) -> None:
        """End them all, at once where they are still in work."""
        for worker in self._workers:
            if worker.pipe in self._running:
                worker.process.terminate()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join()


@contextmanager
def _killed_workers_named() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise MolrateError(
            "a worker process was killed, perhaps for want of memory: take fewer --jobs or a smaller "
            "--chunk-size; --resume goes on with what is missing"
        ) from error


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let workers that start here never see an interrupt, and this process once it knows of them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: connection.Connection, stage: Stage, suffix: str) -> None:
    """Answer chunks with parts until no more come; what a process does."""
    import torch

    # Ctrl-C reaches every process of a terminal; the one that started the workers deals with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    ready = False
    while (chunk := _next_chunk(pipe)) is not None:
        result: PartBytes | Exception
        try:
            if not ready:
                stage.prepare()
            ready = True
            result = make_part(chunk, stage.table(chunk), suffix)
        except Exception as error:  # Raised again where the parts are read.
            if not isinstance(error, MolrateError):
                error.add_note(f"in a worker process:\n{traceback.format_exc()}")
            result = error
        pipe.send(result)


def _next_chunk(pipe: connection.Connection) -> Chunk | None:
    try:
        chunk: Chunk = pipe.recv()
    except EOFError:
        return None
    return chunk


def _end_with_parent() -> None:
    """Leave nothing running when the command is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
