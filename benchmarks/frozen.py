"""Left-out errors of the study's frozen networks, beside what fine-tuning them gave: ``evidence/frozen.csv``.

    MOLRATE_WEIGHTS=... MOLRATE_DATA=... python benchmarks/frozen.py [FOLDER]

FOLDER has the tables of ``benchmarks/more_tables.py``. Frozen errors are of leave-one-out ridge (the measure
``loo``) on the molecules that fine-tuning with seed 0 learned from; fine-tuned ones are means over the seeds.
"""

import sys
from pathlib import Path

import pandas as pd

from molrate.benchmarking.run import training_part
from molrate.data.datasets import load_dataset
from molrate.finetuning.data import TrainingData
from molrate.measures.leave_one_out import leave_one_out
from molrate.ranking.molecules import make_candidates

EVIDENCE = Path(__file__).parents[1] / "evidence"
_MORE = ("photoswitch", "lipophilicity", "logbb")


def main(folder: Path) -> None:
    """Write the rows, one for each network and dataset."""
    tested = pd.read_csv(EVIDENCE / "finetuning.csv")
    tested = tested[(tested["status"] == "ok") & (tested["split"] == "random")]
    rows = []
    small_first = tested.groupby("dataset")["n_train"].first().sort_values().index
    for name in small_first:
        outcomes = tested[tested["dataset"] == name]
        more = name in _MORE
        source = load_dataset(str(folder / f"{name}.csv") if more else str(name), ("y",) if more else None)
        dataset = training_part(TrainingData.of(source, "random", 0))
        encoders = list(dict.fromkeys(outcomes["encoder"]))
        candidates, (target, *_) = make_candidates(dataset, encoders)
        task = target.target.task
        for candidate in candidates:
            features = candidate.features[target.rows]
            left_out = leave_one_out(
                features, target.resampling.values, task, groups=target.resampling.groups
            )
            own = outcomes[outcomes["encoder"] == candidate.encoder]
            rows.append(
                {
                    "dataset": name,
                    "task": task,
                    "encoder": candidate.encoder,
                    "kind": candidate.kind,
                    "n": len(target.rows),
                    "deviation": target.resampling.values.std() if task == "regression" else None,
                    "frozen": left_out.rmse if task == "regression" else left_out.value,
                    "finetuned": own["test"].mean(),
                    "seeds": len(own),
                }
            )
        print(f"{name}: {len(candidates)} encoders", flush=True)
        pd.DataFrame(rows).to_csv(EVIDENCE / "frozen.csv", index=False, float_format="%.5g")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
