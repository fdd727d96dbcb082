"""The page of a fitted model: what ``molrate finetune --report`` and ``molrate select --report`` write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.quotes import secrets_of, without_molecules
from molrate.data.splits import describe_sizes
from molrate.data.targets import Target
from molrate.finetuning.comparison import describe_best, describe_few, describe_size, unit_of
from molrate.finetuning.data import TrainingData
from molrate.models.applicability import Domain
from molrate.models.calibration import conformal_quantile
from molrate.models.figure import calibration_points
from molrate.models.metrics import SPREADS
from molrate.models.model import TunedModel
from molrate.models.tested import Tested
from molrate.report.charts import Chart, curve, histogram, intervals
from molrate.report.data import data_section
from molrate.report.molecules import Judged, Shown, cliff_blocks
from molrate.report.page import Block, Details, Facts, Page, Section, Text, sections
from molrate.report.rows import cut_note, headed
from molrate.report.run import made_by, run_section
from molrate.report.structures import Structures
from molrate.report.tables import Table, interval, number
from molrate.selection.result import ENDINGS, Selection

_COVERAGE = 0.9
_MOST_TARGETS = 3
_BASELINE = "baseline"


def model_page(
    model: TunedModel,
    data: TrainingData,
    *,
    selection: Selection | None = None,
    command: str = "",
    structures: bool = True,
    device: str = "auto",
) -> Page:
    """A page of a model that was fitted to a dataset, on the molecules of its test part.

    Parameters
    ----------
    model : TunedModel
    data : TrainingData
        What it was fitted to.
    selection : Selection, optional
        The race that it won.
    command : str
        That repeats it.
    structures : bool
        Whether structures, SMILES and names of molecules are shown.
    device : str

    Returns
    -------
    Page
    """
    record, drawn = model.record, Structures(hidden=not structures)
    secrets = [] if structures else secrets_of(data.dataset, data.molecules)
    test = np.array(record["split"]["test"], dtype=np.intp)
    tested = model.test(data.take(test), max_atoms=data.policy.max_atoms, device=device)
    run = {
        "versions": record["versions"],
        "created": record["created"],
        "arguments": {"dataset": record["dataset"]["source"], **record["settings"]},
    }
    parts = data_section(
        data.dataset,
        data.molecules,
        data.policy.duplicates,
        lambda lines: without_molecules(lines, secrets),
        record["notes"],
        data.repeated,
    )
    return Page(
        f"{record['dataset']['name']}: {record['encoder']['name']}",
        made_by(run),
        sections(
            Section("verdict", "Result", [Facts(_result(record, selection))]),
            None if selection is None else _race_section(selection),
            Section("metrics", "Against what it has to beat", _metric_blocks(record)),
            Section("data", "Data", [Facts(_parts(record)), *parts.blocks]),
            Section("test", "Test part", _test_blocks(tested)),
            *_molecule_sections(data, tested, test, drawn),
            _applicability_section(data, record),
            run_section(run, command),
        ),
        drawn,
    )


def _result(record: Mapping[str, Any], selection: Selection | None) -> list[tuple[str, str]]:
    comparison = record["comparison"]
    first, *others = comparison["rows"]
    metric = str(comparison["metric"]).upper()
    pairs = [] if selection is None else [("Answer", selection.answer)]
    pairs.append(
        (
            "Error" if metric == "RMSE" else metric,
            f"{metric} {_bounded(first)}{unit_of(comparison)}, on {describe_size(comparison)} "
            "of the test part, of which nothing was learned or chosen",
        )
    )
    pairs += [("But", note) for note in record.get("seen", [])]
    pairs.append(("Others", "; ".join(f"{row['what']} {_bounded(row)}" for row in others)))
    if selection is None and (better := describe_best(comparison)):
        pairs.insert(0, ("Use it?", better))
    pairs += [
        (f"Bounds, {target}", _bounds(record, scores)) for target, scores in record["calibration"].items()
    ]
    return pairs


def _bounded(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "undefined"
    bounds = interval(row["low"], row["high"])
    return number(float(row["value"])) + (f" (95 %: {bounds})" if bounds else "")


def _bounds(record: Mapping[str, Any], scores: Sequence[float]) -> str:
    reach = conformal_quantile(scores, _COVERAGE)
    if not np.isfinite(reach):
        return f"{len(scores)} held-out measurements are too few to bound {_COVERAGE:.0%} of new ones"
    if record["task"]["kind"] == "regression":
        return f"{_COVERAGE:.0%} of values are expected within {number(float(reach))} of the prediction"
    return f"for {_COVERAGE:.0%} of molecules the true class is expected to get {1 - reach:.0%} or more"


def _parts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    split = record["split"]
    return [("Parts", f"{describe_sizes(split)} ({split['method']} split)")]


def _metric_blocks(record: Mapping[str, Any]) -> list[Block]:
    comparison = record["comparison"]
    metric = str(comparison["metric"]).upper()
    rows = [row for row in comparison["rows"] if row["value"] is not None]
    drawn = [
        {
            "label": row["what"],
            "series": "model" if place == 0 else _BASELINE,
            "value": row["value"],
            "low": row["low"],
            "high": row["high"],
        }
        for place, row in enumerate(rows)
    ]
    few, on = describe_few(comparison), f"{describe_size(comparison)} of the test part"
    table = Table(
        f"{metric} on {on}, {few or 'with a 95 % interval over them'}",
        ["model", metric, "95 %"],
        [
            [row["what"], number(row["value"]), interval(row["low"], row["high"])]
            for row in comparison["rows"]
        ],
        frozenset(["model"]),
    )
    better = "less" if metric == "RMSE" else "more"
    caption = f"{metric} on the same {on}{f', {few}' if few else ''}; {better} is better."
    described = ", ".join(f"{row['what']} {number(row['value'])}" for row in rows)
    blocks: list[Block] = []
    if drawn:
        spec = intervals(drawn, ["model", _BASELINE], metric)
        blocks.append(Chart("comparison", caption, f"Intervals of {metric}: {described}.", spec, table))
    return [*blocks, _metric_table(record)]


def _metric_table(record: Mapping[str, Any]) -> Table:
    rows = []
    names: list[str] = []
    for part, found in record["metrics"].items():
        by_target = list(found["by_target"].items())
        if len(by_target) > 1:
            mean = (
                f"mean, errors in {SPREADS}" if record["task"]["kind"] == "regression" else "all, their mean"
            )
            by_target.insert(0, (mean, found["mean"]))
        for target, metrics in by_target:
            names = list(metrics)
            rows.append([part, target, *(number(metrics[name]) for name in names)])
    left = frozenset(["part", "target"])
    return Table("All metrics", ["part", "target", *names], rows, left)


def _race_section(selection: Selection) -> Section:
    board = selection.leaderboard
    metric = str(board["metric"].iloc[0])
    ran = board[board["folds"] > 0]
    drawn = [
        {
            "label": str(row["model"]),
            "series": str(row["state"]),
            "value": row["difference"],
            "low": row["low"],
            "high": row["high"],
        }
        for _, row in ran.iterrows()
    ]
    columns = ["model", "rank", "tier", "fitted", "state", "folds", "mean", "sd", "difference", "low", "high"]
    columns += ["seconds", "note"]
    names = {"mean": metric, "difference": "worse by", "low": "from", "high": "to"}
    left = frozenset(["model", "fitted", "state", "note"])
    body = [[number(cell) for cell in row] for row in board[columns].itertuples(index=False)]
    table = Table("Leaderboard", [names.get(name, name) for name in columns], body, left)
    states = list(dict.fromkeys(one["series"] for one in drawn))
    chart = Chart(
        "race",
        f"How much worse than the best ({metric}, on the folds that both have), with 95 % intervals.",
        f"Intervals of {len(drawn)} models; the best is {board['model'].iloc[0]}.",
        intervals(drawn, states, f"worse by ({metric})", zero=True),
        table,
    )
    ended = Text([f"How the race ended: {ENDINGS[selection.record['ended']]}."])
    return Section("race", "Race", [ended, chart, Details("Leaderboard", [table])])


def _test_blocks(tested: Tested) -> list[Block]:
    """ROC and calibration of classes, where the part has all; of numbers the errors have the parity plot."""
    if tested.task.kind == "regression":
        return []
    blocks: list[Block] = []
    pairs = list(tested.classes.items())
    for place, (name, (positive, probability)) in enumerate(pairs[:_MOST_TARGETS]):
        own = [
            _roc_chart(f"roc-{place}", name, positive, probability),
            _calibration_chart(f"calibration-{place}", name, positive, probability),
        ]
        blocks += headed(len(pairs) > 1, name, own)
    return blocks + cut_note(len(pairs), _MOST_TARGETS, "classes")


def _roc_chart(
    key: str, name: str, positive: npt.NDArray[np.bool_], probability: npt.NDArray[np.float64]
) -> Chart:
    from sklearn.metrics import roc_auc_score, roc_curve

    area = float(roc_auc_score(positive, probability))
    false, true, _ = roc_curve(positive, probability)
    rows = [{"series": name, "x": x, "y": y} for x, y in zip(false, true, strict=True)]
    numbers = Table(
        "points of the ROC curve",
        ["false positives", "true positives"],
        [[number(float(x), 3), number(float(y), 3)] for x, y in zip(false, true, strict=True)],
    )
    caption = (
        f"ROC curve of {name}: AUROC {area:.3f} on {len(positive)} molecules, {int(positive.sum())} of them "
        "of the class. The dashed line is a guess."
    )
    spec = curve(rows, [name], "false positives", "true positives")
    return Chart(key, caption, f"ROC curve of {name}, area {area:.3f}.", spec, numbers)


def _calibration_chart(
    key: str, name: str, positive: npt.NDArray[np.bool_], probability: npt.NDArray[np.float64]
) -> Chart:
    shares, means = calibration_points(positive, probability)
    rows = [{"series": name, "x": x, "y": y} for x, y in zip(means, shares, strict=True)]
    numbers = Table(
        "calibration",
        ["mean probability", "share of the class"],
        [[number(float(x), 2), number(float(y), 2)] for x, y in zip(means, shares, strict=True)],
    )
    spec = curve(rows, [name], "predicted probability", "share of the class", marked=True)
    caption = (
        f"Calibration of {name}: groups of about the same probability, and how many of each are of the "
        "class. Above the dashed line the model says too little, below it too much."
    )
    return Chart(key, caption, f"Calibration curve of {name} in {len(rows)} groups.", spec, numbers)


def _molecule_sections(
    data: TrainingData, tested: Tested, test: npt.NDArray[np.intp], structures: Structures
) -> list[Section | None]:
    """The test part's largest errors, and activity cliffs of the whole table."""
    errors: list[Block] = []
    cliffs: list[Block] = []
    several = len(data.targets) > 1
    for place, target in enumerate(data.targets[:_MOST_TARGETS]):
        whole = target.where(data.molecules.valid)
        known = np.flatnonzero(whole.labelled)
        cliffs += headed(several, target.name, cliff_blocks(_shown(data, whole, known, structures)))
        rows = tested.rows(place)
        if len(rows):
            own = replace(tested.targets[place], unit=target.unit)
            judged = _judged(tested, place, _shown(data, own, test[rows], structures, rows))
            errors += headed(several, target.name, _judged_blocks(place, judged))
    for blocks in (errors, cliffs):
        blocks += cut_note(len(data.targets), _MOST_TARGETS)
    return [
        Section("errors", "Predictions for the test part", errors),
        Section("cliffs", "Activity cliffs", cliffs),
    ]


def _judged_blocks(place: int, judged: Judged) -> list[Block]:
    cards = judged.cards()
    lead = Text(
        ["The largest errors. They can be unlike the rest, wrong entries in the table, or hard ones."]
    )
    if judged.shown.target.classes:
        return [lead, cards, Details("More of the largest errors", [judged.table()])]
    return [judged.chart(f"parity-{place}", "Molecules of the test part. "), lead, cards]


def _shown(
    data: TrainingData,
    target: Target,
    rows: npt.NDArray[np.intp],
    structures: Structures,
    places: npt.NDArray[np.intp] | None = None,
) -> Shown:
    """Molecules of some rows; `places` are theirs within the target, if those are others."""
    taken = target.take(rows if places is None else places)
    return Shown(taken, rows, data.molecules.canonical[rows], data.dataset.ids[rows], structures)


def _judged(tested: Tested, place: int, shown: Shown) -> Judged:
    predicted = tested.predicted[tested.rows(place)]
    if tested.task.kind == "regression":
        return Judged(shown, predicted[:, place], shown.target.values - predicted[:, place])
    codes = shown.target.values.astype(int)
    own = tested.task.probabilities(predicted, place)[np.arange(len(codes)), codes]
    return Judged(shown, own, 1 - own)


def _applicability_section(data: TrainingData, record: Mapping[str, Any]) -> Section:
    canonical = data.molecules.canonical
    train = [row for part in ("train", "validation") for row in record["split"][part]]
    domain = Domain(canonical[train].tolist())
    nearest = domain.nearest_of(canonical[record["split"]["test"]].tolist())
    spec, rows = histogram(nearest, "similarity to the nearest training molecule", bins=20)
    low, middle = np.percentile(nearest, [10, 50])
    caption = (
        f"Test molecules by their similarity (Tanimoto, ECFP4) to the nearest training molecule: "
        f"{middle:.2f} in the median, above {low:.2f} for nine of ten. The errors on this page "
        "are of such molecules; of less similar ones they say nothing."
    )
    numbers = Table(
        "test molecules by similarity", ["similarity", "molecules"], rows, frozenset(["similarity"])
    )
    description = f"Histogram of similarities, median {middle:.2f}."
    return Section(
        "applicability",
        "Where it can be asked",
        [Chart("applicability", caption, description, spec, numbers)],
    )
