"""Models of scikit-learn in the place of a head, as one fits them to fingerprints and descriptors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import cpu_count
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from molrate.data.splits import fold_molecules
from molrate.data.targets import Target
from molrate.errors import InputError, WeightsError
from molrate.models.closed_form import MAX_STEPS, PENALTIES, fit_ridge, logistic_strength
from molrate.models.head import Task

_Floats = npt.NDArray[np.float64]
_Names = npt.NDArray[np.str_]

_FOLDS = 3
_N_TREES, _N_TREES_OF_FOLDS = 300, 100
_READ = ("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")
"""Types that a file may hold beside those that skops knows to be harmless: arrays of nodes of trees."""


class EstimatorHead:
    """A fitted estimator for each target, in the place of :class:`molrate.models.head.Head`.

    Parameters
    ----------
    kinds : sequence of str
        ``forest``, ``boosting`` or ``linear``, for each target.
    estimators : sequence
        Of scikit-learn, likewise.
    width : int
        Dimension d of the features they read.
    """

    def __init__(self, kinds: Sequence[str], estimators: Sequence[Any], width: int) -> None:
        self.kinds, self.estimators, self.width = list(kinds), list(estimators), width

    @classmethod
    def fit(
        cls,
        task: Task,
        features: npt.NDArray[np.float32],
        values: _Floats,
        seed: int = 0,
        kinds: Sequence[str] = ("forest", "boosting", "linear"),
        balanced: bool = False,
        molecules: Sequence[str] | None = None,
    ) -> EstimatorHead:
        """Fit to each target the kind of model that predicts it best in three folds of molecules.

        Parameters
        ----------
        task : Task
        features : ndarray, shape (n, d)
        values : ndarray, shape (n, n_targets)
            Values or class codes, NaN where not measured.
        seed : int
        kinds : sequence of str
            One alone is fitted without folds.
        balanced : bool
            Whether every class, and not every molecule, counts alike.
        molecules : sequence of str, length n, optional
            What rows of one molecule have in common; all are different if not given.

        Raises
        ------
        InputError
            If a class has no molecule.

        Examples
        --------
        >>> features = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
        >>> task, values = Task("regression", ("y",)), 2.0 * features[:, :1]
        >>> head = EstimatorHead.fit(task, features, values)
        >>> head.kinds, head.values(features, "regression").shape
        (['linear'], (60, 1))
        """
        chosen, fitted = [], []
        names = np.arange(len(features)).astype(str) if molecules is None else np.array(molecules, dtype=str)
        for column, target in enumerate(task.targets):
            measured = ~np.isnan(values[:, column])
            known, rows, own = values[measured, column], features[measured], names[measured]
            if task.kind != "regression" and len(np.unique(known)) < len(task.classes[column]):
                raise InputError(f"target {target!r}: a class has no molecule to fit a model on")
            kind = kinds[0] if len(kinds) == 1 else _best_kind(task, rows, known, own, seed, kinds, balanced)
            chosen.append(kind)
            fitted.append(_fit(task, kind, rows, known, own, seed, balanced))
        return cls(chosen, fitted, features.shape[1])

    def values(self, features: npt.NDArray[np.float32], kind: str) -> _Floats:
        """Values in the target's unit, or probabilities, for features (n, d), shape (n, n_outputs)."""
        if kind == "regression":
            return np.column_stack([estimator.predict(features) for estimator in self.estimators])
        probabilities = [estimator.predict_proba(features) for estimator in self.estimators]
        if kind == "multiclass":
            return np.asarray(probabilities[0], dtype=np.float64)
        return np.column_stack([by_class[:, 1] for by_class in probabilities])

    def write(self, path: Path) -> None:
        """Write a file that :meth:`read` reads without running anything that stands in it."""
        from zipfile import ZIP_DEFLATED

        import skops.io

        content = {"kinds": self.kinds, "estimators": self.estimators, "width": self.width}
        path.write_bytes(skops.io.dumps(content, compression=ZIP_DEFLATED))

    @classmethod
    def read(cls, path: Path) -> EstimatorHead:
        """Read what :meth:`write` wrote.

        Raises
        ------
        WeightsError
            If it holds anything but estimators, or cannot be read.
        """
        import skops.io

        try:
            foreign = sorted(set(skops.io.get_untrusted_types(file=path)) - set(_READ))
            if foreign:
                raise WeightsError(f"{path}: refused, as it holds {', '.join(foreign)}")
            content = skops.io.load(path, trusted=list(_READ))
            return cls(content["kinds"], content["estimators"], content["width"])
        except WeightsError:
            raise
        except Exception as error:
            # skops gives no type of its own to what can be wrong with a file.
            raise WeightsError(f"{path}: cannot be read as a fitted model: {error!r}") from error


def _best_kind(
    task: Task,
    rows: npt.NDArray[np.float32],
    known: _Floats,
    molecules: _Names,
    seed: int,
    kinds: Sequence[str],
    balanced: bool,
) -> str:
    """The kind whose predictions of molecules left out are best; the first where too few are left out."""
    errors = dict.fromkeys(kinds, 0.0)
    for fitted, left_out in _folds(task, known, molecules, seed):
        for kind in kinds:
            shown = rows[fitted], known[fitted], molecules[fitted]
            estimator = _fit(task, kind, *shown, seed, balanced, _N_TREES_OF_FOLDS)
            errors[kind] += _error(task, estimator, rows[left_out], known[left_out])
    return min(errors, key=lambda kind: errors[kind])


def _folds(task: Task, known: _Floats, molecules: _Names, seed: int) -> Iterator[tuple[Any, Any]]:
    """Rows to fit to and rows to leave out, no molecule in both; none where a class would be missing."""
    n_molecules, numbers = len(np.unique(molecules)), task.kind == "regression"
    if numbers:
        enough = n_molecules >= 2 * _FOLDS
    else:
        enough = min(len(np.unique(molecules[known == code])) for code in np.unique(known)) >= _FOLDS
    if not enough:
        return
    if n_molecules < len(molecules):
        classes = tuple(str(code) for code in np.unique(known))
        targets = [] if numbers else [Target("", "classification", known, classes)]
        for left_out in fold_molecules(molecules.tolist(), _FOLDS, seed, targets):
            yield np.setdiff1d(np.arange(len(known)), left_out), left_out
    elif numbers:
        yield from KFold(_FOLDS, shuffle=True, random_state=seed).split(known)
    else:
        yield from StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(known, known)


def _error(task: Task, estimator: Any, rows: npt.NDArray[np.float32], known: _Floats) -> float:
    if task.kind == "regression":
        return float(mean_squared_error(known, estimator.predict(rows)))
    return float(log_loss(known, estimator.predict_proba(rows), labels=estimator.classes_))


def _fit(
    task: Task,
    kind: str,
    rows: npt.NDArray[np.float32],
    known: _Floats,
    molecules: _Names,
    seed: int,
    balanced: bool,
    n_trees: int = _N_TREES,
) -> Any:
    """A fitted estimator of a kind."""
    numbers = task.kind == "regression"
    weight = {"class_weight": "balanced"} if balanced and not numbers else {}
    estimator: Any
    if kind == "linear":
        # A linear map knows no end: what a molecule has more of than any learned from counts as the most.
        scaling = MinMaxScaler(clip=True), StandardScaler()
        estimator = make_pipeline(*scaling, _linear(task, rows, known, molecules, weight))
    elif kind == "forest":
        trees = RandomForestRegressor if numbers else RandomForestClassifier
        share = 1 / 3 if numbers else "sqrt"
        estimator = trees(n_trees, max_features=share, n_jobs=cpu_count(), random_state=seed, **weight)
    else:
        boosting = HistGradientBoostingRegressor if numbers else HistGradientBoostingClassifier
        estimator = boosting(max_features=0.2, random_state=seed, **weight)
    estimator.fit(rows, known)
    if kind == "forest":
        # Threads add trees up in any order, and the last digit of a prediction with them.
        estimator.set_params(n_jobs=1)
    return estimator


def _linear(
    task: Task, rows: npt.NDArray[np.float32], known: _Floats, molecules: _Names, weight: dict[str, str]
) -> Any:
    """Ridge, or logistic regression, with the penalty that predicts left-out molecules best."""
    numbers = task.kind == "regression"
    if numbers and len(np.unique(molecules)) == len(molecules):
        return RidgeCV(PENALTIES)
    scaled = StandardScaler().fit_transform(rows)
    if numbers:
        return RidgeCV([fit_ridge(scaled, known, molecules).alpha_])
    return LogisticRegression(C=logistic_strength(scaled, known, molecules), max_iter=MAX_STEPS, **weight)
