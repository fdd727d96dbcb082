"""ETran: how well discriminants classify, and how usual the features are, relative to the other encoders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from molrate.errors import InputError
from molrate.measures.base import Measure
from molrate.measures.discriminants import class_probabilities, within_class_covariance
from molrate.measures.rowspace import row_space
from molrate.measures.sample import Sample
from molrate.statistics.intervals import Table
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Codes, Resampling

_CLASSIFICATION_WEIGHT = 0.85
_ENERGY_SHARE = 0.005
# Within-class directions below this share of the mean variance are those for which molecules are too few.
_FLOOR = 1e-6


class ETran(Measure):
    """Discriminant and energy scores, each scaled to the range of all candidates."""

    name = "etran"
    title = "ETran"
    reads = "values"
    reference = "Gholami et al., ICCV 2023"
    about = (
        "0.85 times a label score and 0.15 times an energy score, each scaled so that the worst encoder of "
        "the ranking has 0 and the best 1. The label score is the mean probability of the true class by "
        "linear discriminants, or minus the squared error of a least-squares fit; both are judged on the "
        "molecules they were fitted to, so more dimensions score more. The energy score, the mean of the "
        "lowest 0.5 % of log-sum-exp over the features, reads no labels. Adding an encoder changes the "
        "others' values; one alone has none."
    )

    def replicates(self, sample: Sample) -> Table:
        """Compute the two scores, shape (2, 1 + P, 1 + B), which :meth:`normalise_across` adds."""
        resampling = sample.resampling
        table = np.full((2, 1 + len(resampling.permutations), 1 + resampling.n_blocks), np.nan)
        energies = _log_sum_exp(sample.features)
        rows = row_space(sample.features)
        all_rows = np.ones(len(rows), dtype=bool)
        for row, order in enumerate(resampling.orders()):
            table[0, row, 0] = _label_score(rows, resampling, order, all_rows)
        for block in range(resampling.n_blocks):
            keep = resampling.blocks != block
            table[0, 0, 1 + block] = _label_score(rows, resampling, np.arange(len(rows)), keep)
            table[1, :, 1 + block] = _lowest(energies[keep])
        table[1, :, 0] = _lowest(energies)
        return table

    def normalise_across(self, tables: Sequence[Table]) -> list[Table]:
        """Scale each score to the range of all candidates, and add the weighted scores.

        Raises
        ------
        InputError
            If there is only one candidate.
        """
        if len(tables) < 2:
            raise InputError("ETran compares the encoders of a ranking; it needs at least two")
        stacked = np.stack(tables)
        low, high = stacked.min(axis=0), stacked.max(axis=0)
        spread = np.where(high > low, high - low, 1.0)
        label, energy = ((stacked - low) / spread).swapaxes(0, 1)
        return list(_CLASSIFICATION_WEIGHT * label + (1 - _CLASSIFICATION_WEIGHT) * energy)

    def maximum(self, sample: Sample) -> float:
        """Return 1, the value of an encoder that is first in both scores."""
        return 1.0

    def warning(self, sample: Sample) -> str:
        """Warn if there are not more rows than dimensions."""
        n, d = sample.features.shape
        return f"{n} molecules for {d} dimensions: the label score fits anything" if n <= d + 1 else ""


def _label_score(rows: Matrix, resampling: Resampling, order: Codes, keep: Matrix) -> float:
    if resampling.task == "regression":
        values = resampling.values[order][keep]
        centred = rows[keep] - rows[keep].mean(axis=0)
        target = values - values.mean()
        fitted = centred @ np.linalg.lstsq(centred, target, rcond=None)[0]
        return -float(np.mean((target - fitted) ** 2))
    codes = np.unique(resampling.codes[order][keep], return_inverse=True)[1]
    within = within_class_covariance(rows[keep], codes)
    within.flat[:: len(within) + 1] += _FLOOR * np.trace(within) / len(within)
    return float(class_probabilities(rows[keep], codes, within)[np.arange(len(codes)), codes].mean())


def _log_sum_exp(features: Matrix) -> Matrix:
    largest = features.max(axis=1)
    return largest + np.log(np.exp(features - largest[:, None]).sum(axis=1))


def _lowest(energies: Matrix) -> float:
    """Mean of the lowest half per cent of the energies, at least of one molecule."""
    count = max(1, int(len(energies) * _ENERGY_SHARE))
    return float(np.sort(energies)[:count].mean())
