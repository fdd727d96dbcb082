import numpy as np
import pytest

from molrate.benchmarking.agreement import weighted
from molrate.benchmarking.curves import agreement_curves, time_table
from molrate.benchmarking.figure import make_curves
from molrate.benchmarking.read import read_results
from molrate.errors import InputError
from molrate.plotting import write_figure

QUALITY = np.arange(6.0)


def test_each_setting_has_its_agreement(results):
    curves = agreement_curves(read_results(results)).set_index(["setting", "to"])
    misled = QUALITY[[0, 1, 2, 3, 5, 4]]
    assert curves.loc[("molecules", 50.0), "weighted tau"] == pytest.approx(weighted(misled, QUALITY))
    assert curves.loc[("molecules", np.inf), "weighted tau"] == pytest.approx(1)
    assert curves.loc[("epsilon squared", 1.0), "weighted tau"] == pytest.approx(-1)
    assert (curves["datasets"] == 2).all()
    assert (curves["deviation"] == 0).all()


def test_time_against_fine_tuning(results):
    times = time_table(read_results(results), "transrate")
    assert times["dataset"].tolist() == ["a", "r"]
    np.testing.assert_allclose(times["speed-up"], 100 / 0.2)
    np.testing.assert_allclose(times["measure alone"], 100 / 0.05)


def test_results_without_variants(results):
    for path in (results / "variants").glob("*.csv"):
        path.unlink()
    outcomes = read_results(results)
    assert agreement_curves(outcomes).empty
    assert time_table(outcomes, "transrate").empty
    with pytest.raises(InputError, match="no scores with fewer molecules"):
        make_curves(outcomes)


def test_a_measure_has_one_colour_in_both_panels():
    few, distorted = make_curves(read_results()).axes
    colours = [
        {line.get_label(): line[0].get_color() for line in panel.containers} for panel in (few, distorted)
    ]
    assert len(set(colours[0].values())) == len(colours[0]) > 1
    assert colours[1] == {"transrate": colours[0]["transrate"]}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_equal_figures_are_equal_files(results, tmp_path, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "other")]
    for path in paths:
        write_figure(make_curves(read_results(results)), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
