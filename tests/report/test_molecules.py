import numpy as np
import pytest

from molrate.data.molecules import standardise
from molrate.data.targets import Target
from molrate.models.applicability import Domain, similarities
from molrate.report.molecules import (
    MOST_COMPARED,
    Shown,
    cliff_blocks,
    left_out,
    map_chart,
)
from molrate.report.structures import Structures

SERIES = ["CCCCCCCC", "CCCCCCCCC", "CCCCCCCCO", "c1ccccc1", "Cc1ccccc1", "CCN", "CCCN", "OCC"]


def shown(values, smiles=SERIES, classes=(), hidden=False):
    canonical = standardise(smiles).canonical
    task = "classification" if classes else "regression"
    target = Target("y", task, np.asarray(values, dtype=float), classes)
    ids = np.array([f"name-{row}" for row in range(len(smiles))], dtype=object)
    return Shown(target, np.arange(len(smiles)), canonical, ids, Structures(hidden))


def pairs(blocks):
    return [card.lines for card in blocks[1].cards]


def test_the_widest_gap_among_near_neighbours_comes_first():
    blocks = cliff_blocks(shown([0, 5, 1, 9, 0, 0, 0, 0]))
    assert pairs(blocks)[0][:2] == ["name-0 (row 1): 0", "name-1 (row 2): 5"]


def test_equal_values_and_far_molecules_are_no_cliffs():
    assert cliff_blocks(shown([1] * 8)) == []
    assert cliff_blocks(shown([0, 9], ["c1ccccc1", "CCN"])) == []


def test_each_molecule_is_in_one_pair():
    lines = [line for card in pairs(cliff_blocks(shown(range(8)))) for line in card[:2]]
    assert len(lines) == len(set(lines))


def test_cliffs_of_classes_are_of_different_ones():
    for lines in pairs(cliff_blocks(shown([0, 1, 0, 0, 1, 0, 1, 0], classes=("no", "yes")))):
        assert {line.split(": ")[1] for line in lines[:2]} == {"no", "yes"}


def test_similarity_is_that_of_the_models_domain():
    molecules = standardise(SERIES)
    table = similarities([molecules.molecule(row) for row in range(len(SERIES))])
    assert np.diagonal(table) == pytest.approx(np.ones(len(SERIES)))
    nearest = Domain(SERIES[1:]).nearest(molecules)
    assert nearest[0] == pytest.approx(table[0, 1:].max())


def test_names_are_rows_where_they_are_hidden():
    hidden = shown(range(8), hidden=True)
    assert hidden.name(2) == "row 3"
    assert hidden.smiles(0, 1) == []


def test_a_draw_holds_what_must_be_in_it_and_no_more_than_asked_for():
    many = shown(np.arange(8))
    assert {6, 7} <= set(many.drawn(3, [6, 7]))
    assert len(many.drawn(3, [6, 7])) == 3
    assert many.drawn(MOST_COMPARED) == list(range(8))


def test_left_out_predictions_are_those_of_fits_without_the_molecule():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 3))
    values = features @ [1.0, -2.0, 0.5]
    smiles = ["C" * n for n in range(1, 61)]
    judged = left_out(shown(values, smiles), features)
    assert judged.predicted == pytest.approx(values, abs=0.05)
    assert judged.errors == pytest.approx(values - judged.predicted)
    spoilt = values.copy()
    spoilt[7] += 30
    assert left_out(shown(spoilt, smiles), features).worst[0] == 7


def test_the_map_keeps_what_is_apart_in_the_features_apart():
    features = np.r_[np.zeros((4, 6)), np.ones((4, 6))] + np.random.default_rng(0).normal(size=(8, 6)) / 100
    chart = map_chart("m", shown([0] * 4 + [1] * 4, classes=("no", "yes")), features, "net")
    at = {row["name"]: row["x"] for row in chart.spec["datasets"][chart.spec["data"]["name"]]}
    left = [at[f"name-{row} (row {row + 1})"] < 0 for row in range(8)]
    assert left in ([True] * 4 + [False] * 4, [False] * 4 + [True] * 4)
