"""Write docs/encoders.md from the cards: ``python pretrained/page.py``. A test keeps the two the same."""

from __future__ import annotations

from pathlib import Path

from molrate.encoders.cards import EncoderCard, encoder_cards

PAGE = Path(__file__).parents[1] / "docs" / "encoders.md"

_BEGIN = """# Encoders

This page is written from the cards in `pretrained/*/card.json` by `python pretrained/page.py`. `molrate
show ENCODER` prints all of a card, with source and citation, and `molrate list encoders` says which need no
download here.

Files of your own are encoders too, named `FAMILY:FILE`: `chemprop:FILE` (models of Chemprop v2 and their
checkpoints), `grover:FILE` (also KERMT), `pretrain-gnns:FILE` (also GraphCL, JOAO, GraphMAE, MGSSL,
SimGRACE; `pretrain-gnns:FILE?kind=gcn` or `?kind=graphsage` where the file is of one of these two, whose
tensors are the same), `molclr:FILE`, and `hf:FOLDER` or `hf:OWNER/NAME@REVISION` for language models in the
format of Hugging Face (`pip install 'molrate[hf]'`). A file that is the published one of a card, by its
SHA-256, has seen what the card says; what labels others have seen, nobody has told, and a ranking says so.
`features:FILE` are precomputed features, each molecule found by a column of SMILES. Fingerprints of
scikit-fingerprints are baselines named `skfp:MAP4`, `skfp:Avalon?fp_size=1024` and so on.
[own-encoders.md](own-encoders.md) is on them, on functions and modules from Python as encoders, and on
`molrate check-encoder`.

"Labels seen" are the labelled sets an encoder was trained on. A ranking says where they are those of the
dataset, and `molrate score --exclude-contaminated` leaves such encoders out. Where the molecules of these
sets are known too (`molecules_seen` of a card: of ADMET-AI, those of FreeSolv, ESOL and BBBP), it says and
leaves out encoders that were trained on measurements of more than a fifth of the table's molecules, whatever
the table is called; molecules are compared by the first block of their InChIKeys.
"""

_NOTES = {
    "grover": """`grover-official-*` and `kermt-v2`, whose tensors are GROVER's under other names, were not
tried on the real files. Checkpoints of DeepChem's `GroverModel` are refused: its network is another, whose
attention has no effect, and what it embeds depends on the batch.""",
    "molclr": """The file of the GCN was tried. That of the GIN was not to be had, nor a digest of it, so that
it is not downloaded: get it by hand, and name it as `molclr:FILE` or `-e molclr-gin --weights FILE`.""",
    "hf": """Tokens are pooled without those that begin and end a text (`?tokens=all` and `?tokens=first` are
other ways), and cut as published (`?tokeniser=smiles` for a rule that keeps atoms whole). `rxnmapper-albert`
and `rxnfp-*` were tried on the real files, the others were not. What is not known of them shows as `?`.""",
    "pretrain-gnns": """The files of GCN, GAT and GraphSAGE were tried, those of GIN are known by their digest
and were not to be had.""",
    "chemprop": """Layers are what Chemprop's output layer makes of each atom and the messages that reach it,
in each step; the last is Chemprop's own output. Of `admet-ai-*` the published fingerprint is its sum divided
by 100 (`--pooling sum`), of `chemeleon` its mean. The file of `chemeleon` was not to be had: its reader was
tried on files of the same form.""",
    "minimol": """From the weights in the package `minimol` 1.3.5. The published fingerprint is `--layer last
--pooling max`; molrate's default pooling is the mean. Atoms are put into RDKit's canonical order, as the
package does, so that the embedding does not depend on how a SMILES is written. Dummy atoms and more than
1,000 atoms are not supported. Fine-tuning uses no dropout.

Where eigenvalues of the graph's Laplacian are equal (two like leaves on one atom are enough), the basis of
their eigenvectors depends on how LAPACK rounds on this kind of processor, and with it the fingerprint:
between five kernels of OpenBLAS by up to 0.12 where the largest entry is 6.6, in the package as in molrate.
On the same kernels the two agree to 5e-6. `OPENBLAS_CORETYPE=Haswell` gives the same kernels on all x86-64
machines with AVX2.""",
    "chemnet": """From the weights in `fcd-torch` 1.0.7: `conv-1`, `conv-2` and `lstm-1` are pooled over the
positions of the text; `lstm-2` is the last state, which the Fréchet ChemNet distance compares, and pooling
has no effect on it. Texts are read as the authors' package `fcd` does, which for several fragments and for
elements of two letters other than Br, Cl and Si differs from `fcd-torch`. A SMILES of more than 349 symbols
is not supported.""",
}
"""What the cards of a family have in common and a table has no place for."""


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
    if family in _NOTES:
        lines.append(f"{_NOTES[family]}\n")
    lines += [
        "| encoder | pretraining | layers | dimension | parameters | labels seen | licence |",
        "|---|---|---|---|---|---|---|",
        *_rows(cards),
    ]
    return "\n".join(lines) + "\n"


def _rows(cards: list[EncoderCard]) -> list[str]:
    """A row for each card; those that differ in name only, as the members of an ensemble, share one."""
    names: dict[str, list[str]] = {}
    for card in cards:
        names.setdefault(_cells(card), []).append(f"`{card.name}`")
    return [f"| {', '.join(alike)} | {cells} |" for cells, alike in names.items()]


def _cells(card: EncoderCard) -> str:
    dimensions = list(card.layers.values())
    cells = [
        card.pretraining or card.description,
        str(len(dimensions)) if dimensions else "?",
        str(dimensions[-1]) if dimensions else "?",
        "?" if card.parameters is None else f"{card.parameters:,}" if card.parameters else "none",
        ", ".join(card.labels_seen) or "none",
        card.licence or ("not stated" if card.weights else "no weights"),
    ]
    return " | ".join(cells)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
