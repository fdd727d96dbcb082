import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molrate.data.numbers import explain_numbers, read_number, split_qualifier


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_writes_is_read(number):
    assert read_number(repr(number)) == number
    assert read_number(f"{number:.6e}") == float(f"{number:.6e}")


@given(st.text(max_size=12))
def test_every_text_is_a_finite_number_or_none_and_can_be_explained(text):
    number = read_number(text)
    assert number is None or math.isfinite(number)
    if number is None:
        explain_numbers([text])
        split_qualifier(text)


@given(st.text("0123456789.,eE+-_ <>~%nM()=/×", min_size=1, max_size=10))
def test_what_is_read_is_ascii_digits_with_a_point(text):
    number = read_number(text)
    if number is not None:
        assert number == float(text)
        assert not set(text) & set(",_ <>~%nM()=/×")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-1,5", "has a decimal comma"),
        ("1,234", "has a comma, of decimals or of thousands"),
        ("1,234.5", "has blanks or marks between its digits"),
        ("1\u00a0234", "has blanks or marks between its digits"),
        ("1'234", "has blanks or marks between its digits"),
        ("1.234.567", "has blanks or marks between its digits"),
        ("10nM", "has the unit or text 'nM' behind the number"),
        ("5 µM", "has the unit or text 'µM' behind the number"),
        ("1.5mg/mL", "has the unit or text 'mg/mL' behind the number"),
        ("10*", "has the unit or text '*' behind the number"),
        ("10 %", "has a percent sign"),
        ("1_000", "has an underscore between digits"),
        ("\u22121.5", "has the character '\u2212' (U+2212) in place of '-'"),
        ("\uff11\uff12", "has the character '\uff11' (U+FF11) in place of '1'"),
        ("\u0661\u0662", "has the character '\u0661' (U+0661) in place of '1'"),
        ("-inf", "is not a finite number"),
        ("1e999", "is not a finite number"),
        ("5.0±0.2", "has an uncertainty behind the number"),
        ("1-5", "is a range, a fraction or a date"),
        ("2024-01-05", "is a range, a fraction or a date"),
        ("1.5x10-3", "has a power of ten written out"),
        ("1.5d-3", "has an exponent that is not written as in 1e-5"),
        ("≥ 10", "has the qualifier '≥'"),
        ("pIC50 = 6.5", "has the text 'pIC50 =' before the number"),
    ],
)
def test_cells_that_look_like_numbers_are_explained(text, reason):
    assert read_number(text) is None
    assert explain_numbers([text]) == {text: reason}


@pytest.mark.parametrize(
    "text", ["low", "1A", "5HT2A", "2D", "+", "-", "BBB+", "class 1", "3+", "CYP3A4", "3-ring", "<low", ""]
)
def test_labels_are_no_numbers(text):
    assert read_number(text) is None
    assert explain_numbers([text]) == {}


def test_letters_behind_many_numbers_are_a_unit():
    assert explain_numbers(["1A", "2A", "2B"]) == {}
    assert set(explain_numbers(["1zq", "2zq", "30zq", "low"])) == {"1zq", "2zq", "30zq"}
