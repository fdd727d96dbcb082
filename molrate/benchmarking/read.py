"""Reading the results of ``molrate benchmark`` for evaluation: truth and predictors of each dataset."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from molrate.benchmarking.agreement import TOP, Floats
from molrate.benchmarking.cells import FINETUNING, SCORES, VARIANTS, line_of, read_rows
from molrate.benchmarking.variants import COLUMNS as VARIANT_COLUMNS
from molrate.errors import InputError
from molrate.measures.base import MEASURES
from molrate.models.metrics import HIGHER_IS_BETTER
from molrate.paths import EVIDENCE, shipped
from molrate.ranking.contamination import are_suspect
from molrate.ranking.evidence import predictor_name
from molrate.ranking.prior import mean_standing, relatives
from molrate.ranking.ranking import FORMS
from molrate.ranking.study import largest_table

logger = logging.getLogger(__name__)

BASELINES = {"size": "n_parameters", "depth": "n_layers", "dimension": "dimension"}
"""Predictors that need no data: numbers of an encoder's weights and layers, and its embedding's width."""

STATIC_LIST = "static list"
"""Predictor that needs no data of the dataset: the mean standardised performance of an encoder on the others,
but for those that share molecules with it."""

_NEEDED = (
    *("dataset", "split", "seed", "encoder", "family", "frozen", "n_parameters", "n_layers", "dimension"),
    *("metric", "test", "deviation", "seconds", "status"),
)

COMBINED = ("transrate", "transrate (relative)", "tangent", "loo", "knn", "logme", "h-score")
"""Predictors that are also tried as the mean of their rank and the static list's."""

EXPECTED = {"frozen": "frozen_test", "finetuned": "test"}
"""Errors that scores expect, and the columns of fine-tuning that say what came."""

CONSENSUS = ("transrate", "logme", "h-score")
"""Measures whose mean rank is the predictor ``consensus``."""


CLEAN = (
    "Of the study's encoders, those that were trained on labels of a dataset, "
    "or may have been, are left out of it."
)
"""What is said of the tables of the study that ships."""


@dataclass(frozen=True)
class DatasetOutcome:
    """Results of fine-tuning on a dataset, and the predictors of those results.

    Attributes
    ----------
    name, metric : str
    encoders, families, kinds : list of str
        Names, families, and ``pretrained`` or ``control``, of the encoders, in the order of all arrays.
    seeds : list of int
    truth : ndarray, shape (n_encoders, n_seeds)
        Test metric, higher is better.
    validation : ndarray, shape (n_encoders, n_seeds)
        The same of the validation part; NaN where it is not known.
    skill : ndarray, shape (n_encoders,)
        Test performance on a scale that targets share, mean over seeds: R squared, or twice the area under
        the curve minus 1. Without knowledge of the molecules it is 0; 1 is perfect.
    predictors : dict of str to ndarray, shape (n_encoders,)
        Mean score over seeds, higher is better.
    references : dict of str to float
        Mean test metric of encoders that are not trained as a whole (fingerprints, descriptors), higher is
        better.
    seconds : float
        Mean time of a fine-tuning, all its trials included.
    variants : pandas.DataFrame
        Scores of these encoders under other settings (:mod:`molrate.benchmarking.variants`); empty if there
        are none.
    expected : pandas.DataFrame
        By encoder the metric that scores expected, ``frozen expected`` and ``finetuned expected``, and that
        came, ``frozen`` and ``finetuned``, means over seeds; empty where scores expect nothing.
    unscored : dict of str to list of str
        By measure that is no predictor because some encoders have no score, these encoders.
    """

    name: str
    metric: str
    encoders: list[str]
    families: list[str]
    kinds: list[str]
    seeds: list[int]
    truth: Floats
    validation: Floats
    skill: Floats
    predictors: dict[str, Floats]
    references: dict[str, float]
    seconds: float
    variants: pd.DataFrame
    expected: pd.DataFrame
    unscored: dict[str, list[str]] = field(default_factory=dict)

    @property
    def mean_truth(self) -> Floats:
        """Mean over seeds, shape (n_encoders,)."""
        return self.truth.mean(axis=1)


def read_results(
    folder: str | Path | None = None,
    datasets: Sequence[str] = (),
    split: str = "random",
    exclude_contaminated: bool = False,
    scored: str | Path | None = None,
) -> list[DatasetOutcome]:
    """Read the results that ``molrate benchmark`` wrote.

    For each dataset, the encoders and seeds that count are those of the largest table without a gap, where
    the size of a table is the number of encoders times the root of the number of seeds: a seed that has few
    encoders so far does not push out the other encoders. Encoders that were not trained as a whole,
    fingerprints and descriptors, are references.

    Parameters
    ----------
    folder : str or pathlib.Path, optional
        Folder of results; the default is the study that ships with molrate.
    datasets : sequence of str
        Names of the datasets to read; all if empty.
    split : {"random", "scaffold"}
    exclude_contaminated : bool
        Leave out of each dataset the encoders whose cards say that they have seen its labels, and those of
        which nobody can say. Of the study that ships they are always left out, as in its published tables.
    scored : str or pathlib.Path, optional
        Another folder that scores are read from; encoders that have none there do not count.

    Raises
    ------
    InputError
        If there is nothing to evaluate.
    """
    of_study = folder is None
    folder = shipped(EVIDENCE) if folder is None else Path(folder)
    try:
        rows = read_rows(folder / FINETUNING)
        scores = _read_all((folder if scored is None else Path(scored)) / SCORES)
        variants = _read_all(folder / VARIANTS)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{folder}: no results of molrate benchmark: {error}") from error
    missing = [name for name in _NEEDED if name not in rows]
    if missing:
        raise InputError(f"{folder / FINETUNING}: no results of molrate benchmark: no column {missing[0]}")
    rows = _whole(rows, folder / FINETUNING)
    rows = rows[(rows["status"] == "ok") & (rows["split"] == split)]
    if exclude_contaminated or of_study:
        rows = rows[~are_suspect(rows["encoder"], rows["dataset"])]
    known = sorted(set(rows["dataset"]))
    unknown = [name for name in datasets if name not in known]
    if unknown:
        raise InputError(f"{folder}: no {split} split of {', '.join(unknown)}; it has {', '.join(known)}")
    truths = {name: _truth(_of(rows, name, split)) for name in known}
    outcomes = []
    for name in dict.fromkeys(datasets) or known:
        truth, scores_here = truths[name], _of(scores, name, split)
        if scored is not None:
            truth = truth[truth.index.isin(scores_here["encoder"])]
        outcome = _outcome(name, truth, _of(rows, name, split), scores_here, _of(variants, name, split))
        if outcome is not None:
            outcomes.append(outcome)
            continue
        few = f"{name}: fewer than {TOP} encoders were fine-tuned under every seed ({split} split)"
        if name in datasets:
            raise InputError(f"{folder}: {few}; leave it out (--dataset), or run more encoders or seeds")
        logger.warning("%s; it is left out", few)
    if not outcomes:
        raise InputError(
            f"{folder}: no dataset has {TOP} encoders that were fine-tuned under every seed ({split} split)"
        )
    _add_static_list(outcomes, truths, set(rows.loc[rows["frozen"], "encoder"]))
    return outcomes


def _whole(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Rows that say what came of a fine-tuning; those that were cut off or have no result are named."""
    gaps = rows[["dataset", "split", "seed", "encoder", "test"]].isna().any(axis=1)
    broken = rows["status"].isna() | ((rows["status"] == "ok") & gaps)
    for row in np.flatnonzero(broken):
        names = rows.iloc[row][["dataset", "split", "seed", "encoder"]].dropna()
        logger.warning(
            "%s, line %d: the row of %s is not whole; it is left out",
            path,
            line_of(rows, int(row)),
            " ".join(f"{value:g}" if name == "seed" else str(value) for name, value in names.items()),
        )
    return rows[~broken]


def _add_static_list(
    outcomes: Sequence[DatasetOutcome], truths: Mapping[str, pd.DataFrame], frozen: set[str]
) -> None:
    """Predict each dataset by how the encoders did on all others, without a look at its data."""
    performance = {
        name: {
            str(encoder): float(mean) for encoder, mean in truth.mean(axis=1).items() if encoder not in frozen
        }
        for name, truth in truths.items()
    }
    for outcome in outcomes:
        standing = mean_standing(performance, without=relatives(outcome.name))
        if all(encoder in standing for encoder in outcome.encoders):
            outcome.predictors[STATIC_LIST] = np.array([standing[encoder] for encoder in outcome.encoders])
            for name in [name for name in COMBINED if name in outcome.predictors]:
                both = _mean_rank(outcome.predictors, (name, STATIC_LIST))
                outcome.predictors[f"{name} + {STATIC_LIST}"] = both


def _mean_rank(predictors: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    ranks: Floats = np.mean([rankdata(predictors[name]) for name in names], axis=0)
    return ranks


def _read_all(folder: Path) -> pd.DataFrame:
    frames = [read_rows(path) for path in sorted(folder.glob("*.csv"))]
    if frames:
        return pd.concat(frames, ignore_index=True)
    return pd.DataFrame(columns=["dataset", "split", "seed", *VARIANT_COLUMNS])


def _of(frame: pd.DataFrame, dataset: str, split: str) -> pd.DataFrame:
    return frame[(frame["dataset"] == dataset) & (frame["split"] == split)]


def _sign(rows: pd.DataFrame) -> float:
    return 1.0 if HIGHER_IS_BETTER[str(rows["metric"].iloc[0])] else -1.0


def _truth(rows: pd.DataFrame) -> pd.DataFrame:
    """Test metric, higher is better, by encoder and seed, of the largest table without a gap."""
    tested = _by_seed(rows, "test") * _sign(rows)
    table = largest_table(tested)
    seeds = [f"seed {seed}" for seed in tested.columns.difference(table.columns)]
    if left_out := [*tested.index.difference(table.index), *seeds]:
        name = rows["dataset"].iloc[0]
        logger.info("%s: not finished and left out: %s", name, ", ".join(map(str, left_out)))
    return table


def _outcome(
    name: str, truth: pd.DataFrame, rows: pd.DataFrame, scores: pd.DataFrame, variants: pd.DataFrame
) -> DatasetOutcome | None:
    encoder_rows: pd.DataFrame = rows.groupby("encoder").first()
    frozen = encoder_rows["frozen"].loc[truth.index].to_numpy(dtype=bool)
    encoders = [str(encoder) for encoder in truth.index[~frozen]]
    if len(encoders) < TOP:
        return None
    seeds = [int(seed) for seed in truth.columns]
    return DatasetOutcome(
        name,
        str(rows["metric"].iloc[0]),
        encoders,
        encoder_rows["family"].loc[encoders].tolist(),
        encoder_rows["kind"].loc[encoders].tolist(),
        seeds,
        truth.loc[encoders].to_numpy(),
        (_by_seed(rows, "validation") * _sign(rows)).reindex(index=encoders, columns=seeds).to_numpy(),
        _skill(rows[rows["seed"].isin(seeds)], encoders),
        _predictors(scores[scores["seed"].isin(seeds)], encoder_rows, encoders),
        {str(encoder): float(truth.loc[encoder].mean()) for encoder in truth.index[frozen]},
        float(rows.loc[rows["encoder"].isin(encoders), "seconds"].mean()),
        variants[variants["seed"].isin(seeds) & variants["encoder"].isin(encoders)],
        _expected(rows[rows["seed"].isin(seeds)], scores, encoders),
        _unscored(scores[scores["seed"].isin(seeds)], encoders),
    )


def _expected(rows: pd.DataFrame, scores: pd.DataFrame, encoders: list[str]) -> pd.DataFrame:
    """What scores expected of each encoder and seed beside what came, means over seeds."""
    if not set(EXPECTED) <= set(scores) or not set(EXPECTED.values()) <= set(rows):
        return pd.DataFrame()
    keys = ["encoder", "seed"]
    # What came is a mean over targets, of errors in spreads of training where there are several.
    by_target = scores.dropna(subset=["frozen"]).drop_duplicates([*keys, "target"])
    n_targets = scores["target"].nunique()
    if n_targets > 1 and rows["metric"].eq("rmse").any():
        if "spread" not in by_target:
            return pd.DataFrame()
        by_target = by_target.assign(**{name: by_target[name] / by_target["spread"] for name in EXPECTED})
        by_target = by_target.dropna(subset=["frozen"])
    sums = by_target.groupby(keys)[list(EXPECTED)].sum(min_count=n_targets)
    known = (sums / n_targets).dropna(subset=["frozen"]).reset_index()
    known = known.rename(columns={name: f"{name} expected" for name in EXPECTED})
    came = rows[[*keys, *EXPECTED.values()]].rename(
        columns={column: name for name, column in EXPECTED.items()}
    )
    means = came.merge(known, on=keys).groupby("encoder").mean().drop(columns="seed")
    return means.loc[[name for name in encoders if name in means.index]]


def _by_seed(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    return rows.pivot_table(index="encoder", columns="seed", values=column, dropna=False)


def _skill(rows: pd.DataFrame, encoders: list[str]) -> Floats:
    regression = rows["deviation"].notna()
    skill = (1 - (rows["test"] / rows["deviation"]) ** 2).where(regression, 2 * rows["test"] - 1)
    return skill.groupby(rows["encoder"]).mean().loc[encoders].to_numpy(dtype=float)


def _lower_is_better(measure: str, scores: pd.DataFrame) -> bool:
    if measure in MEASURES:
        return not MEASURES[measure].higher_is_better
    # The study may have measures that molrate has no more: their excess has its sign turned.
    if "null_mean" not in scores:
        return False
    return bool(np.allclose(scores["excess"], scores["null_mean"] - scores["value"], equal_nan=True))


def _mean_scores(group: pd.DataFrame, form: str, encoders: list[str]) -> Floats:
    """Mean score over seeds of a measure; NaN for an encoder that has none under some seed."""
    by_seed = group.pivot_table(index="encoder", columns="seed", values=form, dropna=False)
    return by_seed.reindex(encoders).mean(axis=1, skipna=False).to_numpy(dtype=float)


def _unscored(scores: pd.DataFrame, encoders: list[str]) -> dict[str, list[str]]:
    """Encoders without a score, by measure that has not one of each."""
    found = {}
    for measure, group in scores.groupby("measure", sort=True):
        lacking = ~np.isfinite(_mean_scores(group, "excess", encoders))
        if lacking.any():
            found[str(measure)] = [name for name, lacks in zip(encoders, lacking, strict=True) if lacks]
    return found


def _predictors(scores: pd.DataFrame, encoder_rows: pd.DataFrame, encoders: list[str]) -> dict[str, Floats]:
    predictors = {}
    for measure, group in scores.groupby("measure", sort=True):
        lower_is_better = _lower_is_better(str(measure), group)
        for form in FORMS:
            means = _mean_scores(group, form, encoders)
            if np.isfinite(means).all():
                negated = form == "value" and lower_is_better
                predictors[predictor_name(str(measure), form)] = -means if negated else means
    if all(name in predictors for name in CONSENSUS):
        predictors["consensus"] = _mean_rank(predictors, CONSENSUS)
    for name, column in BASELINES.items():
        predictors[name] = encoder_rows.loc[encoders, column].to_numpy(dtype=float)
    return predictors
