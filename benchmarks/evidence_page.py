"""Fill figures of the study into what says them: docs/evidence.md, and a section of the README.

    python benchmarks/evidence_page.py

The templates are evidence_page.md and evidence_readme.md. Read their text again whenever figures change: it
says what the figures mean.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from default_rule import CANDIDATES, CHOOSING, CONFIRMING, near_the_smallest_regret, table_of
from forecasts import accuracy
from layers import DEEPER
from layers import choices as layer_choices

from molrate.benchmarking.agreement import RANDOM, loss, regret
from molrate.benchmarking.cells import FINETUNING
from molrate.benchmarking.comparison import evaluate, lead_over_one_finetuning
from molrate.benchmarking.curves import agreement_curves
from molrate.benchmarking.read import COMBINED, STATIC_LIST, read_results
from molrate.benchmarking.subsets import leave_out, subset_table
from molrate.benchmarking.summary import markdown_table
from molrate.benchmarking.truth import attainable_tau, one_finetuning, standard_errors_behind
from molrate.measures.base import DEFAULT_MEASURE
from molrate.paths import EVIDENCE, shipped
from molrate.ranking.evidence import evidence_notes
from molrate.ranking.forecasts import forecasts_off

TEMPLATE = Path(__file__).parent / "evidence_page.md"
PAGE = Path(__file__).parents[1] / "docs" / "evidence.md"
README_TEMPLATE = Path(__file__).parent / "evidence_readme.md"
README = Path(__file__).parents[1] / "README.md"
SECTION = "## How far to trust it\n\n"
WIDTH = 120

TITLES = {
    "freesolv": "FreeSolv",
    "esol": "ESOL",
    "bbbp": "BBBP",
    "bace": "BACE",
    "lipophilicity": "lipophilicity",
    "logbb": "logBB",
    "photoswitch": "photoswitch",
    "adme_solubility": "ADME solubility",
}
PAPER = ("freesolv", "esol", "bbbp", "bace")
LEVEL = 0.01
TRANSRATE, VALUE = "transrate", "transrate (value)"
PAPER_MEASURES = (TRANSRATE, VALUE, "logme", "h-score")
CORRELATIONS = ("pearson", "tau", "weighted tau")
SHOWN = (*COMBINED, STATIC_LIST, *CANDIDATES[len(COMBINED) :], VALUE, "size", "dimension", "depth", RANDOM)


def share(value):
    """Format a share as a percentage, with another decimal where it would be rounded to nothing."""
    is_little = 0 < abs(value) < 0.0005
    return (f"{value:.2%}" if is_little else f"{value:.1%}").replace("%", " %")


def interval(middle, low, high):
    """Format a figure with its bounds."""
    return f"{middle:z.2f} [{low:z.2f}, {high:z.2f}]"


def means(evaluation):
    """Figures of each predictor's mean over datasets, as text."""
    return {
        row["predictor"]: SimpleNamespace(
            tau=f"{row['weighted tau']:z.2f}",
            low=f"{row['low']:z.2f}",
            high=f"{row['high']:z.2f}",
            interval=interval(row["weighted tau"], row["low"], row["high"]),
            lead=interval(row["lead"], row["lead_low"], row["lead_high"]),
            share=f"{row['share']:.0%}".replace("%", " %"),
            pearson=f"{row['pearson']:.2f}",
            regret=share(row["regret"]),
        )
        for row in evaluation.means().to_dict("records")
    }


def predictors(overall, choice, confirmation):
    """Format the main table."""
    rows = []
    for name in SHOWN:
        mean = overall[name]
        lead = "" if name in (DEFAULT_MEASURE, RANDOM) else mean.lead
        part = "" if name == RANDOM else mean.share
        taus = [mean.interval, part, choice[name].tau, confirmation[name].tau]
        rows.append([name, *taus, lead, mean.regret])
    columns = ["predictor", "weighted tau, 95 %", "of the attainable", "choosing six", "confirming two"]
    return markdown_table([*columns, f"lead of {DEFAULT_MEASURE}, 95 %", "regret"], rows)


def by_dataset(evaluation):
    """Format the table of each predictor's weighted tau on each dataset."""
    wide = evaluation.by_dataset("weighted tau")[list(TITLES)]
    rows = [[name, *(f"{tau:z.2f}" for tau in wide.loc[name])] for name in SHOWN if name != RANDOM]
    return markdown_table(["weighted tau", *TITLES.values()], rows)


def first_of(outcome):
    """Row of the encoder with the highest score of the default."""
    return int(outcome.predictors[DEFAULT_MEASURE].argmax())


def errors_behind(outcome):
    """Standard errors that the first choice is behind the best, as text."""
    return f"{standard_errors_behind(outcome.predictors[DEFAULT_MEASURE], outcome):.1f}"


def choices(outcomes):
    """Format what each way to choose loses on each dataset."""
    rows = []
    for outcome in outcomes:
        truth = outcome.mean_truth
        _, once = one_finetuning(outcome)
        losses = {name: share(loss(value, truth)) for name, value in outcome.references.items()}
        best = int(truth.argmax())
        rows.append(
            [
                TITLES[outcome.name],
                f"{len(truth)} x {len(outcome.seeds)}",
                f"{attainable_tau(outcome):.2f}",
                f"{outcome.encoders[best]} ({abs(truth[best]):.3f})",
                outcome.encoders[first_of(outcome)],
                share(regret(outcome.predictors[DEFAULT_MEASURE], truth)),
                errors_behind(outcome),
                share(once),
                share(regret(np.zeros(len(truth)), truth)),
                losses["ecfp4"],
                losses["rdkit-descriptors"],
            ]
        )
    columns = [
        "dataset",
        "encoders x seeds",
        "attainable tau",
        "best",
        f"first by {DEFAULT_MEASURE}",
        "regret",
    ]
    columns += ["in standard errors", "one fine-tuning each", "random", "ecfp4", "rdkit-descriptors"]
    return markdown_table(columns, rows)


def expected():
    """Format how far forecasts were off."""
    rows = [
        [
            TITLES[row["dataset"]],
            share(row["frozen off"]),
            f"{row['frozen tau']:.2f}",
            share(row["finetuned off"]),
            f"{row['finetuned tau']:.2f}",
        ]
        for row in accuracy().to_dict("records")
    ]
    return markdown_table(["dataset", "frozen off by", "tau", "fine-tuned off by", "tau"], rows)


def subsets(outcomes):
    """Format weighted taus among fewer encoders."""
    names = [*COMBINED, STATIC_LIST, *CANDIDATES[len(COMBINED) :]]
    rows = [
        [name, *(f"{tau:z.2f}" for tau in taus)]
        for name, *taus in subset_table(outcomes, names).itertuples(index=False)
    ]
    return markdown_table(["weighted tau of", "all", "pretrained", "within families"], rows)


def rule(outcomes):
    """The steps of the rule: the greatest weighted tau, who is told from it, regrets, and who comes near."""
    table = table_of(outcomes)
    behind = table.index[table["lead_low"] > 0]
    regrets = table["regret"].sort_values()
    return {
        "tied": {
            "first": table.index[0],
            "tau": f"{table['weighted tau'].iloc[0]:.2f}",
            "behind": ", ".join(behind) or "none",
        },
        "regrets": ", ".join(f"{name} {share(value)}" for name, value in regrets.items()),
        "near": ", ".join(near_the_smallest_regret(table)["regret"].sort_values().index),
    }


def curves(outcomes):
    """Weighted tau of TransRate with few molecules, and its range with other distortions."""
    frame = agreement_curves(outcomes)
    frame = frame[frame["measure"] == TRANSRATE].set_index("to")
    # Small datasets have no large samples; means are compared over the same datasets.
    frame = frame[frame["datasets"] == frame["datasets"].max()]
    molecules = frame[frame["setting"] == "molecules"]
    few = [
        f"{tau:.2f} with {'all' if np.isinf(to) else int(to)}"
        for to, tau in molecules["weighted tau"].items()
    ]
    distortions = frame.loc[frame["setting"] == "epsilon squared", "weighted tau"].loc[0.1:5]
    return {
        "few": f"weighted tau of TransRate {', '.join(few)}",
        "distortions": f"weighted tau {distortions.min():.2f} to {distortions.max():.2f}",
    }


def best_of_the_paper(evaluation, metric):
    """List the best of the paper's measures on each of its datasets."""
    wide = evaluation.by_dataset(metric).loc[list(PAPER_MEASURES)]
    return ", ".join(f"{TITLES[name]} {wide[name].idxmax()} {wide[name].max():.2f}" for name in PAPER)


def n_best_first(outcomes, name):
    """Number of datasets on which the encoder with the highest score is the best."""
    return sum(int(one.predictors[name].argmax() == one.mean_truth.argmax()) for one in outcomes)


def told(evaluation):
    """Predictors that the default's lead tells from it."""
    table = evaluation.means().set_index("predictor").loc[[name for name in SHOWN if name != RANDOM]]
    return table.index[table["lead_low"] > 0]


def lost_without(encoder, outcomes):
    """What the first of an order loses among the other encoders, means over datasets."""
    lost = {name: [] for name in (DEFAULT_MEASURE, STATIC_LIST, TRANSRATE, "size")}
    for outcome in outcomes:
        others = [row for row, name in enumerate(outcome.encoders) if name != encoder]
        for name, losses in lost.items():
            losses.append(regret(outcome.predictors[name][others], outcome.mean_truth[others]))
    return {name: share(np.mean(losses)) for name, losses in lost.items()}


def how_far_to_trust():
    """What a ranking's note says of the default: its weighted tau, and what the first of its order lost."""
    (note,) = evidence_notes([DEFAULT_MEASURE], "excess")
    return {
        "how_far": re.search(r"with a weighted tau of [^)]*\)", note).group(),
        "first_lost": re.search(r"The first of its order lost .* that validated best [^%]*%", note).group(),
    }


def descriptors(outcomes):
    """On which datasets descriptors are as good as the best network or better; how far behind elsewhere."""
    losses = {one.name: loss(one.references["rdkit-descriptors"], one.mean_truth) for one in outcomes}
    level = [TITLES[name] for name, lost in losses.items() if abs(lost) <= LEVEL]
    better = [TITLES[name] for name, lost in losses.items() if lost < -LEVEL]
    behind = [lost for lost in losses.values() if lost > LEVEL]
    return {
        "level": " and ".join(level) or "none",
        "better": " and ".join(better) or "none",
        "behind": f"{min(behind):.0%} to {max(behind):.0%}".replace("%", " %"),
    }


def frozen_off(outcomes):
    """How far forecasts of frozen errors and areas were off, means over datasets."""
    metrics = {outcome.name: outcome.metric for outcome in outcomes}
    table = accuracy()
    off = table.groupby(table["dataset"].map(metrics))["frozen off"].mean()
    return {metric: share(value) for metric, value in off.items()}


def within_noise(outcomes):
    """Number of datasets on which the first choice is at most two standard errors behind the best."""
    return sum(standard_errors_behind(one.predictors[DEFAULT_MEASURE], one) <= 2 for one in outcomes)


def counts(outcomes):
    """Numbers of fine-tunings, and the hours they took."""
    rows = pd.read_csv(shipped(EVIDENCE) / FINETUNING)
    return {
        "n_runs": sum(outcome.truth.size for outcome in outcomes),
        "n_rows": len(rows),
        "hours": f"{rows['seconds'].sum() / 3600:.1f}",
        "n_encoders": len({name for outcome in outcomes for name in outcome.encoders}),
        "n_families": len({name for outcome in outcomes for name in outcome.families}),
    }


def by_layer():
    """Agreement and loss of ways to choose how many layers to transfer, means over encoders and datasets."""
    folder = shipped(EVIDENCE)
    frame = pd.DataFrame(layer_choices(folder / "layers.csv", folder / "layer-scores.csv"))
    mean = frame.groupby("way")[["tau", "loss"]].mean()
    return {
        "pairs": len(frame.drop_duplicates(["dataset", "encoder"])),
        "last": int((frame["way"].eq(DEEPER) & frame["taken"].eq(frame["best"])).sum()),
        **{name: f"{row['tau']:z.2f} ({share(row['loss'])})" for name, row in mean.iterrows()},
    }


def figures() -> Mapping[str, object]:
    """Every figure that the template names."""
    outcomes = read_results(exclude_contaminated=True)
    evaluation = evaluate(outcomes)
    by_name = {outcome.name: outcome for outcome in outcomes}
    groups = {
        "choice": [by_name[name] for name in CHOOSING],
        "confirmation": [by_name[name] for name in CONFIRMING],
    }
    group_means = {group: means(evaluate(chosen)) for group, chosen in groups.items()}
    overall = means(evaluation)
    without = leave_out(outcomes, DEFAULT_MEASURE, "families").set_index("left out")["weighted tau"]
    once = [one_finetuning(outcome) for outcome in outcomes]
    off = forecasts_off()
    ordered = [by_name[name] for name in TITLES]
    return {
        **group_means,
        **counts(outcomes),
        "all": overall,
        **how_far_to_trust(),
        **descriptors(ordered),
        "frozen_off": frozen_off(outcomes),
        "attainable": f"{np.mean([attainable_tau(outcome) for outcome in outcomes]):.2f}",
        "n_best": Counter(one.encoders[one.mean_truth.argmax()] for one in outcomes),
        "predictors": predictors(overall, group_means["choice"], group_means["confirmation"]),
        "by_dataset": by_dataset(evaluation),
        "choices": choices(ordered),
        "expected": expected(),
        "subsets": subsets(outcomes),
        **rule(groups["choice"]),
        **curves(outcomes),
        "default": DEFAULT_MEASURE,
        "lead_once": interval(*lead_over_one_finetuning(outcomes, DEFAULT_MEASURE)),
        "lead_once_transrate": interval(*lead_over_one_finetuning(outcomes, TRANSRATE)),
        "once": {
            "tau": f"{np.mean([t for t, _ in once]):.2f}",
            "regret": share(np.mean([r for _, r in once])),
        },
        "without": {family: f"{tau:z.2f}" for family, tau in without.items()},
        "off": {metric: share(value) for metric, value in off.items()},
        "best": {metric: best_of_the_paper(evaluation, metric) for metric in CORRELATIONS},
        "told": " or ".join(told(evaluation)) or "none",
        "no_minimol": lost_without("minimol", outcomes),
        "n_found": {
            "paper": n_best_first([by_name[name] for name in PAPER], TRANSRATE),
            "all": n_best_first(outcomes, TRANSRATE),
            "default": n_best_first(outcomes, DEFAULT_MEASURE),
        },
        "within_noise": {group: within_noise(chosen) for group, chosen in groups.items()},
        "layers": by_layer(),
    }


def wrapped(line):
    """Wrap a paragraph or list item into lines of the page; tables, headings and code stay unchanged."""
    if line.startswith(("|", "#", "!", "    ", "<")):
        return line
    bullet = re.match(r" *(?:- )?", line).group()
    return textwrap.fill(
        line, WIDTH, subsequent_indent=" " * len(bullet), break_long_words=False, break_on_hyphens=False
    )


def filled(template: Path, named: Mapping[str, object]) -> str:
    """A template with its figures, wrapped."""
    text = template.read_text(encoding="utf-8").format_map(named)
    return "\n".join(map(wrapped, text.splitlines())) + "\n"


def texts() -> Mapping[Path, str]:
    """The page, and the README with its section."""
    named = figures()
    readme = README.read_text(encoding="utf-8")
    if SECTION not in readme:
        raise SystemExit(f"{README}: no heading {SECTION.strip()!r}")
    before, section, after = readme.partition(SECTION)
    _, heading, rest = after.partition("\n## ")
    readme = before + section + filled(README_TEMPLATE, named) + heading + rest
    return {PAGE: filled(TEMPLATE, named), README: readme}


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
