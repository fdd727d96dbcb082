"""Features too large for memory, ranked from statistics of one pass over their files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.files.matrices import FeatureFile
from molrate.measures.base import Measure, StatisticsMeasure, tabulate_together
from molrate.measures.sample import Sample
from molrate.ranking.candidates import Candidate, Scored, ScoredTarget
from molrate.ranking.outcomes import label_warning
from molrate.ranking.ranking import ranking_rows
from molrate.ray_cluster import map_tasks, n_cores
from molrate.statistics.feature_statistics import FeatureStatistics
from molrate.statistics.intervals import Replicates
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Resampling

# Values, in float64 half a gibibyte; beyond it features are read in chunks and never held.
HELD_VALUES = 1 << 26

STREAMED_BLOCKS = 10

STREAMED_PERMUTATIONS = 2

_GRAM_BYTES = 1 << 30


def rank_streamed(
    files: Sequence[FeatureFile],
    scored_targets: Sequence[ScoredTarget],
    measures: Sequence[Measure],
    rank_by: str,
    everywhere: bool,
) -> tuple[list[dict[str, Any]], dict[tuple[str, str, str, str], Replicates]]:
    """Tidy rows of all targets from files that are not held in memory, with what they are ordered by."""
    rows: list[dict[str, Any]] = []
    replicates: dict[tuple[str, str, str, str], Replicates] = {}
    for scored_target in scored_targets:
        scored = [one for file in files for one in _score_streamed(file, scored_target, measures, everywhere)]
        more_rows, more_replicates = ranking_rows(
            scored_target.target.name, scored_target.resampling, scored, rank_by
        )
        rows += more_rows
        replicates |= more_replicates
    return rows, replicates


def finite_rows(files: Sequence[FeatureFile], everywhere: bool) -> npt.NDArray[np.bool_]:
    """Rows of which the features are finite in every file, as in memory; on a cluster by a task a part."""
    masks = []
    for file in files:
        pieces = file.parts or (file,)
        finite = map_tasks(_finite, pieces, None) if everywhere else map(FeatureFile.finite, pieces)
        masks.append(np.concatenate(list(finite)))
    return np.asarray(np.all(masks, axis=0), dtype=bool)


def _finite(file: FeatureFile, _: None) -> npt.NDArray[np.bool_]:
    return file.finite()


def _score_streamed(
    file: FeatureFile, scored_target: ScoredTarget, measures: Sequence[Measure], everywhere: bool
) -> list[Scored]:
    """Every measure of one file from statistics of one pass over it, here or on a cluster."""
    started = time.perf_counter()
    n, d = len(scored_target.rows), file.shape[1]
    # The measures only ask it for its shape here.
    shape_only = Sample(np.broadcast_to(np.zeros(()), (n, d)), scored_target.resampling)
    candidate = Candidate(file.name, file.layer, np.broadcast_to(np.float64(0), file.shape))
    usable = [m for m in measures if isinstance(m, StatisticsMeasure) and m.inputs == "statistics"]
    refused = InputError(f"needs all features in memory, and {file.path} has {n:,} rows of {d} dimensions")
    groups = _statistics_groups(usable)
    labellings = _gather(file, scored_target, list(groups), everywhere)
    tables: dict[str, Any] = {}
    for key, members in groups.items():
        plain = [m for m in members if type(m).tabulate is StatisticsMeasure.tabulate]
        found = tabulate_together(plain, labellings[key])
        tables |= dict(zip([m.name for m in plain], found, strict=True))
        tables |= {m.name: m.tabulate(labellings[key]) for m in members if m not in plain}
    seconds = time.perf_counter() - started
    scored = []
    for measure in measures:
        table = tables.get(measure.name, refused)
        if isinstance(table, InputError):
            scored.append(Scored(candidate, measure, seconds, d, error=table))
        else:
            warning = measure.warning(shape_only) or label_warning(measure, scored_target.resampling)
            scored.append(Scored(candidate, measure, seconds, d, warning=warning, table=table))
    return scored


def _statistics_groups(measures: Sequence[StatisticsMeasure]) -> dict[tuple[bool, bool], list[Any]]:
    """Measures by the statistics they share: of unit rows or not, with class moments or not."""
    groups: dict[tuple[bool, bool], list[Any]] = {}
    for measure in measures:
        groups.setdefault((measure.unit_rows, measure.class_moments), []).append(measure)
    return groups


def _empty_labellings(
    resampling: Resampling, shift: Matrix, unit: bool, class_moments: bool
) -> list[FeatureStatistics]:
    dimension = len(shift)
    n_targets = int(resampling.task == "regression")
    cells = resampling.n_blocks * (resampling.n_classes if class_moments else 1)
    if cells * dimension**2 * 8 > _GRAM_BYTES:
        raise InputError(
            f"{dimension} dimensions in {resampling.n_classes} classes need {cells} matrices of "
            f"{dimension} x {dimension}, more than {_GRAM_BYTES >> 20} MiB; reduce the dimension"
        )
    kinds = ["classes" if class_moments else "pooled"]
    kinds += ["classes" if class_moments else "none"] * len(resampling.permutations)
    return [
        FeatureStatistics(
            dimension,
            resampling.n_classes,
            n_targets,
            unit_rows=unit,
            second_moments=kind,
            shift=None if unit else shift,
        )
        for kind in kinds
    ]


_Labellings = dict[tuple[bool, bool], list[FeatureStatistics]]


def _gather(
    file: FeatureFile, scored_target: ScoredTarget, keys: Sequence[tuple[bool, bool]], everywhere: bool
) -> _Labellings:
    """Statistics of a file for every labelling: of its parts by tasks of a cluster, merged in their order."""
    place = np.full(file.shape[0], -1, dtype=np.intp)
    place[scored_target.rows] = np.arange(len(scored_target.rows))
    pieces, start = [], 0
    for part in file.parts or (file,):
        pieces.append((part, place[start : start + part.shape[0]]))
        start += part.shape[0]
    shared = (scored_target.resampling, tuple(keys), file.row(int(scored_target.rows[0])))
    if everywhere:
        shares = [
            [pieces[row] for row in rows]
            for rows in np.array_split(np.arange(len(pieces)), min(len(pieces), max(1, n_cores())))
        ]
        labellings = reduce(_merged, map_tasks(_statistics, shares, shared))
    else:
        labellings = _statistics(pieces, shared)
    for statistics in labellings.values():
        for other in statistics[1:]:
            other.share_pooled(statistics[0])
    return labellings


def _merged(one: _Labellings, other: _Labellings) -> _Labellings:
    return {key: [first + second for first, second in zip(one[key], other[key], strict=True)] for key in one}


def _statistics(
    pieces: Sequence[tuple[FeatureFile, npt.NDArray[np.intp]]],
    shared: tuple[Resampling, Sequence[tuple[bool, bool]], Matrix],
) -> _Labellings:
    """Read files once, adding every chunk to every labelling.

    Parameters
    ----------
    pieces : sequence of (FeatureFile, ndarray of int)
        Files with the place of each of their rows in the resampling; -1 of those left out.
    shared : (Resampling, keys, ndarray)
        What all files share, with a row that all are shifted by. Second moments of permuted classes are kept
        in one block, as in many they would take too much memory.
    """
    resampling, keys, shift = shared
    labellings = {key: _empty_labellings(resampling, shift, *key) for key in keys}
    for file, place in pieces:
        start = 0
        for chunk in file.chunks():
            where = place[start : start + len(chunk)]
            start += len(chunk)
            rows, kept = chunk[where >= 0], where[where >= 0]
            if len(kept):
                _add(resampling, labellings, rows, kept)
    return labellings


def _add(resampling: Resampling, labellings: _Labellings, rows: Matrix, kept: npt.NDArray[np.intp]) -> None:
    for order, position in zip(resampling.orders(), range(1 + len(resampling.permutations)), strict=True):
        labels = order[kept]
        targets = resampling.values[labels][:, None] if resampling.task == "regression" else None
        for (_, class_moments), statistics in labellings.items():
            blocks = None if class_moments and position else resampling.blocks[kept]
            statistics[position].add(rows, resampling.codes[labels], targets, blocks)
