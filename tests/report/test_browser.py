"""Pages in Chromium: nothing is loaded, nothing is in the way of anybody."""

from itertools import pairwise

import pytest
from report.browser import axe, chromium, opened

pytestmark = pytest.mark.browser

PAGES = ("number_page", "class_page", "hidden_page", "model_number_page", "model_class_page")
LOOKS = [
    ("number_page", 1200, "light"),
    ("number_page", 375, "dark"),
    ("class_page", 1200, "dark"),
    ("hidden_page", 375, "light"),
    ("model_number_page", 1200, "dark"),
    ("model_class_page", 375, "light"),
]


@pytest.fixture(scope="module")
def browser():
    yield from chromium()


@pytest.fixture(scope="module")
def paths(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    found = {}
    for name in PAGES:
        found[name] = folder / f"{name}.html"
        request.getfixturevalue(name).write(found[name])
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_chart_is_drawn_and_nothing_is_loaded(browser, paths, name):
    with opened(browser, paths[name]) as page:
        drawn = page.locator(".chart svg").count()
        assert drawn == page.locator(".chart").count() > 0
        assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
        assert [url for url in page.requests if url.startswith("file:")] == [paths[name].as_uri()]
        assert page.complaints == []
        # A name that is a script would have changed it.
        assert page.title() != "taken"


@pytest.mark.parametrize(("name", "width", "scheme"), LOOKS)
def test_axe_finds_nothing(browser, paths, name, width, scheme):
    source = axe()
    with opened(browser, paths[name], width=width, scheme=scheme, bypass=True) as page:
        page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        page.evaluate(source)
        found = page.evaluate("axe.run()")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert len(found["passes"]) > 20


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_scrolls_in_one_direction(browser, paths, name):
    with opened(browser, paths[name], width=375) as page:
        page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


@pytest.mark.parametrize("name", PAGES)
def test_no_legend_is_cut_off_on_a_phone(browser, paths, name):
    beyond = """legends => legends.map(legend => {
        const drawn = legend.closest("svg").getBoundingClientRect(), own = legend.getBoundingClientRect();
        return Math.max(drawn.left - own.left, own.right - drawn.right);
    })"""
    with opened(browser, paths[name], width=375) as page:
        found = page.eval_on_selector_all(".chart svg .role-legend", beyond)
        assert found
        assert max(found) <= 0


def test_the_heading_of_names_stays_above_them_on_a_phone(browser, paths):
    with opened(browser, paths["class_page"], width=375) as page:
        table = page.locator("#ranking > .wide").first
        table.evaluate("one => { one.scrollLeft = 200; }")
        heading, name = (table.locator(f"{part} th").first.bounding_box() for part in ("thead", "tbody"))
        assert heading["x"] == name["x"] >= 0


def test_charts_follow_the_page_into_the_dark(browser, paths):
    shown = {}
    for scheme in ("light", "dark"):
        with opened(browser, paths["number_page"], scheme=scheme) as page:
            label = page.locator(".chart svg text").first
            mark = page.locator("#chart-order-0 svg .mark-symbol path[fill]").first
            shown[scheme] = [
                page.evaluate("getComputedStyle(document.body).backgroundColor"),
                label.evaluate("element => getComputedStyle(element).fill"),
                mark.evaluate("element => getComputedStyle(element).fill"),
            ]
    assert all(light != dark for light, dark in zip(shown["light"], shown["dark"], strict=True))


@pytest.mark.parametrize(("name", "images"), [("number_page", 1), ("hidden_page", 0)])
def test_a_point_of_the_map_shows_its_molecule(browser, paths, name, images):
    with opened(browser, paths[name]) as page:
        point = page.locator("#chart-map-0 svg .mark-symbol path").first
        point.scroll_into_view_if_needed()
        # What is shown ends with the scrolling.
        page.wait_for_timeout(200)
        point.hover(force=True)
        page.wait_for_selector(".tip:not([hidden])")
        assert page.locator(".tip img").count() == images
        assert "row" in page.locator(".tip").inner_text()
        page.keyboard.press("Escape")
        assert page.locator(".tip").is_hidden()


def test_the_keyboard_reaches_the_content_and_opens_numbers(browser, paths):
    with opened(browser, paths["number_page"]) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        assert page.locator(".skip").bounding_box()["x"] >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        page.locator("figure summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("figure table").first.is_visible()


def test_headings_are_in_order_and_every_table_says_what_it_is(browser, paths):
    with opened(browser, paths["number_page"]) as page:
        levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map((one) => Number(one.tagName[1]))")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        n_tables = page.locator("table").count()
        assert page.locator("table > caption").count() == n_tables
        assert page.locator("table:has(thead th[scope=col]):has(tbody th[scope=row])").count() == n_tables
        assert page.locator(".chart:not([aria-label])").count() == 0


def test_what_is_folded_is_printed_and_fits_the_paper(browser, paths):
    with opened(browser, paths["number_page"]) as page:
        assert not page.locator("details.print").first.evaluate("one => one.open")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details.print").first.evaluate("one => one.open")
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert not page.locator("details.print").first.evaluate("one => one.open")
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("nav").is_hidden()
        assert page.pdf().startswith(b"%PDF")


def test_without_scripts_the_numbers_are_there(browser, paths):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(paths["number_page"].as_uri())
    assert page.locator("noscript").count() == 1
    assert page.locator("figure table").count() == page.locator("figure").count()
    context.close()
