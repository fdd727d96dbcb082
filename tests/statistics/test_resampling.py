import numpy as np
import pytest

from molrate.errors import InputError
from molrate.statistics.resampling import make_resampling


def test_blocks_have_equal_sizes_in_all_and_in_each_class():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [300, 150, 45]))
    resampling = make_resampling(labels)
    assert resampling.n_blocks == 20
    assert np.ptp(np.bincount(resampling.blocks)) <= 1
    for code in range(3):
        assert np.ptp(np.bincount(resampling.blocks[resampling.codes == code], minlength=20)) <= 1


@pytest.mark.parametrize(("n", "blocks"), [(400, 20), (120, 12), (30, 5)])
def test_blocks_are_fewer_where_they_would_be_small(n, blocks):
    assert make_resampling(np.arange(n) % 2).n_blocks == blocks


def test_groups_lie_in_one_block_and_exchange_labels_whole():
    generator = np.random.default_rng(1)
    groups = np.r_[np.arange(200), np.arange(60), np.arange(20)]
    labels = generator.integers(0, 2, 200)[groups]
    resampling = make_resampling(labels, groups=groups, permutations=8)
    for group in np.unique(groups):
        assert len(set(resampling.blocks[groups == group])) == 1
    sizes = np.bincount(groups)[groups]
    for order in resampling.permutations:
        assert sorted(order) == list(range(len(groups)))
        permuted = resampling.codes[order]
        # Equal molecules still share their label, and groups of unequal size never exchange.
        assert all(len(set(permuted[groups == group])) == 1 for group in np.unique(groups))
        np.testing.assert_array_equal(sizes[order], sizes)
    assert resampling.has_groups


def test_permutations_leave_every_block_its_classes():
    labels = np.random.default_rng(2).integers(0, 3, 300)
    resampling = make_resampling(labels, permutations=6)
    for order in resampling.permutations:
        assert (order != np.arange(300)).mean() > 0.5
        for block in range(resampling.n_blocks):
            rows = resampling.blocks == block
            assert sorted(resampling.codes[order][rows]) == sorted(resampling.codes[rows])


def test_the_seed_decides_and_regression_is_binned():
    values = np.random.default_rng(3).normal(size=250)
    one, same, other = (make_resampling(values, "regression", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.permutations, same.permutations)
    np.testing.assert_array_equal(one.blocks, same.blocks)
    assert (one.blocks != other.blocks).any()
    np.testing.assert_array_equal(np.bincount(one.codes), 25)
    assert make_resampling(values[:80], "regression").n_classes == 4
    assert make_resampling(values, "regression", bins=5).n_classes == 5


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 1, 1], "nothing to predict"),
        ([[0], [1]], "must be a vector"),
        ([0.0, np.nan, 1.0], "row 2 are NaN"),
    ],
)
def test_labels_nothing_can_be_learned_from(labels, message):
    with pytest.raises(InputError, match=message):
        make_resampling(labels)
