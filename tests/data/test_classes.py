import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrate.data.classes import PAIRS, describe_spellings, find_class, polarity, positive_class


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        *PAIRS,
        ("Active", "Inactive"),
        ("Toxic", "Non-Toxic"),
        ("toxic", "not toxic"),
        ("hit", "no hit"),
        ("Binder", "non binder"),
        ("permeable", "impermeable"),
        ("BBB+", "BBB-"),
        ("BBB+", "BBB\u2212"),
        ("+", "\u2013"),
        ("(+)", "(-)"),
        ("TRUE", "False"),
        ("1.0", "0.0"),
        ("2", "1"),
        ("1", "-1"),
        ("Soluble", "Insoluble"),
        ("reactive", "unreactive"),
        ("flagged", "not flagged"),
        ("yes", "inactive"),
    ],
)
def test_known_pairs_are_oriented_in_any_order(positive, negative):
    assert positive_class([positive, negative]) == positive
    assert positive_class([negative, positive]) == positive


@pytest.mark.parametrize(
    "classes",
    [["good", "bad"], ["A", "B"], ["agonist", "antagonist"], ["active", "yes"], ["a", "b", "c"], ["1"]],
)
def test_others_are_not(classes):
    assert positive_class(classes) is None
    assert positive_class(classes[::-1]) is None


@given(st.sampled_from(PAIRS), st.sampled_from([str.upper, str.title, str.lower]), st.sampled_from(["", " "]))
def test_a_word_of_the_list_says_what_it_is_however_it_is_written(pair, case, blank):
    positive, negative = (case(label) + blank for label in pair)
    assert polarity(positive) is True
    assert polarity(negative) is False
    assert polarity("blue") is None


def test_no_word_of_the_list_is_both():
    assert not {positive for positive, _ in PAIRS} & {negative for _, negative in PAIRS}


@given(
    st.permutations(
        ["Active"] * 3 + ["active"] * 2 + ["ACTIVE"] + ["non-active"] * 2 + ["nonactive", "x", "y "]
    )
)
def test_spellings_are_reported_whatever_the_order(labels):
    sentences = describe_spellings(labels)
    assert len(sentences) == 3
    assert sentences[0] == "1 cell 'y ' read as 'y', without blanks at the ends"
    joined = " ".join(sentences)
    for part in ("'Active' (3 cells)", "'active' (2 cells)", "'ACTIVE' (1 cell)", "'nonactive' (1 cell)"):
        assert part in joined
    assert "'x'" not in joined


def test_classes_are_found_as_users_write_them():
    assert find_class(["0", "1"], "1.0") == "1"
    assert find_class(["Non-Toxic", "Toxic"], "nontoxic") == "Non-Toxic"
    assert find_class(["Active", "active"], "ACTIVE") is None
    assert find_class(["Active", "active"], "active") == "active"
    assert find_class([], "x") is None
