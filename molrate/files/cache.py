"""What molrate keeps on disk: downloads, embeddings and scores, how large they are, and their removal."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from molrate.errors import InputError, UsageError
from molrate.paths import cache_folder

KINDS = ("embeddings", "scores", "weights", "datasets", "moleculenet")


@dataclass(frozen=True)
class CacheUsage:
    """One kind of kept files.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    folder : pathlib.Path
    n_files : int
    n_bytes : int
    """

    kind: str
    folder: Path
    n_files: int
    n_bytes: int

    @property
    def files(self) -> str:
        """Their number with its noun."""
        return f"{self.n_files} file" + ("" if self.n_files == 1 else "s")


def cache_usage() -> list[CacheUsage]:
    """How many files are kept of each kind, and their size.

    Examples
    --------
    >>> [usage.kind for usage in cache_usage()]
    ['embeddings', 'scores', 'weights', 'datasets', 'moleculenet']
    """
    return [_usage(kind) for kind in KINDS]


def _usage(kind: str) -> CacheUsage:
    folder = cache_folder(kind)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return CacheUsage(kind, folder, len(sizes), sum(sizes))


def clear_cache(kind: str) -> CacheUsage:
    """Remove all kept files of a kind; what is needed again is computed or downloaded again.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.

    Returns
    -------
    CacheUsage
        What was removed.

    Raises
    ------
    UsageError
        If the kind is unknown.
    InputError
        If files cannot be removed.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of cached files {kind!r}; known: {', '.join(KINDS)}")
    usage = _usage(kind)
    try:
        if usage.folder.exists():
            shutil.rmtree(usage.folder)
    except OSError as error:
        raise InputError(f"{usage.folder}: cannot be removed: {error.strerror or error}") from error
    return usage


def show_bytes(n_bytes: int) -> str:
    """A size for people.

    >>> show_bytes(1_500_000)
    '1.5 MB'
    """
    size = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
