"""Settings of a ranking: by which measures, in which form, and what those measures read besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from molrate.errors import UsageError
from molrate.measures.base import DEFAULT_MEASURE, Measure
from molrate.ranking.candidates import AUTO, CommonDimension, check_common_dimension
from molrate.statistics.resampling import BLOCKS, PERMUTATIONS


@dataclass(frozen=True)
class MeasureSettings:
    """How candidates are scored and ordered.

    Attributes
    ----------
    measures : sequence of str or Measure
        Names of :data:`molrate.measures.MEASURES`; ``all`` for those that need nothing else.
    rank_by : {"excess", "relative", "z", "value"}
        ``relative`` is the excess over its largest possible value, ``z`` in standard deviations of the
        null.
    scale_by_dimension : bool
        Multiply TransRate by sqrt(d / 512), the paper's factor for comparing layers.
    common_dimension : int, {"auto", "none"} or None
        Leading components that encoders are compared in; see :func:`molrate.score`.
    sensitivity : bool
        Rank again under other settings, and say how far the order holds.
    extra_arrays : mapping of str to array_like
        What some measures need besides features and labels.
    source_molecules : str or pathlib.Path, optional
        Table of molecules that stand for the encoders' pretraining corpus.

    Raises
    ------
    UsageError
        If `measures` is one name and no sequence of names, or the common dimension is none.
    """

    measures: Sequence[str | Measure] = (DEFAULT_MEASURE,)
    rank_by: str = "excess"
    scale_by_dimension: bool = False
    common_dimension: CommonDimension = AUTO
    sensitivity: bool = False
    extra_arrays: Mapping[str, npt.ArrayLike] = field(default_factory=dict)
    source_molecules: str | Path | None = None

    def __post_init__(self) -> None:
        """Refuse a bare name and what is no dimension."""
        if isinstance(self.measures, str):
            raise UsageError("measures take a sequence of names; put the one name into a list")
        object.__setattr__(self, "common_dimension", check_common_dimension(self.common_dimension))

    def record(self) -> dict[str, Any]:
        """What the order depends on, as plain values; measures by name are the ranking's to say."""
        return {
            "rank_by": self.rank_by,
            "scale_by_dimension": self.scale_by_dimension,
            "common_dimension": self.common_dimension,
            "source_molecules": None if self.source_molecules is None else str(self.source_molecules),
            "permutations": PERMUTATIONS,
            "blocks": BLOCKS,
        }
