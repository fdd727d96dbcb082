"""What every encoder is fine-tuned on alike: molecules, targets, and the use of each molecule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from molrate.data.datasets import Dataset
from molrate.data.duplicates import measurement_notes, merge_measurements
from molrate.data.molecules import Molecules
from molrate.data.parts import Assignment, split_as_assigned
from molrate.data.policy import RowPolicy
from molrate.data.splits import Split, check_training, fold_molecules, part_notes, split_molecules
from molrate.data.targets import Target, check_targets
from molrate.errors import UsageError
from molrate.models.head import Task
from molrate.models.metrics import error_scales
from molrate.ranking.molecules import standardise_dataset

_VALIDATION_FOLDS = 8
"""Of the molecules that a member of an ensemble learns from, one in so many chooses its epoch."""


@dataclass(frozen=True)
class TrainingData:
    """What every encoder is fine-tuned on alike.

    Attributes
    ----------
    dataset : Dataset
    molecules : Molecules
    targets : tuple of Target
        Of all rows, merged where the policy says so.
    task : Task
    split : Split
        Of the rows that are valid and have a measured target.
    method : str
        How it was split.
    policy : RowPolicy
        How rows became molecules.
    split_notes : tuple of str
        What is to be said of parts that the table named.
    assignment : Assignment, optional
        Those parts.
    """

    dataset: Dataset
    molecules: Molecules
    targets: tuple[Target, ...]
    task: Task
    split: Split
    method: str
    policy: RowPolicy = field(default_factory=RowPolicy)
    split_notes: tuple[str, ...] = ()
    assignment: Assignment | None = None

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Targets side by side, shape (n, n_targets)."""
        return np.column_stack([target.values for target in self.targets])

    @cached_property
    def scales(self) -> npt.NDArray[np.float64] | None:
        """Spreads in training that errors of several numbers are divided by; None for one, or classes."""
        return error_scales(self.task.kind, self.values[self.split.train])

    @property
    def repeated(self) -> list[str]:
        """What rows that repeat a molecule have in common, as :attr:`policy` sees it."""
        return _repeated(self.molecules, self.policy, self.assignment)

    @property
    def notes(self) -> list[str]:
        """What is to be said of the molecules, the measurements and the parts."""
        return self.notes_on_rows(quoted=True)

    def notes_on_rows(self, quoted: bool) -> list[str]:
        """The same, quoting what invalid rows hold or naming them by their numbers alone.

        Parameters
        ----------
        quoted : bool
        """
        return [
            *self.molecules.left_out(quoted),
            *measurement_notes(self.repeated, self.dataset.targets, self.policy.duplicates),
            *self.task.notes(),
            *self.split_notes,
            *part_notes([target.where(self.molecules.valid) for target in self.targets], self.split),
        ]

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        split: str = "random",
        seed: int = 0,
        policy: RowPolicy | None = None,
        assignment: Assignment | None = None,
    ) -> TrainingData:
        """Standardise, merge if asked to, and split a dataset.

        Parameters
        ----------
        dataset : Dataset
        split : {"random", "scaffold"}
        seed : int
        policy : RowPolicy, optional
        assignment : Assignment, optional
            Parts that the table names, in place of `split`. Measurements are merged within parts.

        Raises
        ------
        UsageError
            If both `split` and an assignment say what to test on.
        InputError
            If a target cannot be learned from, too few molecules are valid and measured, or one is invalid
            and the policy is to fail.
        """
        if assignment is not None and split != "random":
            raise UsageError(f"--split {split} and {assignment.method} both say what to test on; give one")
        policy = policy or RowPolicy()
        molecules = standardise_dataset(dataset, policy)
        targets = dataset.targets
        if policy.duplicates == "merge":
            targets = merge_measurements(_repeated(molecules, policy, assignment), targets)
        check_targets([target.take(np.flatnonzero(molecules.valid)) for target in targets])
        measured = np.any([target.labelled for target in targets], axis=0)
        usable = np.where(measured & molecules.valid, molecules.canonical, "")
        # An invalid row is in no part; its class is not one that a part could lack.
        usable_targets = [target.where(molecules.valid) for target in targets]
        task = Task.of(targets)
        if assignment is None:
            parts = split_molecules(usable.tolist(), split, seed, usable_targets)
            return cls(dataset, molecules, targets, task, parts, split, policy)
        parts, notes = split_as_assigned(usable.tolist(), assignment, seed, usable_targets)
        told = policy, tuple(notes), assignment
        return cls(dataset, molecules, targets, task, parts, assignment.method, *told)

    def n_molecules(self, rows: Sequence[int]) -> int:
        """How many different molecules some rows are."""
        return len(set(self.molecules.canonical[list(rows)].tolist()))

    def take(self, rows: npt.NDArray[np.intp]) -> Dataset:
        """Some rows with targets as they are learned from, merged where the policy says so."""
        return replace(self.dataset, targets=self.targets).take(rows)

    def folds(self, n_folds: int, seed: int) -> list[Split]:
        """A split for each member of an ensemble; the test part is in none.

        Training and validation molecules together are cut into folds. A member leaves one of them out, its
        ``test``, and chooses its epoch by a part of the others.

        Parameters
        ----------
        n_folds, seed : int

        Raises
        ------
        InputError
            If there are too few molecules, or a training part lacks a class.
        """
        known = np.sort(np.concatenate([self.split.train, self.split.validation]))
        splits = []
        for member, left_out in enumerate(self._folds_of(known, n_folds, seed)):
            rest = np.setdiff1d(known, left_out)
            validation = self._folds_of(rest, _VALIDATION_FOLDS, seed + member)[0]
            split = Split(np.setdiff1d(rest, validation), validation, left_out)
            check_training(self.targets, split.train, self.method)
            splits.append(split)
        return splits

    def _folds_of(self, rows: npt.NDArray[np.intp], n_folds: int, seed: int) -> list[npt.NDArray[np.intp]]:
        targets = [target.take(rows) for target in self.targets]
        folds = fold_molecules(self.molecules.canonical[rows].tolist(), n_folds, seed, targets)
        return [rows[np.sort(fold)] for fold in folds]


def _repeated(molecules: Molecules, policy: RowPolicy, assignment: Assignment | None) -> list[str]:
    """What rows that repeat a molecule have in common: it, and where they are merged the part that is named.

    Measurements of the test part must not reach the training part by a mean of both.
    """
    canonical = molecules.canonical
    if policy.duplicates == "merge" and assignment is not None:
        canonical = assignment.apart(canonical)
    return list(canonical)
