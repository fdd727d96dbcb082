import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from molrate.data.duplicates import find_disagreements, measurement_notes, merge_measurements
from molrate.data.targets import Target, parse_target


def test_contradictory_classes_are_counted_and_named():
    canonical = ["C" * n for n in range(1, 21)] * 2
    target = parse_target("y", [0, 1] * 10 + [1, 0] * 10)
    (note,) = measurement_notes(canonical, [target])
    assert note == (
        "20 rows repeat an earlier molecule, 20 of them with another class of y, e.g. rows 1 and 21; "
        "all are kept"
    )
    assert measurement_notes(canonical, [parse_target("y", [0, 1] * 20)]) == []


def test_differences_of_repeated_measurements():
    canonical = ["C", "CC", "C", "", "C", "CC"]
    target = parse_target("y", [1.0, 5.0, 3.5, 100.0, 1.0, ""], "regression")
    (disagreement,) = find_disagreements(canonical, [target])
    assert (disagreement.n, disagreement.rows, disagreement.differences) == (1, (0, 2), (2.5,))
    assert "another value of y, by 2.5 in rows 1 and 3" in disagreement.describe()


def test_the_median_and_the_largest_difference_of_several_are_said():
    target = parse_target("y", [1.0, 2.0, 1.5, 6.0, 1.25, 2.0], "regression")
    (disagreement,) = find_disagreements(["C", "CC"] * 3, [target])
    assert disagreement.describe() == (
        "3 of them with another value of y, by 0.5 in the median and at most 4, in rows 2 and 4"
    )


@given(
    st.lists(st.tuples(st.sampled_from(["", "C", "CC", "N"]), st.sampled_from(["a", "b", "NA"])), min_size=1)
)
def test_rows_that_disagree_are_those_that_do(rows):
    if all(label == "NA" for _, label in rows):
        return
    canonical, labels = zip(*rows, strict=True)
    target = parse_target("y", labels)
    first = {}
    n = 0
    for smiles, label in rows:
        if smiles and label != "NA":
            n += first.setdefault(smiles, label) != label
    found = find_disagreements(canonical, [target])
    assert sum(disagreement.n for disagreement in found) == n
    for disagreement in found:
        one, another = disagreement.rows
        assert canonical[one] == canonical[another]
        assert labels[one] != labels[another]
        assert np.isfinite(target.values[[one, another]]).all()


@given(
    st.lists(st.tuples(st.sampled_from(["", "C", "CC", "N"]), st.sampled_from([0, 1, 2, None])), min_size=1),
    st.sampled_from(["regression", "classification"]),
)
def test_the_first_row_of_a_molecule_gets_what_all_of_its_rows_say(rows, task):
    canonical = [smiles for smiles, _ in rows]
    values = np.array([np.nan if value is None else value for _, value in rows], dtype=float)
    target = Target("y", task, values, ("a", "b", "c") if task == "classification" else ())
    (merged,) = merge_measurements(canonical, [target])
    for row, smiles in enumerate(canonical):
        if not smiles:
            expected = values[row]
        elif smiles in canonical[:row]:
            expected = np.nan
        else:
            known = [value for text, value in rows if text == smiles and value is not None]
            agreed = known and (task == "regression" or len(set(known)) == 1)
            expected = np.mean(known) if agreed else np.nan
        np.testing.assert_allclose(merged.values[row], expected)


def test_targets_that_were_measured_in_other_rows_meet_in_one():
    columns = [[1.0, np.nan, 3.0], [np.nan, 2.0, np.nan]]
    targets = [parse_target(name, column, "regression") for name, column in zip("yz", columns, strict=True)]
    merged = merge_measurements(["C", "C", "CC"], targets)
    assert [target.values[0] for target in merged] == [1.0, 2.0]
    assert np.isnan([target.values[1] for target in merged]).all()
