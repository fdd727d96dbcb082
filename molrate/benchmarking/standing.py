"""Where a new encoder or measure stands in the study that ships, from scores alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from molrate.benchmarking.cells import FINETUNING, SCORES, read_rows
from molrate.benchmarking.comparison import DEFAULT_REFERENCE, Evaluation, evaluate
from molrate.benchmarking.read import DatasetOutcome, read_results
from molrate.benchmarking.run import Source, deviation_of, run_benchmark
from molrate.benchmarking.summary import left_out_predictors, main_forms, markdown_table
from molrate.data.datasets import dataset_cards, dataset_name
from molrate.encoders.cards import encoder_cards
from molrate.errors import UsageError
from molrate.finetuning.config import DEFAULTS
from molrate.finetuning.data import TrainingData
from molrate.measures.transrate import TransRate
from molrate.models.metrics import HIGHER_IS_BETTER
from molrate.paths import EVIDENCE, shipped

_SPLIT, _SEED = "random", 0
"""Scores of one seed are compared with the means of all: they take minutes."""


@dataclass(frozen=True)
class Standing:
    """What new encoders and measures would have been in the study.

    Attributes
    ----------
    evaluation : Evaluation
        How every measure that was scored here agrees with the study's fine-tuning.
    encoders : pandas.DataFrame
        One row for each dataset and new encoder: its place ``by score`` of the reference (none if it failed,
        and a ``note`` why), the metrics to ``expect frozen`` and ``expect fine-tuned``, the ``place`` that
        the latter would have among the fine-tuned encoders of the study, ``of`` how many with it, and the
        ``best`` of those.
    """

    evaluation: Evaluation
    encoders: pd.DataFrame

    @property
    def complete(self) -> bool:
        """Whether every new encoder could be scored."""
        return self.encoders.empty or bool(self.encoders["by score"].notna().all())

    def to_markdown(self) -> str:
        """Both tables."""
        outcomes = self.evaluation.outcomes
        scored = sorted({name for outcome in outcomes for name in outcome.encoders})
        parts = [
            f"{len(scored)} encoders of the study scored on the training molecules of one split of "
            f"{', '.join(outcome.name for outcome in outcomes)}, beside their fine-tuning.",
            _measures(self.evaluation) + left_out_predictors(self.evaluation),
        ]
        if len(self.encoders):
            parts.append(_encoders(self.encoders, self.evaluation.reference))
        return "\n\n".join(parts)


def stand_in_study(
    output: str | Path,
    encoders: Sequence[str] = (),
    measures: Sequence[str] = (),
    datasets: Sequence[str] = (),
    *,
    target: Sequence[str] | None = None,
    study: str | Path | None = None,
    device: str = "auto",
) -> Standing:
    """Score new encoders or measures as the study did, and compare them with what fine-tuning gave there.

    Parameters
    ----------
    output : str or pathlib.Path
        Folder of the scores; what it has already is not done again.
    encoders : sequence of str
        New ones; those of the study whose weights are here are scored beside them.
    measures : sequence of str
        Beside TransRate.
    datasets : sequence of str
        Of the study; by default those with a card. Of a table, the path, named as in the study.
    target : sequence of str, optional
        Columns of tables.
    study : str or pathlib.Path, optional
        Results of :func:`molrate.benchmark`; the study that ships with molrate if not given, without
        encoders that may have seen a dataset's labels.
    device : str

    Returns
    -------
    Standing

    Raises
    ------
    UsageError
        If a dataset or table is not the study's, or too few of its encoders are here.
    InputError, MolrateError
        If something cannot be read or scored.

    Examples
    --------
    >>> import tempfile
    >>> standing = stand_in_study(tempfile.mkdtemp(), measures=["knn"], datasets=["freesolv"])
    >>> {"transrate", "knn"} <= set(standing.evaluation.means()["predictor"])
    True
    """
    folder = shipped(EVIDENCE) if study is None else Path(study)
    rows = _study_rows(folder)
    wanted = None if target is None else tuple(target)
    sources = [Source(name, wanted) for name in datasets or _with_cards(rows)]
    for source in sources:
        _check_table(source, rows)
    known = set(rows["encoder"])
    here = [name for name, card in encoder_cards().items() if name in known and card.available_offline]
    new = [name for name in encoders if name not in known]
    for _ in run_benchmark(
        [source.path for source in sources],
        [*here, *(name for name in encoders if name not in here)],
        output,
        DEFAULTS,
        target=wanted,
        splits=(_SPLIT,),
        seeds=(_SEED,),
        measures=list(dict.fromkeys([DEFAULT_REFERENCE, TransRate.name, *measures])),
        device=device,
        part="scores",
    ):
        pass
    names = [dataset_name(source.path) for source in sources]
    outcomes = read_results(study, names, _SPLIT, scored=output)
    evaluation = evaluate(outcomes)
    placed = [_place(outcome, name, Path(output)) for outcome in outcomes for name in new]
    return Standing(evaluation, pd.DataFrame(placed))


def _study_rows(folder: Path) -> pd.DataFrame:
    rows = read_rows(folder / FINETUNING)
    return rows[(rows["split"] == _SPLIT) & (rows["seed"] == _SEED) & (rows["status"] == "ok")]


def _with_cards(rows: pd.DataFrame) -> list[str]:
    cards = dataset_cards()
    return [str(name) for name in dict.fromkeys(rows["dataset"]) if name in cards]


def _check_table(source: Source, rows: pd.DataFrame) -> None:
    """Refuse what the study did not fine-tune on."""
    name = dataset_name(source.path)
    there = rows[rows["dataset"] == name]
    if there.empty:
        raise UsageError(f"{name} is not in the study; it has {', '.join(dict.fromkeys(rows['dataset']))}")
    data = TrainingData.of(source.load(), _SPLIT, _SEED)
    split, first = data.split, there.iloc[0]
    if (len(split.train), len(split.test)) != (first["n_train"], first["n_test"]):
        raise UsageError(
            f"{source.path} is not the table of the study's {name}: {len(split.train)} molecules to learn "
            f"from and {len(split.test)} to test on, {first['n_train']} and {first['n_test']} there"
        )
    deviation = deviation_of(data)
    if not np.isclose(deviation, first["deviation"], rtol=1e-6, equal_nan=True):
        raise UsageError(
            f"{source.path} is not the table of the study's {name}: the test part's values have a standard "
            f"deviation of {deviation:.6g}, and of {first['deviation']:.6g} there; the target is another, or "
            "the rows are in another order"
        )


def _place(outcome: DatasetOutcome, encoder: str, folder: Path) -> dict[str, object]:
    path = folder / SCORES / f"{outcome.name}-{_SPLIT}-{_SEED}.csv"
    scores = read_rows(path)
    of_reference = scores[scores["measure"] == DEFAULT_REFERENCE].set_index("encoder")
    row = of_reference.loc[encoder]
    others = of_reference.loc[outcome.encoders, "excess"]
    sign = 1.0 if HIGHER_IS_BETTER[outcome.metric] else -1.0
    expected = row["finetuned"] if np.isfinite(row["finetuned"]) else row["frozen"]
    by_score = 1 + int((others > row["excess"]).sum()) if np.isfinite(row["excess"]) else None
    best = int(outcome.mean_truth.argmax())
    return {
        "dataset": outcome.name,
        "encoder": encoder,
        "by score": by_score,
        "note": "" if by_score else row["note"],
        "metric": outcome.metric,
        "expect frozen": row["frozen"],
        "expect fine-tuned": row["finetuned"],
        "place": 1 + int((outcome.mean_truth > sign * expected).sum()) if np.isfinite(expected) else None,
        "of": 1 + len(outcome.encoders),
        "best": f"{outcome.encoders[best]} {abs(outcome.mean_truth[best]):.3g}",
    }


def _measures(evaluation: Evaluation) -> str:
    rows = [
        [
            row["predictor"],
            f"{row['weighted tau']:.2f}",
            f"{row['low']:.2f} to {row['high']:.2f}",
            f"{row['regret']:.1%}",
            f"{row['regret of best of 3']:.1%}",
        ]
        for row in main_forms(evaluation.means().set_index("predictor", drop=False)).to_dict("records")
    ]
    return markdown_table(["predictor", "weighted tau", "95 %", "regret", "of best of 3"], rows)


def _encoders(table: pd.DataFrame, reference: str) -> str:
    rows = [
        [
            row["dataset"],
            row["encoder"],
            f"failed: {row['note']}" if row["note"] else f"{row['by score']:.0f} of {row['of']}",
            *(_metric(row[f"expect {kind}"]) for kind in ("frozen", "fine-tuned")),
            "" if pd.isna(row["place"]) else f"{row['place']:.0f} of {row['of']}",
            row["best"],
        ]
        for row in table.to_dict("records")
    ]
    columns = ["dataset", "encoder", f"by {reference}", "expected frozen", "expected fine-tuned"]
    return markdown_table([*columns, "place by that", "best fine-tuned there"], rows)


def _metric(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else ""
