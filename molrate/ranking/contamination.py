"""Encoders that have seen the answers: those whose pretraining used the labels they are ranked by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from molrate.data.datasets import public_name
from molrate.encoders.cards import EncoderCard, encoder_cards

if TYPE_CHECKING:
    from molrate.data.molecules import Molecules
    from molrate.encoders.base import Encoder

SHARE = 0.2
"""Part of the molecules of a table from which on an encoder that was trained on labels of them is suspect."""
_SAMPLE = 1000
"""Molecules of a table that are compared: the part of more is known to within three in a hundred."""

LABEL_SOURCES: dict[str, tuple[str, ...]] = {
    # Measured at Biogen and published in 2023 (Fang et al., doi:10.1021/acs.jcim.3c00160); no card names it.
    "adme_hlm": (),
    "adme_mdr1_er": (),
    "adme_solubility": (),
    # 43 % of its molecules, and 90 % of those of BBBP, are the same (first blocks of InChIKeys).
    "b3db": ("bbb-martins",),
    "b3db_2000": ("bbb-martins",),
    "logbb": ("bbb-martins",),
    "bace": (),
    # MoleculeNet's BBBP is the set of Martins et al., doi:10.1021/ci300124c.
    "bbbp": ("bbb-martins",),
    # The following are sets of the same name in MoleculeNet (doi:10.1039/C7SC02664A) and in the Therapeutics
    # Data Commons, by whose names ADMET-AI's models store their tasks.
    "clintox": ("clintox",),
    "freesolv": ("freesolv",),
    "lipophilicity": ("lipophilicity-astrazeneca",),
    "tox21": ("tox21",),
    # AqSolDB names Delaney's set among its nine sources, doi:10.1038/s41597-019-0151-1.
    "esol": ("aqsoldb",),
    # The assays of PubChem that MiniMol was trained on go by this name, doi:10.48550/arXiv.2404.14986.
    "pcba": ("pcba",),
    "hiv": (),
    "muv": (),
    # Wavelengths of absorption, doi:10.1039/D2SC04306H: no card names such.
    "photoswitch": (),
    "mace_abl1": (),
    "mace_fxr": (),
    "mace_hrh1": (),
    "sider": (),
    "toxcast": (),
}
"""Labelled sets that the molecules of a public dataset are in, by the names that cards use. Where there are
none, no encoder with a card was trained on the dataset under a name of its own."""

_DEPOSITED: dict[str, tuple[str, ...]] = {
    # Curated from ChEMBL: MoleculeACE, doi:10.1021/acs.jcim.2c01073; Lipophilicity, by MoleculeNet.
    "mace_abl1": ("chembl-assays",),
    "mace_fxr": ("chembl-assays",),
    "mace_hrh1": ("chembl-assays",),
    "lipophilicity": ("chembl-assays",),
    # Measurements out of publications; ChEMBL collects such.
    "logbb": ("chembl-assays",),
    "bace": ("chembl-assays",),
    # MoleculeNet took PCBA and MUV from PubChem BioAssay, to which the laboratories behind the others, the
    # National Cancer Institute and Tox21's, report.
    "hiv": ("pcba", "pubchem-assays"),
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
        None if nobody can say: the encoder was trained on labels, and those of the dataset may be among them,
        or it is not known what it was trained on.
    """
    if card.labels_seen is None:
        return None
    public = public_name(dataset)
    if public not in LABEL_SOURCES:
        return None if card.labels_seen else []
    seen = [name for name in card.labels_seen if name in LABEL_SOURCES[public]]
    if not seen and set(card.labels_seen) & set(_DEPOSITED.get(public, ())):
        return None
    return seen


def seen_shares(encoders: Sequence[Encoder], molecules: Molecules) -> dict[str, float]:
    """Part of a table's molecules whose labels, of whatever kind, each encoder was trained on.

    Parameters
    ----------
    encoders : sequence of Encoder
    molecules : Molecules
        Of more than a thousand valid ones, a thousand evenly spaced are compared.

    Returns
    -------
    dict of str to float
        By name, of encoders of which more than :data:`SHARE` is known.
    """
    from molrate.data.skeletons import skeletons

    seen = {encoder.name: encoder.skeletons_seen() for encoder in encoders}
    if not any(seen.values()):
        return {}
    rows = molecules.canonical[molecules.valid]
    known = skeletons(rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(int)])
    shares = {name: len(known & theirs) / len(known) for name, theirs in seen.items()} if known else {}
    return {name: share for name, share in shares.items() if share > SHARE}


def is_suspect(card: EncoderCard, dataset: str, shares: Mapping[str, float] | None = None) -> bool:
    """Whether an encoder has seen labels of the dataset or of many of its molecules, or nobody can say.

    Parameters
    ----------
    card : EncoderCard
    dataset : str
        Its name.
    shares : mapping of str to float, optional
        Of :func:`seen_shares`.
    """
    return seen_labels(card, dataset) != [] or card.name in (shares or {})


def are_suspect(encoders: Iterable[str], datasets: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Whether each encoder is suspect of the dataset beside it; those without a card are not."""
    cards = encoder_cards()
    pairs = zip(encoders, datasets, strict=True)
    return np.array([name in cards and is_suspect(cards[name], dataset) for name, dataset in pairs], bool)


def seen_encoders(
    cards: Sequence[EncoderCard], dataset: str, shares: Mapping[str, float] | None = None
) -> dict[str, str]:
    """``yes`` for encoders that were trained on labels of a dataset, ``unknown`` where nobody can say.

    Those that were trained on measurements of many of its molecules are among the first, whatever the
    dataset is called; see :func:`is_suspect` for the parameters.
    """
    told = set(shares or {}) | {card.name for card in cards if seen_labels(card, dataset)}
    suspects = [card.name for card in cards if is_suspect(card, dataset, shares)]
    return {name: "yes" if name in told else "unknown" for name in suspects}


def contamination_notes(
    cards: Sequence[EncoderCard],
    dataset: str,
    shares: Mapping[str, float] | None = None,
    remedy: str = "; --exclude-contaminated leaves such encoders out",
) -> list[str]:
    """Say which encoders were trained on labels that they are judged by.

    Parameters
    ----------
    cards, dataset, shares
        As of :func:`is_suspect`.
    remedy : str
        What can be done, as the end of each sentence; empty of a model that is there already.
    """
    shares = shares or {}
    known = {card.name: seen_labels(card, dataset) for card in cards}
    notes = []
    told = [name for name, seen in known.items() if seen]
    if told:
        sets = ", ".join(sorted({label for name in told for label in known[name] or []}))
        notes.append(
            f"Trained on labels of {dataset} ({sets}): {', '.join(told)}. What is shown of {_them(told)} is "
            f"too good{remedy}."
        )
    among = [card for card in cards if card.name in shares and card.name not in told]
    if among:
        shown = ", ".join(f"{card.name} of {shares[card.name]:.0%}{_named(card)}" for card in among)
        notes.append(
            f"Trained on measurements of these molecules: {shown}. What is shown of {_them(among)} may be "
            f"too good{remedy}."
        )
    undecided = [card for card in cards if known[card.name] is None and card not in among]
    untold = [card.name for card in undecided if card.labels_seen is None]
    if untold:
        notes.append(
            f"Nobody has told what labels were seen in training by {', '.join(untold)}. If those of "
            f"{dataset} are among them, what is shown is too good{remedy}."
        )
    unknown = [card for card in undecided if card.labels_seen is not None]
    if unknown:
        names = ", ".join(card.name for card in unknown)
        sets = ", ".join(sorted({name for card in unknown for name in card.labels_seen or ()}))
        notes.append(
            f"Trained on measurements ({sets}): {names}. If those of {dataset} are among them, what is shown "
            f"of {_them(unknown)} is too good{remedy}."
        )
    return notes


def _them(several: Sequence[object]) -> str:
    return "it" if len(several) == 1 else "them"


def _named(card: EncoderCard) -> str:
    return f" (in {', '.join(card.molecules_seen)})" if card.molecules_seen else ""
