import numpy as np
import pandas as pd
import pytest

from molrate.benchmarking.cells import Outcome

ENCODERS = [f"network-{number}" for number in range(6)]
QUALITY = np.arange(6.0)


def row(dataset, metric, encoder, seed, test, **changed):
    values = dict.fromkeys(Outcome.__dataclass_fields__, 0)
    values |= {"dataset": dataset, "split": "random", "seed": seed, "encoder": encoder, "metric": metric}
    values |= {
        "test": test,
        "validation": test,
        "status": "ok",
        "frozen": False,
        "family": encoder[:7],
        "seconds": 100.0,
    }
    values["deviation"] = 4.0 if metric == "rmse" else np.nan
    return values | changed


def variants(dataset, seed):
    """TransRate: wrong about the best two from 50 molecules, right from all, reversed by a distortion."""
    misled = QUALITY.copy()
    misled[[4, 5]] = QUALITY[[5, 4]]
    settings = (("molecules", 50, misled), ("molecules", np.inf, QUALITY), ("epsilon squared", 1, -QUALITY))
    return pd.concat(
        pd.DataFrame(
            {
                "dataset": dataset,
                "split": "random",
                "seed": seed,
                "encoder": ENCODERS,
                "measure": "transrate",
                "setting": setting,
                "to": to,
                "n": 50,
                "value": excess,
                "excess": excess,
                "embedding_seconds": 0.15,
                "seconds": 0.05,
            }
        )
        for setting, to, excess in settings
    )


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
    for kind in ("scores", "variants"):
        (tmp_path / kind).mkdir()
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
                        "relative": np.nan,
                        "z": sign * QUALITY,
                        "seconds": 0.1,
                    }
                )
                for measure, sign in (("transrate", 1), ("reversed", -1))
            )
            scores.to_csv(tmp_path / "scores" / f"{dataset}-random-{seed}.csv", index=False)
            variants(dataset, seed).to_csv(
                tmp_path / "variants" / f"{dataset}-random-{seed}.csv", index=False
            )
    return tmp_path
