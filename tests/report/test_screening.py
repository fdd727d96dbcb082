"""The page of a screened library."""

import numpy as np
import pandas as pd
import pytest
from report.document import Document, data_of
from report.hostile import SCRIPT

from molrate.report.screening import Screened, count_columns, screening_page
from molrate.screening.hits import screen


@pytest.fixture(scope="module")
def hits(surroundings, number_model, tmp_path_factory):
    model, data = number_model
    folder = tmp_path_factory.mktemp("library")
    rows = [(f"{SCRIPT}{row}", smiles, row % 2) for row, smiles in enumerate(data.dataset.smiles[:50])]
    frame = pd.DataFrame([*rows, ("bad", "C1CC(", 0)], columns=["id", "smiles", "active"])
    frame.to_csv(folder / "library.csv", index=False)
    return screen(
        folder / "library.csv", model.folder, folder / "hits", label_column="active", jobs=1, chunk_size=20
    )


def screened(hits, model):
    return Screened(
        hits.parts,
        hits.summary,
        model,
        hits.write_top(10, False, None),
        "highest",
        hits.write_enrichment(False),
    )


def test_histograms_of_parts_are_those_of_the_whole(hits):
    frame, column = hits.frame, hits.ranking.name
    found = count_columns(hits.parts, [column, "similarity", "no such column"])
    assert list(found) == [column, "similarity"]
    values = frame[column].dropna().to_numpy()
    assert found[column].n == len(values) == 50
    assert found[column].counts.tolist() == np.histogram(values, found[column].edges)[0].tolist()
    assert (found[column].low, found[column].high) == (values.min(), values.max())


def test_the_page_has_predictions_applicability_and_known_actives(hits, number_model):
    page = screening_page(screened(hits, number_model[0]), "library.csv", command="molrate screen x")
    keys = [section.key for section in page.shown]
    assert keys == ["verdict", "best", "predictions", "applicability", "enrichment", "run"]
    html = page.to_html()
    document = Document(html)
    assert "50 of 51 rows done" in "".join(document.text)
    assert SCRIPT in "".join(document.text)
    assert "<script>document.title" not in html
    assert len(document.named("img")) == 10


def test_without_structures_rows_are_numbers(hits, number_model):
    page = screening_page(screened(hits, number_model[0]), "library.csv", structures=False)
    html = page.to_html()
    assert SCRIPT not in "".join(Document(html).text)
    assert not Document(html).named("img")
    assert data_of(html, "structures") == {}
    top = hits.top(10)
    assert all(smiles not in html for smiles in top["canonical_smiles"] if len(smiles) > 4)
