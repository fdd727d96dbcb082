"""What `molrate select` loses at what cost, beside other ways to spend fine-tunings, from the study's rows.

    python benchmarks/select_regret.py                        # a table, and evidence/select.png
    python benchmarks/select_regret.py --results FOLDER --folds 4

A seed of the study, which draws its split, stands for a fold of the race. One seed is left out, others are
the folds that a user runs, in every order; a way to choose sees the errors of the folds it runs, and its
choice is judged on the seed left out, against the candidate of the best mean over all seeds. Loss is a
share of that candidate's metric there. Cost is counted in fine-tunings, as `--max-jobs` counts them.

`select` runs its shortlist of seven on the first fold: both baselines, the first three by score, those of the
least expected error and of the best place in the study's other datasets, and more by score. In place of its
test of paired differences over molecules, which the rows do not have, the best three run the second fold and
the best two any further ones. What the score expects of a network counts as one more fold, as in the race.

Halving trains every network for an eighth of its epochs, keeps the half whose validation is best so far,
and goes on to a quarter, a half and all epochs; then folds choose among the two or three left and the
baselines. It needs the curves of the rows, chemprop those of `finetuning.py` (`--peers`); without them they
are left out.
"""

import argparse
import json
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

SHORTLIST, BY_SCORE = 7, 3
SURVIVORS = (7, 3, 2, 2, 2)
"""How many candidates run each fold."""
RANDOM_ORDERS = 50
DESCRIPTORS = "rdkit-descriptors"
SHARES_OF_EPOCHS = (1 / 8, 1 / 4, 1 / 2, 1)
PEER = "chemprop"


def with_baselines(outcome, rows):
    """Names of candidates, encoders first, and their test metrics (candidates, seeds), higher is better.

    A baseline that lacks a seed is none of them, as an encoder is not.
    """
    own = rows[(rows["dataset"] == outcome.name) & rows["frozen"] & rows["seed"].isin(outcome.seeds)]
    wide = (
        own.pivot_table(index="encoder", columns="seed", values="test")
        .reindex(columns=outcome.seeds)
        .dropna()
    )
    sign = 1 if HIGHER_IS_BETTER[outcome.metric] else -1
    return [*outcome.encoders, *wide.index], np.vstack([outcome.truth, sign * wide.to_numpy()])


def expected_of(outcome):
    """What the score expects of each encoder fine-tuned, higher is better."""
    expected = outcome.expected["finetuned expected"].reindex(outcome.encoders).to_numpy()
    return expected if HIGHER_IS_BETTER[outcome.metric] else -expected


def shortlist(outcome, n_baselines):
    """Candidates of `molrate select`, by number."""
    n, expected = len(outcome.encoders), expected_of(outcome)
    by_score = list(np.argsort(-outcome.predictors[DEFAULT_MEASURE], kind="stable"))
    least = int(np.nanargmax(expected))
    standing = int(outcome.predictors[STATIC_LIST].argmax())
    chosen = list(dict.fromkeys([*by_score[:BY_SCORE], least, standing, *by_score]))
    return [*range(n, n + n_baselines), *chosen[: SHORTLIST - n_baselines]]


def curves_of(outcome, rows):
    """What validation chose by, a list for each encoder and seed; None where a row has none."""
    own = rows[(rows["dataset"] == outcome.name) & ~rows["frozen"]].set_index(["encoder", "seed"])
    wanted = [(encoder, seed) for encoder in outcome.encoders for seed in outcome.seeds]
    if "curve" not in own or own["curve"].reindex(wanted).isna().any():
        return None
    return {key: json.loads(own.at[key, "curve"]) for key in wanted}


def best_until(curve, share):
    """Least of the curve up to a share of its epochs, the frozen encoder among them."""
    return min(curve[: 1 + round(share * (len(curve) - 1))])


def halve(outcome, curves, seeds):
    """Encoders left after three halvings, by number."""
    left = np.arange(len(outcome.encoders))
    for share in SHARES_OF_EPOCHS[:-1]:
        names = [outcome.encoders[number] for number in left]
        so_far = [np.mean([best_until(curves[name, seed], share) for seed in seeds]) for name in names]
        left = left[np.argsort(so_far, kind="stable")[: -(-len(left) // 2)]]
    return left


def cost_of_halving(n):
    """Fine-tunings that n encoders cost on a fold."""
    cost, before = 0.0, 0.0
    for share in SHARES_OF_EPOCHS:
        cost, before, n = cost + n * (share - before), share, -(-n // 2)
    return cost


def race(listed, folds, expected):
    """Yield the cost and the choice after each fold of a race, of which the best go on to the next."""
    cost, left = 0, listed
    for n_folds in range(1, 1 + folds.shape[1]):
        left = left[: SURVIVORS[n_folds - 1]]
        cost += len(left)
        means, beside = folds[left, :n_folds].mean(axis=1), expected[left]
        level = np.median((means - beside)[~np.isnan(beside)]) if not np.isnan(beside).all() else 0.0
        beside = np.where(np.isnan(beside), means, beside + level)
        left = left[np.argsort(-(n_folds * means + beside), kind="stable")]
        yield cost, left[0]


def ways(outcome, names, folds, n_all, generator):
    """Yield each way to choose with its cost and choice.

    `folds` are the metrics of the folds in order. Datasets differ in how many candidates they have; all of
    them are counted as `n_all`, so that they are one point.
    """
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
    if DESCRIPTORS in names:
        yield "descriptors alone", 1, names.index(DESCRIPTORS)
    listed = np.array(shortlist(outcome, len(names) - n))
    expected = np.append(expected_of(outcome), np.full(len(names) - n, np.nan))
    for cost, choice in race(listed, folds, expected):
        yield "select", cost, choice
    for n_folds in range(1, 1 + folds.shape[1]):
        yield "fine-tune all", n_folds * n_all, int(folds[:, :n_folds].mean(axis=1).argmax())


def halvings(outcome, names, curves, seeds, folds, n_all):
    """Yield the same for halving by epochs, on the first fold and on more."""
    n = len(outcome.encoders)
    for n_folds in range(1, 1 + folds.shape[1]):
        judged = np.array([*halve(outcome, curves, seeds[:n_folds]), *range(n, len(names))])
        means = folds[:, :n_folds].mean(axis=1)
        cost = n_folds * (cost_of_halving(n_all - len(names) + n) + len(names) - n)
        yield "halving by epochs", cost, judged[means[judged].argmax()]


def of_peer(outcome, peers):
    """Test metric of chemprop by seed of the outcome, higher is better; NaN where it was not run."""
    own = peers[(peers["dataset"] == outcome.name) & (peers["encoder"] == PEER) & (peers["recipe"] == PEER)]
    sign = 1 if HIGHER_IS_BETTER[outcome.metric] else -1
    return sign * own.drop_duplicates("seed").set_index("seed")["test"].reindex(outcome.seeds).to_numpy()


def simulate(outcomes, rows, n_folds, peers=None, seed=0):
    """A row for each dataset, left-out seed, order of the folds and way."""
    generator = np.random.default_rng(seed)
    candidates = [with_baselines(outcome, rows) for outcome in outcomes]
    n_all = max(len(names) for names, _ in candidates)
    found = []
    for outcome, (names, metrics) in zip(outcomes, candidates, strict=True):
        best, curves = metrics.mean(axis=1).argmax(), curves_of(outcome, rows)
        chemprop = None if peers is None else of_peer(outcome, peers)
        for left, *folds in permutations(range(metrics.shape[1]), 1 + n_folds):
            chosen = list(ways(outcome, names, metrics[:, folds], n_all, generator))
            if curves is not None:
                seeds = [outcome.seeds[fold] for fold in folds]
                chosen += halvings(outcome, names, curves, seeds, metrics[:, folds], n_all)
            tested = [(way, cost, metrics[choice, left]) for way, cost, choice in chosen]
            if chemprop is not None:
                tested.append((PEER, 1, chemprop[left]))
            for way, cost, metric in tested:
                lost = loss(metric, metrics[[best], left])
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
        ticks = [1, 2, 3, 5, 7, 10, *mean.loc[mean["way"] == "fine-tune all", "cost"]]
        axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        axes.minorticks_off()
        axes.legend()
        write_figure(figure, path)


def main():
    """Simulate, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results")
    parser.add_argument("--scores", help="folder that scores are read from, if not that of the results")
    parser.add_argument("--folds", type=int, default=2, choices=range(1, 1 + len(SURVIVORS)))
    parser.add_argument("--figure", type=Path, help="of loss against cost; by default evidence/select.png")
    parser.add_argument("--peers", type=Path, help="rows of benchmarks/finetuning.py with chemprop's")
    options = parser.parse_args()
    folder = options.results or shipped(EVIDENCE)
    rows = pd.read_csv(f"{folder}/{FINETUNING}")
    read = read_results(folder, exclude_contaminated=True, scored=options.scores)
    outcomes = [one for one in read if len(one.seeds) > options.folds]
    peers = pd.read_csv(options.peers) if options.peers else None
    simulated = simulate(outcomes, rows, options.folds, peers)
    by_dataset = simulated.groupby(["way", "cost", "dataset"])["loss"].mean().unstack("dataset").sort_index()
    lines = [
        [way, f"{cost:.0f}", f"{100 * own.mean():.1f} %", *(f"{100 * lost:.1f}" for lost in own)]
        for (way, cost), own in by_dataset.iterrows()
    ]
    print(markdown_table(["way", "fine-tunings", "mean loss", *by_dataset.columns], lines))
    figure = options.figure or Path(shipped(EVIDENCE)) / "select.png"
    draw(by_dataset.mean(axis=1).rename("loss").reset_index(), figure)


if __name__ == "__main__":
    main()
