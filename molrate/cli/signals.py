"""Ctrl-C and SIGTERM: a command ends with 128 + the signal's number, and says how to go on."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType


class StoppedError(KeyboardInterrupt):
    """A signal asked the command to end.

    It is an interrupt to all who clean up after one, but not to Python itself, which after an interrupt that
    came through code run from a string ends by SIGINT, whichever the signal was.
    """


@dataclass
class Stop:
    """What is known of the signal that stops a command.

    Attributes
    ----------
    number : int or None
        Of the first signal; None while there was none.
    outlook : str
        What becomes of what was done.
    """

    number: int | None = None
    outlook: str = "no result was written; the same command begins anew"

    @property
    def exit_code(self) -> int:
        """As shells report a signal."""
        return 128 + (self.number or signal.SIGINT)


_stop = Stop()


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Let SIGINT and SIGTERM raise :class:`StoppedError` in this thread, which is the main one.

    Those that are ignored, as a shell does for what it runs in the background, stay so.
    """
    global _stop
    _stop = stop = Stop()

    def raise_stopped(number: int, _: FrameType | None) -> None:
        stop.number = stop.number or number
        raise StoppedError

    taken = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }
    try:
        for number in taken:
            signal.signal(number, raise_stopped)
        with _stops_again(), _interrupts_as_sigterm(stop) if len(taken) == 2 else nullcontext():
            yield stop
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


_SOON = 0.05
"""Seconds in which a callback that ignores exceptions has ended."""


@contextmanager
def _stops_again() -> Iterator[None]:
    """Raise again what came up in a finaliser or a callback, where exceptions are ignored."""
    before, main_thread = sys.unraisablehook, threading.get_ident()

    def send_again() -> None:
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main_thread, signal.SIGTERM)
        else:
            signal.raise_signal(signal.SIGTERM)

    def notice(ignored: sys.UnraisableHookArgs) -> None:
        if not issubclass(ignored.exc_type, StoppedError):
            before(ignored)
            return
        timer = threading.Timer(_SOON, send_again)
        timer.daemon = True
        timer.start()

    sys.unraisablehook = notice
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextmanager
def _interrupts_as_sigterm(stop: Stop) -> Iterator[None]:
    """Take SIGINT in a thread that waits for nothing else, and send this one SIGTERM for it.

    RDKit sets a handler of its own while it matches substructures: an interrupt would end the match, whose
    result is then incomplete without an error, and never come to Python. No thread but the one that waits,
    and no process started from here, gets to see it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    ended = threading.Event()
    main_thread = threading.get_ident()

    def wait() -> None:
        while True:
            number = signal.sigwait({signal.SIGINT})
            if ended.is_set():
                return
            stop.number = stop.number or number
            signal.pthread_kill(main_thread, signal.SIGTERM)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    watcher = threading.Thread(target=wait, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        signal.pthread_kill(watcher.ident or 0, signal.SIGINT)
        watcher.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def at_a_stop(outlook: str) -> Iterator[None]:
    """Say this of what was done, should the command be stopped while the block runs."""
    try:
        yield
    except BaseException:
        # Workers may fail of the same signal before this process gets it.
        _stop.outlook = outlook
        raise


def resumable(how: str) -> AbstractContextManager[None]:
    """Say at a stop how what is done is gone on with."""
    return at_a_stop(f"what is done is kept, and {how} goes on from there")
