"""Task2Vec against its formula, and Taskonomy's tournament on losses that are known."""

import numpy as np
import pytest
from measures.cases import CLASSIFIED, plain
from sklearn.linear_model import LogisticRegression

from molrate.errors import InputError
from molrate.measures import make_sample
from molrate.measures.base import NotApplicableError
from molrate.measures.trained import Task2Vec, Taskonomy, task_embedding


def embedding_by_gradients(features, labels):
    """Mean over molecules and classes of the squared gradients that the head itself expects."""
    head = LogisticRegression(max_iter=1000).fit(features, labels)
    total = np.zeros(features.shape[1])
    for row, chances in zip(features, head.predict_proba(features), strict=True):
        for code in range(len(chances)):
            # d log p(y) / d w_code = (1[y = code] - p_code) x
            for drawn, chance in enumerate(chances):
                total += chance * ((drawn == code) - chances[code]) ** 2 * row**2 / len(chances)
    return total / len(features)


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "n below d"])
def test_embedding_is_the_diagonal_fisher_information(name):
    features, labels = CLASSIFIED[name]
    expected = embedding_by_gradients(features, labels)
    assert task_embedding(features, labels) == pytest.approx(expected, rel=1e-9)


def likeness(features, labels, source_embedding):
    target = embedding_by_gradients(features, labels)
    x, y = target / (target + source_embedding), source_embedding / (target + source_embedding)
    return x @ y / np.sqrt((x @ x) * (y @ y))


def test_task2vec_on_all_rows_permuted_and_without_each_block():
    features, labels = CLASSIFIED["balanced"]
    source = np.random.default_rng(0).integers(0, 4, 120)
    given = {"source_probabilities": np.eye(4)[source]}
    sample = make_sample(features, labels, permutations=2, seed=3, n_blocks=5, **given)
    table = Task2Vec().replicates(sample)
    embedding = embedding_by_gradients(features, source)
    for row, order in enumerate(sample.resampling.orders()):
        assert table[row, 0] == pytest.approx(likeness(features, labels[order], embedding), rel=1e-9)
    for block in range(sample.resampling.n_blocks):
        keep = sample.resampling.blocks != block
        expected = likeness(features[keep], labels[keep], embedding)
        assert table[0, 1 + block] == pytest.approx(expected, rel=1e-9)


def test_equal_tasks_are_wholly_alike():
    features, labels = plain()
    table = Task2Vec().replicates(make_sample(features, labels, source_probabilities=np.eye(2)[labels]))
    assert table[0, 0] == pytest.approx(1, rel=1e-12)


def test_task2vec_without_a_head_is_refused():
    with pytest.raises(NotApplicableError, match="needs source-class probabilities"):
        Task2Vec().score(*plain())


def test_one_source_class_is_no_task():
    with pytest.raises(InputError, match="it is no task"):
        Task2Vec().score(*plain(), source_probabilities=np.tile([0.9, 0.1], (120, 1)))


def shares_by_power_iteration(losses):
    """Analytic hierarchy process: principal eigenvector of the odds of winning in a block."""
    count = len(losses)
    odds = np.ones((count, count))
    for row in range(count):
        for column in range(count):
            wins = np.mean(
                [(a < b) + 0.5 * (a == b) for a, b in zip(losses[row], losses[column], strict=True)]
            )
            wins = min(max(wins, 1e-3), 1 - 1e-3)
            odds[row, column] = wins / (1 - wins)
    shares = np.ones(count) / count
    for _ in range(5000):
        shares = odds @ shares
        shares /= shares.sum()
    return shares


def test_tournament_of_known_losses():
    generator = np.random.default_rng(0)
    losses = [generator.normal(size=(2, 10)) + level for level in (0.0, 0.5, 1.0)]
    tables = Taskonomy().normalise_across(losses)
    for row in range(2):
        here = np.array([loss[row] for loss in losses])
        assert [table[row, 0] for table in tables] == pytest.approx(shares_by_power_iteration(here), rel=1e-6)
        for block in range(10):
            fewer = shares_by_power_iteration(np.delete(here, block, axis=1))
            assert [table[row, 1 + block] for table in tables] == pytest.approx(fewer, rel=1e-6)
    assert sum(tables) == pytest.approx(np.ones((2, 11)), rel=1e-12)


def test_losses_of_an_encoder_with_the_label_win():
    features, labels = plain(400)
    noise = np.random.default_rng(5).normal(size=(400, 4))
    pool = [Taskonomy().replicates(make_sample(rows, labels)) for rows in (features, noise)]
    signal_share, noise_share = Taskonomy().normalise_across(pool)
    assert signal_share[0, 0] > 0.9
    assert signal_share[0, 0] + noise_share[0, 0] == pytest.approx(1)


def test_losses_of_values_are_those_of_the_scaled_target():
    features, labels = plain(100)
    values = labels + 0.1 * np.random.default_rng(0).normal(size=100)
    tables = [
        Taskonomy().replicates(make_sample(features, target, "regression", n_blocks=5))
        for target in (values, 1000 * values + 7)
    ]
    assert tables[0].shape == (1, 5)
    assert tables[0] == pytest.approx(tables[1], rel=1e-6)
    assert tables[0].mean() < 1


def test_a_pool_of_one_is_refused():
    with pytest.raises(InputError, match="at least two"):
        Taskonomy().normalise_across([np.ones((1, 5))])
