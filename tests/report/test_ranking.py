"""The page of a ranking: what stands on it, and what does not."""

import json

import numpy as np
import pytest
from report.document import Document, data_of, rows_of
from report.hostile import CLASSES, COLUMN, SCRIPT

from molrate.data.datasets import load_dataset
from molrate.ranking.score_features import score_features
from molrate.report.agreement import ranking_table
from molrate.report.ranking import RankedMolecules, ranking_page
from molrate.report.rows import main_rows

ALL = ["verdict", "data", "ranking", "expected", "layers", "agreement", "map", "errors", "cliffs"]


@pytest.fixture(scope="module")
def html(number_page):
    return number_page.to_html()


def test_a_page_has_every_section_that_the_ranking_has(number_page):
    assert [section.key for section in number_page.shown] == [*ALL, "evidence", "run"]


def test_a_page_without_layers_or_molecules_is_without_their_sections(class_page, numbers):
    assert "layers" not in [section.key for section in class_page.shown]
    keys = [section.key for section in ranking_page(numbers[0]).shown]
    assert not {"data", "map", "errors", "cliffs"} & set(keys)
    assert {"verdict", "ranking", "expected"} <= set(keys)


def test_verdict_and_figures_are_those_of_the_ranking(html, numbers):
    ranking, _ = numbers
    text = "".join(Document(html).text)
    for _, sentence in ranking.verdict.labelled:
        assert sentence in text
    specs = data_of(html, "specs")
    drawn = rows_of(specs["order-0"], 1)
    rows = ranking.frame[(ranking.frame["measure"] == "transrate") & (ranking.frame["layer_rank"] == 1)]
    assert [row["value"] for row in drawn] == pytest.approx(rows["excess"].tolist())
    assert [row["low"] for row in drawn] == pytest.approx(rows["low"].tolist())
    assert sum(row["count"] for row in rows_of(specs["target-0"])) == 91


def test_names_from_data_are_text_and_never_markup(html):
    document = Document(html)
    assert SCRIPT in "".join(document.text)
    assert COLUMN in "".join(document.text)
    scripts = document.named("script")
    assert [script.get("type") for script in scripts] == ["application/json", "application/json", None, None]
    assert not [name for tag, attributes in document.elements for name in attributes if name.startswith("on")]
    assert all(image["src"].startswith("data:image/svg+xml,") for image in document.named("img"))
    assert "<script>document.title" not in html


def test_the_largest_errors_of_classes_are_of_their_own_score(class_page):
    section = next(one for one in class_page.shown if one.key == "errors")
    table = section.blocks[-1].blocks[0]
    scores, errors = ([float(row[place]) for row in table.rows] for place in (2, 3))
    assert [1 - score for score in scores] == pytest.approx(errors, abs=0.01)
    assert errors[0] > 0.5


def test_class_labels_are_text_too(class_page):
    html = class_page.to_html()
    document = Document(html)
    assert not document.named("b")
    assert not document.named("i")
    assert CLASSES[1] in "".join(document.text)
    assert {row["series"] for row in rows_of(data_of(html, "specs")["map-0"])} == set(CLASSES)


def test_a_script_that_is_not_the_page_s_may_not_run(html):
    policy = Document(html).named("meta")[1]["content"]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1]
    assert policy.count("sha256-") == 2


def test_nothing_is_loaded_and_the_page_is_small(html):
    document = Document(html)
    links = [attributes["href"] for attributes in document.named("a")]
    assert all(link.startswith("#") for link in links)
    assert not document.named("link")
    assert len(html.encode()) < 5e6


def test_structures_are_drawn_for_charts_and_named_in_their_rows(html):
    images = data_of(html, "structures")
    points = rows_of(data_of(html, "specs")["map-0"])
    assert len(points) == 91
    assert {point["structure"] for point in points} <= set(images)
    assert all(image.startswith("<svg") for image in images.values())


def test_without_structures_no_molecule_is_named_anywhere(hidden_page, numbers):
    ranking, dataset = numbers
    html = hidden_page.to_html()
    assert not Document(html).named("img")
    assert data_of(html, "structures") == {}
    text = "".join(Document(html).text) + json.dumps(data_of(html, "specs"))
    for secret in RankedMolecules(dataset).secrets:
        if len(secret) > 4:
            assert secret not in text, secret
    assert "notclosed" not in html
    assert "molecule-" not in html
    assert "row 7" in text
    assert any("notclosed" in note for note in ranking.notes)


def test_the_largest_errors_are_those_of_leave_one_out(numbers, number_page):
    ranking, _ = numbers
    section = next(one for one in number_page.shown if one.key == "errors")
    chart = next(block for block in section.blocks if block.kind == "chart")
    errors = [abs(float(row[3])) for row in chart.numbers.rows]
    assert errors == sorted(errors, reverse=True)
    choice = ranking.verdict.choices[0]
    encoder = choice.encoder or ranking.frame["encoder"].iloc[0]
    assert encoder in chart.caption
    drawn = rows_of(chart.spec, 1)
    rmse = np.sqrt(np.mean([(row["x"] - row["y"]) ** 2 for row in drawn]))
    row = ranking.frame[(ranking.frame["encoder"] == encoder) & (ranking.frame["layer_rank"] == 1)].iloc[0]
    assert rmse == pytest.approx(row["frozen"], rel=1e-6)


def test_orders_of_measures_agree_with_themselves(numbers):
    ranking, _ = numbers
    table = ranking_table(ranking, COLUMN)
    assert {"transrate", "logme", "loo", "expected error"} <= set(table.columns)
    best = ranking.frame[(ranking.frame["measure"] == "logme") & (ranking.frame["rank"] == 1)].iloc[0]
    assert table["logme"].idxmax() == (best["encoder"], best["layer"])


def order_table(page):
    section = next(one for one in page.shown if one.key == "ranking")
    return next(block for block in section.blocks if block.kind == "table")


def test_transrate_stands_beside_what_orders_as_in_the_terminal(classes, class_page):
    ranking, _ = classes
    table = order_table(class_page)
    place = table.header.index("TransRate")
    assert table.header[place - 1 : place + 1] == ["LogME", "TransRate"]
    assert "TransRate" not in table.left
    expected = [f"{value:.2f}" for value in main_rows(ranking)["transrate"]]
    assert [row[place] for row in table.rows] == expected
    assert "TransRate" in table.caption
    terminal = ranking.to_text()
    assert "LogME TransRate" in terminal
    assert all(value in terminal for value in expected)


def test_transrate_has_one_column_where_it_orders(number_page):
    table = order_table(number_page)
    assert table.header.count("TransRate") == 1
    assert "beside" not in table.caption


def test_transrate_stands_beside_what_orders_features_unless_they_are_streamed(tmp_path, monkeypatch):
    table = order_table(ranking_page(ranking_of_features(tmp_path)))
    assert {"LogME", "TransRate"} <= set(table.header)
    monkeypatch.setattr("molrate.ranking.score_features.HELD_VALUES", 10)
    table = order_table(ranking_page(ranking_of_features(tmp_path)))
    assert "LogME" in table.header
    assert "TransRate" not in table.header
    assert "TransRate" not in table.caption


def test_the_command_is_on_the_page(html):
    assert "molrate score &#34;&lt;script" in html


def ranking_of_features(folder, **given):
    dataset = load_dataset("freesolv")
    generator = np.random.default_rng(0)
    np.savez(folder / "a.npz", x=generator.normal(size=(60, 5)), z=generator.normal(size=(60, 3)))
    return score_features([folder / "a.npz"], dataset.targets[0].values[:60], **given)


def test_features_without_molecules_have_a_page(tmp_path):
    ranking = ranking_of_features(tmp_path)
    keys = [section.key for section in ranking_page(ranking).shown]
    assert keys[0] == "verdict"
    assert "run" in keys
