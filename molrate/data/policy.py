"""What becomes of rows on their way to molecules; kept with every result, so that later steps do alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from molrate.data.molecules import STANDARDISATIONS
from molrate.data.structures import MAX_ATOMS
from molrate.errors import UsageError

ON_INVALID, DUPLICATES = ("skip", "fail"), ("keep", "merge")


@dataclass(frozen=True)
class RowPolicy:
    """How rows of a table become molecules.

    Attributes
    ----------
    standardisation : {"largest-fragment", "none"}
    duplicates : {"keep", "merge"}
        ``merge`` makes one row of equal molecules: the mean of a regression target, the class if all agree
        and no label if they do not.
    on_invalid : {"skip", "fail"}
        Leave invalid SMILES out and say so, or stop.
    max_atoms : int
        Larger molecules are left out and said.

    Raises
    ------
    UsageError
        If a policy is unknown.
    """

    standardisation: str = "largest-fragment"
    duplicates: str = "keep"
    on_invalid: str = "skip"
    max_atoms: int = MAX_ATOMS

    def __post_init__(self) -> None:
        """Refuse what is not known."""
        known = {"standardisation": STANDARDISATIONS, "duplicates": DUPLICATES, "on_invalid": ON_INVALID}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"unknown policy {getattr(self, name)!r} ({option}); known: {', '.join(choices)}"
                )

    def record(self) -> dict[str, Any]:
        """All policies, as plain values."""
        return asdict(self)
