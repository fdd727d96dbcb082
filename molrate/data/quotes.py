"""Sentences that quote molecules, to be left out where these are confidential."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from molrate.data.datasets import Dataset
from molrate.data.molecules import Molecules


def secrets_of(dataset: Dataset, molecules: Molecules) -> list[str]:
    """SMILES and names of the molecules of a dataset; row numbers are none."""
    numbers = {str(row + 1) for row in range(len(dataset))}
    texts = [*dataset.smiles.tolist(), *molecules.canonical.tolist(), *dataset.ids.tolist()]
    return list({str(text) for text in texts} - numbers)


def without_molecules(lines: Sequence[str], secrets: Sequence[str]) -> list[str]:
    """Sentences that quote none of some molecules; what is left out is said.

    Parameters
    ----------
    lines : sequence of str
    secrets : sequence of str
        SMILES and names.
    """
    quotes = quoting(secrets)
    kept = [line for line in lines if not quotes(line)]
    left = len(lines) - len(kept)
    if left:
        kept.append(f"{left} note{'s' if left > 1 else ''} that quote molecules are left out.")
    return kept


_SINGLE = 2


def quoting(secrets: Sequence[str]) -> Callable[[str], bool]:
    """What tells whether a sentence has one of some texts, in quotation marks where that is a letter or two.

    Examples
    --------
    >>> quotes = quoting(["CC(=O)O", "C"])
    >>> quotes("no token of CC(=O)O is known"), quotes("C is not read"), quotes("'C' is not read")
    (True, False, True)
    """
    known = {text for secret in secrets if secret for text in (secret, repr(secret)[1:-1])}
    long, short = (
        {text for text in known if len(text) > _SINGLE},
        {text for text in known if len(text) <= _SINGLE},
    )

    def quotes(line: str) -> bool:
        words = set(line.replace("'", " ").replace('"', " ").split())
        words |= {word.strip(".,:;()") for word in words}
        return bool(words & long) or any(f"'{text}'" in line for text in short) or _inside(line, long)

    return quotes


_LONG = 8


def _inside(line: str, secrets: set[str]) -> bool:
    """Whether a longer one stands anywhere in a sentence."""
    return any(len(secret) >= _LONG and secret in line for secret in secrets)
