"""What fine-tuning gains over the encoder as it was, and how the encoder chosen stands beside other tools.

    python benchmarks/finetuning_gains.py evidence/finetuning.csv \
        --peers benchmarks/rows/finetuning-peers.csv --descriptors benchmarks/rows/finetuning-descriptors.csv

The files are rows of `molrate benchmark`, of which the first of each fine-tuning counts; --peers are rows of
`benchmarks/finetuning.py`. Pairs of encoder and dataset count with those of the --seeds that they have, at
least two. A loss is tested by Student's t over splits, one-sided, with Holm's correction over all pairs. In
the second table the encoder of the best validation metric is chosen in each split, from encoders that have
all of --seeds there and have not seen the dataset's labels. --descriptors adds a choice among the networks of
that file, of `benchmarks/finetuning.py` too, each alone and with descriptors, over the seeds that all have.
"""

import argparse

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from molrate.benchmarking.summary import markdown_table
from molrate.models.metrics import HIGHER_IS_BETTER
from molrate.ranking.contamination import are_suspect
from molrate.statistics.intervals import holm

PEERS = {
    "chemprop": "chemprop",
    "chemprop-descriptors": "chemprop, descriptors",
    "forest": "forest, descriptors",
    "boosting": "boosting, ECFP4",
}

ROUNDING = 0.01
"""Per cent by which an encoder that was kept as it was can differ from itself."""


def read_rows(paths, seeds):
    """Fine-tunings of networks that ended well, each with its gain in per cent of the frozen encoder."""
    rows = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
    rows = rows[
        (rows["status"] == "ok") & ~rows["frozen"] & (rows["split"] == "random") & rows["seed"].isin(seeds)
    ]
    rows = rows.drop_duplicates(["dataset", "encoder", "seed"])
    sign = np.where(rows["metric"].map(HIGHER_IS_BETTER), -1, 1)
    rows["gain"] = 100 * sign * (rows["frozen_test"] - rows["test"]) / rows["frozen_test"]
    rows["seen"] = are_suspect(rows["encoder"], rows["dataset"])
    return rows


def gains(rows):
    """A row for each pair of dataset and encoder: means, standard errors, and the chance of such a loss."""
    pair = ["dataset", "encoder"]
    grouped = rows[rows.groupby(pair)["seed"].transform("size") > 1].groupby(pair)
    table = grouped[["frozen_test", "test", "gain", "seconds"]].mean()
    table["error"], table["splits"] = grouped["gain"].sem(), grouped.size()
    table["seen"] = grouped["seen"].first()
    losses = [
        1.0 if not gain.any() else float(ttest_1samp(gain, 0, alternative="less").pvalue)
        for _, gain in grouped["gain"]
    ]
    table["p"], table["corrected"] = losses, holm(np.array(losses))
    return table


def with_all(rows, seeds):
    """Rows of encoders that have all seeds on a dataset."""
    return rows[rows.groupby(["dataset", "encoder"])["seed"].transform("nunique") == len(seeds)]


def chosen(rows):
    """Test metrics of the encoder that validates best in each split, by dataset and seed."""
    clean = rows[~rows["seen"]]
    clean = clean.assign(
        quality=lambda own: np.where(own["metric"].map(HIGHER_IS_BETTER), 1, -1) * own["validation"]
    )
    return clean.loc[clean.groupby(["dataset", "seed"])["quality"].idxmax()]


def add_descriptors(rows, path):
    """Rows of some networks alone, and beside them those of the same networks with descriptors."""
    more = pd.read_csv(path)
    more = more[more["recipe"] == "descriptors"]
    alone = rows[rows["encoder"].isin(more["encoder"])]
    with_them = more.assign(
        encoder=more["encoder"] + " with descriptors", seen=are_suspect(more["encoder"], more["dataset"])
    )
    return pd.concat([alone, with_them], ignore_index=True)


def shared_seeds(rows):
    """Rows of the datasets and seeds that all encoders have."""
    n_encoders = rows.groupby(["dataset", "seed"])["encoder"].transform("nunique")
    return rows[n_encoders == rows["encoder"].nunique()]


def beside(picked, peers):
    """Mean test metric with its standard error of what was chosen and of each peer, on the same splits."""
    lines = []
    for name, own in picked.groupby("dataset", sort=False):
        ours = own.set_index("seed")["test"]
        sign = -1 if HIGHER_IS_BETTER[own["metric"].iloc[0]] else 1
        line = [name, _mean(ours), ", ".join(sorted(set(own["encoder"]))), str(len(ours))]
        for recipe in PEERS:
            theirs = peers[(peers["dataset"] == name) & (peers["recipe"] == recipe)].set_index("seed")["test"]
            both = ours.index.intersection(theirs.index)
            if both.empty:
                line.append("")
                continue
            behind = 100 * sign * (ours[both].mean() / theirs[both].mean() - 1)
            line.append(f"{_mean(theirs[both])} ({behind:+.1f} %; {len(both)})")
        lines.append(line)
    return lines


def _mean(values):
    return f"{values.mean():.3f} +- {values.sem():.3f}" if len(values) > 1 else f"{values.mean():.3f}"


def main():
    """Parse the command line, and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="+")
    parser.add_argument("--peers", required=True)
    parser.add_argument("--descriptors")
    parser.add_argument("--encoders", help="networks that count; by default all")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    rows = read_rows(given.rows, seeds)
    if given.encoders:
        rows = rows[rows["encoder"].isin(given.encoders.split(","))]
    table = gains(rows)
    print(table.round(3).to_string())
    lost = table[table["corrected"] < 0.05]
    print(
        f"\n{len(rows)} fine-tunings, {len(table)} pairs: mean gain {rows['gain'].mean():.1f} %, "
        f"{(rows['gain'] < -ROUNDING).mean():.1%} of cells lose; {len(lost)} pairs lose after correction, "
        f"{(table['p'] < 0.05).sum()} before\n"
    )
    whole = table[table["splits"] == len(seeds)]
    print(f"pairs with all {len(seeds)} splits: {len(whole)}; mean gain by dataset:")
    print(whole.groupby("dataset")["gain"].agg(["size", "mean", "min", "max"]).round(1).to_string(), "\n")
    peers = pd.read_csv(given.peers)
    header = ["dataset", "chosen by validation", "encoders chosen", "splits", *PEERS.values()]
    print(markdown_table(header, beside(chosen(with_all(rows, seeds)), peers)))
    if given.descriptors:
        print()
        both = shared_seeds(add_descriptors(rows, given.descriptors))
        print(markdown_table(header, beside(chosen(both), peers)))


if __name__ == "__main__":
    main()
