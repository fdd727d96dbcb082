import pytest

from molrate.errors import UsageError
from molrate.models.settings import GivenSettings


def test_what_is_not_given_is_as_in_score():
    policy, embedding = GivenSettings(encoder="ecfp4", duplicates="merge", layer="all").complete(3, "cpu", 50)
    assert policy.record() == {
        "standardisation": "largest-fragment",
        "duplicates": "merge",
        "on_invalid": "skip",
        "max_atoms": 50,
    }
    assert vars(embedding) == {
        "layer": "all",
        "pooling": "mean",
        "precision": "fp32",
        "seed": 3,
        "device": "cpu",
    }


def test_unknown_words_are_refused():
    with pytest.raises(UsageError, match="unknown policy 'all'"):
        GivenSettings(standardisation="all").complete()
