import matplotlib
import pytest

from molrate.errors import InputError
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
