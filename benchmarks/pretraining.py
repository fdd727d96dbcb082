"""Effect of pretraining: ridge probes on shipped GROVER encoders and on their untrained architecture.

    MOLRATE_DATA=... python benchmarks/pretraining.py                 # what ships
    python benchmarks/pretraining.py base chembl /folder/model.safetensors   # a run of molrate pretrain

Five-fold ridge probes, repeated five times on the same folds for both encoders, on standardised features;
the penalty is chosen inside each training part. Area under the ROC curve for classes, R2 for numbers. The
interval of the mean difference is Nadeau and Bengio's (2003) for repeated folds, 95 %.
"""

import sys
from itertools import product

import numpy as np
from scipy.stats import t as student
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import molrate

DATASETS = ("bbbp", "bace", "esol", "freesolv")
FOLDS, REPEATS = 5, 5


def fold_scores(features, y, classes):
    """Score of each fold."""
    folds = (RepeatedStratifiedKFold if classes else RepeatedKFold)(
        n_splits=FOLDS, n_repeats=REPEATS, random_state=0
    )
    metric = roc_auc_score if classes else r2_score
    scores = []
    for train, test in folds.split(features, y):
        probe = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))
        scores.append(metric(y[test], probe.fit(features[train], y[train]).predict(features[test])))
    return np.array(scores)


def paired(differences):
    """Mean difference and half the width of its interval."""
    variance = differences.var(ddof=1) * (1 / len(differences) + 1 / (FOLDS - 1))
    return differences.mean(), student.ppf(0.975, len(differences) - 1) * np.sqrt(variance)


def compare(dataset, trained, untrained):
    smiles = dataset.smiles.tolist()
    target = dataset.targets[0]
    values = np.asarray(target.values)
    features = [molrate.embed(smiles, encoder) for encoder in (trained, untrained)]
    usable = np.all([np.isfinite(rows).all(axis=1) for rows in features], axis=0)
    classes = len(np.unique(values)) == 2
    y = (values == np.unique(values)[1]).astype(float) if classes else values.astype(float)
    scores = [fold_scores(rows[usable], y[usable], classes) for rows in features]
    mean, half_width = paired(scores[0] - scores[1])
    metric = "AUC" if classes else "R2"
    print(
        f"{dataset.name:9} {trained.name:20} {metric:3} {scores[0].mean():.3f}"
        f" untrained {scores[1].mean():.3f}"
        f" difference {mean:+.3f} [{mean - half_width:+.3f}, {mean + half_width:+.3f}]",
        flush=True,
    )


def main():
    loaded = [molrate.load_dataset(name) for name in DATASETS]
    if len(sys.argv) == 4:
        size, _, weights = sys.argv[1:]
        pairs = [(molrate.load_encoder(f"grover-{size}-untrained", weights), size)]
    else:
        names = product(("small", "base"), ("chembl", "zinc"))
        pairs = [(molrate.load_encoder(f"grover-{size}-{corpus}"), size) for size, corpus in names]
    for (trained, size), dataset in product(pairs, loaded):
        compare(dataset, trained, molrate.load_encoder(f"grover-{size}-untrained"))


if __name__ == "__main__":
    main()
