"""Does a ranking order frozen encoders and baselines as cross-validation of models on their features does?

    export MOLRATE_WEIGHTS=... MOLRATE_DATA=...
    python benchmarks/frozen_order.py truth FOLDER frozen-cv.csv [DATASET ...]
    python benchmarks/frozen_order.py order FOLDER frozen-cv.csv order.csv

FOLDER has the tables of ``benchmarks/more_tables.py``. The truth is the error (or AUROC) of the better of
ridge (logistic) regression and a random forest of scikit-learn on the features, the mean over folds of
repeated cross-validation: two times five folds, and one time above 1,500 molecules. All molecules are ranked.
Kendall's tau-b with the truth, for the expected frozen error (the column ``frozen``) and for TransRate's
excess in the common dimension and in the full one; and the mean absolute difference, in per cent, of the
expected frozen error from the truth.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import roc_auc_score, root_mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import molrate
from molrate.ranking.molecules import make_candidates

STUDY = Path(__file__).parent.parent / "evidence" / "finetuning.csv"
DATASETS = ("freesolv", "photoswitch", "esol", "logbb", "bace", "bbbp", "b3db_2000", "lipophilicity")
TABLES = ("photoswitch", "logbb", "lipophilicity", "b3db_2000")
ORDERS = ("frozen", "transrate", "transrate-full")
N_FOLDS, N_TREES, MOST_REPEATED = 5, 100, 1_500


def load(folder: Path, name: str) -> molrate.Dataset:
    """One of the datasets of the first study."""
    return (
        molrate.load_dataset(str(folder / f"{name}.csv"), ("y",))
        if name in TABLES
        else molrate.load_dataset(name)
    )


def models(regression: bool, seed: int) -> dict[str, object]:
    """The two models by name."""
    # Outlying molecules are bounded, as a linear map knows no end.
    scaling = MinMaxScaler(clip=True), StandardScaler()
    if regression:
        return {
            "ridge": make_pipeline(*scaling, RidgeCV(np.logspace(-1, 5, 13))),
            "forest": RandomForestRegressor(N_TREES, max_features=0.1, random_state=seed),
        }
    penalised = LogisticRegressionCV(
        Cs=np.logspace(-4, 0, 5),
        cv=3,
        scoring="neg_log_loss",
        max_iter=200,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
    return {
        "ridge": make_pipeline(*scaling, penalised),
        "forest": RandomForestClassifier(N_TREES, max_features="sqrt", random_state=seed),
    }


def cross_validate(features: np.ndarray, labels: np.ndarray, regression: bool) -> dict[str, float]:
    """Mean error or AUROC over folds, by model."""
    found: dict[str, list[float]] = {}
    for repeat in range(2 if len(labels) <= MOST_REPEATED else 1):
        kind = KFold if regression else StratifiedKFold
        for fitted, left in kind(N_FOLDS, shuffle=True, random_state=repeat).split(features, labels):
            for name, model in models(regression, repeat).items():
                model.fit(features[fitted], labels[fitted])
                if regression:
                    value = root_mean_squared_error(labels[left], model.predict(features[left]))
                else:
                    value = roc_auc_score(labels[left], model.predict_proba(features[left])[:, 1])
                found.setdefault(name, []).append(float(value))
    return {name: float(np.mean(values)) for name, values in found.items()}


def truth(folder: Path, output: Path, datasets: list[str]) -> None:
    """Write a row for each dataset and encoder that the file lacks."""
    encoders = sorted(pd.read_csv(STUDY)["encoder"].unique())
    rows = pd.read_csv(output).to_dict("records") if output.exists() else []
    for dataset in datasets or DATASETS:
        done = {row["encoder"] for row in rows if row["dataset"] == dataset}
        if set(encoders) <= done:
            continue
        candidates, (target, *_) = make_candidates(load(folder, dataset), encoders)
        regression = target.target.task == "regression"
        labels = target.resampling.values if regression else target.resampling.codes
        for candidate in candidates:
            if candidate.encoder in done:
                continue
            started = time.perf_counter()
            features = np.asarray(candidate.features[target.rows], dtype=np.float64)
            values = cross_validate(features, labels, regression)
            metric = "rmse" if regression else "auroc"
            rows.append({"dataset": dataset, "encoder": candidate.encoder, "metric": metric, **values})
            print(dataset, candidate.encoder, values, f"{time.perf_counter() - started:.0f} s", flush=True)
            pd.DataFrame(rows).to_csv(output, index=False, float_format="%.5g")


def order(folder: Path, path: Path, output: Path) -> None:
    """Write a row for each dataset, and print it."""
    rows = []
    for dataset, table in pd.read_csv(path).groupby("dataset", sort=False):
        by_encoder = table.set_index("encoder")
        regression = (by_encoder["metric"] == "rmse").all()
        models = by_encoder[["ridge", "forest"]]
        best = models.min(axis=1) if regression else models.max(axis=1)
        source = load(folder, str(dataset))
        encoders = list(best.index)
        common = molrate.score(source, encoders=encoders, measures=["transrate"]).frame
        full = molrate.score(source, encoders=encoders, measures=["transrate"], common_dimension=None).frame
        excess = common.set_index("encoder")
        scores = pd.DataFrame(
            {
                "frozen": (-1 if regression else 1) * excess["frozen"],
                "transrate": excess["excess"],
                "transrate-full": full.set_index("encoder")["excess"],
            }
        ).loc[encoders]
        better = -best if regression else best
        # One that hardly varies has no TransRate in the common dimension.
        taus = {name: kendalltau(scores[name], better, nan_policy="omit").statistic for name in ORDERS}
        off = 100 * (excess["frozen"].loc[encoders] / best - 1).abs().mean()
        rows.append({"dataset": dataset, "candidates": len(best), **taus, "off": off})
        print(rows[-1], flush=True)
        pd.DataFrame(rows).to_csv(output, index=False, float_format="%.3f")
    print(pd.DataFrame(rows)[[*ORDERS, "off"]].mean().round(3).to_dict())


if __name__ == "__main__":
    if sys.argv[1] == "truth":
        truth(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
    else:
        order(*map(Path, sys.argv[2:5]))
