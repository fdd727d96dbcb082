"""The documentation builds without a warning, needs nothing from elsewhere, and has all that there is."""

import html
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import molrate
from molrate.cli.main import cli
from molrate.encoders.cards import encoder_cards
from molrate.measures import MEASURES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="NOT TESTED: MkDocs is not installed (extra docs)")
    pytest.importorskip("material", reason="NOT TESTED: MkDocs Material is not installed (extra docs)")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_loads_anything_from_elsewhere(site):
    loaded = (
        r"""<(?:script|img|iframe|source)[^>]+src=["']([^"']+)|<link[^>]+stylesheet[^>]+href=["']([^"']+)"""
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        addresses = ["".join(found) for found in re.findall(loaded, page.read_text(encoding="utf-8"))]
        assert addresses
        assert [one for one in addresses if one.startswith(("http", "//"))] == [], page
    for sheet in site.rglob("*.css"):
        assert re.findall(r"@import[^;]*http|url\([\"']?(?:https?:)?//", sheet.read_text("utf-8")) == [], (
            sheet
        )


def test_formulas_are_mathml(site):
    page = (site / "concepts" / "transrate.html").read_text(encoding="utf-8")
    assert page.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"') >= 5
    assert "arithmatex" not in page


def test_every_command_and_option_is_in_the_reference(site):
    page = (site / "commands.html").read_text(encoding="utf-8")
    for name in cli.list_commands(None):
        assert f">molrate {name}<" in page
        for parameter in cli.get_command(None, name).params:
            for flag in getattr(parameter, "opts", []):
                if flag.startswith("--"):
                    assert flag in page, f"{name} {flag}"


def test_every_encoder_has_its_card(site):
    page = (site / "cards.html").read_text(encoding="utf-8")
    for name, card in encoder_cards().items():
        assert f'<h2 id="{name}">' in page
        assert html.escape(card.title, quote=False) in page
    assert "available offline" not in page


def test_every_public_name_is_in_the_reference(site):
    named = re.findall(
        r"^::: molrate\.(\w+)$", (DOCS / "python.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(named) == sorted(name for name in molrate.__all__ if name != "__version__")
    page = (site / "python.html").read_text(encoding="utf-8")
    assert ":class:" not in page
    assert ":func:" not in page


def test_files_from_outside_docs_come_along(site):
    assert (site / "repository" / "evidence" / "figure.png").is_file()
    assert (site / "repository" / "CHANGELOG.html").is_file()
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert (site / "notebooks" / f"{notebook.stem}.html").is_file(), f"{notebook.name}: docs/notebooks.md"


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert [page for page in pages if not re.search(rf"[:-] {re.escape(page)}$", navigation, re.M)] == []


def test_every_measure_is_in_the_overview():
    page = (DOCS / "concepts" / "measures.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)}
    assert set(MEASURES) <= named
    assert len(list(MEASURES)) == 26
    assert "molrate has twenty-six" in page


def test_the_drawing_has_the_layers_of_the_contract_in_order():
    drawing = (DOCS / "assets" / "layout.svg").read_text(encoding="utf-8")
    boxes = re.findall(r'<text x="(\d+)" y="(\d+)" font-size="18"[^>]*>(\w+)<', drawing)
    rows = {}
    for _, height, name in boxes:
        # Names without a line below them stand a little lower.
        rows.setdefault(int(height) // 68, []).append(name)
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = contract["tool"]["importlinter"]["contracts"][0]["layers"]
    assert [rows[row] for row in sorted(rows)] == [layer.split(" | ") for layer in layers]


def test_exit_codes_are_those_of_the_readme():
    pages = [ROOT / "README.md", DOCS / "exit-codes.md"]
    meanings = [
        dict(re.findall(r"^\| (\d+) \| ([^|]+?) \|", page.read_text(encoding="utf-8"), re.MULTILINE))
        for page in pages
    ]
    assert meanings[0] == meanings[1]
