"""The share of the features' variance that lies between classes, or between ranges of a regression target."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.measures.base import FeaturesMeasure
from molrate.measures.sample import Sample


class ClassShare(FeaturesMeasure):
    """Variance of class means over that of all features, from 0 to 1.

    molrate computes the null, the interval and the tiers from :meth:`value` alone.
    """

    name = "example-measure"
    title = "Between-class share of the variance"
    reference = "Fisher, 1925 (analysis of variance)"
    about = "From 0 to 1. Blind to features that tell classes apart together only."

    def value(self, features: npt.NDArray[np.float64], labels: npt.NDArray[Any]) -> float:
        """Compute the share for features (n, d) and class codes (n,); regression comes as ranges."""
        centred = features - features.mean(axis=0)
        total = float((centred**2).sum())
        if total == 0:
            raise InputError("all features are constant")
        classes = np.eye(labels.max() + 1)[labels]
        sums = classes.T @ centred
        return float((sums**2 / classes.sum(axis=0)[:, None]).sum() / total)

    def maximum(self, sample: Sample) -> float:
        """Return 1, where every class is one point."""
        return 1.0
