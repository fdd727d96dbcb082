"""What measures expected of encoders beside what fine-tuning gave: the table that forecasts are made by.

    python benchmarks/forecasts.py evidence/finetuning.csv evidence/scores evidence/forecasts.csv

A row for each dataset and encoder whose loss both measures expect, without encoders that have seen the labels
or may have: means over the seeds that rows and scores have in common. Printed is how far forecasts are off,
and Kendall's tau with what came.
"""

import sys
from pathlib import Path

import pandas as pd

from molrate.benchmarking.agreement import kendall
from molrate.ranking.contamination import are_suspect
from molrate.ranking.expected import CHANCE
from molrate.ranking.forecasts import forecast_errors, forecast_table, forecasts_off

MEASURES = ("loo", "tangent")
KEY = ["dataset", "seed", "encoder"]


def make_table(rows: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``forecasts.csv``."""
    rows = rows[(rows["status"] == "ok") & (rows["split"] == "random") & ~rows["frozen"].astype(bool)]
    rows = rows[~are_suspect(rows["encoder"], rows["dataset"])]
    table = rows[[*KEY, "kind", "metric"]].assign(
        guess=rows["deviation"].where(rows["metric"] == "rmse", CHANCE),
        frozen=rows["frozen_test"],
        finetuned=rows["test"],
    )
    for measure in MEASURES:
        own = scores[(scores["measure"] == measure) & scores["status"].isin(["ok", "unreliable"])]
        # Of classes the measure is the area itself.
        value = own["rmse"].where(own["metric"] == "rmse", own["value"])
        table = table.merge(own[KEY].assign(**{measure: value}), on=KEY)
    keys = ["dataset", "metric", "encoder", "kind"]
    means = table.groupby(keys)[["guess", "frozen", "finetuned", *MEASURES]].mean()
    return means.join(table.groupby(keys)["seed"].nunique().rename("seeds")).reset_index()


def accuracy() -> pd.DataFrame:
    """How far the shipped table's expectations were off, and Kendall's tau with what came, by dataset."""
    rows = []
    for dataset, own in forecast_errors(forecast_table()).groupby("dataset"):
        frozen_off = (own["loo"] / own["frozen"] - 1).abs().mean()
        frozen_tau = kendall(own["loo"], own["frozen"])
        tau = kendall(own["forecast"], own["finetuned"])
        rows.append((dataset, frozen_off, frozen_tau, own["off"].mean(), tau))
    return pd.DataFrame(
        rows, columns=["dataset", "frozen off", "frozen tau", "finetuned off", "finetuned tau"]
    )


def main(rows: Path, scores: Path, output: Path) -> None:
    """Write the table, and print what it says."""
    read = [pd.read_csv(path) for path in sorted(scores.glob("*-random-*.csv"))]
    make_table(pd.read_csv(rows), pd.concat(read)).to_csv(output, index=False, float_format="%.6g")
    print(accuracy().round(3).to_string(index=False))
    print(forecasts_off())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
