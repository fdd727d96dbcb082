"""Arrays that some measures need in addition to an encoder's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError

GivenArrays = dict[str, dict[str, npt.NDArray[Any]]]

_OWN = ("source_probabilities", "source_features", "attributions")
_REFERENCE = {"features": "reference", "attributions": "reference_attributions"}
_INPUTS = {
    "source_probabilities": "source probabilities",
    "source_features": "source molecules",
    "reference": "reference",
}


def read_given(given: Mapping[str, npt.ArrayLike], n_rows: int) -> GivenArrays:
    """Sort arrays named ``OWNER/what`` by owner: an encoder, or ``reference``, the target-trained encoder.

    Parameters
    ----------
    given : mapping of str to array_like
    n_rows : int
        Number of rows of the dataset; all arrays except source features must have as many.

    Raises
    ------
    InputError
        If a name is not understood or an array has a different number of rows.
    """
    by_owner: GivenArrays = {}
    for name, values in given.items():
        owner, _, what = name.rpartition("/")
        known = _REFERENCE if owner == "reference" else dict.fromkeys(_OWN)
        if not owner or what not in known:
            raise InputError(
                f"{name!r} (--extra-arrays): arrays are named reference/features, reference/attributions, or "
                f"ENCODER/ and one of {', '.join(_OWN)}"
            )
        array = np.asarray(values)
        if what != "source_features" and len(array) != n_rows:
            raise InputError(f"{name!r} (--extra-arrays) has {len(array)} rows, the dataset {n_rows}")
        by_owner.setdefault(owner, {})[known[what] or what] = array
    return by_owner


def inputs_met(given_arrays: GivenArrays) -> set[str]:
    """Inputs of measures that the arrays provide."""
    return {_INPUTS[what] for arrays in given_arrays.values() for what in arrays if what in _INPUTS}
