"""How fine-tuned losses went with expected ones: relations on tables of which all is known."""

import numpy as np
import pandas as pd
import pytest

from molrate.ranking import study
from molrate.ranking.contamination import are_suspect
from molrate.ranking.forecasts import forecast_errors, forecast_table, forecasts_off, relation_of

CACHED = (forecast_table, forecasts_off, relation_of)


@pytest.fixture
def fresh():
    """Nothing remembered of the study's files, before and after."""
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


def table_of(power, names=("d0", "d1", "d2", "d3"), metric="rmse", scatter=0.0):
    """Losses that are a power of what ``tangent`` expects, which is less than what ``loo`` expects."""
    generator = np.random.default_rng(0)
    rows = []
    for place, name in enumerate(names):
        guess = 10.0**place if metric == "rmse" else 0.5
        for encoder in range(6):
            share = generator.uniform(0.2, 0.9)
            losses = {"guess": guess, "loo": share**0.8 * guess, "tangent": share * guess}
            losses["frozen"] = losses["loo"]
            losses["finetuned"] = share**power * guess * np.exp(scatter * generator.normal())
            values = losses if metric == "rmse" else {key: 1 - loss for key, loss in losses.items()}
            rows.append({"dataset": name, "metric": metric, "encoder": f"e{encoder}", **values})
    return pd.DataFrame(rows).assign(kind="pretrained", seeds=3)


def ship(monkeypatch, tmp_path, table):
    (tmp_path / "evidence").mkdir()
    table.to_csv(tmp_path / "evidence" / "forecasts.csv", index=False)
    monkeypatch.setattr(study, "shipped", lambda kind: tmp_path / kind)


@pytest.mark.parametrize("metric", ["rmse", "auroc"])
def test_a_relation_is_the_power_that_made_the_losses(fresh, monkeypatch, tmp_path, metric):
    table = table_of(1.3, metric=metric)
    ship(monkeypatch, tmp_path, pd.concat([table, table[:1].assign(kind="control", finetuned=0.01)]))
    task, other = ("regression", "classification")[:: 1 if metric == "rmse" else -1]
    relation = relation_of("loo", task)
    power = 1.3 / 0.8
    assert (relation.power, relation.scatter) == pytest.approx((power, 0.0), abs=1e-6)
    assert (relation.datasets, relation.encoders) == (4, 6)
    assert relation.loss(0.5) == pytest.approx(0.5**power)
    assert relation.loss(1.0) == 1.0
    assert relation_of("loo", task, "d0").datasets == 3
    assert relation_of("loo", other) is None


def test_linearised_fine_tuning_is_taken_as_it_is(fresh, monkeypatch, tmp_path):
    table = table_of(1.3)
    ship(monkeypatch, tmp_path, table)
    relation = relation_of("tangent", "regression")
    assert relation.power == 1.0
    squares = np.log(table["finetuned"] / table["tangent"]) ** 2
    assert relation.scatter == pytest.approx(np.sqrt(squares.groupby(table["dataset"]).mean().mean()))
    errors = forecast_errors(forecast_table())
    assert errors["forecast"].to_numpy() == pytest.approx(table["tangent"].to_numpy())
    off = (table["tangent"] / table["finetuned"] - 1).groupby(table["dataset"]).mean().mean()
    assert forecasts_off() == {"rmse": pytest.approx(off)}


def test_what_is_expected_is_left_as_it_is_where_no_power_comes_nearer(fresh, monkeypatch, tmp_path):
    # Two datasets that say the opposite: what one says is worse than nothing on the other.
    table = pd.concat([table_of(1.1, ["d0"]), table_of(0.6, ["d1"])])
    ship(monkeypatch, tmp_path, table)
    relation = relation_of("loo", "regression")
    assert relation.power == 1.0
    logarithms = np.log(table["finetuned"] / table["loo"])
    squares = (logarithms**2).groupby(table["dataset"]).mean()
    assert relation.scatter == pytest.approx(np.sqrt(squares.mean()))


def test_one_dataset_tells_how_far_off_but_no_power(fresh, monkeypatch, tmp_path):
    ship(monkeypatch, tmp_path, table_of(1.3, ["d0"]))
    assert relation_of("tangent", "regression").power == 1.0
    assert relation_of("tangent", "regression").scatter > 0.1
    assert relation_of("loo", "regression") is None
    assert relation_of("tangent", "regression", "d0") is None


def test_a_forecast_is_never_worse_than_frozen(fresh, monkeypatch, tmp_path):
    table = table_of(1.0)
    ship(monkeypatch, tmp_path, table.assign(tangent=1.1 * table["loo"]))
    errors = forecast_errors(forecast_table())
    assert (errors["forecast"] <= errors["loo"] + 1e-12).all()


def test_a_power_is_found_in_noise(fresh, monkeypatch, tmp_path):
    ship(monkeypatch, tmp_path, table_of(1.3, scatter=0.1))
    relation = relation_of("loo", "regression")
    assert relation.power == pytest.approx(1.3 / 0.8, abs=0.1)
    assert relation.scatter == pytest.approx(0.1, rel=0.4)


def test_datasets_that_share_molecules_do_not_tell_of_each_other(fresh, monkeypatch, tmp_path):
    ship(monkeypatch, tmp_path, table_of(1.2, ["logbb", "bbbp", "esol"]))
    assert relation_of("tangent", "regression", "b3db").datasets == 1


def test_without_the_studys_files_there_is_no_relation(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(study, "shipped", lambda kind: tmp_path / kind)
    assert relation_of("tangent", "regression") is None
    assert forecasts_off() == {}


def test_the_shipped_table_is_of_clean_pairs_and_says_something(fresh):
    table = forecast_table()
    assert not are_suspect(table["encoder"], table["dataset"]).any()
    assert not table.duplicated(["dataset", "encoder"]).any()
    numbers = relation_of("tangent", "regression", "freesolv")
    assert numbers.datasets == 5
    assert numbers.power == 1.0
    assert 0 < numbers.scatter < relation_of("loo", "regression", "freesolv").scatter
    assert 0 < forecasts_off()["rmse"] < 0.3
    assert 0 < forecasts_off()["auroc"] < 0.1
