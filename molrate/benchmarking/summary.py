"""An evaluation as Markdown: a table like the paper's Table 3, and tables that support it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from molrate.benchmarking.agreement import RANDOM, Floats, loss, regret
from molrate.benchmarking.comparison import KEPT, MEAN, Evaluation, lead_over_one_finetuning
from molrate.benchmarking.curves import agreement_curves, time_table
from molrate.benchmarking.expectations import expectation_table
from molrate.benchmarking.read import DatasetOutcome
from molrate.benchmarking.shortlists import shortlist_table
from molrate.benchmarking.subsets import leave_out, subset_table
from molrate.benchmarking.target_selection import target_selection
from molrate.benchmarking.truth import (
    agreement_of_halves,
    attainable_tau,
    one_finetuning,
    standard_errors_behind,
)


def to_markdown(evaluation: Evaluation) -> str:
    """Write all tables of an evaluation as Markdown."""
    outcomes, reference = evaluation.outcomes, evaluation.reference
    curves = agreement_curves(outcomes)
    chosen = target_selection(outcomes, [f"{reference}{form}" for form in ("", " (relative)", " (value)")])
    sections = [
        ("Predictors", _predictors(evaluation)),
        ("Weighted tau by dataset", _by_dataset(evaluation)),
        ("Among fewer encoders", _subsets(evaluation)),
        ("Regret when the first of an order are fine-tuned", _shortlists(evaluation)),
        ("Datasets", _datasets(outcomes, reference)),
        ("Expected errors and those that came", _expected(expectation_table(outcomes))),
        *((title, _left_out(outcomes, reference, by)) for by, title in _GROUPS.items()),
        ("Fewer molecules: weighted tau", _curves(curves[curves["setting"] == "molecules"])),
        ("Other distortions: weighted tau", _curves(curves[curves["setting"] == "epsilon squared"])),
        ("Which target, for one encoder", _targets(chosen)),
        ("Seconds for one encoder", _times(time_table(outcomes, reference))),
    ]
    sections = [(title, table) for title, table in sections if table]
    parts = [_opening(outcomes)] + [f"## {title}\n\n{table}" for title, table in sections]
    return "\n\n".join(parts)


_GROUPS = {
    "families": "Without one of the families",
    "encoders": "Without one of the encoders: the five that lower it most",
}
_FEW = 5


def _opening(outcomes: Sequence[DatasetOutcome]) -> str:
    n_runs = sum(outcome.truth.size for outcome in outcomes)
    hours = sum(outcome.seconds * outcome.truth.size for outcome in outcomes) / 3600
    encoders = {name for outcome in outcomes for name in outcome.encoders}
    return (
        f"{n_runs} fine-tunings ({hours:.1f} hours) of {len(encoders)} encoders "
        f"on {', '.join(outcome.name for outcome in outcomes)}, "
        "beside their scores on the training molecules."
    )


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format cells that are text as a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float, decimals: int = 2) -> str:
    return "" if not np.isfinite(value) else f"{value:z.{decimals}f}"


def main_forms(table: pd.DataFrame) -> pd.DataFrame:
    """Predictors by excess, and all forms of TransRate; the file of the table has the other forms."""
    names = table.index.astype(str)
    return table[~names.str.endswith(")") | names.str.startswith("transrate (")]


def _share(value: float, decimals: int = 1) -> str:
    return f"{value:.{decimals}%}" if np.isfinite(value) else ""


def _predictors(evaluation: Evaluation) -> str:
    columns = ["predictor", "weighted tau", "95 %", "of the attainable", f"lead of {evaluation.reference}"]
    columns += ["tau", "Pearson", "top-3 recall", "regret", "of best of 3", "of kept of 3"]
    rows = []
    for row in main_forms(evaluation.means().set_index("predictor", drop=False)).to_dict("records"):
        lead = f"{row['lead']:.2f} [{row['lead_low']:.2f}, {row['lead_high']:.2f}]"
        rows.append(
            [
                row["predictor"],
                _number(row["weighted tau"]),
                f"{row['low']:.2f} to {row['high']:.2f}",
                _share(row["share"], 0),
                "" if row["predictor"] in (evaluation.reference, RANDOM) else lead,
                _number(row["tau"]),
                _number(row["pearson"]),
                _number(row["top-3 recall"]),
                _share(row["regret"]),
                _share(row["regret of best of 3"]),
                _share(row[KEPT]),
            ]
        )
    table = markdown_table(columns, rows)
    return table + _against_one_finetuning(evaluation) + left_out_predictors(evaluation)


def _against_one_finetuning(evaluation: Evaluation) -> str:
    difference, low, high = lead_over_one_finetuning(evaluation.outcomes, evaluation.reference)
    if not np.isfinite(difference):
        return ""
    return (
        f"\n\nLead of {evaluation.reference} over fine-tuning every encoder once, of which the validation "
        f"metric orders them: {difference:.2f} [{low:.2f}, {high:.2f}]."
    )


def left_out_predictors(evaluation: Evaluation) -> str:
    """Say which predictors are in no table, and which encoders they lack; empty if all are there."""
    known = {name for outcome in evaluation.outcomes for name in (*outcome.predictors, *outcome.unscored)}
    missing = sorted(known - set(evaluation.table["predictor"]))
    if not missing:
        return ""
    named = [name + _lacking(evaluation.outcomes, name) for name in missing]
    return f"\n\nNot scored on every dataset and left out: {', '.join(named)}."


def _lacking(outcomes: Sequence[DatasetOutcome], name: str) -> str:
    lists = []
    for outcome in (one for one in outcomes if name in one.unscored):
        lacking = outcome.unscored[name]
        every = len(lacking) == len(outcome.encoders)
        lists.append(f"{outcome.name}: no score of {'any encoder' if every else ', '.join(lacking)}")
    return f" ({'; '.join(lists)})" if lists else ""


def _subsets(evaluation: Evaluation) -> str:
    table = subset_table(evaluation.outcomes, _main_predictors(evaluation))
    columns = [str(name) for name in table.columns]
    rows = [[name, *map(_number, taus)] for name, *taus in table.itertuples(index=False)]
    return markdown_table(["weighted tau of", *columns[1:]], rows)


def _main_predictors(evaluation: Evaluation) -> list[str]:
    shown = main_forms(evaluation.means().set_index("predictor")).index.tolist()
    return [str(name) for name in shown if name != RANDOM]


def _shortlists(evaluation: Evaluation) -> str:
    table = shortlist_table(evaluation.outcomes, _main_predictors(evaluation))
    if table.empty:
        return ""
    lengths = [str(name) for name in table.columns[1:]]
    rows = [[str(name), *map(_share, regrets)] for name, *regrets in table.itertuples(index=False)]
    text = markdown_table(["order by, so many fine-tuned", *lengths], rows)
    return f"{text}\n\nValidation under one seed keeps one of them; the other seeds say what is lost."


def _expected(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    columns = ["dataset", "encoders", "frozen: off by", "tau", "fine-tuned: off by", "tau"]
    rows = [
        [
            row["dataset"],
            str(row["encoders"]),
            _share(row["frozen off"]),
            _number(row["frozen tau"]),
            _share(row["finetuned off"]),
            _number(row["finetuned tau"]),
        ]
        for row in table.to_dict("records")
    ]
    return markdown_table(columns, rows)


def _by_dataset(evaluation: Evaluation) -> str:
    wide = main_forms(evaluation.by_dataset("weighted tau"))
    names = [str(name) for name in wide.columns if name != MEAN]
    rows = [[str(name), *(_number(row[dataset]) for dataset in names)] for name, row in wide.iterrows()]
    return markdown_table(["predictor", *names], rows)


def _datasets(outcomes: Sequence[DatasetOutcome], reference: str) -> str:
    """Table of what each way to choose an encoder loses, dataset by dataset."""
    references = sorted({name for outcome in outcomes for name in outcome.references})
    columns = ["dataset", "encoders", "seeds", "tau of seed halves", "attainable tau", "one fine-tuning: tau"]
    columns += ["its regret", "best by fine-tuning", "first by score", "regret", "in standard errors"]
    columns += ["random regret", *(f"loss with {name}" for name in references)]
    rows = []
    for outcome in outcomes:
        truth, scores = outcome.mean_truth, outcome.predictors[reference]
        tau, lost = one_finetuning(outcome)
        rows.append(
            [
                outcome.name,
                str(len(truth)),
                str(len(outcome.seeds)),
                _number(agreement_of_halves(outcome)),
                _number(attainable_tau(outcome)),
                _number(tau),
                _share(lost),
                f"{outcome.encoders[int(truth.argmax())]} ({outcome.metric} {abs(truth.max()):.3f})",
                _first_by(scores, outcome.encoders),
                f"{regret(scores, truth):.1%}",
                _number(standard_errors_behind(scores, outcome), 1),
                f"{regret(np.zeros(len(truth)), truth):.1%}",
                *(_share(loss(outcome.references.get(name, np.nan), truth)) for name in references),
            ]
        )
    return markdown_table(columns, rows)


def _first_by(scores: Floats, encoders: Sequence[str]) -> str:
    """The encoder with the highest score, or how many share it."""
    first = np.flatnonzero(scores == scores.max())
    return encoders[first[0]] if len(first) == 1 else f"{len(first)} encoders alike"


def _left_out(outcomes: Sequence[DatasetOutcome], reference: str, by: str) -> str:
    table = leave_out(outcomes, reference, by).dropna().head(1 + _FEW)
    rows = [
        [str(row["left out"]), str(row["encoders"]), _number(row["weighted tau"])]
        for row in table.to_dict("records")
    ]
    return markdown_table(["left out", "encoders left", f"weighted tau of {reference}"], rows)


def _curves(curves: pd.DataFrame) -> str:
    if curves.empty:
        return ""
    wide = curves.pivot_table(index="to", columns="measure", values="weighted tau")
    datasets = curves.groupby("to")["datasets"].min()
    names = [str(name) for name in wide.columns]
    rows = [
        ["all" if np.isinf(float(str(to))) else f"{to:g}", str(datasets[to]), *map(_number, row)]
        for to, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return markdown_table([str(curves["setting"].iloc[0]), "datasets", *names], rows)


def _targets(chosen: pd.DataFrame) -> str:
    if chosen.empty:
        return ""
    rows = [
        [
            row["predictor"],
            str(row["targets"]),
            str(row["encoders"]),
            _number(row["tau"]),
            f"{row['low']:.2f} to {row['high']:.2f}",
            _number(row["pearson"]),
        ]
        for row in chosen.to_dict("records")
    ]
    return markdown_table(["predictor", "targets", "encoders", "mean tau", "from, to", "mean Pearson"], rows)


def _times(times: pd.DataFrame) -> str:
    if times.empty:
        return ""
    columns = ["dataset", "fine-tuning", "embedding", "measure", "speed-up", "speed-up of the measure alone"]
    rows = [
        [
            row["dataset"],
            f"{row['finetuning']:.1f}",
            f"{row['embedding']:.2f}",
            f"{row['scoring']:.3f}",
            f"{row['speed-up']:.0f}",
            f"{row['measure alone']:.0f}",
        ]
        for row in times.to_dict("records")
    ]
    return markdown_table(columns, rows)
