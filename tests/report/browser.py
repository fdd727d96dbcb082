"""Chromium, a page in it, and axe-core: where they are, and what they find."""

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
AXE = Path(sys.prefix) / "pages" / "node_modules" / "axe-core" / "axe.min.js"


def chromium():
    """A browser that is installed, or the one that Playwright downloaded."""
    api = pytest.importorskip(
        "playwright.sync_api",
        reason="NOT TESTED in a browser: run make test-pages, which installs Playwright",
    )
    found = next(filter(None, map(shutil.which, NAMES)), None)
    with api.sync_playwright() as playwright:
        found = found or playwright.chromium.executable_path
        if not Path(found).is_file():
            pytest.skip("NOT TESTED in a browser: there is no Chromium; install it, or run make test-pages")
        # Root has no sandbox.
        alone = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=found, args=alone)
        yield browser
        browser.close()


def axe():
    """The source of axe-core."""
    if not AXE.is_file():
        pytest.skip("NOT TESTED for accessibility: axe-core is not here; run make test-pages")
    return AXE.read_text(encoding="utf-8")


@contextmanager
def opened(browser, path, *, width=1200, scheme="light", bypass=False):
    """A page with its charts drawn, and all that it asked for and complained of."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=bypass, offline=True
    )
    page = context.new_page()
    page.requests, page.complaints = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn=yes]", state="attached")
    yield page
    context.close()
