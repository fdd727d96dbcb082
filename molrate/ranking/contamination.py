"""Encoders that have seen the answers: those whose pretraining used the labels they are ranked by."""

from __future__ import annotations

from collections.abc import Sequence

from molrate.encoders.cards import EncoderCard

LABEL_SOURCES: dict[str, tuple[str, ...]] = {
    "b3db": ("b3db", "bbb-martins"),
    "bace": ("bace",),
    "bbbp": ("bbb-martins",),
    "clintox": ("clintox",),
    "esol": ("esol", "aqsoldb"),
    "freesolv": ("freesolv",),
    "hiv": ("hiv",),
    "lipo": ("lipophilicity-astrazeneca",),
    "lipophilicity": ("lipophilicity-astrazeneca",),
    "muv": ("muv",),
    "pcba": ("pcba",),
    "sider": ("sider",),
    "tox21": ("tox21",),
    "toxcast": ("toxcast",),
}
"""Labelled sets that the molecules of a public dataset are in, by the names that cards use."""

_DEPOSITED: dict[str, tuple[str, ...]] = {
    "bace": ("chembl-assays",),
    "hiv": ("pcba", "pubchem-assays"),
    "lipo": ("chembl-assays",),
    "lipophilicity": ("chembl-assays",),
    "muv": ("pcba", "pubchem-assays"),
    "pcba": ("pubchem-assays",),
    "tox21": ("pcba", "pubchem-assays"),
    "toxcast": ("pcba", "pubchem-assays"),
}
"""Collections of assays that the measurements of a public dataset were deposited in, or taken from. Which of
their assays an encoder was trained on is not known here."""


def seen_labels(card: EncoderCard, dataset: str) -> list[str] | None:
    """Labelled sets of a dataset that an encoder was trained on.

    Parameters
    ----------
    card : EncoderCard
    dataset : str
        Its name.

    Returns
    -------
    list of str or None
        None if nobody can say: the encoder was trained on labels, and those of the dataset may be among them.
    """
    if dataset not in LABEL_SOURCES:
        return None if card.labels_seen else []
    seen = [name for name in card.labels_seen if name in LABEL_SOURCES[dataset]]
    if not seen and set(card.labels_seen) & set(_DEPOSITED.get(dataset, ())):
        return None
    return seen


def is_suspect(card: EncoderCard, dataset: str) -> bool:
    """Whether an encoder has seen labels of the dataset, or nobody can say."""
    return seen_labels(card, dataset) != []


def seen_encoders(cards: Sequence[EncoderCard], dataset: str) -> dict[str, str]:
    """``yes`` for encoders that were trained on labels of a dataset, ``unknown`` where nobody can say."""
    found = {card.name: seen_labels(card, dataset) for card in cards}
    return {name: "unknown" if seen is None else "yes" for name, seen in found.items() if seen != []}


def contamination_notes(cards: Sequence[EncoderCard], dataset: str) -> list[str]:
    """Say which of the ranked encoders were trained on labels they are ranked by."""
    notes = []
    known = {card.name: seen_labels(card, dataset) for card in cards}
    told = [name for name, seen in known.items() if seen]
    if told:
        sets = ", ".join(sorted({label for name in told for label in known[name] or []}))
        notes.append(
            f"Trained on labels of {dataset} ({sets}): {', '.join(told)}. What is shown of them is too good; "
            "--exclude-contaminated leaves them out."
        )
    unknown = [card for card in cards if known[card.name] is None]
    if unknown:
        names = ", ".join(card.name for card in unknown)
        sets = ", ".join(sorted({name for card in unknown for name in card.labels_seen}))
        notes.append(
            f"Trained on measurements ({sets}): {names}. If those of {dataset} are among them, what is shown "
            "of these is too good; --exclude-contaminated leaves them out."
        )
    return notes
