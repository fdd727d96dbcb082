"""The transformers library, which an extra installs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from molrate.errors import WeightsError


class MissingLibraryError(WeightsError):
    """Weights that cannot be read without a library of an extra."""


def need(name: str) -> Any:
    """Import a library of the extra; it takes seconds.

    Raises
    ------
    MissingLibraryError
        With the line that installs it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"language models need {name}, which is not installed: pip install 'molrate[hf]'"
        ) from error


def configure(architecture: dict[str, Any], source: str) -> Any:
    """Make the library's settings object of plain settings.

    `source` is where they come from, for what is said of them.

    Raises
    ------
    WeightsError
        If the installed library does not have the kind of model.
    MissingLibraryError
        If it is not installed.
    """
    transformers = need("transformers")
    settings = dict(architecture)
    kind = settings.pop("model_type")
    if kind not in transformers.CONFIG_MAPPING:
        raise WeightsError(
            f"{source}: transformers {transformers.__version__} has no model of the type {kind!r}"
        )
    try:
        return transformers.CONFIG_MAPPING[kind].from_dict(settings)
    except Exception as error:
        # Each kind of model checks its settings in its own way.
        raise WeightsError(f"{source}: not settings of a {kind} model: {error}") from error
