"""Does a ranking order frozen encoders and baselines as their held-out errors do?

    MOLRATE_WEIGHTS=... MOLRATE_DATA=... python benchmarks/frozen_order.py FOLDER order.csv [DATASET ...]

FOLDER has the tables of ``benchmarks/more_tables.py``. The truth is the metric of frozen encoders, and of
baselines with the model chosen for them, on the molecules held out by the study's random splits, the mean
over seeds (``benchmarks/study/finetuning.csv``). Scores see what is left of the first split only. Kendall's
tau-b for the expected frozen error (``loo``) and for TransRate's excess in the common dimension and in the
full one.
"""

import sys
from pathlib import Path

import pandas as pd
from scipy.stats import kendalltau

import molrate
from molrate.benchmarking.run import training_part
from molrate.finetuning.data import TrainingData

ROWS = Path(__file__).parent / "study" / "finetuning.csv"
TABLES = ("photoswitch", "logbb", "lipophilicity", "adme_solubility")
ORDERS = ("loo", "transrate", "transrate-full")


def held_out(dataset: str) -> pd.Series:
    """Held-out error of every encoder, the lower the better."""
    rows = pd.read_csv(ROWS)
    rows = rows[(rows["dataset"] == dataset) & (rows["status"] == "ok") & (rows["split"] == "random")]
    metric = rows["frozen_test"].fillna(rows["test"])
    return metric.groupby(rows["encoder"]).mean() * (1 if (rows["metric"] == "rmse").all() else -1)


def scores(source: str, dataset: str, encoders: list[str]) -> pd.DataFrame:
    """What the encoders are ordered by, a column for each of :data:`ORDERS`."""
    target = ("y",) if dataset in TABLES else None
    part = training_part(TrainingData.of(molrate.load_dataset(source, target), "random", 0))
    common = molrate.score(part, encoders=encoders, measures=["transrate", "loo"]).frame
    full = molrate.score(part, encoders=encoders, measures=["transrate"], common_dimension=None).frame
    by_measure = common.set_index(["encoder", "measure"])
    return pd.DataFrame(
        {
            "loo": by_measure["value"].xs("loo", level="measure"),
            "transrate": by_measure["excess"].xs("transrate", level="measure"),
            "transrate-full": full.set_index("encoder")["excess"],
        }
    )


def main(folder: Path, output: Path, datasets: list[str]) -> None:
    """Write a row for each dataset, and print it."""
    rows = []
    for dataset in datasets or sorted(pd.read_csv(ROWS)["dataset"].unique()):
        errors = held_out(dataset)
        source = str(folder / f"{dataset}.csv") if dataset in TABLES else dataset
        table = scores(source, dataset, list(errors.index))
        taus = {name: kendalltau(table[name], -errors[table.index]).statistic for name in ORDERS}
        rows.append({"dataset": dataset, "candidates": len(errors), **taus})
        print(rows[-1], flush=True)
        pd.DataFrame(rows).to_csv(output, index=False, float_format="%.3f")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
