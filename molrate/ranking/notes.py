"""Sentences that stand under a ranking: what was left out, and what to mind in reading it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from molrate.data.duplicates import DONE, find_disagreements, repeats
from molrate.encoders.cards import BASELINES
from molrate.measures.leave_one_out import MOST_ROWS
from molrate.statistics.resampling import FEW_MOLECULES, default_bins

if TYPE_CHECKING:
    import pandas as pd

    from molrate.data.molecules import Molecules
    from molrate.data.policy import RowPolicy
    from molrate.data.targets import Target
    from molrate.embedding.result import Embedding
    from molrate.files.matrices import FeatureFile
    from molrate.ranking.candidates import ScoredTarget
    from molrate.ranking.expected import Expectations
    from molrate.ranking.ranking import Ranking

MANY_REPEATS = 0.02
"""Share of rows that repeat a molecule from which it is worth saying."""
RARE = 0.1
"""Share of the smallest class below which an area under the curve flatters."""
# With more measures than this, one sentence counts their verdicts.
_EACH_MEASURE = 3
_EQUAL = "NOT separable from"


def molecule_notes(
    molecules: Molecules,
    embeddings: Sequence[Embedding],
    common: npt.NDArray[np.bool_],
    duplicates: str,
    targets: Sequence[Target] = (),
) -> list[str]:
    """What was left out of a table of molecules, and where equal molecules contradict each other."""
    valid = molecules.valid
    notes = [f"{len(molecules)} rows, {valid.sum()} valid molecules."]
    notes += [f"{sentence}." for sentence in molecules.left_out()]
    if molecules.notes:
        row, lost = min(molecules.notes.items())
        notes.append(f"{len(molecules.notes)} rows lost something, the first row {row + 1}: {lost}.")
    if molecules.n_stripped:
        notes.append(f"{_molecules(molecules.n_stripped)} reduced to the largest fragment.")
    if molecules.n_duplicates:
        notes.append(
            f"{repeat_note(molecules.canonical.tolist(), molecules.n_duplicates, targets, duplicates)}."
        )
    notes += [f"{remark}." for embedding in embeddings for remark in embedding.remarks]
    unsupported = {row: reason for embedding in embeddings for row, reason in embedding.errors.items()}
    if unsupported:
        row, reason = min(unsupported.items())
        notes.append(
            f"{np.sum(valid) - common.sum()} valid molecules left out for all encoders because one of them "
            f"does not support them, the first in row {row + 1}: {reason}."
        )
    return notes


def size_advice(scored_targets: Sequence[ScoredTarget]) -> list[str]:
    """What to make of expected errors where molecules are more than they are estimated from."""
    return [
        f"{each.target.name}: expected errors are from {MOST_ROWS:,} of {len(each.rows):,} molecules drawn "
        "at random; with all of them they will be smaller."
        for each in scored_targets
        if len(each.rows) > MOST_ROWS
    ]


def outlier_advice(scored_targets: Sequence[ScoredTarget], expectations: Expectations) -> list[str]:
    """What to do where squared errors are those of few molecules."""
    advice = []
    for scored_target in scored_targets:
        name = scored_target.target.name
        found = expectations.outliers.get(name)
        if found is None:
            continue
        who = "1 molecule holds" if found.molecules == 1 else f"{found.molecules} molecules hold"
        row = int(scored_target.rows[found.row]) + 1
        way_out = (
            "if it is right, rank and train the logarithms of all values"
            if found.spread
            else "errors say little of the others while it is in"
        )
        advice.append(
            f"{name}: {who} half of the squared deviations from the mean, the farthest in row {row} "
            f"({found.value:.6g}). Correct it, or leave it out, if it is wrong; {way_out}."
        )
    return advice


def label_advice(scored_targets: Sequence[ScoredTarget]) -> list[str]:
    """What to do where a class is rare."""
    advice = []
    for scored_target in scored_targets:
        target, sizes = scored_target.target, np.bincount(scored_target.resampling.codes)
        if target.task != "classification":
            continue
        share, smallest = sizes.min() / sizes.sum(), int(sizes.min())
        label = target.classes[int(np.unique(target.values)[int(sizes.argmin())])]
        if smallest < FEW_MOLECULES:
            advice.append(
                f"{target.name}: only {_molecules(smallest)} of class {label}; one more or less can turn the "
                "order over. Measure more of them."
            )
        elif share < RARE:
            advice.append(
                f"{target.name}: {100 * share:.2g}% are of class {label}. AUROC hides how many of the first "
                "hits are right; fine-tune with --metric auprc."
            )
    return advice


def repeat_note(
    molecules: Sequence[str], n_repeated: int, targets: Sequence[Target], duplicates: str = "keep"
) -> str:
    """How many rows repeat a molecule, where they contradict each other, and what becomes of them."""
    contradictions = "".join(
        f", {disagreement.describe()}" for disagreement in find_disagreements(molecules, targets)
    )
    return f"{repeats(n_repeated)}{contradictions}; {DONE[duplicates]}"


def molecule_advice(molecules: Molecules, policy: RowPolicy, targets: Sequence[Target]) -> list[str]:
    """What to do about rows that repeat a molecule, are no molecule, or are too large."""
    from molrate.data.structures import is_too_large

    advice = []
    disagreements = (
        find_disagreements(molecules.canonical.tolist(), targets) if molecules.n_duplicates else []
    )
    many = molecules.n_duplicates >= MANY_REPEATS * len(molecules)
    if policy.duplicates == "keep" and (many or disagreements):
        contradictory = ", some with another value or class" if disagreements else ""
        advice.append(
            f"{repeats(molecules.n_duplicates)}{contradictory}. --duplicates merge makes one row of each "
            "molecule."
        )
    large = np.array([is_too_large(reason) for reason in molecules.errors])
    invalid = np.flatnonzero(~molecules.valid & ~large)
    if large.any():
        advice.append(
            f"{_rows(int(large.sum()))} left out, of molecules of more than {policy.max_atoms} atoms. "
            "Encoders were not made for such; --max-atoms takes them in."
        )
    if len(invalid):
        advice.append(
            f"{_rows(len(invalid))} without a valid SMILES left out, the first is row {invalid[0] + 1}. "
            "Correct them; -v says what is wrong."
        )
    return advice


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _molecules(count: int) -> str:
    return "1 molecule" if count == 1 else f"{count} molecules"


def order_advice(ranking: Ranking) -> list[str]:
    """What to do where untrained networks come first."""
    advice = []
    for choice in ranking.verdict.choices:
        if not choice.encoder:
            continue
        rows = ranking.frame[ranking.frame["target"] == choice.target]
        rows = rows[(rows["measure"] == ranking.frame["measure"].iloc[0]) & rows["rank"].notna()]
        controls = rows[rows["kind"] == "control"]
        place = rows.loc[(rows["encoder"] == choice.encoder) & (rows["layer"] == choice.layer), "rank"].iloc[
            0
        ]
        above = controls[controls["rank"] < place]
        if len(above):
            advice.append(
                f"{choice.target}: {above['encoder'].iloc[0]}, which was never trained, comes before every "
                "pretrained encoder: no sign that pretraining helps here. Prefer a baseline."
            )
    return advice


def target_notes(scored_target: ScoredTarget, n_rows: int) -> list[str]:
    """What a target's labels are, and what weakens a ranking by them."""
    target, sizes = scored_target.target, np.bincount(scored_target.resampling.codes)
    notes = [f"{target.name}: {note}." for note in target.notes]
    if n_rows != len(target.values):
        notes.append(f"{target.name}: {len(target.values)} of {n_rows} rows scored.")
    if target.task == "classification":
        names = [target.classes[int(code)] for code in np.unique(target.values)]
        shown = ", ".join(f"{name} {count}" for name, count in zip(names, sizes, strict=True))
        notes.append(f"{target.name}: classification, {shown}.")
        if sizes.min() < FEW_MOLECULES:
            notes.append(
                f"{target.name}: a class of fewer than {FEW_MOLECULES} molecules makes any ranking fragile."
            )
        return notes
    spread = f"{sizes.min()}-{sizes.max()}" if sizes.min() < sizes.max() else f"{sizes.max()}"
    notes.append(f"{target.name}: regression, cut into {len(sizes)} ranges of {spread} molecules.")
    wanted = default_bins(len(target.values))
    if len(sizes) < wanted:
        notes.append(f"{target.name}: equal values left {len(sizes)} of {wanted} ranges.")
    return notes


def baseline_notes(ranking: Ranking) -> list[str]:
    """Say for each target and measure whether pretraining beats the baselines."""
    notes = []
    ranked = ranking.frame[ranking.frame["rank"].notna()]
    several = ranked["measure"].nunique() > 1
    verdicts: dict[str, dict[str, list[str]]] = {}
    for (target, measure), rows in ranked.groupby(["target", "measure"], sort=False):
        pretrained = rows[rows["kind"] == "pretrained"]
        baselines = rows[rows["kind"].isin(BASELINES)]
        if pretrained.empty or baselines.empty:
            continue
        best, baseline = pretrained.iloc[0], baselines.iloc[0]
        verdict = _verdict(ranking, best, baseline)[0]
        verdicts.setdefault(str(target), {}).setdefault(verdict, []).append(str(measure))
        where = f"{target}, {measure}" if several else f"{target}"
        note = f"{where}: best pretrained encoder {_named(best)}; it is {_against(ranking, best, baseline)}"
        same = baselines[baselines["dimension"] == best["dimension"]]
        if baseline["dimension"] != best["dimension"]:
            note += ", as far as unequal dimensions compare"
            if not same.empty:
                note += f", and {_against(ranking, best, same.iloc[0])}"
        notes.append(note + ".")
    if ranked["measure"].nunique() > _EACH_MEASURE:
        return [_counted(target, by_verdict) for target, by_verdict in verdicts.items()]
    return notes


def _counted(target: str, verdicts: dict[str, list[str]]) -> str:
    """One sentence where many measures judge."""
    parts = [f"{verdict} by {', '.join(names)}" for verdict, names in verdicts.items()]
    return f"{target}: the best pretrained encoder is, against the best baseline, {'; '.join(parts)}."


def _named(row: pd.Series) -> str:
    return f"{row['encoder']}, {row['layer']} (d = {row['dimension']})"


def _against(ranking: Ranking, best: pd.Series, baseline: pd.Series) -> str:
    verdict, gap, low, high = _verdict(ranking, best, baseline)
    which = (
        "the best baseline"
        if best["dimension"] != baseline["dimension"]
        else "the best baseline of its dimension"
    )
    # Tiers tell of their first rows, and these two need not be among them.
    same_tier = best["tier"] == baseline["tier"]
    although = ", although of one tier" if same_tier else ", although of different tiers"
    as_tiers_say = same_tier == (verdict == _EQUAL)
    shown = f"{verdict} {which}, {_named(baseline)}: difference {gap:.3g} [{low:.3g}, {high:.3g}]"
    return shown if as_tiers_say else shown + although


def _verdict(ranking: Ranking, best: pd.Series, baseline: pd.Series) -> tuple[str, float, float, float]:
    """How two rows of one target and measure compare, by what makes the tiers."""
    gap, low, high, separable = ranking.separation(
        best["target"],
        best["measure"],
        (best["encoder"], best["layer"]),
        (baseline["encoder"], baseline["layer"]),
    )
    verdict = _EQUAL if not separable else "above" if gap > 0 else "BELOW"
    return verdict, gap, low, high


def column_notes(files: Sequence[FeatureFile]) -> list[str]:
    """Which columns of tables are taken as features, and what of folders is not read."""
    notes = [f"Features of {file.name}: {shown}." for file in files if (shown := file.describe_columns())]
    return notes + [
        f"{file.name}: not read: {', '.join(file.passed_over)}." for file in files if file.passed_over
    ]
