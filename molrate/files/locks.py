"""Locks between processes: one writer of an output, and one at a time in a cache.

They are locks of the operating system on a hidden file beside what they guard, so that a process that dies
gives up its own, however it dies.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from molrate.errors import InputError, UsageError

if TYPE_CHECKING:
    from filelock import BaseFileLock

logger = logging.getLogger(__name__)

FOLDER_LOCK = ".molrate.lock"
"""In a folder that a process writes."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Be the only process that writes a folder, while the block runs; the same thread may enter again.

    Parameters
    ----------
    folder : pathlib.Path
        Is made, and goes again if nothing came to be in it.

    Raises
    ------
    UsageError
        If another process writes it.
    InputError
        If it cannot be locked, for example because its folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, exclusive(Path(folder)):
    ...     print([path.name for path in Path(folder).iterdir()])
    ['.molrate.lock']
    """
    made = _make(folder)
    try:
        with _held(folder, folder / FOLDER_LOCK):
            yield
    finally:
        for path in made:
            # What a refused command made for its lock alone goes again.
            with suppress(OSError):
                path.rmdir()


@contextmanager
def exclusive_file(path: Path | None) -> Iterator[None]:
    """Be the only process that writes a file, in a folder that exists, while the block runs.

    Parameters
    ----------
    path : pathlib.Path or None
        None where nothing is written.

    Raises
    ------
    UsageError
        If another process writes it.
    InputError
        If it cannot be locked.
    """
    with nullcontext() if path is None else _held(path, path.with_name(f".{path.name}.lock")):
        yield


@contextmanager
def _held(output: Path, path: Path) -> Iterator[None]:
    from filelock import Timeout

    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UsageError(
            f"-o {output}: another molrate process{_holder(path)} writes it; wait for it, or name another "
            "output"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise InputError(f"-o {output}: cannot be locked to be written: {_reason(error)}") from error
    try:
        with suppress(OSError):
            # Windows lets nobody write a locked file; a refusal then does not name this process.
            path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")
        yield
    finally:
        _release(lock, path)


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Wait until no other process is at a file of a cache, and keep others waiting while the block runs.

    Raises
    ------
    OSError
        If it cannot be locked.
    """
    from filelock import Timeout

    beside = path.with_name(f".{path.name}.lock")
    beside.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(beside)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.warning("another process is at %s; waiting for it", path.name)
        lock.acquire()
    except NotImplementedError as error:
        raise OSError(f"its file system has no locks ({error})") from error
    try:
        yield
    finally:
        _release(lock, beside)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether nobody else is at a file; if so, keep others from it while the block runs.

    Parameters
    ----------
    path : pathlib.Path
        In a folder that exists.

    Raises
    ------
    InputError
        If it cannot be locked.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, claimed(Path(folder) / "job.json") as free:
    ...     free
    True
    """
    from filelock import Timeout

    beside = path.with_name(f".{path.name}.lock")
    lock = _lock(beside)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError) as error:
        raise InputError(f"{path}: cannot be locked: {_reason(error)}") from error
    try:
        yield True
    finally:
        _release(lock, beside)


def _lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    # A second lock on the file would lock out this very thread.
    return FileLock(path.absolute(), is_singleton=True)


def _release(lock: BaseFileLock, path: Path) -> None:
    """Give a lock up; its file goes while it is held, and who had opened it before sees that."""
    if lock.lock_counter == 1:
        with suppress(OSError):
            path.unlink()
    lock.release()


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it; those that are new, the lowest first."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o {folder}: the folder cannot be made: {_reason(error)}") from error
    return new


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _holder(path: Path) -> str:
    """Who holds a lock, as far as its file tells."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f" (pid {holder['pid']}, host {holder['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
