import struct

import pytest

LOCAL, CENTRAL = (b"PK\x03\x04", 6, 8), (b"PK\x01\x02", 8, 10)
"""Where headers of a zip archive have the flags and the method of a member: their mark, and two offsets."""


def _set(content, offset_of, value):
    """Set a field of all headers of an archive of members that are stored."""
    for mark, flags, method in (LOCAL, CENTRAL):
        start = content.find(mark)
        while start >= 0:
            offset = {"flags": flags, "method": method}[offset_of]
            struct.pack_into("<H", content, start + offset, value)
            start = content.find(mark, start + 1)


def _marker(field, value):
    """What sets a field in the headers of an archive's file."""

    def mark(path):
        content = bytearray(path.read_bytes())
        _set(content, field, value)
        path.write_bytes(content)

    return mark


@pytest.fixture
def encrypted():
    """Marks the members of an archive as encrypted."""
    return _marker("flags", 1)


@pytest.fixture
def deflate64():
    """Marks the members of an archive as compressed by Deflate64, as Windows does with large files."""
    return _marker("method", 9)
