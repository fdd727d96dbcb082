"""Ray clusters, on this machine or on many."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from molrate.errors import MolrateError, UsageError

_PATIENCE = 10
"""Seconds within which a cluster has to answer."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def connected(address: str | None = None) -> Iterator[Any]:
    """Connect to a Ray cluster and yield the ``ray`` module; a connection made here is closed at the end.

    Parameters
    ----------
    address : str, optional
        Address of a cluster, as ``ray.init`` takes it. Without it, a cluster is started on this machine.

    Raises
    ------
    UsageError
        If Ray is not installed or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError('--engine ray needs Ray: pip install "molrate[ray]"') from error
    started_here = not ray.is_initialized()
    if started_here:
        _connect(address)
    try:
        yield ray
    finally:
        if started_here:
            ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    try:
        if address is not None and ":" in address:
            # Ray itself would wait for minutes.
            host, port = address.removeprefix("ray://").rsplit(":", 1)
            socket.create_connection((host, int(port)), _PATIENCE).close()
        with _signals_as_they_were(), _nothing_reported():
            # None would join a cluster that runs on this machine, or wait for one that did.
            ray.init(
                address=address or "local",
                log_to_driver=False,
                include_dashboard=False,
                logging_level=logging.ERROR,
            )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        if address is None:
            raise UsageError(f"--engine ray: no cluster can be started here: {error}") from error
        raise UsageError(
            f"--address {address}: no Ray cluster can be reached there: {error}; one that asks for a token "
            "needs RAY_AUTH_MODE=token and the token here too"
        ) from error


@contextmanager
def _signals_as_they_were() -> Iterator[None]:
    """Take SIGTERM back from Ray, which would end the process where it stands."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _nothing_reported() -> Iterator[None]:
    """A cluster that is started does not tell Ray's makers of its use, unless the user has it so."""
    name = "RAY_USAGE_STATS_ENABLED"
    if name in os.environ:
        yield
        return
    os.environ[name] = "0"
    try:
        yield
    finally:
        del os.environ[name]


def n_cores() -> int:
    """Number of cores of the connected cluster."""
    import ray

    return int(ray.cluster_resources().get("CPU", 0))


def map_tasks(function: Callable[..., Result], items: Sequence[Item], shared: Any) -> Iterator[Result]:
    """Run ``function(item, shared)`` as a task for every item, and yield the results in order.

    Parameters
    ----------
    function : callable
    items : sequence
    shared : object
        Argument of every call, sent to each node once.

    Raises
    ------
    MolrateError
        The error that the function raised.
    """
    import ray

    remote, sent = ray.remote(function), ray.put(shared)
    for task in [remote.remote(item, sent) for item in items]:
        yield fetch(task)


def fetch(task: Any) -> Any:
    """Get the result of a task, or raise its error as the task raised it."""
    import ray

    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        cause = error.as_instanceof_cause()
        raise cause if isinstance(cause, MolrateError) else error from error
