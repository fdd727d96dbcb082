"""Ctrl-C and SIGTERM: a command ends with 128 + the signal's number, and says how to go on.

The first signal is raised in the main thread, and what was begun is cleaned up. Terminals, ``timeout`` and
the like often send it twice, and people press Ctrl-C again: that changes nothing for a moment, and then ends
the command at once. What is half written then is never read, as after a SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
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
    raised : float or None
        When it was raised; None while it was not, or not to any effect.
    """

    number: int | None = None
    outlook: str = "no result was written; the same command begins anew"
    raised: float | None = None

    @property
    def exit_code(self) -> int:
        """As shells report a signal."""
        return 128 + (self.number or signal.SIGINT)

    @property
    def sentence(self) -> str:
        """What is said at the end."""
        return f"Interrupted; {self.outlook}."

    def take(self, number: int) -> None:
        """Raise a first signal, ignore its repetition, and end at once by a later one.

        Raises
        ------
        StoppedError
            If it is the first.
        """
        self.number = self.number or number
        if self.raised is None:
            self.raised = time.monotonic()
            raise StoppedError
        if time.monotonic() - self.raised > _REPEATED:
            # Buffers may be locked where the first was raised.
            os.write(2, f"{self.sentence}\n".encode())
            os._exit(self.exit_code)


_REPEATED = 1.0
"""Seconds in which a signal that comes again is the same one."""

_stop = Stop()


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Let SIGINT and SIGTERM raise :class:`StoppedError` in this thread, which is the main one.

    Those that are ignored, as a shell does for what it runs in the background, stay so. After a signal the
    process ends, and is not to be disturbed by others at that.
    """
    global _stop
    _stop = stop = Stop()

    def raise_stopped(number: int, _: FrameType | None) -> None:
        stop.take(number)

    taken = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }
    try:
        for number in taken:
            signal.signal(number, raise_stopped)
        with _stops_again(stop), _interrupts_as_sigterm(stop) if len(taken) == 2 else nullcontext():
            yield stop
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler if stop.number is None else signal.SIG_IGN)


_SOON = 0.05
"""Seconds in which a callback that ignores exceptions has ended."""


@contextmanager
def _stops_again(stop: Stop) -> Iterator[None]:
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
        stop.raised = None
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
    before, _stop.outlook = _stop.outlook, outlook
    yield
    # After an error it stays: workers may fail of the same signal before this process gets it.
    _stop.outlook = before


def resumable(how: str) -> AbstractContextManager[None]:
    """Say at a stop how what is done is gone on with."""
    return at_a_stop(f"what is done is kept, and {how} goes on from there")
