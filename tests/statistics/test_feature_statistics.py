"""One-pass statistics: the same whatever the chunks, the parts, the array library."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molrate.errors import InputError
from molrate.statistics.feature_statistics import FeatureStatistics

CLASSES, BLOCKS, TARGETS = 3, 4, 2


def table(n, d, seed=0, offset=0.0):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, d)) * 3 + offset
    labels = generator.integers(0, CLASSES, n)
    return features, labels, generator.normal(size=(n, TARGETS)), generator.integers(0, BLOCKS, n)


def gathered(parts, d, **options):
    statistics = FeatureStatistics(d, CLASSES, TARGETS, **options)
    for part in parts:
        statistics.add(*part)
    return statistics


def cut(columns, bounds):
    edges = [0, *sorted(bounds), len(columns[0])]
    return [tuple(column[a:b] for column in columns) for a, b in pairwise(edges)]


def contents(statistics):
    """Everything that is free of the shift, in one list of arrays."""
    shift, counts = statistics.shift, statistics.class_counts
    sums = statistics.sums
    centre = statistics.pooled.mean
    fourth = (
        sums.fourths
        + 4 * centre @ statistics.pooled.times(centre)
        + statistics.count * (centre @ centre) ** 2
        - 4 * centre @ sums.weighted
        + 2 * centre @ centre * sums.squares
        - 4 * centre @ centre * (centre @ sums.totals.sum(0))
    )
    return [
        counts,
        statistics.class_sums + counts[:, None] * shift,
        statistics.pooled.centred_gram(),
        *(moments.centred_gram() for moments in statistics.classes),
        sums.cross + np.outer(shift, sums.target_total),
        sums.target_gram,
        fourth,
    ]


def assert_same(one, other, rel=1e-12):
    for a, b in zip(contents(one), contents(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=rel * np.abs(b).max())


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(60, 5), (60, 30), (40, 90)]), st.lists(st.integers(0, 40), max_size=6), st.booleans()
)
def test_chunks_and_merged_parts_give_what_one_addition_gives(shape, bounds, unit):
    columns = table(*shape)
    whole = gathered([columns], shape[1], unit_rows=unit)
    chunks = cut(columns, bounds)
    assert_same(gathered(chunks, shape[1], unit_rows=unit), whole)
    merged = FeatureStatistics(shape[1], CLASSES, TARGETS, unit_rows=unit)
    for chunk in chunks:
        if len(chunk[0]):
            merged = merged + gathered([chunk], shape[1], unit_rows=unit)
    assert_same(merged, whole)


@pytest.mark.parametrize("shape", [(80, 6), (30, 50)])
def test_contents_are_those_of_the_rows(shape):
    features, labels, targets, blocks = table(*shape)
    statistics = gathered([(features, labels, targets, blocks)], shape[1])
    centred = features - features.mean(axis=0)
    np.testing.assert_allclose(statistics.pooled.centred_gram(), centred.T @ centred, atol=1e-10)
    for code, moments in enumerate(statistics.classes):
        rows = features[labels == code] - features[labels == code].mean(axis=0)
        np.testing.assert_allclose(moments.centred_gram(), rows.T @ rows, atol=1e-10)
    np.testing.assert_allclose(contents(statistics)[-3], features.T @ targets, atol=1e-10)
    assert contents(statistics)[-1] == pytest.approx(np.sum((centred**2).sum(1) ** 2), rel=1e-11)
    values = statistics.pooled.spectrum.values
    basis = statistics.pooled.spectrum.leading(len(values))
    np.testing.assert_allclose((basis * values) @ basis.T, centred.T @ centred, atol=1e-10)


def test_rows_are_kept_below_the_dimension_and_their_gram_matrix_above():
    features, labels, targets, _ = table(60, 25)
    labels[:10], labels[10:] = 0, 1
    small, large = gathered([(features, labels, targets)], 25).classes
    assert small.kept
    assert small.kernel.shape == (10, 10)
    assert not large.kept
    assert large.block_rows(0) is None


def test_a_large_common_offset_costs_no_digits():
    features, labels, targets, blocks = table(100, 8)
    moved = gathered(cut((features + 1e6, labels, targets, blocks), [13, 50]), 8)
    centred = features - features.mean(axis=0)
    np.testing.assert_allclose(moved.pooled.centred_gram(), centred.T @ centred, rtol=0, atol=1e-6)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("d", [6, 90])
def test_torch_tensors_give_what_arrays_give(unit, d):
    features, *others = table(60, d)
    tensor = torch.from_numpy(features)
    assert_same(
        gathered([(tensor, *others)], d, unit_rows=unit), gathered([(features, *others)], d, unit_rows=unit)
    )


@pytest.mark.parametrize("shape", [(120, 6), (120, 20), (40, 60)])
def test_total_minus_a_block_is_the_statistics_of_the_rest(shape):
    columns = table(*shape)
    whole = gathered([columns], shape[1])
    for block in whole.blocks:
        rest = columns[3] != block
        assert_same(
            whole.without(block), gathered([tuple(column[rest] for column in columns)], shape[1]), rel=1e-11
        )


@pytest.mark.parametrize("d", [6, 90])
def test_saved_statistics_load_to_the_bit(tmp_path, d):
    statistics = gathered([table(60, d)], d)
    statistics.save(tmp_path / "s.npz")
    loaded = FeatureStatistics.load(tmp_path / "s.npz")
    for a, b in zip(contents(loaded), contents(statistics), strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.blocks == statistics.blocks
    assert_same(loaded + gathered([table(9, d, 1)], d), statistics + gathered([table(9, d, 1)], d))


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="not a file of feature statistics"):
        FeatureStatistics.load(tmp_path / "other.npz")
    for name in ("broken.npz", "missing.npz"):
        with pytest.raises(InputError, match="cannot be read as feature statistics"):
            FeatureStatistics.load(tmp_path / name)


@pytest.mark.parametrize(
    ("features", "labels", "options", "message"),
    [
        (np.ones((3, 4)), [0, 1, 0], {}, r"shape \(n, 2\), not \(3, 4\)"),
        (np.ones((3, 2)), [0, 1], {}, "3 rows of features but 2 labels"),
        (np.ones((3, 2)), [0, 1, 3], {}, r"lie in 0 \.\.\. 2"),
        (np.array([[1.0, 2], [np.nan, 1], [1, np.inf]]), [0, 1, 2], {}, "row 2, 3 are not finite"),
        (np.array([[1.0, 2], [0, 0]]), [0, 1], {"unit_rows": True}, "row 2 are all zero"),
    ],
)
def test_what_does_not_fit_is_refused(features, labels, options, message):
    with pytest.raises(InputError, match=message):
        FeatureStatistics(2, CLASSES, **options).add(features, labels)


def test_statistics_of_unequal_kind_do_not_merge():
    one = FeatureStatistics(2, CLASSES).add(np.ones((2, 2)), [0, 1])
    other = FeatureStatistics(2, CLASSES, unit_rows=True).add(np.ones((2, 2)), [0, 1])
    with pytest.raises(InputError, match="unequal kind"):
        one + other
    with pytest.raises(InputError, match="were not kept"):
        _ = FeatureStatistics(2, CLASSES, second_moments="pooled").add(np.eye(2), [0, 1]).classes


def test_rows_added_after_a_value_was_read_are_in_the_next_value():
    columns = table(60, 5)
    first, second = cut(columns, [30])
    statistics = gathered([first], 5)
    before = statistics.pooled, statistics.classes, statistics.sums, statistics.block_sums(0)
    kept = [before[0].count, before[0].gram.copy(), before[3].totals.copy()]
    statistics.derived["read"] = 1
    statistics.add(*second)
    assert_same(statistics, gathered([columns], 5))
    assert not statistics.derived
    assert before[0].count == kept[0] == 30
    np.testing.assert_array_equal(before[0].only(before[0].parts).gram, kept[1])
    np.testing.assert_array_equal(before[3].totals, kept[2])


def test_rows_added_to_a_merge_or_a_rest_do_not_reach_what_they_came_from():
    first, second, third = cut(table(90, 5), [30, 60])
    one, other, empty = gathered([first], 5), gathered([second], 5), FeatureStatistics(5, CLASSES, TARGETS)
    for made in (one + other, other + one, empty + one, one + empty, one.without(0)):
        assert made is not one
        made.add(*third)
    assert_same(one, gathered([first], 5))
    assert_same(other, gathered([second], 5))
    assert empty.count == 0
    merged = one + other
    one.add(*third)
    other.add(*third)
    assert_same(merged, gathered([first, second], 5))


def test_moments_of_more_or_fewer_rows_are_not_taken_over():
    one, other = gathered([table(20, 3)], 3), gathered([table(21, 3)], 3)
    with pytest.raises(InputError, match="statistics of 20 rows cannot take the moments of 21"):
        one.share_pooled(other)
    one.share_pooled(gathered([table(20, 3)], 3))
    one.add(*table(5, 3))
    assert one.pooled.count == 25


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize(
    ("kind", "scale"), [("float16", 300.0), ("float16", 1e-5), ("float32", 1e-30), ("float32", 1e30)]
)
def test_rows_of_low_precision_are_read_as_they_are(unit, kind, scale):
    features, *others = table(40, 6)
    narrow = (features * scale).astype(kind)
    for rows in (narrow, torch.from_numpy(narrow)):
        assert_same(
            gathered([(rows, *others)], 6, unit_rows=unit),
            gathered([(narrow.astype(np.float64), *others)], 6, unit_rows=unit),
        )


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_unit_norm_of_very_small_and_large_rows_is_found(scale):
    columns = table(40, 6)
    assert_same(
        gathered([(columns[0] * scale, *columns[1:])], 6, unit_rows=True),
        gathered([columns], 6, unit_rows=True),
    )


def test_bfloat16_is_read():
    features = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert_same(
        *(
            FeatureStatistics(4, CLASSES, TARGETS).add(x, np.arange(30) % 3, np.ones((30, 2)))
            for x in (features, features.double())
        )
    )


class Direct:
    """What statistics must hold, from the rows themselves."""

    def __init__(self, columns, d):
        self.columns, self.d = columns, d

    def __add__(self, other):
        both = zip(self.columns, other.columns, strict=True)
        return Direct([np.concatenate(pair) for pair in both], self.d)

    def check(self, statistics, unit):
        rows, codes, targets, blocks = self.columns
        rows = rows / np.linalg.norm(rows, axis=1)[:, None] if unit else rows - statistics.shift
        close = {"rtol": 1e-9, "atol": 1e-9 * max(1.0, float(np.abs(rows).max(initial=0)) ** 4) * 40}
        sums = statistics.sums
        assert statistics.count == len(rows)
        assert statistics.blocks == sorted(set(blocks))
        np.testing.assert_array_equal(sums.counts, np.bincount(codes, minlength=CLASSES))
        one_hot = np.eye(CLASSES)[codes]
        np.testing.assert_allclose(sums.totals, one_hot.T @ rows, **close)
        np.testing.assert_allclose(sums.cross, rows.T @ targets, **close)
        np.testing.assert_allclose(sums.target_gram, targets.T @ targets, **close)
        norms = (rows**2).sum(axis=1)
        np.testing.assert_allclose(sums.squares, norms.sum(), **close)
        np.testing.assert_allclose(sums.fourths, (norms**2).sum(), **close)
        np.testing.assert_allclose(sums.weighted, norms @ rows, **close)
        for block in statistics.blocks:
            totals = one_hot[blocks == block].T @ rows[blocks == block]
            np.testing.assert_allclose(statistics.block_sums(block).totals, totals, **close)
        if len(rows):
            np.testing.assert_allclose(statistics.pooled.gram, rows.T @ rows, **close)
            for code, moments in zip(np.unique(codes), statistics.classes, strict=True):
                of_class = rows[codes == code]
                np.testing.assert_allclose(moments.gram, of_class.T @ of_class, **close)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "merge", "read", "without", "file"]),
        st.integers(0, 2),
        st.integers(0, 2),
        st.integers(0, 9),
    ),
    min_size=3,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans(), st.sampled_from([3, 20]))
def test_any_order_of_adding_merging_reading_and_saving_gives_the_sums_of_the_rows(
    tmp_path_factory, steps, unit, d
):
    empty = [column[:0] for column in table(1, d)]
    held = [FeatureStatistics(d, CLASSES, TARGETS, unit_rows=unit) for _ in range(3)]
    direct = [Direct(empty, d) for _ in range(3)]
    for step, to, source, n in steps:
        if step == "add":
            columns = table(n, d, seed=n + 10 * to, offset=2.0)
            held[to].add(*columns)
            direct[to] = direct[to] + Direct(columns, d)
        elif step == "merge":
            held[to], direct[to] = held[to] + held[source], direct[to] + direct[source]
        elif step == "without":
            held[to] = held[source].without(n % BLOCKS)
            keep = direct[source].columns[3] != n % BLOCKS
            direct[to] = Direct([column[keep] for column in direct[source].columns], d)
        elif step == "file":
            path = tmp_path_factory.mktemp("statistics") / "s.npz"
            held[source].save(path)
            held[to], direct[to] = FeatureStatistics.load(path), direct[source]
        else:
            direct[to].check(held[to], unit)
    for statistics, rows in zip(held, direct, strict=True):
        rows.check(statistics, unit)
