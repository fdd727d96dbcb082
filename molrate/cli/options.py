"""Options that several commands share: each is written once, and means the same everywhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

LEARNING_RATES, WEIGHT_DECAYS, BATCH_SIZE = (1e-3,), (1e-5,), 32
"""Those of :class:`molrate.finetuning.config.FinetuningConfig`, which would take long to import here."""

SETTINGS = ("layer", "pooling", "standardisation", "duplicates", "precision")
"""Settings that travel with a model, beside its encoder."""


def examples(*lines: str) -> str:
    """The end of a command's help: calls, one a line."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def several(*options: Decorator) -> Decorator:
    """Options in the order in which help shows them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def packed(name: str, keys: Sequence[str], *options: Decorator) -> Decorator:
    """Options whose values arrive together, as a dictionary."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def with_options(**given: Any) -> Any:
            return function(**{name: {key: given.pop(key) for key in keys}}, **given)

        return several(*options)(with_options)

    return decorate


def was_given(name: str) -> bool:
    """Whether an option stands on the command line."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def refuse_given(names: Sequence[str], why: str) -> None:
    """Refuse options that mean nothing in this call.

    Raises
    ------
    click.UsageError
        If one was given.
    """
    for name in names:
        if was_given(name):
            raise click.UsageError(f"--{name.replace('_', '-')} {why}")


# Data and targets.


def target_options(task: bool = True) -> Decorator:
    """What is predicted, and how its cells are read."""
    task_option = click.option(
        "--task",
        type=click.Choice(["classification", "regression"]),
        help="Read targets as classes or as numbers. By default two values, or text, are classes, and other "
        "numbers are not.",
    )
    return several(
        click.option(
            "-t",
            "--target",
            multiple=True,
            metavar="COLUMN",
            help="Predict this column of the table of measurements. Repeat the option for more columns.",
        ),
        *([task_option] if task else []),
        click.option(
            "--positive",
            metavar="LABEL",
            help="Seek this class, where the labels do not say it as active, yes, true, + or 1 do.",
        ),
        click.option(
            "--censored",
            type=click.Choice(["drop", "bound"]),
            help="Leave out values such as <10, or take them for 10. By default they are refused.",
        ),
    )


def smiles_column_option() -> Decorator:
    """Where molecules are."""
    return click.option(
        "--smiles-column",
        metavar="NAME",
        help="Read SMILES from this column. By default it is found by its usual names.",
    )


def id_column_option() -> Decorator:
    """Where identifiers are."""
    return click.option(
        "--id-column",
        metavar="NAME",
        help="Read identifiers from this column. By default it is found by its usual names.",
    )


def input_format_option() -> Decorator:
    """How standard input is read."""
    return click.option(
        "--input-format",
        type=click.Choice(["csv", "tsv", "smi", "sdf"]),
        default="csv",
        show_default=True,
        help="Read standard input in this format. Files tell theirs by their ending.",
    )


def max_atoms_option() -> Decorator:
    """Which molecules are too large."""
    return click.option(
        "--max-atoms",
        type=click.IntRange(1),
        metavar="N",
        default=1000,
        show_default=True,
        help="Report molecules of more atoms than this, and do not compute them.",
    )


def refuse_input_format(names: Sequence[str]) -> None:
    """Refuse a format of standard input where it is not read.

    Raises
    ------
    click.UsageError
        If one was given.
    """
    if "-" not in names:
        refuse_given(["input_format"], "is of standard input (-); files tell it by their ending")


def on_invalid_option(keep: bool = False) -> Decorator:
    """What becomes of rows without a molecule; `keep` where there is a row for each."""
    kept = "Keep rows of invalid SMILES as empty ones with the reason, skip them" if keep else ""
    return click.option(
        "--on-invalid",
        type=click.Choice((["keep"] if keep else []) + ["skip", "fail"]),
        default="keep" if keep else "skip",
        show_default=True,
        help=f"{kept or 'Leave invalid SMILES out and say so'}, or stop at them.",
    )


# Settings that travel from score to finetune, and from a model to predict and screen.


def encoder_option(name: str, what: str, *, many: bool = False, **settings: Any) -> Decorator:
    """Which encoder."""
    more = " Repeat the option for more encoders." if many else ""
    return click.option(
        "-e",
        "--encoder",
        name,
        multiple=many,
        metavar="NAME",
        help=f"{what} (see molrate list encoders).{more}",
        **settings,
    )


def weights_option() -> Decorator:
    """Weights in place of the published ones."""
    return click.option(
        "--weights",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Read the encoder's weights from this checkpoint in place of the published one.",
    )


def layer_option(every: bool, default: str | None = "last") -> Decorator:
    """Which layer; `every` where all of them may be asked for."""
    names = "last, all, or the name of a layer" if every else "last, or the name of a layer"
    return click.option(
        "--layer",
        default=default,
        show_default=default is not None,
        metavar="NAME",
        help=f"Take the vectors of this layer: {names}.",
    )


def pooling_option(default: str | None = "mean") -> Decorator:
    """From atoms to a molecule."""
    return click.option(
        "--pooling",
        type=click.Choice(["mean", "sum", "max"]),
        default=default,
        show_default=default is not None,
        help="Make one vector of a molecule from those of its atoms by this function.",
    )


def standardisation_option(default: str | None = "largest-fragment") -> Decorator:
    """Form that molecules are brought into."""
    return click.option(
        "--standardisation",
        type=click.Choice(["largest-fragment", "none"]),
        default=default,
        show_default=default is not None,
        help="Keep the largest fragment of each molecule only, or all of them.",
    )


def duplicates_option(default: str | None = "keep") -> Decorator:
    """What becomes of rows of equal molecules."""
    return click.option(
        "--duplicates",
        type=click.Choice(["keep", "merge"]),
        default=default,
        show_default=default is not None,
        help="Keep all rows of equal molecules, or merge them into one: the mean of their values, or their "
        "class if all agree.",
    )


def precision_option(default: str | None = "fp32") -> Decorator:
    """Arithmetic of GROVER."""
    return click.option(
        "--precision",
        type=click.Choice(["fp32", "bf16"]),
        default=default,
        show_default=default is not None,
        help="Hold the weights and hidden states of GROVER encoders in this precision. bf16 is faster where "
        "the processor has it.",
    )


def settings_options(of_model: bool = False, every_layer: bool = True) -> Decorator:
    """All settings that travel with a model; `of_model` where a model has its own by default."""
    defaults = dict.fromkeys(SETTINGS) if of_model else None
    options = (
        layer_option(every_layer, **_default(defaults, "last")),
        pooling_option(**_default(defaults, "mean")),
        standardisation_option(**_default(defaults, "largest-fragment")),
        duplicates_option(**_default(defaults, "keep")),
        precision_option(**_default(defaults, "fp32")),
    )
    return packed("settings", SETTINGS, *options)


def _default(defaults: Any, value: str) -> dict[str, str | None]:
    return {"default": value if defaults is None else None}


# Computation.


def seed_option() -> Decorator:
    """Where random numbers come from."""
    return click.option(
        "--seed",
        type=click.IntRange(0),
        metavar="N",
        default=0,
        show_default=True,
        help="Draw all that is random from this seed.",
    )


def split_option(
    text: str = "Choose the molecules to test on at random, or by their scaffolds.",
) -> Decorator:
    """How the molecules to test on are chosen."""
    return click.option(
        "--split",
        type=click.Choice(["random", "scaffold"]),
        default="random",
        show_default=True,
        help=text,
    )


def epochs_option() -> Decorator:
    """How long networks are trained."""
    return click.option(
        "--epochs",
        type=click.IntRange(1),
        metavar="N",
        help="Pass over the training molecules at most so many times; by default 20,000 through their "
        "number, 10 at least and 30 at most.",
    )


def device_option() -> Decorator:
    """Where tensors are."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="Compute on this device: cpu, cuda, cuda:1 and so on. auto is a GPU where there is one.",
    )


def jobs_option(default: int | None = None) -> Decorator:
    """How many at a time."""
    otherwise = "" if default is not None else " By default there is one a core, or one a GPU."
    return click.option(
        "--jobs",
        type=click.IntRange(1),
        metavar="N",
        default=default,
        show_default=default is not None,
        help=f"Run this many workers at a time, each with a model of its own.{otherwise}",
    )


def leaving_out_options() -> Decorator:
    """Which encoders are not to be ranked."""
    return several(
        click.option(
            "--exclude-contaminated",
            is_flag=True,
            help="Leave out encoders that were trained on labels of DATASET, or on any measurements where "
            "DATASET is not public.",
        ),
        click.option(
            "--licence",
            metavar="NAME",
            help="Leave out encoders whose weights have another licence, or one that does not allow every "
            "use (permissive).",
        ),
    )


def engine_options() -> Decorator:
    """Local processes, or a cluster."""
    return several(
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Work in processes of this machine, or on a Ray cluster.",
        ),
        click.option(
            "--address",
            metavar="HOST:PORT",
            help="Use the Ray cluster of this address, or auto. By default one is started on this machine.",
        ),
    )


_TRAINING = (
    "learning_rate",
    "weight_decay",
    "epochs",
    "patience",
    "metric",
    "batch_size",
    "class_weights",
    "training_precision",
)


_METRICS = ("rmse", "mae", "r2", "auroc", "auprc", "mcc", "balanced_accuracy", "accuracy")


def training_options() -> Decorator:
    """How encoders are fine-tuned; they arrive as `training`, for :func:`training_config`."""
    return packed(
        "training",
        _TRAINING,
        click.option(
            "--learning-rate",
            multiple=True,
            type=float,
            default=LEARNING_RATES,
            show_default=True,
            metavar="RATE",
            help="Train the encoder with this learning rate. Repeat the option to try several; the one that "
            "validates best is kept.",
        ),
        click.option(
            "--weight-decay",
            multiple=True,
            type=float,
            default=WEIGHT_DECAYS,
            show_default=True,
            metavar="DECAY",
            help="Train with this weight decay. Repeat the option to try several with each learning rate.",
        ),
        epochs_option(),
        click.option(
            "--patience",
            type=click.IntRange(1),
            metavar="N",
            help="Stop after so many epochs in which training validates no better than before. By default "
            "all are run.",
        ),
        click.option(
            "--metric",
            type=click.Choice(_METRICS, case_sensitive=False),
            metavar="METRIC",
            help=f"Choose epoch and rate by this metric of the validation part ({', '.join(_METRICS)}); by "
            "default by the loss of numbers, and by auroc of classes. All are reported.",
        ),
        click.option(
            "--batch-size",
            type=click.IntRange(2),
            metavar="N",
            default=BATCH_SIZE,
            show_default=True,
            help="Learn from so many molecules at a time.",
        ),
        click.option(
            "--class-weights",
            type=click.Choice(["none", "balanced"]),
            default="none",
            show_default=True,
            help="Let every molecule, or every class, count alike in the loss.",
        ),
        click.option(
            "--training-precision",
            type=click.Choice(["fp32", "bf16", "fp16"]),
            default="fp32",
            show_default=True,
            help="Train in this precision; bf16 and fp16 are mixed with fp32.",
        ),
    )


def training_config(training: dict[str, Any], seed: int = 0) -> Any:
    """A :class:`molrate.finetuning.config.FinetuningConfig` of what :func:`training_options` were given."""
    from molrate.finetuning.config import FinetuningConfig

    return FinetuningConfig(
        learning_rates=training["learning_rate"],
        weight_decays=training["weight_decay"],
        n_epochs=training["epochs"],
        patience=training["patience"],
        metric=training["metric"],
        batch_size=training["batch_size"],
        class_weights=training["class_weights"],
        training_precision=training["training_precision"],
        seed=seed,
    )


# Models, and what is written.


def model_option(required: bool) -> Decorator:
    """Which model predicts."""
    return click.option(
        "-m",
        "--model",
        "model",
        required=required,
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help="Predict with the model in this folder, which molrate finetune wrote.",
    )


def coverage_option() -> Decorator:
    """How wide bounds are."""
    return click.option(
        "--coverage",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        metavar="SHARE",
        default=0.9,
        show_default=True,
        help="Give bounds and sets of classes that hold this share of true values; a set may be empty.",
    )


def output_option(what: str, metavar: str, required: bool = True, path: bool = False) -> Decorator:
    """Where results go."""
    kind = click.Path(path_type=Path) if path else click.STRING
    return click.option("-o", "--output", required=required, metavar=metavar, type=kind, help=what)


def format_option(formats: Sequence[str]) -> Decorator:
    """How results are printed."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(formats),
        default="table",
        show_default=True,
        help="Print this format on standard output.",
    )


# Logging.


def logging_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-q`` and ``-v``, and send the log to standard error while the command runs."""

    @wraps(function)
    def with_logging(quiet: bool, verbose: bool, **given: Any) -> Any:
        level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
        click.get_current_context().with_resource(_logging_to_stderr(level))
        return function(**given)

    return several(
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors on standard error."),
        click.option("-v", "--verbose", is_flag=True, help="Print more on standard error."),
    )(with_logging)


def is_quiet() -> bool:
    """Whether ``-q`` was given."""
    return bool(click.get_current_context().params["quiet"])


@contextmanager
def _logging_to_stderr(level: int) -> Iterator[None]:
    """Let standard error be the only place of the log, and put back what there was."""
    root, own = logging.getLogger(), logging.getLogger("molrate")
    handlers, levels = root.handlers[:], (root.level, own.level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    # Loggers of libraries that have a level of their own do not ask the root's.
    handler.setLevel(level)
    root.handlers[:] = [handler]
    root.setLevel(level)
    own.setLevel(level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        own.setLevel(levels[1])
