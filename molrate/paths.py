"""Where molrate's own files, the user's folders and the cache are. No other module knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_cache_path

_PACKAGE = Path(__file__).resolve().parent
_SEARCH_DEPTH = 3

EVIDENCE = "evidence"
"""The study of measures against real fine-tuning."""


def shipped(kind: str) -> Path:
    """Folder of what ships with molrate.

    A wheel carries the folders inside the package (``molrate/shipped``); a checkout and an editable
    install have them beside it.

    Parameters
    ----------
    kind : {"pretrained", "datasets", "evidence"}

    Returns
    -------
    pathlib.Path
    """
    installed = _PACKAGE / "shipped" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def cache_folder(kind: str) -> Path:
    """Folder for downloads, computed embeddings and scores: ``MOLRATE_CACHE``, else the platform's own."""
    root = os.environ.get("MOLRATE_CACHE")
    return (Path(root) if root else user_cache_path("molrate")) / kind


def user_folders(variable: str) -> list[Path]:
    """Folders named by an environment variable, separated as in ``PATH``."""
    return [Path(entry) for entry in os.environ.get(variable, "").split(os.pathsep) if entry]


def search(folders: list[Path], file: str) -> Iterator[Path]:
    """Find a file at most three levels below the given folders.

    Parameters
    ----------
    folders : list of pathlib.Path
        Searched in order; folders that do not exist are passed over.
    file : str
        A file name, or the end of a path such as ``model_gin/masking.pth``.
    """
    parts = Path(file).parts
    for folder in folders:
        for parent, subfolders, names in os.walk(folder):
            below = Path(parent).relative_to(folder)
            if len(below.parts) >= _SEARCH_DEPTH:
                subfolders.clear()
            subfolders.sort()
            path = Path(parent) / parts[-1]
            if parts[-1] in names and path.parts[-len(parts) :] == parts:
                yield path
