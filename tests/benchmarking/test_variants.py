import numpy as np
import pytest

from molrate.benchmarking.variants import EPSILONS, VARIED, variant_table
from molrate.data.targets import Target
from molrate.measures.rowspace import leading_components
from molrate.measures.transrate import TransRate
from molrate.ranking.candidates import Candidate, ScoredTarget
from molrate.statistics.resampling import make_resampling


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(0)
    values = generator.normal(size=130)
    features = values[:, None] * generator.normal(size=8) + 0.3 * generator.normal(size=(130, 8))
    target = ScoredTarget(
        Target("y", "regression", values, ()), np.arange(130), make_resampling(values, "regression")
    )
    candidates = [
        Candidate("informative", "last", features, seconds=3.0),
        Candidate("noise", "last", generator.normal(size=(130, 8)), seconds=2.0),
    ]
    return features, values, variant_table(candidates, target, seed=1)


def test_every_setting_is_scored_once(table):
    _, _, frame = table
    keys = ["encoder", "measure", "setting", "to"]
    assert not frame.duplicated(keys).any()
    assert len(frame) == 2 * (len(VARIED) * 3 + len(EPSILONS) + 1)
    assert frame["excess"].notna().all()
    assert set(frame.loc[np.isinf(frame["to"]), "n"]) == {130}
    sized = frame[(frame["setting"] == "molecules") & np.isfinite(frame["to"])]
    assert (sized["n"] == sized["to"]).all()
    assert frame.groupby("encoder")["embedding_seconds"].unique().to_dict() == {
        "informative": [3],
        "noise": [2],
    }
    assert (frame["seconds"] < 3).all()


def test_values_are_those_of_the_measure(table):
    features, values, frame = table
    # Six ranges of 21 or 22 molecules leave room for ten components.
    common = leading_components(features, 10)
    ours = frame[(frame["encoder"] == "informative") & (frame["setting"] == "epsilon squared")]
    for row in ours.to_dict("records"):
        expected = TransRate(epsilon_squared=row["to"]).score(common, values, task="regression").value
        assert row["value"] == pytest.approx(expected, rel=1e-9)


def test_labels_are_told_from_noise(table):
    _, _, frame = table
    full = frame[np.isinf(frame["to"])].pivot_table(index="measure", columns="encoder", values="excess")
    assert (full["informative"] > full["noise"]).all()
