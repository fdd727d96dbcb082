"""The most memory that a process held while it did something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MARK, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Peak:
    """What :func:`watched` found.

    Attributes
    ----------
    mebibytes : float or None
        None while the block runs, and on systems that do not tell.
    """

    mebibytes: float | None = None


@contextmanager
def watched() -> Iterator[Peak]:
    """Note the most memory that this process holds in the block, with what it held before.

    Linux alone tells; what other threads do at the time counts too.

    Examples
    --------
    >>> with watched() as peak:
    ...     total = sum(range(10))
    >>> peak.mebibytes is None or peak.mebibytes > 1
    True
    """
    peak = Peak()
    is_told = _set_mark_back()
    yield peak
    if is_told:
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
        peak.mebibytes = int(found[1]) / 1024 if found else None


def _set_mark_back() -> bool:
    """Let the system's mark be what is held now; False where it does not, and the mark says nothing."""
    try:
        _MARK.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
