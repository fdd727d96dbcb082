"""What a resumable run was asked for: all that changes its results, kept in its folder and compared.

A run writes its request before anything else. The same command given again finds it equal and goes on; any
other is refused with what differs, so that a folder never holds results of two requests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from molrate.errors import InputError, UsageError
from molrate.files.output import write_atomically

REQUEST = "request.json"

Request = dict[str, Any]

_LIBRARIES = ("molrate", "rdkit", "torch", "numpy", "scikit-learn")
_SHOWN = 40
"""Characters of a value in a message."""


def make_request(command: str, layout: int, **content: Any) -> Request:
    """All that changes the results of a run, as plain values.

    Parameters
    ----------
    command : str
        Whose run it is.
    layout : int
        Version of what the command writes into a folder; raised when an older version could not go on.
    **content
        Digests of the input, identities of encoders, settings, seeds.

    Examples
    --------
    >>> make_request("finetune", 1, seed=0)["seed"]
    0
    """
    request: Request = json.loads(
        json.dumps({"command": command, "format": layout, **content, "versions": library_versions()})
    )
    return request


def library_versions() -> dict[str, str]:
    """Versions of molrate and of the libraries that its numbers come from."""
    return {name: version(name) for name in _LIBRARIES}


def differences(earlier: Any, now: Any, name: str = "") -> list[str]:
    """Where two requests differ, each with both values.

    >>> differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
    ['b.c (2 before, 3 now)']
    """
    if isinstance(earlier, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(earlier.keys() | now.keys())
            for line in differences(earlier.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]
    if earlier == now:
        return []
    return [f"{name} ({_shown(earlier)} before, {_shown(now)} now)"]


def refuse_another(where: str, earlier: Any, now: Any) -> None:
    """Make sure that what a place holds is what is asked for now.

    Parameters
    ----------
    where : str
        As messages name it, such as ``-o FOLDER``.
    earlier, now : dict
        Requests.

    Raises
    ------
    UsageError
        If they differ; with what, and both values.
    """
    if isinstance(earlier, dict) and earlier.get("format") != now.get("format"):
        raise UsageError(
            f"{where}: it holds a run of format {earlier.get('format')}, and this version of molrate writes "
            f"format {now.get('format')}; name another folder"
        )
    differing = differences(earlier, now)
    if differing:
        raise UsageError(
            f"{where}: it holds a run of another request: {'; '.join(differing)}. Give the same again to go "
            "on with it, or name another folder"
        )


def read_request(folder: Path, traces: Sequence[str] = ()) -> Request | None:
    """What the run in a folder was asked for, or None if there is no run.

    Parameters
    ----------
    folder : pathlib.Path
    traces : sequence of str
        Files, as patterns, that only a run leaves.

    Raises
    ------
    UsageError
        If there is a run and it does not say what it was asked for.
    InputError
        If what it says cannot be read.
    """
    path = folder / REQUEST
    try:
        if not path.is_file():
            left = next((found.name for trace in traces for found in folder.glob(trace)), None)
            if left is None:
                return None
            raise UsageError(
                f"-o {folder}: it has {left} and no {REQUEST}, so nobody knows what it is of: an older "
                "version of molrate wrote it, or it is no run; name another folder"
            )
        request = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(request, dict):
            raise TypeError("it is no JSON object")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: cannot be read: {error}; name another folder (-o)") from error
    return request


def take_up(folder: Path, request: Request, traces: Sequence[str] = ()) -> bool:
    """Whether a folder holds a run of the same request, finished or not.

    Parameters
    ----------
    folder : pathlib.Path
    request : dict
        Of :func:`make_request`.
    traces : sequence of str
        As of :func:`read_request`.

    Raises
    ------
    UsageError
        If it holds a run of another request.
    InputError
        If it cannot be read.
    """
    earlier = read_request(folder, traces)
    if earlier is None:
        return False
    refuse_another(f"-o {folder}", earlier, request)
    return True


def extend_request(folder: Path, request: Request, tables: Sequence[str], traces: Sequence[str] = ()) -> None:
    """Take up a run that grows: of some tables of its request, entries may be added but not changed.

    Parameters
    ----------
    folder : pathlib.Path
    request : dict
        Of :func:`make_request`.
    tables : sequence of str
        Keys of dictionaries in it.
    traces : sequence of str
        As of :func:`read_request`.

    Raises
    ------
    UsageError
        If the folder holds a run of which something else differs.
    InputError
        If it cannot be read or written.
    """
    earlier = read_request(folder, traces)
    if earlier is None:
        note_request(folder, request)
        return
    both = {table: {**earlier.get(table, {}), **request[table]} for table in tables}
    again = {table: {**request[table], **earlier.get(table, {})} for table in tables}
    refuse_another(f"-o {folder}", {**earlier, **again}, {**request, **both})
    if both != {table: earlier[table] for table in tables}:
        note_request(folder, {**request, **both})


def note_request(folder: Path, request: Request) -> None:
    """Say in a folder what its run is asked for.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o {folder}: cannot be made: {error.strerror}") from error
    write_atomically(folder / REQUEST, (json.dumps(request, indent=2) + "\n").encode())


def _shown(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
