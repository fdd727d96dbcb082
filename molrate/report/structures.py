"""Structures of molecules as small SVG images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from rdkit.Chem.Draw import rdMolDraw2D

from molrate.data.molecules import parse_canonical

MOST_STRUCTURES = 500
_MOST_CHARACTERS = 2_500_000
"""Of all structures of a page, which is to stay below 5 MB."""
WIDTH, HEIGHT = 180, 130
_SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Drawing:
    """A structure in the text of a page.

    Attributes
    ----------
    alternative : str
        What it shows, for those who do not see it.
    uri : str
        The image.
    """

    alternative: str
    uri: str
    width: int = WIDTH
    height: int = HEIGHT


@dataclass
class Structures:
    """The structures of a page, each kept once.

    Attributes
    ----------
    hidden : bool
        Draw none.
    images : dict of str to str
        SVG by the key that charts name it by.
    """

    hidden: bool = False
    images: dict[str, str] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _size: int = 0

    def key(self, canonical: str) -> str:
        """Key of a molecule's structure, drawn if there is room for one more; empty if not.

        Parameters
        ----------
        canonical : str
            Canonical SMILES.
        """
        if self.hidden:
            return ""
        if canonical not in self._keys:
            if len(self._keys) >= MOST_STRUCTURES or self._size >= _MOST_CHARACTERS:
                return ""
            image, key = draw(canonical), str(len(self._keys))
            self._keys[canonical], self.images[key] = key, image
            self._size += len(image)
        return self._keys[canonical]

    def drawing(self, canonical: str, alternative: str) -> Drawing | None:
        """A structure for the text of the page; None if it is not to be shown or there is no room."""
        key = self.key(canonical)
        return None if not key else Drawing(alternative, as_uri(self.images[key]))

    def drawings(self, canonical: Sequence[str], alternatives: Sequence[str]) -> list[Drawing]:
        """Structures side by side."""
        drawn = [self.drawing(*one) for one in zip(canonical, alternatives, strict=True)]
        return [drawing for drawing in drawn if drawing is not None]


def as_uri(image: str) -> str:
    """An SVG as the address of an image that needs no file."""
    return "data:image/svg+xml," + quote(image, safe=" ='/:;,()")


def draw(canonical: str) -> str:
    """A molecule as an SVG of black bonds and coloured atoms on a clear ground.

    Parameters
    ----------
    canonical : str
        Canonical SMILES.

    Returns
    -------
    str
        Strokes of one colour are one path, a few hundred characters for a drug.

    Raises
    ------
    InputError
        If RDKit cannot read it.

    Examples
    --------
    >>> draw("CCO").startswith("<svg")
    True
    """
    # Letters as text, not as outlines, which are ten times as long.
    drawer = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT, -1, -1, True)
    # RDKit says nothing of the types of its options.
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.bondLineWidth = 1
    options.fixedBondLength = 22
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, parse_canonical(canonical))
    drawer.FinishDrawing()
    return _compact(drawer.GetDrawingText())


def _compact(text: str) -> str:
    """The same drawing with one path for each colour, and letters as they are."""
    strokes: dict[tuple[str, str], list[str]] = {}
    letters = []
    for element in ElementTree.fromstring(text).iter():
        style = dict(part.split(":", 1) for part in element.get("style", "").split(";") if ":" in part)
        if element.tag == f"{_SVG}path":
            look = style.get("fill", "none"), style.get("stroke", "none")
            strokes.setdefault(look, []).append(element.get("d", "").replace(" L ", "L").replace("M ", "M"))
        elif element.tag == f"{_SVG}text":
            letters.append(_letter(element, style))
    paths = [
        f"<path fill='{fill}' stroke='{stroke}' d='{''.join(path).strip()}'/>"
        for (fill, stroke), path in strokes.items()
    ]
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' "
        f"height='{HEIGHT}' font-family='sans-serif'>{''.join(paths)}{''.join(letters)}</svg>"
    )


def _letter(element: ElementTree.Element, style: dict[str, str]) -> str:
    """A letter of an atom; RDKit writes nothing but symbols, charges and counts."""
    words = "".join(element.itertext())
    kept = "".join(character for character in words if character.isalnum() or character in "+-*.")
    return (
        f"<text x='{element.get('x')}' y='{element.get('y')}' font-size='{style.get('font-size', '12px')}' "
        f"fill='{style.get('fill', '#000000')}'>{kept}</text>"
    )
