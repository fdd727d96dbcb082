"""Which column is what: SMILES, identifiers and row numbers by their usual names, any column by its own.

Names are compared without the blanks around them; usual names also without case, and with blanks and hyphens
as underscores. A header is never changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from molrate.errors import InputError

SMILES_NAMES = ("smiles", "mol", "canonical_smiles", "structure", "isomeric_smiles", "smi")

ID_NAMES = (
    "id",
    "name",
    "molecule",
    "mol_id",
    "compound_id",
    "chembl_id",
    "zinc_id",
    "molecule_id",
    "molecule_chembl_id",
    "molecule_name",
    "compound",
    "compound_name",
    "catalog_id",
    "identifier",
    "drugbank_id",
    "pubchem_cid",
    "cid",
    "cmpd_id",
    "idnumber",
    "title",
)

RESULT_NAMES = frozenset({"source", "row", "status", "error", "note"})
"""Columns that molrate writes beside molecules."""

_BESIDE_PREDICTIONS = ("canonical_smiles", "similarity", *sorted(RESULT_NAMES))
_OWN = "molrate_"

MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none"})
"""Words, in lower case, that stand for a value that was not measured."""

_INDEX = re.compile(r"|unnamed: \d+|__index_level_\d+__|level_\d+|index")


def usual(name: str) -> str:
    """A column's name as it is compared with usual ones.

    >>> usual(" ChEMBL-ID ")
    'chembl_id'
    """
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def is_index(name: str) -> bool:
    """Whether a column is the row numbers that pandas or R wrote along: unnamed, or named by them.

    >>> [is_index(name) for name in ("", "Unnamed: 0", "__index_level_0__", "y")]
    [True, True, True, False]
    """
    return _INDEX.fullmatch(name.strip().casefold()) is not None


def is_about_rows(name: str) -> bool:
    """Whether a column says which row or molecule it is, and no property of it."""
    common = usual(name)
    return is_index(name) or common in RESULT_NAMES or common in SMILES_NAMES or common in ID_NAMES


def names_beside(results: Sequence[str], header: Sequence[object], source: str) -> dict[str, str]:
    """Names that results have beside the columns of a table: those that are no predictions give way.

    Parameters
    ----------
    results : sequence of str
    header : sequence
        Of the table.
    source : str
        For messages.

    Raises
    ------
    InputError
        If the table has a column of the name of a prediction.

    Examples
    --------
    >>> names_beside(["predicted_y", "status"], ["smiles", "status"], "t.csv")
    {'predicted_y': 'predicted_y', 'status': 'molrate_status'}
    """
    taken = set(header)
    names = {
        name: f"{_OWN}{name}" if name in taken and name in _BESIDE_PREDICTIONS else name for name in results
    }
    clash = next((name for name in names.values() if name in taken), None)
    if clash is not None:
        raise InputError(
            f"{source}: it has a column {clash!r} already, where predictions would stand; rename it"
        )
    return names


def find_column(header: Sequence[str], name: str, source: str, option: str) -> int:
    """Place of the column that an option names.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    places = [place for place, column in enumerate(header) if column == name]
    places = places or [place for place, column in enumerate(header) if column.strip() == name.strip()]
    if not places:
        raise InputError(f"{source}: no column {name!r} ({option}); its columns are {shown_header(header)}")
    _require_one(header, places, source)
    return places[0]


def find_smiles(
    header: Sequence[str], source: str, smiles_column: str | None = None, option: str = "--smiles-column"
) -> int:
    """Place of the SMILES: the column named, else the first of a usual name.

    Raises
    ------
    InputError
        If there is none, or more than one of the same name.
    """
    if smiles_column is not None:
        return find_column(header, smiles_column, source, option)
    places = _usual_places(header, SMILES_NAMES)
    if not places:
        raise InputError(
            f"{source}: no SMILES column found; its columns are {shown_header(header)}. Name it with {option}"
        )
    _require_one(header, places, source, f" or name the one to take with {option}")
    return places[0]


def find_id(header: Sequence[str], source: str, id_column: str | None = None) -> int | None:
    """Place of the identifiers: the column named, else the first of a usual name, else None.

    Raises
    ------
    InputError
        If the one named is not there, or there is more than one of the same name.
    """
    if id_column is not None:
        return find_column(header, id_column, source, "--id-column")
    places = _usual_places(header, ID_NAMES)
    return places[0] if places else None


def _usual_places(header: Sequence[str], names: Sequence[str]) -> list[int]:
    """Places of the first of the usual names that there is."""
    by_name: dict[str, list[int]] = {}
    for place, column in enumerate(header):
        by_name.setdefault(usual(column), []).append(place)
    return next((by_name[name] for name in names if name in by_name), [])


def _require_one(header: Sequence[str], places: Sequence[int], source: str, otherwise: str = "") -> None:
    if len(places) > 1:
        names = " and ".join(dict.fromkeys(header[place].strip() for place in places))
        numbers = " and ".join(str(place + 1) for place in places)
        count = {2: "two", 3: "three"}.get(len(places), str(len(places)))
        raise InputError(
            f"{source}: {count} columns are named {names} (columns {numbers}); rename one{otherwise}"
        )


def shown_header(header: Sequence[str], limit: int = 30) -> str:
    """Names of columns, for messages."""
    names = [name if name.strip() else repr(name) for name in header[:limit]]
    more = f" and {len(header) - limit} more" if len(header) > limit else ""
    return ", ".join(names) + more


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Key that sorts names with their numbers as numbers.

    >>> sorted(["part-10", "part-2"], key=natural_key)
    ['part-2', 'part-10']
    """
    pieces = re.split(r"(\d+)", name)
    key = [
        (0, int(piece), "") if piece.isdecimal() and piece.isascii() else (1, 0, piece) for piece in pieces
    ]
    # Names that differ in leading zeros only still have one order.
    return [*key, (2, 0, name)]
