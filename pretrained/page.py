"""Write docs/encoders.md from the cards: ``python pretrained/page.py``. A test keeps the two the same."""

from __future__ import annotations

from pathlib import Path

from molrate.encoders.cards import EncoderCard, encoder_cards

PAGE = Path(__file__).parents[1] / "docs" / "encoders.md"

_BEGIN = """# Encoders

This page is written from the cards in `pretrained/*/card.json` by `python pretrained/page.py`. `molrate
show ENCODER` prints all of a card, with source and citation, and `molrate list encoders` says which need no
download here.

Files of your own are encoders too, named `FAMILY:FILE`: `grover:FILE` (also KERMT), `pretrain-gnns:FILE`
(also GraphCL, JOAO, GraphMAE, MGSSL, SimGRACE), `molclr:FILE`, and `hf:FOLDER` or `hf:OWNER/NAME@REVISION`
for language models in the format of Hugging Face (`pip install 'molrate[hf]'`). Of these, only what a card
below names was tried on real files.

"Labels seen" are the labelled sets an encoder was trained on. A ranking says where they are those of the
dataset, and `molrate score --exclude-contaminated` leaves such encoders out.
"""


def text() -> str:
    """The page as it should be."""
    cards = encoder_cards().values()
    families = dict.fromkeys(card.family for card in cards)
    return _BEGIN + "".join(
        _section(family, [card for card in cards if card.family == family]) for family in families
    )


def _section(family: str, cards: list[EncoderCard]) -> str:
    inputs = dict.fromkeys(card.input for card in cards if card.input)
    lines = [f"\n## {family}\n", *(f"Input: {text}.\n" for text in inputs)]
    lines += [
        "| encoder | pretraining | layers | dimension | parameters | labels seen | licence |",
        "|---|---|---|---|---|---|---|",
        *map(_row, cards),
    ]
    return "\n".join(lines) + "\n"


def _row(card: EncoderCard) -> str:
    dimensions = list(card.layers.values())
    cells = [
        f"`{card.name}`",
        card.pretraining or card.description,
        str(len(dimensions)) if dimensions else "?",
        str(dimensions[-1]) if dimensions else "?",
        "?" if card.parameters is None else f"{card.parameters:,}" if card.parameters else "none",
        ", ".join(card.labels_seen) or "none",
        card.licence or ("not stated" if card.weights else "no weights"),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
