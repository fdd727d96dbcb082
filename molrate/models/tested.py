"""A model on molecules that were measured: pairs of what was measured and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from molrate.data.classes import find_class
from molrate.data.targets import Target
from molrate.errors import InputError
from molrate.models.head import Task

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tested:
    """What was measured of n molecules, and what a model says of them.

    Attributes
    ----------
    task : Task
        Of the model.
    targets : tuple of Target
        Measured; classes in the order of the task.
    predicted : ndarray, shape (n, n_outputs)
        Values or probabilities, NaN where there are none.
    """

    task: Task
    targets: tuple[Target, ...]
    predicted: _Floats

    def rows(self, place: int) -> npt.NDArray[np.intp]:
        """Molecules of which the target at a place was measured and can be predicted."""
        return np.flatnonzero(self.targets[place].labelled & np.isfinite(self.predicted).all(axis=1))

    @property
    def numbers(self) -> dict[str, tuple[_Floats, _Floats]]:
        """Measured and predicted values of each target; of those that have both, if any."""
        rows = {place: self.rows(place) for place in range(len(self.targets))}
        return {
            name: (self.targets[place].values[rows[place]], self.predicted[rows[place], place])
            for place, name in enumerate(self.task.targets)
            if len(rows[place])
        }

    @property
    def classes(self) -> dict[str, tuple[npt.NDArray[np.bool_], _Floats]]:
        """Whether molecules are of a class, and its probability, by ``TARGET=CLASS``.

        Of two classes the positive one, else the second; of more, all. Classes that all or none of the
        molecules are of are left out, which may leave none.
        """
        found = {}
        for place, (name, labels) in enumerate(zip(self.task.targets, self.task.classes, strict=True)):
            rows = self.rows(place)
            probabilities = self.task.probabilities(self.predicted[rows], place)
            for code in range(len(labels)) if len(labels) > 2 else [1]:
                positive = self.targets[place].values[rows] == code
                if 0 < positive.sum() < len(positive):
                    found[f"{name}={labels[code]}"] = positive, probabilities[:, code]
        return found


def in_order_of(task: Task, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Targets with their classes in the order that a model has them.

    Parameters
    ----------
    task : Task
    targets : sequence of Target
        One for each of the task's.

    Raises
    ------
    InputError
        If a class is none of the model's.
    """
    if task.kind == "regression":
        return tuple(targets)
    return tuple(_recoded(target, known) for target, known in zip(targets, task.classes, strict=True))


def _recoded(target: Target, known: Sequence[str]) -> Target:
    codes = []
    for label in target.classes:
        same = find_class(tuple(known), label)
        if same is None:
            raise InputError(
                f"target {target.name!r}: {label!r} is no class of the model: {', '.join(known)}"
            )
        codes.append(known.index(same))
    values = target.values.copy()
    values[target.labelled] = np.array(codes)[target.values[target.labelled].astype(int)]
    return replace(target, values=values, classes=tuple(known))
