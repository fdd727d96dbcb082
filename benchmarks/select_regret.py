"""What `molrate select` loses at what cost, beside other ways to spend fine-tunings, from the study's rows.

    python benchmarks/select_regret.py                        # a table, and evidence/select.png
    python benchmarks/select_regret.py --results FOLDER

A seed of the study, which draws its split, stands for a fold of the race. One seed is left out, two others
are the folds that a user runs, in every order; a way to choose sees the errors of the folds it runs, and its
choice is judged on the seed left out, against the candidate of the best mean over all seeds. Loss is a
share of that candidate's metric there. Cost is counted in fine-tunings, as `--max-jobs` counts them.

`select` runs its shortlist of seven on the first fold: both baselines, the first three by score, those of the
least expected error and of the best place in the study's other datasets, and more by score. In place of its
test of paired differences over molecules, which the rows do not have, the best three run the second fold.
"""

import argparse
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd

from molrate.benchmarking.agreement import loss
from molrate.benchmarking.cells import FINETUNING
from molrate.benchmarking.read import STATIC_LIST, read_results
from molrate.benchmarking.summary import markdown_table
from molrate.measures.base import DEFAULT_MEASURE
from molrate.models.metrics import HIGHER_IS_BETTER
from molrate.paths import EVIDENCE, shipped
from molrate.plotting import mark, new_figure, style, write_figure

SHORTLIST, SURVIVORS, BY_SCORE = 7, 3, 3
RANDOM_ORDERS, FOLDS, ALL = 50, 2, 20
DESCRIPTORS = "rdkit-descriptors"


def with_baselines(outcome, rows):
    """Names of candidates, encoders first, and their test metrics (candidates, seeds), higher is better."""
    own = rows[(rows["dataset"] == outcome.name) & rows["frozen"] & rows["seed"].isin(outcome.seeds)]
    wide = own.pivot_table(index="encoder", columns="seed", values="test")[outcome.seeds]
    sign = 1 if HIGHER_IS_BETTER[outcome.metric] else -1
    return [*outcome.encoders, *wide.index], np.vstack([outcome.truth, sign * wide.to_numpy()])


def shortlist(outcome, n_baselines):
    """Candidates of `molrate select`, by number."""
    n = len(outcome.encoders)
    by_score = list(np.argsort(-outcome.predictors[DEFAULT_MEASURE], kind="stable"))
    expected = outcome.expected["finetuned expected"].reindex(outcome.encoders).to_numpy()
    if not HIGHER_IS_BETTER[outcome.metric]:
        expected = -expected
    least = int(np.nanargmax(expected))
    standing = int(outcome.predictors[STATIC_LIST].argmax())
    chosen = list(dict.fromkeys([*by_score[:BY_SCORE], least, standing, *by_score]))
    return [*range(n, n + n_baselines), *chosen[: SHORTLIST - n_baselines]]


def ways(outcome, names, folds, generator):
    """Yield each way to choose with its cost and choice; `folds` are the metrics of the folds in order."""
    n, first = len(outcome.encoders), folds[:, 0]
    orders = {
        "score": np.argsort(-outcome.predictors[DEFAULT_MEASURE], kind="stable"),
        "static list": np.argsort(-outcome.predictors[STATIC_LIST], kind="stable"),
    }
    for length in (1, 2, 3, 5, 10):
        for name, order in orders.items():
            yield name, length, order[:length][first[order[:length]].argmax()]
        for _ in range(RANDOM_ORDERS):
            order = generator.permutation(n)[:length]
            yield "random order", length, order[first[order].argmax()]
    yield "descriptors alone", 1, names.index(DESCRIPTORS)
    listed = np.array(shortlist(outcome, len(names) - n))
    yield "select", len(listed), listed[first[listed].argmax()]
    survivors = listed[np.argsort(-first[listed], kind="stable")[:SURVIVORS]]
    both = folds.mean(axis=1)
    yield "select", len(listed) + len(survivors), survivors[both[survivors].argmax()]
    # Datasets have 18 to 22 candidates; all of them are one point of the figure.
    yield "fine-tune all", ALL, int(first.argmax())
    yield "fine-tune all", 2 * ALL, int(both.argmax())


def simulate(outcomes, rows, seed=0):
    """A row for each dataset of three seeds, left-out seed, order of two folds and way."""
    generator = np.random.default_rng(seed)
    found = []
    for outcome in outcomes:
        names, metrics = with_baselines(outcome, rows)
        best = metrics.mean(axis=1).argmax()
        for left, *folds in permutations(range(metrics.shape[1]), 1 + FOLDS):
            for way, cost, choice in ways(outcome, names, metrics[:, folds], generator):
                lost = loss(metrics[choice, left], metrics[[best], left])
                found.append({"dataset": outcome.name, "way": way, "cost": cost, "loss": lost})
    return pd.DataFrame(found)


def draw(mean, path):
    """Loss against cost."""
    with style():
        figure = new_figure(5.2, 3.4)
        axes = figure.add_subplot()
        for place, (way, own) in enumerate(mean.groupby("way", sort=False)):
            axes.plot(own["cost"], 100 * own["loss"], label=way, **mark(place))
        axes.set(xscale="log", xlabel="fine-tunings", ylabel="loss to the best candidate, %", ylim=(0, None))
        axes.set_xticks([1, 2, 3, 5, 7, 10, ALL, 2 * ALL], [1, 2, 3, 5, 7, 10, ALL, 2 * ALL])
        axes.minorticks_off()
        axes.legend()
        write_figure(figure, path)


def main():
    """Simulate, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results")
    folder = parser.parse_args().results or shipped(EVIDENCE)
    rows = pd.read_csv(f"{folder}/{FINETUNING}")
    outcomes = [one for one in read_results(folder, exclude_contaminated=True) if len(one.seeds) > FOLDS]
    simulated = simulate(outcomes, rows)
    by_dataset = simulated.groupby(["way", "cost", "dataset"], sort=False)["loss"].mean().unstack("dataset")
    lines = [
        [way, f"{cost:.0f}", f"{100 * own.mean():.1f} %", *(f"{100 * lost:.1f}" for lost in own)]
        for (way, cost), own in by_dataset.iterrows()
    ]
    print(markdown_table(["way", "fine-tunings", "mean loss", *by_dataset.columns], lines))
    draw(by_dataset.mean(axis=1).rename("loss").reset_index(), Path(shipped(EVIDENCE)) / "select.png")


if __name__ == "__main__":
    main()
