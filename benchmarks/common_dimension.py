"""What TransRate says of features of equal information and unequal dimension.

    python benchmarks/common_dimension.py

Features of 642 molecules (as FreeSolv has) are 32 waves over three hidden variables, of which two make the
target; ten ranges cut it. Rows of the tables change the columns and not what they say of the target, which an
honest measure gives the same excess at every dimension. The last table puts loud directions that say nothing
before the signal, so that leading components miss it. Means over five draws, with the deviation of a draw.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from molrate.measures import MEASURES
from molrate.ranking.candidates import Candidate, score_candidates
from molrate.statistics.resampling import make_resampling

N, INFORMATIVE, DRAWS = 642, 32, 5
DIMENSIONS = (32, 128, 512, 1024)


def base(generator):
    """Features (n, 32) and target."""
    hidden = generator.normal(size=(N, 3))
    waves = np.sin(hidden @ generator.normal(size=(3, INFORMATIVE)) + generator.uniform(0, 6, INFORMATIVE))
    values = hidden[:, 0] + 0.5 * hidden[:, 1] + 0.3 * generator.normal(size=N)
    return waves * np.geomspace(1, 0.3, INFORMATIVE), values


def padded(features, d, _generator):
    return np.c_[features, np.zeros((N, d - INFORMATIVE))]


def rotated(features, d, generator):
    turn = np.linalg.qr(generator.normal(size=(d, d)))[0]
    return padded(features, d, generator) @ turn


def duplicated(features, d, _generator):
    return np.tile(features, d // INFORMATIVE)


def first_duplicated(features, d, _generator):
    """The first columns many times, the others once."""
    return np.c_[features, np.tile(features[:, :4], (d - INFORMATIVE) // 4)]


def mixed(features, d, generator):
    """Random combinations of the columns, as layers of a network make them."""
    return features if d == INFORMATIVE else features @ generator.normal(size=(INFORMATIVE, d))


def noise_beside(scale):
    def change(features, d, generator):
        return np.c_[features, scale * generator.normal(size=(N, d - INFORMATIVE))]

    return change


def noise(_features, d, generator):
    return generator.normal(size=(N, d))


def mixed_noise(features, d, generator):
    """As many noise columns as informative ones, combined to d columns."""
    both = np.c_[features, 0.5 * generator.normal(size=(N, INFORMATIVE))]
    return features if d == INFORMATIVE else both @ generator.normal(size=(2 * INFORMATIVE, d))


CHANGES = {
    "padded with zeros": padded,
    "rotated": rotated,
    "every column repeated": duplicated,
    "four columns repeated": first_duplicated,
    "random combinations": mixed,
    "noise columns, a tenth of the scale": noise_beside(0.1),
    "noise columns, mixed with the others": mixed_noise,
    "noise alone": noise,
}


def hidden(share):
    """Strong directions that say nothing take a share of the leading 32 components."""

    def change(features, d, generator):
        silent = round(share * INFORMATIVE)
        loud = 10 * generator.normal(size=(N, silent))
        both = np.c_[features, loud]
        return both @ np.linalg.qr(generator.normal(size=(d, d)))[0][: both.shape[1]]

    return change


def excess(features, values, common_dimension, seed):
    resampling = make_resampling(values, "regression", seed=seed)
    (scored,) = score_candidates(
        [Candidate("drawn", "", features)],
        np.arange(N),
        resampling,
        [MEASURES["transrate"]()],
        common_dimension,
    )
    return scored.estimate.excess


def line(name, change, dimensions, common_dimension):
    cells = []
    for d in dimensions:
        found = []
        for seed in range(DRAWS):
            generator = np.random.default_rng([seed, d])
            features, values = base(np.random.default_rng(seed))
            found.append(excess(change(features, d, generator), values, common_dimension, seed))
        cells.append(f"{np.mean(found):.2f} ({np.std(found, ddof=1):.2f})")
    return f"| {name} | {' | '.join(cells)} |"


def main():
    header = "|".join(f" {d} " for d in DIMENSIONS)
    for title, common_dimension in (("full dimension", None), ("common dimension (32)", "auto")):
        print(f"\n| {title} |{header}|\n|---|{'---|' * len(DIMENSIONS)}")
        for name, change in CHANGES.items():
            print(line(name, change, DIMENSIONS, common_dimension), flush=True)
    print("\n| loud directions without signal | full dimension | common dimension (32) |\n|---|---|---|")
    for share in (0, 0.25, 0.5, 0.75, 1):
        cells = [line("", hidden(share), (128,), common)[4:-2] for common in (None, "auto")]
        print(f"| {round(share * INFORMATIVE)} of 32 | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
