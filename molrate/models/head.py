"""From embeddings to predictions: scaling, a head, and the loss that passes over what was not measured."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from molrate.data.classes import find_class
from molrate.data.targets import Target
from molrate.errors import InputError, UsageError
from molrate.measures.rowspace import FEATURE_LIMIT, NORM_LIMIT

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Task:
    """What a head predicts.

    Attributes
    ----------
    kind : {"regression", "binary", "multiclass"}
        Any number of numbers, any number of yes-or-no targets, or one target of more classes.
    targets : tuple of str
    classes : tuple of tuple of str
        Class labels of each target, in the order of codes; empty for numbers.
    positives : tuple of str or None
        The class of each target that is sought, the second of two; None where it is not known; empty for
        numbers.
    """

    kind: str
    targets: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...] = ()
    positives: tuple[str | None, ...] = ()

    @classmethod
    def of(cls, targets: Sequence[Target]) -> Task:
        """The task that targets make together.

        Raises
        ------
        InputError
            If they are of different kinds, or several of them have more than two classes.
        """
        names = tuple(target.name for target in targets)
        tasks = {target.task for target in targets}
        if tasks == {"regression"}:
            return cls("regression", names)
        if len(tasks) > 1:
            raise InputError(f"{', '.join(names)}: fine-tune classes and numbers apart (--target)")
        classes = tuple(target.classes for target in targets)
        positives = tuple(target.positive for target in targets)
        if all(len(labels) == 2 for labels in classes):
            return cls("binary", names, classes, positives)
        if len(targets) == 1:
            return cls("multiclass", names, classes, positives)
        raise InputError(f"{', '.join(names)}: fine-tune targets of more than two classes apart (--target)")

    @property
    def n_outputs(self) -> int:
        """Numbers a head gives for each molecule."""
        return len(self.classes[0]) if self.kind == "multiclass" else len(self.targets)

    def record(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Task:
        """The task of plain values that :meth:`record` gave, however JSON wrote them."""
        classes = tuple(map(tuple, record["classes"]))
        return cls(record["kind"], tuple(record["targets"]), classes, tuple(record["positives"]))

    def notes(self) -> list[str]:
        """Sentences on pairs of classes of which neither is known to be the positive one."""
        if self.kind != "binary":
            return []
        return [
            f"{name}: neither {classes[0]} nor {classes[1]} is known as the positive class; there are "
            "predictions of both; name one with --positive to rank by it"
            for name, classes, positive in zip(self.targets, self.classes, self.positives, strict=True)
            if positive is None
        ]

    def columns(self, outputs: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
        """Outputs of a head (n, n_outputs) under the names they have in tables.

        ``predicted_TARGET`` for numbers; for classes ``predicted_TARGET=CLASS``, the probability of that
        class: the positive one of two, or each one where there are more or none is known to be positive.
        """
        if self.kind == "regression":
            return {f"predicted_{name}": outputs[:, place] for place, name in enumerate(self.targets)}
        columns = {}
        for place, (name, classes) in enumerate(zip(self.targets, self.classes, strict=True)):
            probabilities = self.probabilities(outputs, place)
            for code, label in enumerate(classes):
                if self.kind == "multiclass" or self.positives[place] in (None, label):
                    columns[f"predicted_{name}={label}"] = probabilities[:, code]
        return columns

    def probabilities(self, outputs: npt.NDArray[np.float64], place: int) -> npt.NDArray[np.float64]:
        """Probability of every class of the target at a place, shape (n, n_classes)."""
        if self.kind == "multiclass":
            return outputs
        return np.column_stack([1 - outputs[:, place], outputs[:, place]])

    def order_by(self, positive: str | None = None) -> RankingColumn:
        """The column that molecules are ranked by, of the first target.

        Parameters
        ----------
        positive : str, optional
            The class that is sought; by default the one that the task knows.

        Raises
        ------
        UsageError
            If no class is known to be sought, or there is none of that name.
        """
        name = self.targets[0]
        if self.kind == "regression":
            if positive is not None:
                raise UsageError(f"target {name!r} holds numbers and has no class {positive!r} (--positive)")
            return RankingColumn(f"predicted_{name}")
        classes, known = self.classes[0], self.positives[0]
        if positive is None and known is None:
            raise UsageError(
                f"target {name!r} has the classes {', '.join(classes)}; say which one is to come first with "
                f"--positive, such as --positive {shlex.quote(classes[-1])}"
            )
        label = known if positive is None else find_class(classes, positive)
        if label is None:
            raise UsageError(
                f"target {name!r} has no class {positive!r} (--positive); it has {', '.join(classes)}"
            )
        rest = tuple(other for other in classes if other != label)
        if self.kind == "binary" and known not in (None, label):
            return RankingColumn(f"predicted_{name}={known}", label, rest, reverse=True)
        return RankingColumn(f"predicted_{name}={label}", label, rest)


@dataclass(frozen=True)
class RankingColumn:
    """A column of predictions that molecules are ranked by.

    Attributes
    ----------
    name : str
        Of the column.
    positive : str, optional
        The class that is sought; None for numbers.
    negatives : tuple of str
        The other classes.
    reverse : bool
        Whether the column is the probability of the other of two classes, so that its lowest value is the
        highest of the class sought.
    """

    name: str
    positive: str | None = None
    negatives: tuple[str, ...] = ()
    reverse: bool = False

    def describe(self, smallest: bool = False) -> str:
        """What comes first: ``highest predicted_activity=active``."""
        return f"{'lowest' if smallest != self.reverse else 'highest'} {self.name}"


def target_scaling(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Mean and spread of the values measured, shape (n, n_targets); a constant target spreads by one."""
    scale = np.nanstd(values, axis=0)
    return np.nanmean(values, axis=0), np.where(scale > 0, scale, 1)


class Head(nn.Module):
    """A linear map of scaled embeddings to scaled targets, corrected by a perceptron of one hidden layer.

    The perceptron's output is zero until it is trained, so that a head begins as the linear map that
    :func:`molrate.models.closed_form.fit_linear` fits.

    Parameters
    ----------
    width : int
        Dimension d of embeddings.
    n_outputs : int
    n_hidden : int
        0 leaves the perceptron out.
    dropout : float
        In the perceptron.
    """

    feature_mean: Tensor
    feature_scale: Tensor
    feature_limit: Tensor
    norm_limit: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(self, width: int, n_outputs: int, n_hidden: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_scale", torch.ones(width))
        self.register_buffer("feature_limit", torch.tensor(torch.inf))
        self.register_buffer("norm_limit", torch.tensor(torch.inf))
        # A small spread about a large mean has more digits than single precision.
        self.register_buffer("target_mean", torch.zeros(n_outputs, dtype=torch.float64))
        self.register_buffer("target_scale", torch.ones(n_outputs, dtype=torch.float64))
        self.linear = nn.Linear(width, n_outputs)
        self.perceptron = _perceptron(width, n_outputs, n_hidden, dropout) if n_hidden else None

    def scale_features(self, features: npt.NDArray[np.float32]) -> None:
        """Standardise embeddings by those of the training molecules, and bound what is far outside them.

        A molecule unlike all others, as hydrogen sulphide is in some published networks, can have an
        embedding, and so a prediction, hundreds of times too large.
        """
        wide = features.astype(np.float64)
        mean, scale = wide.mean(axis=0), wide.std(axis=0)
        # What varies by rounding alone is constant.
        scale[scale <= _ROUNDING * (1 + np.abs(mean))] = 1.0
        self.feature_mean.copy_(torch.from_numpy(mean.astype(np.float32)))
        self.feature_scale.copy_(torch.from_numpy(scale.astype(np.float32)))
        self.feature_limit.fill_(FEATURE_LIMIT)
        norms = np.linalg.norm(np.clip((wide - mean) / scale, -FEATURE_LIMIT, FEATURE_LIMIT), axis=1)
        self.norm_limit.fill_(NORM_LIMIT * float(np.median(norms)) or torch.inf)

    def scale_targets(self, values: npt.NDArray[np.float64]) -> None:
        """Standardise targets by the values measured in training, shape (n, n_outputs)."""
        mean, scale = target_scaling(values)
        self.target_mean.copy_(torch.from_numpy(mean))
        self.target_scale.copy_(torch.from_numpy(scale))

    def scaled(self, embeddings: Tensor) -> Tensor:
        """Embeddings as the layers read them, shape (n, d)."""
        scaled = (embeddings - self.feature_mean) / self.feature_scale
        scaled = scaled.clamp(-self.feature_limit, self.feature_limit)
        # The norm is bounded away from zero, where its derivative does not exist.
        norms = scaled.square().sum(dim=1, keepdim=True).clamp_min(_ROUNDING).sqrt()
        return scaled * (self.norm_limit / norms).clamp_max(1)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings (n, d) to scaled values or logits (n, n_outputs)."""
        scaled = self.scaled(embeddings)
        outputs: Tensor = self.linear(scaled)
        return outputs if self.perceptron is None else outputs + self.perceptron(scaled)

    def predict(self, embeddings: Tensor, kind: str) -> Tensor:
        """Embeddings (n, d) to values in the target's unit, or probabilities."""
        return self.in_unit(self(embeddings), kind)

    def values(self, features: npt.NDArray[np.float32], kind: str) -> npt.NDArray[np.float64]:
        """Values in the target's unit, or probabilities, for embeddings (n, d), shape (n, n_outputs)."""
        n_threads = torch.get_num_threads()
        # Sums of a few rows differ in their last digit with the number of threads.
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                return self.predict(torch.from_numpy(features), kind).double().numpy()
        finally:
            torch.set_num_threads(n_threads)

    def in_unit(self, outputs: Tensor, kind: str) -> Tensor:
        """Scaled values or logits to values in the target's unit, or probabilities."""
        if kind == "binary":
            return outputs.sigmoid()
        return (
            outputs.softmax(dim=-1)
            if kind == "multiclass"
            else outputs * self.target_scale + self.target_mean
        )


def _perceptron(width: int, n_outputs: int, n_hidden: int, dropout: float) -> nn.Sequential:
    """One hidden layer, whose output is zero as long as it is not trained."""
    last = nn.Linear(n_hidden, n_outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(width, n_hidden), nn.ReLU(), nn.Dropout(dropout), last
    )


class MaskedLoss(nn.Module):
    """Squared error of scaled values, or cross-entropy, averaged over what was measured.

    Parameters
    ----------
    kind : str
        Of :class:`Task`.
    weights : Tensor, optional
        Of the positive class of each target (n_targets,), or of each class (n_classes,).
    """

    weights: Tensor | None

    def __init__(self, kind: str, weights: Tensor | None = None) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("weights", weights)

    def share(self, targets: Tensor) -> Tensor:
        """What the loss is a mean over: the measured values, or the weights of their classes.

        The mean of several losses by these shares is the loss of all their rows together.
        """
        if self.kind == "multiclass" and self.weights is not None:
            return self.weights[targets[:, 0].long()].sum()
        return (~targets.isnan()).sum()

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of outputs (n, n_outputs) for targets (n, n_targets) with NaN where not measured."""
        if self.kind == "multiclass":
            return cross_entropy(outputs, targets[:, 0].long(), weight=self.weights)
        measured = ~targets.isnan()
        if not measured.any():
            return outputs.sum() * 0
        if self.kind == "regression":
            return mse_loss(outputs[measured], targets[measured])
        weight = None if self.weights is None else self.weights.expand_as(targets)[measured]
        return binary_cross_entropy_with_logits(outputs[measured], targets[measured], pos_weight=weight)


def balanced_weights(task: Task, values: npt.NDArray[np.float64]) -> Tensor | None:
    """Weights under which every class counts alike; None for numbers.

    Parameters
    ----------
    task : Task
    values : ndarray, shape (n, n_targets)
        Class codes in training, NaN where not measured.

    Raises
    ------
    InputError
        If a class is not there in training.
    """
    if task.kind == "regression":
        return None
    n_classes = max(2, task.n_outputs) if task.kind == "multiclass" else 2
    counts = np.stack([(values == code).sum(axis=0) for code in range(n_classes)])
    if (counts == 0).any():
        raise InputError("--class-weights balanced: a class has no molecule in the training part")
    if task.kind == "binary":
        return torch.from_numpy((counts[0] / counts[1]).astype(np.float32))
    return torch.from_numpy((counts.sum() / (n_classes * counts[:, 0])).astype(np.float32))
