"""Computed arrays kept in files of the cache, with a digest that tells damage."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)

Content = tuple[dict[str, npt.NDArray[Any]], dict[str, str]]
"""Arrays and texts, by name."""
_Parsed = TypeVar("_Parsed")
_DIGEST = "sha256"


class DamagedError(Exception):
    """Why a file of the cache is not what was written."""


def find_kept(path: Path, parse: Callable[[Content], _Parsed]) -> _Parsed | None:
    """What `parse` makes of a kept file; None where it is absent, or damaged, which is said.

    Parameters
    ----------
    path : pathlib.Path
    parse : callable
        Of arrays and texts; it may raise :class:`DamagedError`.
    """
    if not path.is_file():
        return None
    try:
        return parse(read_kept(path))
    except DamagedError as damage:
        logger.warning("%s is damaged (%s); computing it again", path, damage)
        return None


def read_kept(path: Path) -> Content:
    """Arrays and texts that :func:`write_kept` wrote.

    Raises
    ------
    DamagedError
        If the file is not what was written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as stored:
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            texts = dict(stored.metadata() or {})
        digest = texts.pop(_DIGEST)
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise DamagedError(str(error)) from error
    if digest != _digest_of(arrays, texts):
        raise DamagedError("its digest is not that of its content")
    return arrays, texts


def write_kept(path: Path, arrays: Mapping[str, npt.NDArray[Any]], texts: Mapping[str, str]) -> None:
    """Keep arrays and texts; a cache that cannot be written costs time, not the result.

    Parameters
    ----------
    path : pathlib.Path
    arrays : mapping of str to ndarray
    texts : mapping of str to str
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {**texts, _DIGEST: _digest_of(whole, texts)}
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        mode = partial.stat().st_mode
        save_file(whole, partial, metadata=metadata)
        # A file that safetensors writes itself can be read by its owner only; a cache may be shared.
        partial.chmod(mode)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        logger.warning("the cache %s cannot be written (%s); going on without it", path.parent, error)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _digest_of(arrays: Mapping[str, npt.NDArray[Any]], texts: Mapping[str, str]) -> str:
    digest = hashlib.sha256("".join(texts[name] for name in sorted(texts)).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
