"""Class labels: which of two is the positive one, and labels that are one label in two spellings."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import permutations

from molrate.data.numbers import read_number

PAIRS = (
    ("1", "0"),
    ("true", "false"),
    ("t", "f"),
    ("yes", "no"),
    ("y", "n"),
    ("+", "-"),
    ("+ve", "-ve"),
    ("positive", "negative"),
    ("pos", "neg"),
    ("present", "absent"),
    ("on", "off"),
    ("active", "inactive"),
    ("actives", "inactives"),
    ("active", "decoy"),
    ("actives", "decoys"),
    ("ligand", "decoy"),
    ("hit", "nohit"),
    ("hit", "miss"),
    ("binder", "nonbinder"),
    ("binding", "nonbinding"),
    ("inhibitor", "noninhibitor"),
    ("substrate", "nonsubstrate"),
    ("blocker", "nonblocker"),
    ("toxic", "nontoxic"),
    ("toxic", "safe"),
    ("mutagenic", "nonmutagenic"),
    ("mutagen", "nonmutagen"),
    ("carcinogenic", "noncarcinogenic"),
    ("carcinogen", "noncarcinogen"),
    ("sensitizer", "nonsensitizer"),
    ("permeable", "impermeable"),
    ("soluble", "insoluble"),
    ("stable", "unstable"),
)
"""Labels of the positive and of the negative class, as :func:`_key` writes them."""

_POSITIVE = frozenset(positive for positive, _ in PAIRS)
_NEGATIVE = frozenset(negative for _, negative in PAIRS)
_NEGATIONS = ("non", "not", "no", "in", "im", "ir", "un")
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")


def _key(label: str) -> str:
    """A label without what spellings differ in: case, blanks, brackets, and hyphens between letters."""
    text = unicodedata.normalize("NFKC", label).translate(_DASHES).casefold()
    text = re.sub(r"[\s_()\[\]'\"]", "", text)
    return re.sub(r"(?<=\w)-(?=\w)", "", text)


def polarity(label: str) -> bool | None:
    """Whether a label means a positive or a negative by itself; None where it says neither.

    >>> polarity("Active"), polarity("non-toxic"), polarity("0.0"), polarity("blue")
    (True, False, False, None)
    """
    number = read_number(label)
    key = _key(label) if number is None else f"{number:g}"
    if key in _POSITIVE:
        return True
    return False if key in _NEGATIVE else None


def positive_class(classes: Sequence[str]) -> str | None:
    """Which of two classes is the positive one; None where that is not known.

    It is the larger of two numbers; the label of :data:`PAIRS`; ``x+`` beside ``x-``; and ``soluble`` beside
    ``insoluble``, ``not soluble`` or another negation of it.

    >>> positive_class(["inactive", "active"]), positive_class(["BBB+", "BBB-"]), positive_class(["A", "B"])
    ('active', 'BBB+', None)
    """
    if len(classes) != 2:
        return None
    numbers = [read_number(label) for label in classes]
    if None not in numbers:
        return classes[1] if numbers[1] > numbers[0] else classes[0]  # type: ignore[operator]
    for label, opposite in permutations(classes):
        if polarity(label) is True and polarity(opposite) is False:
            return label
        if _denies(_key(opposite), _key(label)):
            return label
    return None


def _denies(opposite: str, key: str) -> bool:
    """Whether a label is another one with a negation before it or a minus sign for its plus sign."""
    if key.endswith("+") and opposite == f"{key[:-1]}-":
        return True
    return len(key) > 1 and any(opposite == negation + key for negation in _NEGATIONS)


def find_class(classes: Sequence[str], label: str) -> str | None:
    """The class that a user means: as written, or as number, or in another spelling where one alone fits.

    >>> find_class(["0", "1"], "1.0"), find_class(["Good", "Bad"], "good"), find_class(["a"], "b")
    ('1', 'Good', None)
    """
    text = label.strip()
    if text in classes:
        return text
    number = read_number(text)
    if number is not None:
        return next((name for name in classes if read_number(name) == number), None)
    alike = [name for name in classes if _key(name) == _key(text)]
    return alike[0] if len(alike) == 1 else None


def describe_spellings(labels: Sequence[str]) -> list[str]:
    """Sentences on labels that may be one class: they differ in case, blanks or hyphens only.

    Parameters
    ----------
    labels : sequence of str
        Cells as given, blanks at their ends with them.

    >>> describe_spellings(["Active", "active", "active", "no"])
    ["labels 'active' (2 cells) and 'Active' (1 cell) differ in case, blanks or hyphens only and are kept as
    different classes; write them alike if they are one"]
    """
    given = Counter(labels)
    stripped: Counter[str] = Counter()
    sentences = []
    for label, count in given.items():
        stripped[label.strip()] += count
        if label != label.strip():
            sentences.append(
                f"{_cells(count)} {label!r} read as {label.strip()!r}, without blanks at the ends"
            )
    alike: dict[str, list[tuple[str, int]]] = {}
    for label, count in stripped.most_common():
        alike.setdefault(_key(label), []).append((label, count))
    for spellings in alike.values():
        if len(spellings) > 1:
            counted = " and ".join(f"{label!r} ({_cells(count)})" for label, count in spellings)
            sentences.append(
                f"labels {counted} differ in case, blanks or hyphens only and are kept as different classes; "
                "write them alike if they are one"
            )
    return sentences


def _cells(count: int) -> str:
    return f"{count} cell{'s' if count != 1 else ''}"
