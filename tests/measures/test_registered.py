"""What every registered measure promises."""

import subprocess
import sys

import numpy as np
import pytest
from measures.cases import CLASSIFIED, REGRESSED, plain

from molrate.measures import MEASURES, make_sample, one_pass_values
from molrate.measures.base import StatisticsMeasure
from molrate.statistics.intervals import estimate

NEEDS = {
    "statistics",
    "features",
    "source probabilities",
    "source molecules",
    "reference",
    "training",
}
TASKS = {"classification", "regression"}
POOLED = {"etran", "taskonomy"}
# Labels hardly enter the last two; centred coding rates do not see two classes on either side of the mean.
WITHOUT_EXCESS = {*POOLED, "transrate-icml", "transrate-spectral", "ds", "task2vec"}
BUILTIN = [name for name in MEASURES if MEASURES[name].__module__.startswith("molrate.")]
CLASSIFYING = [name for name in BUILTIN if "classification" in MEASURES[name].tasks]
REGRESSING = [name for name in BUILTIN if "regression" in MEASURES[name].tasks]


def everything(features, labels):
    """All arrays a measure may ask for; what has to do with the target has the label in it."""
    generator = np.random.default_rng(8)
    n = len(labels)
    scaled = (labels - np.mean(labels)) / np.std(labels)
    scores = generator.normal(size=(n, 4))
    scores[:, 0] += 4 * scaled
    powers = np.exp(scores)
    reference = generator.normal(size=(n, 5))
    reference[:, 0] += 4 * scaled
    return {
        "source_probabilities": powers / powers.sum(axis=1, keepdims=True),
        "source_features": generator.normal(size=(60, features.shape[1])),
        "reference": reference,
        "attributions": features + 0.1 * generator.normal(size=features.shape),
        "reference_attributions": features,
        "gradients": reference @ generator.normal(size=(5, 9)),
    }


def classified_sample(permutations=2):
    features, labels = plain()
    return make_sample(
        features, labels, permutations=permutations, seed=1, n_blocks=6, **everything(features, labels)
    )


def regressed_sample():
    features, _ = plain()
    values = features[:, 0] + 0.1 * features[:, 1]
    return make_sample(
        features,
        values,
        "regression",
        permutations=2,
        seed=1,
        n_blocks=6,
        **everything(features, values),
    )


def table_of(measure, sample):
    """Replicates, in a pool with noise for those that need one."""
    ours = measure.replicates(sample)
    if measure.name not in POOLED:
        return measure.normalise_across([ours])[0]
    noise = np.random.default_rng(3).normal(size=sample.features.shape)
    other = make_sample(
        noise, sample.resampling.values, sample.resampling.task, permutations=2, seed=1, n_blocks=6
    )
    return measure.normalise_across([ours, measure.replicates(other)])[0]


@pytest.mark.parametrize("name", BUILTIN)
def test_says_what_it_is(name):
    measure = MEASURES[name]
    assert measure.name == name
    assert measure.title
    assert measure.reference
    assert len(measure.about) > 80
    assert set(measure.tasks) <= TASKS
    assert measure.tasks
    assert measure.inputs in NEEDS
    assert (measure.inputs == "statistics") <= issubclass(measure, StatisticsMeasure)
    assert measure.reads in {"values", "bins"}


def test_titles_differ():
    assert len({MEASURES[name].title for name in BUILTIN}) == len(BUILTIN)


@pytest.mark.parametrize("name", CLASSIFYING)
def test_runs_on_classes_within_its_limit(name):
    measure, sample = MEASURES[name](), classified_sample()
    table = table_of(measure, sample)
    assert table.shape == (3, 7)
    assert np.isfinite(table[0]).all()
    assert np.isfinite(table[:, 0]).all()
    assert np.nanmax(table[:, 0]) <= measure.maximum(sample) + 1e-9
    assert isinstance(measure.warning(sample), str)


@pytest.mark.parametrize("name", REGRESSING)
def test_runs_on_values_within_its_limit(name):
    measure, sample = MEASURES[name](), regressed_sample()
    table = table_of(measure, sample)
    assert table.shape == (3, 7)
    assert np.isfinite(table[0]).all()
    assert np.isfinite(table[:, 0]).all()
    assert table[0, 0] <= measure.maximum(sample) + 1e-9


@pytest.mark.parametrize("name", [name for name in CLASSIFYING if name not in WITHOUT_EXCESS])
def test_plain_labels_have_an_excess_in_classes(name):
    measure, sample = MEASURES[name](), classified_sample(permutations=5)
    score = estimate(table_of(measure, sample), higher_is_better=measure.higher_is_better)
    assert score.excess > 3 * score.null_sd


@pytest.mark.parametrize("name", [name for name in REGRESSING if name not in WITHOUT_EXCESS])
def test_plain_values_have_an_excess(name):
    measure, sample = MEASURES[name](), regressed_sample()
    score = estimate(table_of(measure, sample), higher_is_better=measure.higher_is_better)
    assert score.excess > 0


def test_plain_labels_win_with_etran_in_a_pool_with_noise():
    assert table_of(MEASURES["etran"](), classified_sample())[0, 0] > 0.8


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", CLASSIFIED)
def test_one_pass_together_is_each_alone(name, task):
    features, labels = (CLASSIFIED if task == "classification" else REGRESSED)[name]
    together = one_pass_values(features, labels, task)
    sample = make_sample(features, labels, task, n_blocks=5)
    assert set(together) == {name for name in BUILTIN if MEASURES[name].inputs == "statistics"}
    for measure, value in together.items():
        alone = MEASURES[measure]().replicates(sample)[0, 0]
        assert value == pytest.approx(alone, rel=1e-8, abs=1e-12)


def test_importing_the_measures_imports_no_heavy_package():
    code = (
        "import sys, molrate.measures;"
        "print([name for name in ('torch', 'rdkit', 'pandas', 'sklearn') if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
