"""Write docs/evidence.md: benchmarks/evidence_page.md with its figures filled in from the study's rows.

    python benchmarks/evidence_page.py

Read the text of the template again whenever figures change: it says what the figures mean.
"""

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from molrate.benchmarking.agreement import RANDOM, loss, weighted
from molrate.benchmarking.cells import FINETUNING
from molrate.benchmarking.comparison import KEPT, evaluate
from molrate.benchmarking.curves import agreement_curves, time_table
from molrate.benchmarking.read import read_results
from molrate.benchmarking.subsets import leave_out
from molrate.benchmarking.summary import markdown_table
from molrate.paths import EVIDENCE, shipped

TEMPLATE = Path(__file__).parent / "evidence_page.md"
PAGE = Path(__file__).parents[1] / "docs" / "evidence.md"
WIDTH = 120

TITLES = {
    "b3db": "B3DB",
    "bace": "BACE",
    "bbbp": "BBBP",
    "esol": "ESOL",
    "freesolv": "FreeSolv",
    "lipophilicity": "Lipophilicity",
    "logbb": "logBB",
    "photoswitch": "Photoswitch",
}
PAPER = ("freesolv", "esol", "bbbp", "bace")
NEW = tuple(name for name in TITLES if name not in PAPER)
GROUPS = {"paper": PAPER, "new": NEW, "choice": ("freesolv", "bbbp"), "confirmation": ("esol", "bace")}
TRANSRATE, RELATIVE, VALUE = "transrate", "transrate (relative)", "transrate (value)"
PAPER_MEASURES = (TRANSRATE, VALUE, "logme", "h-score", "lfc")
CORRELATIONS = ("pearson", "tau", "weighted tau")
GROVERS = tuple(f"grover-{size}-{corpus}" for size in ("small", "base") for corpus in ("chembl", "zinc"))
SHOWN = (
    TRANSRATE,
    RELATIVE,
    VALUE,
    "transrate-icml",
    "logme",
    "h-score",
    "consensus",
    "knn",
    "n-leep",
    "rogi-xd",
    "ridge",
    "dimension",
    "size",
    "depth",
    RANDOM,
)
SHOWN_BY_DATASET = tuple(name for name in SHOWN if name not in ("n-leep", "rogi-xd", "depth", RANDOM))
"""A table of all predictors would be too long here; the summary of the study has them all."""
N_NETWORKS = 18
"""Number of networks that the text of the template names."""


def share(value):
    """Format a share as a percentage."""
    return f"{value:.1%}".replace("%", " %")


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
            pearson=f"{row['pearson']:.2f}",
            regret=share(row["regret"]),
            of_three=share(row["regret of best of 3"]),
            kept=share(row[KEPT]),
        )
        for row in evaluation.means().to_dict("records")
    }


def predictors(overall, paper, new):
    """Format the main table."""
    columns = ["predictor", "weighted tau, 95 %", "the paper's four", "the new four"]
    rows = []
    for name in SHOWN:
        mean = overall[name]
        lead = "" if name in (TRANSRATE, RANDOM) else mean.lead
        losses = [mean.regret, mean.of_three, mean.kept]
        rows.append([name, mean.interval, paper[name].tau, new[name].tau, lead, *losses])
    columns += ["lead of TransRate, 95 %", "regret", "best of first 3", "kept of 3"]
    return markdown_table(columns, rows)


def by_dataset(evaluation):
    """Format the table of each predictor's weighted tau on each dataset."""
    wide = evaluation.by_dataset("weighted tau")[list(TITLES)]
    rows = [[name, *(f"{tau:z.2f}" for tau in wide.loc[name])] for name in SHOWN_BY_DATASET]
    return markdown_table(["weighted tau", *TITLES.values()], rows)


def seeds(outcomes):
    """List the number of seeds of each dataset."""
    return ", ".join(f"{TITLES[outcome.name]} {len(outcome.seeds)}" for outcome in outcomes)


def references(outcomes):
    """List what is lost by choosing an encoder that is not trained as a whole."""
    parts = []
    for outcome in outcomes:
        losses = {name: loss(value, outcome.mean_truth) for name, value in outcome.references.items()}
        named = ", ".join(f"{name} {share(lost)}" for name, lost in losses.items())
        parts.append(f"{TITLES[outcome.name]} {named}")
    return "; ".join(parts)


def best_of_the_paper(evaluation, metric):
    """List the best of the paper's measures on each of its datasets."""
    wide = evaluation.by_dataset(metric).loc[list(PAPER_MEASURES)]
    return ", ".join(f"{TITLES[name]} {wide[name].idxmax()} {wide[name].max():.2f}" for name in PAPER)


def both_forms(evaluation):
    """List the excess and the relative excess on the datasets that decided between them."""
    wide = evaluation.by_dataset("weighted tau")
    pairs = ((TITLES[name], wide.loc[TRANSRATE, name], wide.loc[RELATIVE, name]) for name in NEW)
    return ", ".join(f"{title} {excess:z.2f} and {relative:z.2f}" for title, excess, relative in pairs)


def without_b3db(evaluation):
    """Format the means of excess and relative excess over the new datasets without B3DB."""
    wide = evaluation.by_dataset("weighted tau")[[name for name in NEW if name != "b3db"]].mean(axis=1)
    return f"{wide[TRANSRATE]:z.2f} and {wide[RELATIVE]:z.2f}"


def among(outcomes, choose):
    """Weighted tau of TransRate among some networks of each dataset, mean over datasets."""
    taus = []
    for outcome in outcomes:
        rows = choose(outcome)
        taus.append(weighted(outcome.predictors[TRANSRATE][rows], outcome.mean_truth[rows]))
    return f"{np.mean(taus):z.2f}"


def pretrained(outcome):
    """Rows of the pretrained networks."""
    return [row for row, name in enumerate(outcome.encoders) if not name.endswith("untrained")]


def upper_half(outcome):
    """Rows of the half of the networks that fine-tuned best."""
    return np.argsort(-outcome.mean_truth)[: len(outcome.encoders) // 2]


def first_and_best(outcome):
    """Encoders with the highest score and with the best performance."""
    return (outcome.encoders[int(x.argmax())] for x in (outcome.predictors[TRANSRATE], outcome.mean_truth))


def firsts(outcomes):
    """List the encoders with the highest score and with the best performance, for each dataset."""
    named = ((TITLES[outcome.name], *first_and_best(outcome)) for outcome in outcomes)
    return "; ".join(f"{title}: {first}, best {best}" for title, first, best in named)


def n_best_first(outcomes):
    """Number of datasets on which the encoder with the highest score is the best."""
    return sum(first == best for first, best in map(first_and_best, outcomes))


def of_grovers(outcome):
    """Scores by value and by excess, and performance, of the four GROVER networks, as in the paper."""
    rows = [outcome.encoders.index(name) for name in GROVERS]
    return outcome.predictors[VALUE][rows], outcome.predictors[TRANSRATE][rows], outcome.mean_truth[rows]


def four_grovers(outcomes):
    """List how far scores order the four GROVER networks as fine-tuning does."""
    parts = []
    for outcome in outcomes:
        *scores, truth = of_grovers(outcome)
        by_value, by_excess = (weighted(score, truth) for score in scores)
        parts.append(f"{TITLES[outcome.name]} {by_value:z.2f} (excess {by_excess:z.2f})")
    return ", ".join(parts)


def n_best_first_grovers(outcomes):
    """Number of datasets on which the GROVER network with the highest value is the best."""
    networks = map(of_grovers, outcomes)
    return sum(int(value.argmax() == truth.argmax()) for value, _, truth in networks)


def curves(outcomes):
    """Weighted tau of TransRate with few molecules, and its range with other distortions."""
    frame = agreement_curves(outcomes)
    frame = frame[frame["measure"] == TRANSRATE].set_index("to")
    molecules = frame.loc[frame["setting"] == "molecules", "weighted tau"]
    few = {"all" if np.isinf(to) else int(to): f"{tau:.2f}" for to, tau in molecules.items()}
    distortions = frame.loc[frame["setting"] == "epsilon squared", "weighted tau"].loc[0.1:5]
    return {"few": few, "distortions": f"{distortions.min():.2f} to {distortions.max():.2f}"}


def speedups(outcomes):
    """Format the smallest and largest speed-up, with and without embedding."""
    times = time_table(outcomes, TRANSRATE).sort_values("speed-up")
    least, most = times.iloc[0], times.iloc[-1]
    alone = times["measure alone"]
    return {
        "speedups": f"{least['speed-up']:.0f} ({TITLES[least['dataset']]}) to {most['speed-up']:.0f}",
        "measure_speedups": f"{alone.min():.0f} to {alone.max():.0f}",
    }


def counts(outcomes):
    """Numbers of fine-tunings, and the hours they took."""
    rows = pd.read_csv(shipped(EVIDENCE) / FINETUNING)
    return {
        "n_runs": sum(outcome.truth.size for outcome in outcomes),
        "n_rows": len(rows),
        "hours": f"{rows['seconds'].sum() / 3600:.1f}",
    }


def figures() -> Mapping[str, object]:
    """Every figure that the template names."""
    outcomes = read_results()
    evaluation = evaluate(outcomes)
    assert all(len(outcome.encoders) == N_NETWORKS for outcome in outcomes), "a seed is not finished"
    by_name = {outcome.name: outcome for outcome in outcomes}
    groups = {group: [by_name[name] for name in names] for group, names in GROUPS.items()}
    group_means = {group: means(evaluate(chosen)) for group, chosen in groups.items()}
    overall = means(evaluation)
    without = leave_out(outcomes, TRANSRATE, "families").set_index("left out")["weighted tau"]
    return {
        **group_means,
        **counts(outcomes),
        **curves(outcomes),
        **speedups(outcomes),
        "all": overall,
        "scaffold": means(evaluate(read_results(split="scaffold"))),
        "predictors": predictors(overall, group_means["paper"], group_means["new"]),
        "by_dataset": by_dataset(evaluation),
        "seeds": seeds(outcomes),
        "without": {family: f"{tau:z.2f}" for family, tau in without.items()},
        "references": references(outcomes),
        "both": both_forms(evaluation),
        "without_b3db": without_b3db(evaluation),
        "best": {metric: best_of_the_paper(evaluation, metric) for metric in CORRELATIONS},
        "n_found": {
            "paper": n_best_first(groups["paper"]),
            "all": n_best_first(outcomes),
            "grover": n_best_first_grovers(groups["paper"]),
        },
        "firsts": firsts(outcomes),
        "four_grovers": four_grovers(groups["paper"]),
        "pretrained": among(outcomes, pretrained),
        "upper_half": among(outcomes, upper_half),
    }


def wrapped(line):
    """Wrap a paragraph or list item into lines of the page; tables, headings and code stay unchanged."""
    if line.startswith(("|", "#", "!", "    ", "<")):
        return line
    bullet = re.match(r" *(?:- )?", line).group()
    return textwrap.fill(
        line, WIDTH, subsequent_indent=" " * len(bullet), break_long_words=False, break_on_hyphens=False
    )


def page() -> str:
    """Text of the page."""
    filled = TEMPLATE.read_text(encoding="utf-8").format_map(figures())
    return "\n".join(map(wrapped, filled.splitlines())) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
