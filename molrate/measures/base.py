"""What a measure is, and the measures by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from molrate.registry import Registry

MEASURES = Registry("measure", "molrate.measures", {"transrate": "molrate.measures.transrate:TransRate"})


@dataclass(frozen=True)
class Score:
    """A measure's value beside its null: the same features with permuted labels.

    Attributes
    ----------
    value : float
    null_mean, null_sd : float
        Mean and standard deviation over permutations.
    """

    value: float
    null_mean: float
    null_sd: float

    @property
    def excess(self) -> float:
        """Value minus null mean: what the labels add to what the features alone give."""
        return self.value - self.null_mean


class Measure(ABC):
    """A number that predicts how well features transfer to a target.

    Attributes
    ----------
    name : str
    tasks : tuple of str
        Kinds of target it applies to.
    needs : {"features", "statistics", "source probabilities"}
    higher_is_better : bool
    reference : str
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    needs: ClassVar[str]
    higher_is_better: ClassVar[bool]
    reference: ClassVar[str]

    @abstractmethod
    def score(self, features: npt.ArrayLike, labels: npt.ArrayLike, *, permutations: int, seed: int) -> Score:
        """Score features (n, d) against class labels or bins (n,), with `permutations` for the null.

        Raises
        ------
        InputError
            If the measure is not defined for this input.
        """


def label_codes(labels: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Labels of any kind as codes 0 ... C-1."""
    return np.unique(np.asarray(labels), return_inverse=True)[1]
