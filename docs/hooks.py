"""What the pages take from the rest of the repository while MkDocs builds them.

Files that a page links to outside ``docs/`` come along, notebooks as pages; commands and encoders are
described from the program itself; formulas become MathML, so that no browser has to load a script for them.
"""

from __future__ import annotations

import html
import inspect
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=<code>)")
_COMMANDS, _CARDS = "<!-- the commands stand here -->", "<!-- the cards stand here -->"
_OF_THE_MACHINE = "available offline"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Bring along what the pages link to outside ``docs/``, and what that links to."""
    waiting = [file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for target in _targets(page, _text(page)):
            uri = _uri(target)
            if files.get_file_from_path(uri) is None:
                files.append(_file(target, uri, config))
                if uri.endswith(".md"):
                    waiting.append(uri)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links point to where the files are in the site, and describe commands and encoders."""
    here = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        target = _target(here, link[1])
        return posixpath.relpath(_uri(target), posixpath.dirname(here) or ".") if target else link[1]

    text = _LINK.sub(moved, markdown)
    for mark, describe in ((_COMMANDS, _commands), (_CARDS, _cards)):
        if mark in text:
            text = text.replace(mark, "\n".join(describe()))
    return text


def on_page_content(content: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML, and the roles that docstrings have for Sphinx into plain code."""

    def mathml(formula: re.Match[str]) -> str:
        return convert(html.unescape(formula[2]), display="block" if formula[1] == "div" else "inline")

    return _ROLE.sub("", _FORMULA.sub(mathml, content))


def _home(uri: str) -> str:
    """Where a page of the site lies in the repository."""
    if uri.startswith("repository/"):
        return uri.removeprefix("repository/")
    notebook = Path(uri).with_suffix(".ipynb").as_posix()
    return notebook if uri.startswith("notebooks/") else f"docs/{uri}"


def _uri(path: str) -> str:
    """Where a file of the repository lies in the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return Path(path).with_suffix(".md").as_posix() if path.endswith(".ipynb") else f"repository/{path}"


def _target(page: str, link: str) -> str | None:
    """The file of the repository that a link of a page is to; of a folder, its ``README.md``."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(_home(page)), link))
    if path.startswith("../"):
        return None
    if (ROOT / path).is_dir():
        path = f"{path}/README.md"
    return path if (ROOT / path).is_file() else None


def _targets(page: str, text: str) -> Iterator[str]:
    for link in _LINK.findall(text):
        target = _target(page, link)
        if target is not None and not target.startswith("docs/"):
            yield target


def _text(page: str) -> str:
    path = ROOT / _home(page)
    return _notebook(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")


def _file(path: str, uri: str, config: MkDocsConfig) -> File:
    if path.endswith(".ipynb"):
        return File.generated(config, uri, content=_notebook(ROOT / path))
    return File.generated(config, uri, abs_src_path=str(ROOT / path))


def _notebook(path: Path) -> str:
    """A notebook with the outputs that it was committed with, as Markdown."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    blocks: list[str] = []
    for cell in cells:
        source = "".join(cell["source"])
        blocks.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        blocks.extend(_output(output) for output in cell.get("outputs", []))
    return "\n\n".join(blocks) + "\n"


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text'])}\n```"
    data = {kind: "".join(text) for kind, text in output["data"].items()}
    if "text/html" in data:
        # Without blank lines, at which Markdown would take what follows for its own.
        lines = [line for line in data["text/html"].splitlines() if line.strip()]
        return '<div class="output">\n' + "\n".join(lines) + "\n</div>"
    if "image/png" in data:
        image = data["image/png"].replace("\n", "")
        return f'<img class="output" alt="what the cell above draws" src="data:image/png;base64,{image}">'
    if "image/svg+xml" in data:
        return f'<div class="output">{data["image/svg+xml"]}</div>'
    return f"```text\n{data['text/plain']}\n```"


def _cards() -> Iterator[str]:
    """The card of every encoder, as ``molrate show`` prints it."""
    from molrate.cli.show import shown
    from molrate.encoders.base import describe_encoder
    from molrate.encoders.cards import encoder_cards

    for name, card in encoder_cards().items():
        yield f"## {name}\n"
        yield f"| | {html.escape(card.title, quote=False)} |"
        yield "|---|---|"
        for field, value in describe_encoder(name).items():
            if field not in ("encoder", "title", _OF_THE_MACHINE):
                yield f"| {field} | {html.escape(shown(value), quote=False).replace('|', '&#124;')} |"
        yield ""


def _commands() -> Iterator[str]:
    """Every command and its options in the words of ``--help``."""
    from molrate.cli.main import cli

    with click.Context(cli, info_name="molrate", **cli.context_settings) as context:
        for name in cli.list_commands(context):
            command = cli.get_command(context, name)
            assert command is not None
            yield from _command(command, _context(command, context, name), 2)


def _context(command: click.Command, parent: click.Context, name: str) -> click.Context:
    return click.Context(command, parent, name, **command.context_settings)


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {context.command_path}\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
    yield "| option | what it does |"
    yield "|---|---|"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            flags, text = (html.escape(part).replace("|", "&#124;") for part in record)
            yield f"| <code>{flags}</code> | {text} |"
    yield ""
    if command.epilog:
        calls = command.epilog.partition("Examples:\n")[2].split("\n\n")[0]
        yield "```text\n" + "\n".join(line.strip() for line in calls.splitlines()) + "\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            assert part is not None
            yield from _command(part, _context(part, context, name), level + 1)
