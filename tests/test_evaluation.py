import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import weightedtau

from molrate.benchmarking import Outcome
from molrate.cli.main import cli
from molrate.errors import InputError
from molrate.evaluation import (
    evaluate,
    kendall,
    leave_out,
    noise_ceiling,
    pearson,
    read_results,
    regret,
    top_recall,
    weighted,
)

ENCODERS = [f"network-{number}" for number in range(6)]
QUALITY = np.arange(6.0)


def row(dataset, metric, encoder, seed, test, **changed):
    values = dict.fromkeys(Outcome.__dataclass_fields__, 0)
    values |= {"dataset": dataset, "split": "random", "seed": seed, "encoder": encoder, "metric": metric}
    values |= {"test": test, "status": "ok", "frozen": False, "family": encoder[:7], "seconds": 100.0}
    return values | changed


@pytest.fixture
def results(tmp_path):
    """Six networks of known quality on two datasets, a measure that knows it, one that has it reversed."""
    rows = []
    for (dataset, metric), seed, (encoder, quality) in (
        (d, s, e)
        for d in (("a", "auroc"), ("r", "rmse"))
        for s in (0, 1)
        for e in zip(ENCODERS, QUALITY, strict=True)
    ):
        noise = 0.001 * seed
        test = 0.6 + 0.05 * quality + noise if metric == "auroc" else 2 - 0.2 * quality + noise
        rows.append(row(dataset, metric, encoder, seed, test, n_parameters=100 - quality))
    rows.append(row("a", "auroc", "ecfp4", 0, 0.75, frozen=True))
    rows.append(row("a", "auroc", "ecfp4", 1, 0.75, frozen=True))
    rows.append(row("a", "auroc", "half-done", 0, 0.99))
    rows.append(row("a", "auroc", "failed", 0, np.nan, status="no code"))
    pd.DataFrame(rows).to_csv(tmp_path / "finetuning.csv", index=False)
    (tmp_path / "scores").mkdir()
    for dataset in ("a", "r"):
        for seed in (0, 1):
            scores = pd.concat(
                pd.DataFrame(
                    {
                        "dataset": dataset,
                        "split": "random",
                        "seed": seed,
                        "encoder": ENCODERS,
                        "measure": measure,
                        "value": sign * QUALITY,
                        "excess": sign * QUALITY,
                        "seconds": 0.1,
                    }
                )
                for measure, sign in (("transrate", 1), ("reversed", -1))
            )
            scores.to_csv(tmp_path / "scores" / f"{dataset}-random-{seed}.csv", index=False)
    return tmp_path


def test_good_and_bad_predictors_are_told_apart(results):
    means = evaluate(read_results(results)).means().set_index("predictor")
    good, bad = means.loc["transrate"], means.loc["reversed"]
    assert good[["tau", "weighted tau", "pearson", "top-3 recall"]].to_numpy(dtype=float) == pytest.approx(1)
    assert good["regret"] == 0
    assert bad["tau"] == pytest.approx(-1)
    assert bad["top-3 recall"] == 0
    # The worst instead of the best: 0.6 instead of 0.85, and an error of 2 instead of 1.
    assert bad["regret"] == pytest.approx(((0.85 - 0.6) / 0.8505 + 1 / 1.0005) / 2, rel=1e-3)
    assert means.loc["size", "tau"] == pytest.approx(-1)
    assert good["low"] > 0.5
    assert bad["high"] < 0


def test_half_done_failed_and_frozen_encoders_are_not_ranked(results):
    trials = read_results(results)
    assert [trial.encoders for trial in trials] == [ENCODERS, ENCODERS]
    assert trials[0].reference == pytest.approx(0.75)
    assert np.isnan(trials[1].reference)
    assert (trials[1].truth < 0).all()
    assert trials[0].finetuning_seconds / trials[0].scoring_seconds == pytest.approx(1000)


def test_a_seed_that_is_not_finished_does_not_count(results):
    finished = read_results(results)
    frame = pd.read_csv(results / "finetuning.csv")
    extra = frame[(frame["seed"] == 1) & frame["encoder"].isin(ENCODERS[:3])].assign(seed=2)
    pd.concat([frame, extra]).to_csv(results / "finetuning.csv", index=False)
    for one, other in zip(read_results(results), finished, strict=True):
        assert one.encoders == other.encoders
        np.testing.assert_array_equal(one.truth, other.truth)


def test_metrics_by_hand():
    scores, truth = np.array([3.0, 1.0, 2.0, 0.0]), np.array([0.9, 0.8, 0.7, 0.6])
    assert kendall(scores, truth) == pytest.approx((5 - 1) / 6)
    assert weighted(scores, truth) == pytest.approx(weightedtau(scores, truth, rank=True).statistic)
    assert pearson(scores, truth) == pytest.approx(np.corrcoef(scores, truth)[0, 1])
    assert top_recall(scores, truth) == 1
    assert regret(scores, truth) == 0
    assert regret(-scores, truth) == pytest.approx(0.3 / 0.9)
    # Three share the highest score: their mean.
    assert regret(np.array([1.0, 1.0, 1.0, 0.0]), truth) == pytest.approx(0.1 / 0.9)
    constant = np.ones(4)
    assert kendall(constant, truth) == weighted(constant, truth) == pearson(constant, truth) == 0


def test_the_ceiling_is_the_agreement_of_seeds(results):
    trial = read_results(results)[0]
    assert noise_ceiling(trial) == pytest.approx(1)
    noisy = trial.truth.copy()
    noisy[:, 1] = noisy[::-1, 0]
    one = type(trial)(**{**vars(trial), "truth": noisy})
    assert noise_ceiling(one) < -0.9
    assert np.isnan(noise_ceiling(type(trial)(**{**vars(trial), "truth": trial.truth[:, :1]})))


def test_leaving_out(results):
    table = leave_out(read_results(results), "transrate", "encoders")
    assert table["left out"].tolist() == ENCODERS
    np.testing.assert_allclose(table["weighted tau"], 1)
    assert np.isnan(leave_out(read_results(results), "transrate", "families")["weighted tau"]).all()


def test_the_command(results, tmp_path):
    written = ["-o", str(tmp_path / "out"), "--figure", str(tmp_path / "f.png")]
    measures = ["--measure", "transrate", "--measure", "reversed"]
    done = CliRunner().invoke(cli, ["evaluate", str(results), *written, *measures])
    assert done.exit_code == 0, done.output
    assert "| transrate | 1.00 |" in done.output
    assert (tmp_path / "out" / "summary.md").read_text() == done.output
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    refused = CliRunner().invoke(cli, ["evaluate", str(results), "--figure", "f.png", "--measure", "nothing"])
    assert refused.exit_code == 2
    assert "--measure nothing: it is not in these results" in refused.output


def test_no_results(tmp_path):
    with pytest.raises(InputError, match="no results of molrate benchmark"):
        read_results(tmp_path)
