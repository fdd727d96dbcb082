"""Rows of features: their norms, and that they are finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.statistics.moments import to_host


def unit_rows(rows: Any) -> Any:
    """Rows scaled to unit norm, shape (n, d).

    Raises
    ------
    InputError
        If a row is not finite or is zero, and so has no direction.
    """
    norms = squared_norms(rows)
    check_norms(to_host(norms))
    return rows / norms[:, None] ** 0.5


def check_norms(squares: npt.NDArray[Any]) -> None:
    """Refuse rows that are not finite or have no direction, by their squared norms.

    Raises
    ------
    InputError
        With the first of their numbers.
    """
    check_finite(squares)
    if not squares.all():
        raise InputError(f"features of {show_rows(squares == 0)} are all zero, so they have no unit norm")


def check_finite(sums: npt.NDArray[Any]) -> None:
    """Refuse rows whose sum or norm is not finite.

    Raises
    ------
    InputError
        With the first of their numbers.
    """
    if not np.isfinite(sums).all():
        raise InputError(f"features of {show_rows(~np.isfinite(sums))} are not finite")


def show_rows(mask: npt.NDArray[np.bool_]) -> str:
    """Numbers (from 1) of the first rows of a mask, for messages."""
    rows = np.flatnonzero(mask)
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return "row " + ", ".join(str(row + 1) for row in rows[:3]) + more


def squared_norms(rows: Any) -> Any:
    """Squared norm of each row, shape (n,)."""
    return np.einsum("ij,ij->i", rows, rows) if isinstance(rows, np.ndarray) else (rows * rows).sum(1)


def checked_array(features: Any) -> Any:
    """A NumPy array, or the torch tensor itself if it lies on another device."""
    if type(features).__module__.split(".")[0] != "torch":
        array = np.asarray(features)
        return array if array.dtype.kind == "f" else array.astype(np.float64)
    tensor = features.detach()
    return tensor.numpy() if tensor.device.type == "cpu" else tensor
