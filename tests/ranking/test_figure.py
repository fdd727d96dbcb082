import pytest

import molrate
from molrate.errors import UsageError
from molrate.plotting import COLOURS


@pytest.fixture(scope="module")
def ranking(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("MOLRATE_CACHE", str(tmp_path_factory.mktemp("cache")))
    dataset = molrate.load_dataset("freesolv")
    few = dataset.take(range(80))
    yield molrate.score(few, encoders=["gin-untrained", "ecfp4"], layer="all")
    patch.undo()


def labels(panel):
    return [text.get_text() for text in panel.get_yticklabels()]


def test_candidates_are_drawn_best_first_with_their_intervals(ranking):
    (panel,) = ranking.plot().axes
    best = ranking.frame[ranking.frame["layer_rank"] == 1]
    assert labels(panel) == best["encoder"].tolist()
    drawn = {tuple(line.get_xydata()[0]) for line in panel.lines if len(line.get_xydata()) == 1}
    assert drawn == {(excess, place) for place, excess in enumerate(best["excess"])}
    bars = [segment for lines in panel.collections for segment in lines.get_segments()]
    low = sorted(segment[0][0] for segment in bars)
    assert low == pytest.approx(sorted(best["low"]))
    assert panel.get_ylim()[0] > panel.get_ylim()[1]


def test_layers_are_drawn_in_order_of_depth(ranking):
    (panel,) = ranking.plot_layers().axes
    profile = ranking.layer_profile("gin-untrained", "freesolv")
    assert panel.lines[0].get_ydata() == pytest.approx(profile["value"].to_numpy())
    assert profile["layer"].tolist() == list(molrate.load_encoder("gin-untrained").layers)
    assert panel.lines[0].get_color() == COLOURS[0]
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["gin-untrained"]


def test_a_profile_is_what_the_rows_say(ranking):
    profile = ranking.layer_profile("gin-untrained", "freesolv").set_index("layer")
    rows = ranking.frame[ranking.frame["encoder"] == "gin-untrained"].set_index("layer")
    assert profile["value"].to_dict() == pytest.approx(rows["excess"].to_dict())
    assert profile["low"].to_dict() == pytest.approx(rows["low"].to_dict())


def test_what_was_not_ranked_is_not_drawn(ranking):
    with pytest.raises(UsageError, match="transrate"):
        ranking.plot("transrate")
    with pytest.raises(UsageError, match="several layers"):
        ranking.plot_layers(encoders=["ecfp4"])
