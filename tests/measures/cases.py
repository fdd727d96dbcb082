"""Small data of every awkward kind, and checks that the tests of several measures share."""

import numpy as np
import pytest

from molrate.measures import make_sample


def _classes(n, shares, generator):
    return generator.permutation(np.repeat(np.arange(len(shares)), [round(n * share) for share in shares]))


def _gaussians(n, d, shares, seed):
    generator = np.random.default_rng(seed)
    codes = _classes(n, shares, generator)
    centres = generator.normal(size=(len(shares), d))
    scales = generator.uniform(0.2, 2, size=d)
    return (0.6 * centres[codes] + generator.normal(size=(n, d))) * scales + 0.5, codes


def _rank_deficient():
    generator = np.random.default_rng(4)
    thin, codes = _gaussians(90, 4, (0.5, 0.3, 0.2), 4)
    return thin @ generator.normal(size=(4, 15)), codes


def _duplicated():
    features, codes = _gaussians(50, 6, (0.5, 0.5), 5)
    return np.r_[features, features], np.r_[codes, codes]


def _constant_column():
    features, codes = _gaussians(100, 8, (0.7, 0.3), 6)
    return np.c_[features[:, :3], np.full(100, 2.5), features[:, 3:]], codes


CLASSIFIED = {
    "balanced": _gaussians(120, 8, (1 / 3, 1 / 3, 1 / 3), 1),
    "unbalanced": _gaussians(200, 10, (0.95, 0.05), 2),
    "n below d": _gaussians(40, 70, (0.5, 0.5), 3),
    "rank-deficient": _rank_deficient(),
    "duplicated rows": _duplicated(),
    "constant column": _constant_column(),
}


def _target(name):
    features, codes = CLASSIFIED[name]
    generator = np.random.default_rng(len(features))
    noise = generator.normal(size=len(features))
    if name == "duplicated rows":
        noise = np.tile(noise[:50], 2)
    return features, features @ generator.normal(size=features.shape[1]) / 3 + codes + noise + 4


REGRESSED = {name: _target(name) for name in CLASSIFIED}

classified = pytest.mark.parametrize(("features", "labels"), CLASSIFIED.values(), ids=CLASSIFIED)
regressed = pytest.mark.parametrize(("features", "values"), REGRESSED.values(), ids=REGRESSED)


def plain(n=120, d=8, n_classes=2, seed=0):
    """Features of which one column is nearly the label."""
    generator = np.random.default_rng(seed)
    codes = generator.permutation(np.arange(n) % n_classes)
    features = generator.normal(size=(n, d))
    features[:, 0] = 3.0 * codes + 0.3 * features[:, 0]
    return features, codes


def drawn(seed, n, d, n_classes):
    """Features and labels for properties that hold for any: every class has two rows."""
    generator = np.random.default_rng(seed)
    codes = np.r_[:n_classes, :n_classes, generator.integers(0, n_classes, n - 2 * n_classes)]
    return generator, generator.normal(size=(n, d)) + 0.5 * codes[:, None], codes


def rotation(generator, d):
    return np.linalg.qr(generator.normal(size=(d, d)))[0]


NAMES = np.array(["zinc", "a", "", "10"])


def check_table(measure, public, features, labels, task="classification", rel=1e-9, **options):
    """Replicates against a public function of (features, labels), on fewer rows and permuted labels."""
    sample = make_sample(features, labels, task, permutations=2, seed=3, **options)
    resampling = sample.resampling
    read = resampling.values if task == "regression" and measure.reads == "values" else resampling.codes
    table = measure.replicates(sample)
    assert table.shape == (3, 1 + resampling.n_blocks)
    assert table[0, 0] == pytest.approx(public(features, read), rel=rel, abs=1e-12)
    for row, order in enumerate(resampling.permutations, start=1):
        assert table[row, 0] == pytest.approx(public(features, read[order]), rel=rel, abs=1e-12)
    for block in range(resampling.n_blocks):
        keep = resampling.blocks != block
        assert table[0, 1 + block] == pytest.approx(public(features[keep], read[keep]), rel=rel, abs=1e-12)
