"""Cells that hold a number, and why a cell that looks like one is not read as one."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

import numpy as np

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_QUALIFIER = re.compile(
    r"(<=|>=|=<|=>|<<|>>|[<>=~≤≥≦≧⩽⩾≈≃≅∼]|ca\.?(?=[\s\d])|approx\.?|about(?=\s))\s*(?=\S)",
    re.IGNORECASE,
)
_EXACT = "="

_MINUS_SIGNS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"), "-")
_BLANKS = dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f"), " ")

# A number as people write it: grouped digits, a comma for the point, an exponent after a blank.
_LOOSE = re.compile(
    r"[+-]?\s?(?:\d{1,3}(?:[ '’,.]\d{3})+(?:[.,]\d+)?(?!\d)|\d[\d_]*(?:[.,]\d*)?|[.,]\d+)"
    r"(?:\s?[ed]\s?[+-]?\s?\d+)?",
    re.ASCII | re.IGNORECASE,
)
_BEFORE = re.compile(r"(?:[A-Za-z][\w ()-]*(?:[<>=~≤≥≈]|<=|>=)|[$€£¥(\[])\s*(?=[+-]?[.,]?\d)")

_PREFIX = "[kMGmµμunpfdc]?"
_BASE = (
    "mol/?[lL]?|Mol|molar|g|[lL]|m|s|sec|h|hr|hrs|hours?|min|days?|weeks?|years?|yr|J|cal|eV|Da|Hz|V|A|Pa|bar|"
    "atm|torr|Torr|mmHg|psi|°C|°F|°|deg|Å|IU|U|M|ppm|ppb|ppt|log|fold|wt|rpm|K|C|x"
)
_FACTOR = rf"{_PREFIX}(?:{_BASE})(?:\^?-?\d|[⁻¹²³]+)?"
_UNIT = re.compile(rf"{_FACTOR}(?:[/·*.]{_FACTOR})*")
_GLUED = re.compile(r"[^\W\d_][^\d]*")
_MANY = 3
"""So many different numbers before the same letters are measurements and not names such as 1A and 2A."""


def read_number(text: str) -> float | None:
    """The finite number that a cell is, in ASCII digits with a decimal point; None for any other text.

    >>> read_number("-1.5e3"), read_number("1_000"), read_number("1e999")
    (-1500.0, None, None)
    """
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def split_qualifier(text: str) -> tuple[str, str]:
    """A qualifier such as ``<`` or ``~`` before a number, empty where there is none, and the rest.

    An equals sign qualifies nothing.

    >>> split_qualifier(">= 10"), split_qualifier("=10"), split_qualifier("10")
    (('>=', '10'), ('', '10'), ('', '10'))
    """
    match = _QUALIFIER.match(text)
    if match is None:
        return "", text
    return match[1].replace(_EXACT, "") and match[1], text[match.end() :]


def explain_numbers(texts: Iterable[str]) -> dict[str, str]:
    """Why cells that look like numbers are none, by cell; other text has no entry.

    Parameters
    ----------
    texts : iterable of str
        Different cells of one column that :func:`read_number` does not read.

    >>> explain_numbers(["-1,5", "10 nM", "low"])
    {'-1,5': 'has a decimal comma', '10 nM': "has the unit or text 'nM' behind the number"}
    """
    reasons: dict[str, str] = {}
    glued: dict[str, dict[str, tuple[str, str]]] = {}
    for text in texts:
        reason = _explain(text)
        if reason:
            reasons[text] = reason
            continue
        number, rest = _split(_plain(text))
        if number and _GLUED.fullmatch(rest):
            glued.setdefault(rest.casefold(), {})[text] = (number, rest)
    for cells in glued.values():
        if len({number for number, _ in cells.values()}) >= _MANY:
            reasons |= {text: _text_behind(rest) for text, (_, rest) in cells.items()}
    return reasons


def _plain(text: str) -> str:
    """Text with the usual characters for digits, minus signs and blanks."""
    translated = text.translate(_MINUS_SIGNS).translate(_BLANKS)
    return "".join(
        str(unicodedata.decimal(sign)) if sign.isdecimal() else _narrow(sign) for sign in translated
    )


def _narrow(sign: str) -> str:
    return unicodedata.normalize("NFKC", sign) if unicodedata.east_asian_width(sign) == "F" else sign


def _split(plain: str) -> tuple[str, str]:
    """The number that a text starts with, and what stands behind it; twice nothing if there is none."""
    match = _LOOSE.match(plain)
    return (match[0], plain[match.end() :]) if match else ("", "")


def _explain(text: str) -> str:
    plain = _plain(text)
    if plain.lstrip("+-").casefold() in ("inf", "infinity", "∞") or (
        _NUMBER.fullmatch(plain) and not math.isfinite(float(plain))
    ):
        return "is not a finite number"
    qualifier = _QUALIFIER.match(plain)
    if qualifier is not None:
        behind = plain[qualifier.end() :]
        if not _split(behind)[0] and not _explain(behind):
            return ""
        reason = f"has the qualifier {qualifier[1]!r}"
        return reason if read_number(behind) is not None else f"{reason}, and {_explain(behind) or 'more'}"
    before = _BEFORE.match(plain)
    if before is not None:
        return f"has the text {before[0].strip()!r} before the number"
    number, rest = _split(plain)
    if not number:
        return ""
    return _explain_rest(rest) if rest else _explain_writing(text, plain)


def _explain_rest(rest: str) -> str:
    text = rest.strip()
    if text[0] in "%‰":
        return "has a percent sign"
    if re.match(r"±|\+/?-", text):
        return "has an uncertainty behind the number"
    if re.match(r"(?:-|/|:|\.\.\.?|…|to\b|and\b)\s*[+-]?\d|[.,]\d", text):
        return "is a range, a fraction or a date"
    if re.match(r"[x×*·]\s*10|\^|[⁰¹²³⁴-⁹⁻]", text):
        return "has a power of ten written out"
    if rest[0].isspace() or text[0] in "([*†‡#?$€£¥°" or (len(text) > 1 and _UNIT.fullmatch(text)):
        return _text_behind(rest)
    return ""


def _text_behind(rest: str) -> str:
    return f"has the unit or text {rest.strip()!r} behind the number"


def _explain_writing(text: str, plain: str) -> str:
    """Why a text that is a number and nothing else is not read."""
    if read_number(plain) is not None:
        sign = next(sign for sign, usual in zip(text, plain, strict=False) if sign != usual)
        return f"has the character {sign!r} (U+{ord(sign):04X}) in place of {_plain(sign)!r}"
    if "_" in plain:
        return "has an underscore between digits"
    if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", plain):
        return "has a comma, of decimals or of thousands"
    if re.fullmatch(r"[^,]*,[^,.]*", plain):
        return "has a decimal comma"
    if re.search(r"[ed]", plain, re.IGNORECASE) and not re.search(r"[,'’]", plain):
        return "has an exponent that is not written as in 1e-5"
    return "has blanks or marks between its digits"


def is_missing(value: object) -> bool:
    """Whether a cell is None, NaN, or the missing value of NumPy or pandas."""
    if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return True
    if isinstance(value, (float, np.floating, Decimal, np.datetime64, np.timedelta64)):
        return bool(value != value)
    return False
