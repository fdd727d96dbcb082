"""Settings of a fine-tuning run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from molrate.errors import UsageError

CLASS_WEIGHTS = ("none", "balanced")
TRAINING_PRECISIONS = ("fp32", "bf16", "fp16")
_MOLECULES_SEEN, _FEWEST_PASSES, _MOST_PASSES = 20_000, 10, 30
"""How often all molecules together are to be seen, and the bounds of passes; see docs/finetuning.md."""


@dataclass(frozen=True)
class FinetuningConfig:
    """How an encoder and its head are trained; the same for every encoder that is compared.

    Attributes
    ----------
    learning_rates, weight_decays : tuple of float
        Of the encoder. Every pair is tried, and the one that validates best kept (the paper's section 4.1).
    head_rate : float
        Learning rate of the head, which begins where a closed form has fitted it.
    n_epochs : int, optional
        Most passes over the training part; by default as many as its size asks for (:meth:`passes`).
    patience : int, optional
        How many passes in which training validates no better end a trial; by default none does, as learning
        rates have not fallen before the last.
    warm_up : float
        Share of steps over which learning rates rise; afterwards they fall to zero as a cosine.
    ensemble : int
        How many models are trained, each without one of so many folds of the training molecules; their mean
        predicts. With 1, one model is trained.
    estimators : tuple of str
        Kinds that cross-validation chooses among for encoders that have nothing to train.
    metric : str, optional
        What validation chooses by, a name of :data:`molrate.models.metrics.HIGHER_IS_BETTER`; by default the
        loss of numbers, and of classes the area under the curve.
    batch_size : int
    n_hidden : int
        Width of the head's hidden layer.
    dropout : float
        In the head.
    clipped_norm : float
        Of gradients.
    class_weights : {"none", "balanced"}
        Whether every molecule or every class counts alike in the loss.
    training_precision : {"fp32", "bf16", "fp16"}
        Of the arithmetic of training; bf16 and fp16 are mixed with fp32.
    seed : int
        Draws the split, the head, layers not transferred, the order of molecules and dropout.
    """

    learning_rates: tuple[float, ...] = (1e-3,)
    weight_decays: tuple[float, ...] = (1e-5,)
    head_rate: float = 1e-3
    n_epochs: int | None = None
    patience: int | None = None
    warm_up: float = 0.1
    ensemble: int = 1
    estimators: tuple[str, ...] = ("forest", "boosting", "linear")
    metric: str | None = None
    batch_size: int = 32
    n_hidden: int = 300
    dropout: float = 0.1
    clipped_norm: float = 1.0
    class_weights: str = "none"
    training_precision: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with.

        Raises
        ------
        UsageError
            If a number is out of its range, or a word unknown.
        """
        least = {
            "n_epochs": ("--epochs", 1),
            "patience": ("--patience", 1),
            "batch_size": ("--batch-size", 2),
            "ensemble": ("--ensemble", 1),
            "seed": ("--seed", 0),
        }
        for name, (option, limit) in least.items():
            if getattr(self, name) is not None and getattr(self, name) < limit:
                raise UsageError(f"{option} is to be {limit} or more, not {getattr(self, name)}")
        known = {"class_weights": CLASS_WEIGHTS, "training_precision": TRAINING_PRECISIONS}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"unknown {option} {getattr(self, name)!r}; known: {', '.join(choices)}")
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise UsageError("--learning-rate is to be above zero")
        if not self.weight_decays or min(self.weight_decays) < 0:
            raise UsageError("--weight-decay is to be zero or above")

    def trials(self, frozen: bool = False) -> list[tuple[float, float]]:
        """Every learning rate with every weight decay; an encoder that is frozen learns at rate zero."""
        rates = (0.0,) if frozen else self.learning_rates
        return list(dict.fromkeys(product(rates, self.weight_decays)))

    def passes(self, n_molecules: int) -> int:
        """How many epochs a training part of some size gets.

        Examples
        --------
        >>> [FinetuningConfig().passes(n) for n in (100, 1000, 5000)]
        [30, 20, 10]
        """
        if self.n_epochs is not None:
            return self.n_epochs
        return int(np.clip(_MOLECULES_SEEN // n_molecules, _FEWEST_PASSES, _MOST_PASSES))

    def record(self) -> dict[str, Any]:
        """All settings, as plain values."""
        return asdict(self)


DEFAULTS = FinetuningConfig()


@dataclass(frozen=True)
class Transfer:
    """What of an encoder is transferred, and what the head reads.

    Attributes
    ----------
    n_layers : int, optional
        How many of the encoder's first layers are transferred, the rest drawn anew (the paper's section
        4.3); all by default.
    frozen : bool
        Train the head alone, on embeddings that stay as they are.
    layer : str
        Whose embeddings a frozen encoder gives.
    pooling : {"mean", "sum", "max"}
    precision : {"fp32", "bf16"}
        Of the weights and hidden states of a frozen GROVER encoder.
    descriptors : bool
        Whether the head reads RDKit's descriptors beside the embedding.

    Raises
    ------
    UsageError
        If they contradict one another.
    """

    n_layers: int | None = None
    frozen: bool = False
    layer: str = "last"
    pooling: str = "mean"
    precision: str = "fp32"
    descriptors: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant together."""
        if self.frozen and self.n_layers is not None:
            raise UsageError(
                "--layers says what fine-tuning transfers; --frozen trains no layer, take --layer"
            )
        if not self.frozen and self.layer != "last":
            raise UsageError(
                "--layer is for --frozen; fine-tuning takes the last layer, and --layers transfers fewer"
            )
        if not self.frozen and self.precision != "fp32":
            raise UsageError(
                f"--precision {self.precision} is for --frozen; weights that are trained stay fp32, and the "
                "arithmetic of training has --training-precision"
            )

    def record(self) -> dict[str, Any]:
        """All settings, as plain values."""
        return asdict(self)
