"""Rows of features: their norms, and that they are finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.statistics.moments import to_host

_SMALLEST_SQUARE, _LARGEST_SQUARE = 1e-280, 1e300


def unit_rows(rows: Any) -> Any:
    """Rows scaled to unit norm, shape (n, d).

    Raises
    ------
    InputError
        If a row is not finite or is zero, and so has no direction.
    """
    norms = row_norms(rows)
    check_norms(to_host(norms))
    return rows / norms[:, None]


def check_norms(norms: npt.NDArray[Any]) -> None:
    """Refuse rows that are not finite or have no direction, by their norms.

    Raises
    ------
    InputError
        With the first of their numbers.
    """
    check_finite(norms)
    if not norms.all():
        raise InputError(f"features of {show_rows(norms == 0)} are all zero, so they have no unit norm")


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
    """Squared norm of each row in float64, shape (n,), whatever the precision of the rows."""
    if isinstance(rows, np.ndarray):
        return np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    import torch

    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64) ** 2


def row_norms(rows: Any) -> Any:
    """Norm of each row in float64, shape (n,); not finite or zero only where the row is."""
    squares = squared_norms(rows)
    norms = squares**0.5
    # Squares of very large or small values leave the range of float64 although their norm does not.
    lost = ~((squares > _SMALLEST_SQUARE) & (squares < _LARGEST_SQUARE))
    if lost.any():
        few = rows[lost].astype(np.float64) if isinstance(rows, np.ndarray) else rows[lost].double()
        largest = abs(few).max(1) if isinstance(few, np.ndarray) else abs(few).amax(1)
        scale = largest + (largest == 0)
        norms[lost] = squared_norms(few / scale[:, None]) ** 0.5 * scale
    return norms


def row_sums(rows: Any) -> Any:
    """Sum of each row in float64, shape (n,)."""
    if isinstance(rows, np.ndarray):
        return rows.sum(1, dtype=np.float64)
    import torch

    return rows.sum(1, dtype=torch.float64)


def checked_array(features: Any) -> Any:
    """A NumPy array, or the torch tensor itself if it lies on another device."""
    if type(features).__module__.split(".")[0] != "torch":
        array = np.asarray(features)
        return array if array.dtype.kind == "f" else array.astype(np.float64)
    tensor = features.detach()
    if tensor.device.type != "cpu":
        return tensor
    # NumPy has no bfloat16; float32 holds its values exactly.
    return tensor.float().numpy() if "bfloat16" in str(tensor.dtype) else checked_array(tensor.numpy())
