import numpy as np
import pytest

from molrate.errors import InputError
from molrate.measures.given import inputs_met, read_given


def test_arrays_are_sorted_by_owner():
    given = {
        "gcn/source_probabilities": np.eye(3),
        "gcn/source_features": np.ones((7, 2)),
        "reference/features": np.ones((3, 4)),
        "reference/attributions": np.ones((3, 5)),
    }
    by_owner = read_given(given, 3)
    assert {owner: set(arrays) for owner, arrays in by_owner.items()} == {
        "gcn": {"source_probabilities", "source_features"},
        "reference": {"reference", "reference_attributions"},
    }
    assert inputs_met(by_owner) == {"source probabilities", "source molecules", "reference"}


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("gcn/nothing", 3, "arrays are named"),
        ("features", 3, "arrays are named"),
        ("reference/source_features", 3, "arrays are named"),
        ("gcn/attributions", 4, "has 4 rows, the dataset 3"),
    ],
)
def test_other_names_and_lengths_are_refused(name, rows, message):
    with pytest.raises(InputError, match=message):
        read_given({name: np.ones((rows, 2))}, 3)
