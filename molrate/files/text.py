"""Text of cells that is not what it should be: bytes that are not UTF-8, control characters."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TORN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\udc80-\udcff]")
_NOT_UTF_8 = re.compile(r"[\udc80-\udcff]")


def visible(text: str) -> str:
    r"""Text without bytes that are not UTF-8 and control characters, which are shown as ``\xe9``.

    >>> visible("caf\udce9")
    'caf\\xe9'
    """
    if text.isprintable():
        return text
    return _TORN.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", text)


def utf_8(text: str) -> str:
    r"""Text without bytes that are not UTF-8, which are shown as ``\xe9``; control characters stay."""
    if text.isprintable():
        return text
    return _NOT_UTF_8.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", text)


def not_utf_8(text: str) -> str:
    """Why a cell is no text: its first byte that is not UTF-8; empty if there is none."""
    match = None if text.isprintable() else _NOT_UTF_8.search(text)
    return "" if match is None else f"not UTF-8 text (byte {ord(match[0]) & 0xFF:#04x})"


def spoiled(header: Sequence[str], cells: Sequence[str]) -> str:
    """What to note of a record: which cells have bytes that are not UTF-8."""
    reasons = [(name, not_utf_8(cell)) for name, cell in zip(header, cells, strict=False)]
    return "; ".join(f"{name}: {reason}" for name, reason in reasons if reason)
