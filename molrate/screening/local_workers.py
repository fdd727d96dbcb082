"""Chunks on the cores of this machine: a process each, with a model of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection

from molrate.errors import MolrateError
from molrate.files.library import Chunk
from molrate.screening.parts import OutputPart, make_part
from molrate.screening.stage import Stage

PartBytes = tuple[OutputPart, bytes]

_WAITING = 2
"""Chunks for each process that are read ahead of it."""

_stage: Stage
_suffix: str


def _start(stage: Stage, suffix: str) -> None:
    """Make a worker ready."""
    import torch

    global _stage, _suffix
    # Ctrl-C reaches every process of a terminal; the one that started the workers deals with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    stage.prepare()
    _stage, _suffix = stage, suffix


def _end_with_parent() -> None:
    """Leave nothing running when the command is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(chunk: Chunk) -> PartBytes:
    return make_part(chunk, _stage.table(chunk), _suffix)


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
    # A forked process would inherit torch's threads in an unknown state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_jobs, context, _start, (stage, suffix))
    others = set(multiprocessing.active_children())
    finished = False
    try:
        yield from _in_order(pool, chunks, _WAITING * n_jobs)
        finished = True
    except BrokenProcessPool as error:
        raise MolrateError(
            "a worker process was killed, perhaps for want of memory: take fewer --jobs or a smaller "
            "--chunk-size; --resume goes on with what is missing"
        ) from error
    finally:
        if not finished:
            # Stopped before the end: nobody waits for what is still in work.
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
        pool.shutdown(wait=False, cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, chunks: Iterator[Chunk], n_ahead: int) -> Iterator[PartBytes]:
    """Parts of chunks, of all that were read also where reading fails."""
    failures: list[MolrateError] = []
    running: deque[Future[PartBytes]] = deque()
    for chunk in _readable(chunks, failures):
        with _interrupts_held():
            running.append(pool.submit(_work, chunk))
        if len(running) >= n_ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()
    if failures:
        raise failures[0]


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let workers that start here never see an interrupt, and this process see it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _readable(chunks: Iterator[Chunk], failures: list[MolrateError]) -> Iterator[Chunk]:
    try:
        yield from chunks
    except MolrateError as error:
        failures.append(error)


def default_jobs() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
