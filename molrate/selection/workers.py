"""Where the jobs of a race are done: in this process, or as tasks on a Ray cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from molrate.encoders.workers import Carried, pack_registered, unpack_registered
from molrate.errors import MolrateError, UsageError
from molrate.ray_cluster import connected, fetch
from molrate.selection.budget import Clock, TimeUpError
from molrate.selection.jobs import Job, JobFolder

POLL = 0.5
"""Seconds between looks at what other processes are doing."""
_ATTEMPTS = 3

Ended = list[tuple[Job, bool]]
"""Jobs that ended, and whether they were finished and not stopped as their time was up."""


class Workers(Protocol):
    """What does jobs."""

    @property
    def running(self) -> Collection[Job]:
        """Jobs that were begun and have not ended."""

    def do(self, plan: Mapping[Job, float], begun: Callable[[Job], None]) -> Ended:
        """Begin jobs as there is room, and wait for a moment, or until one ends.

        Parameters
        ----------
        plan : mapping of Job to float
            Jobs to be done, the next first, with the seconds each may take.
        begun : callable
            Called with each job that begins.
        """


class ThisProcess:
    """One job at a time, here; others may be done by other processes that share the folder."""

    def __init__(self, jobs: JobFolder) -> None:
        self.jobs = jobs
        self.running: Collection[Job] = ()

    def do(self, plan: Mapping[Job, float], begun: Callable[[Job], None]) -> Ended:
        """Do the first job that no other process is at."""
        for job, limit in plan.items():
            with self.jobs.claim(job) as free:
                if free and self.jobs.result(job) is None:
                    begun(job)
                    return [(job, _finished(self.jobs, job, limit))]
        time.sleep(POLL)
        return []


def _finished(jobs: JobFolder, job: Job, seconds: float) -> bool:
    """Do a job, unless it takes longer than it may."""
    try:
        with Clock(None).stopping(seconds):
            jobs.run(job)
    except TimeUpError:
        return False
    return True


@contextmanager
def on_ray(jobs: JobFolder, address: str | None = None) -> Iterator[RayCluster]:
    """Workers on a Ray cluster, which are given back at the end.

    Parameters
    ----------
    jobs : JobFolder
        In a folder that every node reaches under the same path.
    address : str, optional
        Of a cluster, as ``ray.init`` takes it; one is started on this machine if none is given.

    Raises
    ------
    UsageError
        If Ray is not installed, the cluster cannot be reached, or it has no core, or no GPU where the jobs'
        device is one.
    """
    with connected(address) as ray:
        cluster = RayCluster(jobs, ray)
        try:
            yield cluster
        finally:
            cluster.end()


class RayCluster:
    """As many jobs at a time as the cluster has cores, or GPUs where the jobs' device is one.

    Parameters
    ----------
    jobs : JobFolder
    ray : module
        Connected.
    """

    def __init__(self, jobs: JobFolder, ray: Any) -> None:
        self.jobs, self._ray = jobs, ray
        on_gpu = jobs.device != "cpu"
        resource = "GPU" if on_gpu else "CPU"
        self.n_slots = int(ray.cluster_resources().get(resource, 0))
        if not self.n_slots:
            raise UsageError(f"the Ray cluster has no {resource}; start nodes that have")
        # A task whose worker is lost is given to another one.
        self._task = ray.remote(_work).options(num_cpus=1, num_gpus=int(on_gpu), max_retries=_ATTEMPTS)
        self._sent = ray.put((jobs, pack_registered()))
        self._tasks: dict[Any, Job] = {}

    @property
    def running(self) -> Collection[Job]:
        """Jobs that were sent and have not ended."""
        return self._tasks.values()

    def do(self, plan: Mapping[Job, float], begun: Callable[[Job], None]) -> Ended:
        """Send jobs as there is room, and wait for a moment, or until one ends."""
        for job, limit in plan.items():
            if len(self._tasks) == self.n_slots:
                break
            if job not in self.running:
                begun(job)
                self._tasks[self._task.remote(self._sent, job, time.time() + limit)] = job
        ended, _ = self._ray.wait(list(self._tasks), timeout=POLL)
        return [(self._tasks.pop(task), self._fetched(task)) for task in ended]

    def _fetched(self, task: Any) -> bool:
        try:
            finished: bool = fetch(task)
        except self._ray.exceptions.RayError as error:
            raise MolrateError(
                f"a Ray worker could not start, or was lost {_ATTEMPTS + 1} times: {error}; the same command "
                "goes on with what is missing"
            ) from error
        return finished

    def end(self) -> None:
        """Stop what is running."""
        for task in self._tasks:
            self._ray.cancel(task, force=True)


def _work(sent: tuple[JobFolder, Carried], job: Job, end: float) -> bool:
    """A task's end: a job until a time of the clock; whether it was not stopped.

    A job that another process is at is taken for stopped by nobody: the race looks for its result again.
    """
    import torch

    torch.set_num_threads(1)
    jobs, carried = sent
    unpack_registered(carried)
    with jobs.claim(job) as free:
        if not free:
            time.sleep(POLL)
            return True
        if jobs.result(job) is not None:
            return True
        return _finished(jobs, job, end - time.time() if np.isfinite(end) else np.inf)
