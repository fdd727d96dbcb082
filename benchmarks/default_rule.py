"""What the rule of docs/study.md makes the default, from the rows of the choosing datasets alone.

    python benchmarks/default_rule.py                    # the study that ships
    python benchmarks/default_rule.py --results FOLDER

1. Candidates are ordered by their mean weighted tau with fine-tuning over the choosing datasets. Tied with
   the first are those whose difference from it has a 95 % interval (paired bootstrap over datasets and
   encoders) that includes zero.
2. Of the tied, the one of the smallest mean regret of the first choice. Where several lie within half a per
   cent of it: those without a static list before those with one, then the cheaper one.

Cheaper is what takes fewer seconds, beside embedding, on 1,000 molecules in 512 dimensions (measured here).
The gradients that `tangent` needs count.
"""

import argparse
import time

import numpy as np

from molrate.benchmarking.comparison import evaluate
from molrate.benchmarking.read import COMBINED, STATIC_LIST, read_results
from molrate.measures import MEASURES
from molrate.ranking.candidates import AUTO, Candidate, score_candidates
from molrate.statistics.resampling import make_resampling

CHOOSING = ("freesolv", "esol", "bbbp", "bace", "lipophilicity", "logbb")
CONFIRMING = ("photoswitch", "adme_solubility")
CANDIDATES = (*COMBINED, *(f"{name} + {STATIC_LIST}" for name in COMBINED))
NEAR = 0.005
"""Regrets that differ by no more count as equal."""


def seconds(name, n=1000, d=512):
    """Median time of three of a measure with its null and interval, on made features."""
    measure = name.split()[0]
    if measure == "tangent":
        # Beside what loo takes: a forward and a backward pass of the encoder, more than any measure takes.
        return np.inf
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(n, d)), generator.normal(size=n)
    resampling = make_resampling(labels, "regression")
    times = []
    for _ in range(3):
        started = time.perf_counter()
        score_candidates(
            [Candidate("made", "", features)], np.arange(n), resampling, [MEASURES[measure]()], AUTO
        )
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def table_of(outcomes):
    """Means of the candidates over datasets, the greatest weighted tau first, with differences from it."""
    means = evaluate(outcomes).means().set_index("predictor")
    candidates = [name for name in means.index if name in CANDIDATES]
    means = evaluate(outcomes, reference=candidates[0]).means().set_index("predictor").loc[candidates]
    return means[["weighted tau", "low", "high", "share", "lead", "lead_low", "lead_high", "regret"]]


def near_the_smallest_regret(means):
    """Rows of those tied with the first whose regrets count as equal to the smallest."""
    # The leader has no difference from itself.
    tied = means[~(means["lead_low"] > 0)]
    return tied[tied["regret"] <= tied["regret"].min() + NEAR]


def decide(means):
    """Name of the candidate that the rule takes."""
    near = near_the_smallest_regret(means)
    costs = {name: (STATIC_LIST in name, seconds(name)) for name in near.index}
    for name, (_, cost) in costs.items():
        print(f"  {name}: regret {near['regret'][name]:.2%}, {cost:.2f} s")
    return min(costs, key=costs.__getitem__)


def main():
    """Print the decision, and what the confirming datasets say of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", help="folder of molrate benchmark; by default the study that ships")
    results = parser.parse_args().results
    chosen_by, confirmed_by = (
        read_results(results, datasets, exclude_contaminated=True) for datasets in (CHOOSING, CONFIRMING)
    )
    means = table_of(chosen_by)
    print(f"on {', '.join(CHOOSING)}:")
    print(means.round(3).to_string())
    print("within half a per cent of the smallest regret of those tied with the first:")
    print(f"the default: {decide(means)}")
    print(f"on {', '.join(CONFIRMING)}:")
    print(table_of(confirmed_by).round(3).to_string())


if __name__ == "__main__":
    main()
