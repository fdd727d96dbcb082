"""Extensions of SMILES between bars (CXSMILES): what of them a molecule can have, and what it loses.

Atom coordinates, bond drawings, radicals, coordinate bonds and data are read or make no difference. Enhanced
stereo marks say that a molecule is a mixture or one of several; the one that is written stands for it, which
is noted. Extensions that leave open which molecule it is (position variation, R-groups and other labelled
``*``, attachment points, repeating units, link nodes, query properties) are not supported.
"""

from __future__ import annotations

import re

from rdkit import Chem

_EXTENDED = re.compile(r"(\S+)[ \t]+\|(.*)\|", re.DOTALL)
_LABELS = re.compile(r"\$([^$]*)\$")
_COORDINATES = re.compile(r"\([^)]*\)")
_KEY = re.compile(r"(?:^|,)\s*(&\d+|o\d+|a|r|\^\d|[A-Za-z]+)(?=:|,|$)")
_STEREO = re.compile(r"&\d+|o\d+|r")
_WITHOUT_EFFECT = re.compile(r"a|\^\d|c|t|ctu|w|wU|wD|lp|C|H|f|SgD|SgH|atomProp")
_GENERIC = re.compile(r"_R\d*|_AP\d*|.*_[ep]")
_MEANINGS = {
    "m": "position variation",
    "LN": "link nodes",
    "Sg": "repeating units or mixtures",
    "RG": "R-groups",
    "LO": "R-group logic",
    "rb": "query property",
    "s": "query property",
    "u": "query property",
}


def split_extension(text: str) -> tuple[str, str] | None:
    """SMILES and what stands between the bars; None where nothing does.

    >>> split_extension("C[C@H](F)Cl |&1:1|")
    ('C[C@H](F)Cl', '&1:1')
    """
    match = _EXTENDED.fullmatch(text) if text.endswith("|") else None
    return None if match is None else (match[1], match[2])


def unsupported_extension(smiles: str, block: str) -> str:
    """Why a molecule with this extension is not supported; empty if it is.

    >>> unsupported_extension("CC.c1ccccc1", "m:0:2.3.4")
    'CXSMILES extension m not supported (position variation)'
    """
    if _has_generic_atom(smiles, block):
        return "CXSMILES extension $ not supported (R-group, attachment point or generic atom)"
    for key in _keys(block):
        if not _STEREO.fullmatch(key) and not _WITHOUT_EFFECT.fullmatch(key):
            meaning = f" ({_MEANINGS[key]})" if key in _MEANINGS else ""
            return f"CXSMILES extension {key} not supported{meaning}"
    return ""


def dropped_extension(text: str) -> str:
    """What to note of a SMILES with a supported extension; empty if nothing is lost.

    >>> dropped_extension("C[C@H](F)Cl |&1:1,r|")
    'CXSMILES enhanced stereo (&1, r) dropped'
    """
    extended = split_extension(text.strip())
    marks = [key for key in _keys(extended[1]) if _STEREO.fullmatch(key)] if extended else []
    return f"CXSMILES enhanced stereo ({', '.join(marks)}) dropped" if marks else ""


def _keys(block: str) -> list[str]:
    """What an extension consists of, beside labels and coordinates."""
    return _KEY.findall(_COORDINATES.sub("", _LABELS.sub("", block)))


def _has_generic_atom(smiles: str, block: str) -> bool:
    """Whether a label makes an atom stand for others, or a ``*`` for something of that name."""
    groups = [group for group in _LABELS.findall(block) if not group.startswith("_AV:")]
    labels = [label for group in groups for label in group.split(";")]
    if any(_GENERIC.fullmatch(label) for label in labels):
        return True
    if "*" not in smiles or not any(labels):
        return False
    molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    if molecule is None:
        return False
    generic = {atom.GetIdx() for atom in molecule.GetAtoms() if not atom.GetAtomicNum()}
    return any(label and place in generic for place, label in enumerate(labels))
