"""Ctrl-C and SIGTERM: a command ends with 128 + the signal's number, and says how to go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
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
        yield stop
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


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
