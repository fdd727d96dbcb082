"""A page in one file: sections of text, tables, charts and structures, their style and scripts with them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from molrate.files.output import write_atomically
from molrate.report.charts import Chart
from molrate.report.structures import Drawing, Structures
from molrate.report.tables import Table

ENDINGS = (".html",)


@dataclass(frozen=True)
class Text:
    """Paragraphs, or the points of a list."""

    lines: Sequence[str]
    listed: bool = False
    kind: str = "text"


@dataclass(frozen=True)
class Heading:
    """The name of a part of a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Facts:
    """Terms, each with what is said of it."""

    pairs: Sequence[tuple[str, str]]
    kind: str = "facts"


@dataclass(frozen=True)
class Code:
    """A command as it is typed."""

    text: str
    label: str
    kind: str = "code"


@dataclass(frozen=True)
class Card:
    """One or two molecules with what is said of them.

    Attributes
    ----------
    drawings : sequence of Drawing
        None where structures are not shown.
    lines : sequence of str
    smiles : sequence of str
        As text to copy.
    """

    drawings: Sequence[Drawing]
    lines: Sequence[str]
    smiles: Sequence[str] = ()


@dataclass(frozen=True)
class Cards:
    """Molecules side by side."""

    cards: Sequence[Card]
    label: str
    kind: str = "cards"


@dataclass(frozen=True)
class Details:
    """Blocks that are shown when asked for."""

    summary: str
    blocks: Sequence[Block]
    kind: str = "details"


Block = Text | Heading | Facts | Code | Cards | Table | Chart | Details


@dataclass(frozen=True)
class Section:
    """A section of the page; one without blocks is left out."""

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """All that a page shows.

    Attributes
    ----------
    title : str
    subtitle : str
    sections : sequence of Section
    structures : Structures
        What charts show of molecules.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    structures: Structures = field(default_factory=Structures)

    @property
    def shown(self) -> list[Section]:
        """Sections that have something to show."""
        return [section for section in self.sections if section.blocks]

    def to_html(self) -> str:
        """The page as one file that loads nothing."""
        environment = Environment(
            loader=PackageLoader("molrate", "report"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
        specs = {chart.key: chart.spec for section in self.shown for chart in _charts(section.blocks)}
        scripts = [_vega(), _asset("page.js")] if specs else []
        return environment.get_template("page.html.j2").render(
            page=self,
            specs=specs,
            images=self.structures.images,
            style=_asset("page.css"),
            scripts=scripts,
            script_sources=" ".join(f"'{_digest(script)}'" for script in scripts),
        )

    def write(self, path: Path) -> None:
        """Write the page; the file is the old one or the whole new one.

        Raises
        ------
        InputError
            If the file system refuses.
        """
        write_atomically(path, self.to_html().encode("utf-8", "xmlcharrefreplace"))


def _charts(blocks: Sequence[Block]) -> list[Chart]:
    found: list[Chart] = []
    for block in blocks:
        if isinstance(block, Chart):
            found.append(block)
        elif isinstance(block, Details):
            found += _charts(block.blocks)
    return found


def _asset(name: str) -> str:
    return files("molrate.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script."""
    import vl_convert

    # Without a snippet of ours it leaves vegaEmbed where scripts find it.
    return vl_convert.javascript_bundle()  # type: ignore[call-arg]


def _digest(script: str) -> str:
    """By which the page's policy lets a script run: one that came in with data has none."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def sections(*found: Section | None) -> list[Section]:
    """Sections that are there."""
    return [section for section in found if section is not None]
