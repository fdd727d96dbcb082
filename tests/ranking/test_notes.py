"""Sentences about a ranking, where tiers and pairs of rows say different things."""

from types import SimpleNamespace

import pandas as pd
import pytest

from molrate.ranking.notes import baseline_notes


def ranking(tiers, separable):
    """An encoder between two baselines, one of them of its own dimension."""
    frame = pd.DataFrame(
        {
            "target": "y",
            "measure": "logme",
            "encoder": ["descriptors", "network", "untrained"],
            "kind": ["baseline", "pretrained", "control"],
            "layer": "last",
            "dimension": [199, 300, 300],
            "rank": [1, 2, 3],
            "tier": tiers,
        }
    )
    return SimpleNamespace(frame=frame, separation=lambda *_: (0.2, 0.1, 0.3, separable))


@pytest.mark.parametrize(
    ("tiers", "separable", "said"),
    [
        ([1, 1, 1], True, ["although of one tier", "although of one tier"]),
        ([1, 1, 2], True, ["although of one tier"]),
        ([1, 1, 2], False, ["although of different tiers"]),
        ([1, 2, 2], True, ["although of one tier"]),
        ([1, 2, 3], True, []),
        ([1, 1, 1], False, []),
    ],
)
def test_a_pair_that_its_tiers_do_not_speak_for_is_said_to_be_one(tiers, separable, said):
    (note,) = baseline_notes(ranking(tiers, separable))
    assert note.count("although") == len(said)
    for words in said:
        assert words in note
    assert ("NOT separable" in note) is not separable
