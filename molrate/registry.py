"""Registries of objects by name: an object is imported at first use, and other packages can add names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from molrate.errors import UsageError


@cache
def plugins(group: str) -> dict[str, EntryPoint]:
    """What other installed packages add to a group, by name.

    Read once: going through what is installed takes milliseconds, and names are looked up by the hundred.

    Parameters
    ----------
    group : str
        Entry-point group.
    """
    return {point.name: point for point in entry_points(group=group)}


class Registry:
    """Names mapped to ``"module:attribute"`` references, resolved on first use.

    Parameters
    ----------
    noun : str
        Noun for the things that the names stand for, used in error messages ("measure", "encoder family").
    group : str
        Entry-point group through which other installed packages add names.
    builtin : dict of str to str
        molrate's own names. They take precedence over entry points of the same name.
    """

    def __init__(self, noun: str, group: str, builtin: dict[str, str]) -> None:
        self.noun = noun
        self.group = group
        self._builtin = dict(builtin)

    @property
    def _plugins(self) -> dict[str, EntryPoint]:
        return {name: point for name, point in plugins(self.group).items() if name not in self._builtin}

    def __iter__(self) -> Iterator[str]:
        yield from self._builtin
        yield from sorted(self._plugins)

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def __getitem__(self, name: str) -> Any:
        """Import and return the object that `name` stands for.

        Raises
        ------
        UsageError
            If no such name is registered; the message lists the known names.
        """
        if name in self._builtin:
            module, attribute = self._builtin[name].split(":")
            return getattr(import_module(module), attribute)
        if name in self._plugins:
            return self._plugins[name].load()
        raise UsageError(f"unknown {self.noun} {name!r}; known: {', '.join(self)}")
