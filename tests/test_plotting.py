import matplotlib
import numpy as np
import pytest

from molrate.errors import InputError
from molrate.models.figure import draw_parity
from molrate.plotting import COLOURS, DRAWABLE, MARKS, mark, new_figure, style, write_figure


def drawn():
    with style():
        figure = new_figure(3, 2)
        figure.subplots().plot([0, 1], [1, 0], **mark(1))
    return figure


@pytest.mark.parametrize("ending", DRAWABLE)
def test_equal_figures_are_equal_files(tmp_path, ending):
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    for path in paths:
        write_figure(drawn(), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending]
    assert paths[0].read_bytes().startswith(start)


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_figure(drawn(), tmp_path / "no" / "a.png")


def test_the_style_ends_with_the_drawing():
    before = dict(matplotlib.rcParams)
    line = drawn().axes[0].lines[0]
    assert dict(matplotlib.rcParams) == before
    assert (line.get_color(), line.get_marker()) == (COLOURS[1], MARKS[1])
    assert len(set(COLOURS)) == len(COLOURS)


@pytest.mark.parametrize("ending", DRAWABLE)
def test_names_with_dollars_are_drawn_as_they_are(tmp_path, ending):
    names = ["p$K_{a$", "cost $/g vs $/mol"]
    with style():
        figure = new_figure(3, 2)
        panel = figure.subplots()
        panel.plot([0, 1], [1, 0], label=names[0])
        panel.set_title(names[1])
        panel.set_yticks([0, 1], names)
        panel.legend()
    write_figure(figure, tmp_path / f"a{ending}")
    if ending == ".svg":
        text = (tmp_path / "a.svg").read_text()
        assert all(f"<!-- {name} -->" in text for name in names)


def test_a_parity_plot_shows_where_the_values_are():
    measured = np.linspace(276, 303, 50)
    panel = draw_parity({"Tm": (measured, measured + 1)}).axes[0]
    low, high = panel.get_xlim()
    assert 250 < low < 276
    assert 303 < high < 330


def test_more_series_than_colours_differ_all_the_same():
    drawn = [tuple(mark(number).values()) for number in range(len(COLOURS) * len(MARKS))]
    assert len(set(drawn)) == len(drawn)
