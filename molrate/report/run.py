"""How a page came about: versions, settings, and the command that makes it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from molrate.report.page import Block, Code, Details, Facts, Section, Text
from molrate.report.tables import Table


def made_by(run: Mapping[str, Any]) -> str:
    """Version and date of a run."""
    created = datetime.fromisoformat(run["created"])
    return f"Made by molrate {run['versions']['molrate']} on {created.day} {created:%B %Y, %H:%M} UTC"


def run_section(run: Mapping[str, Any], command: str) -> Section:
    """Versions, settings, and the command that repeats a run.

    Parameters
    ----------
    run : mapping
        ``versions``, ``arguments`` and, of a ranking, ``encoders``.
    command : str
        Empty if there is none.
    """
    blocks: list[Block] = []
    if command:
        blocks += [Text(["The same again:"]), Code(command, "Command")]
    blocks.append(Facts(_facts(run["versions"])))
    blocks.append(Details("Settings", [Facts(_facts(run["arguments"]))]))
    encoders = run.get("encoders", {})
    if encoders:
        rows = [[name, _digest(identity)] for name, identity in encoders.items()]
        table = Table("Weights", ["encoder", "weights"], rows, frozenset(["encoder", "weights"]))
        blocks.append(Details("Weights of the encoders", [table]))
    return Section("run", "Versions and command", blocks)


def _digest(identity: Mapping[str, Any]) -> str:
    return str(identity.get("weights") or "none")


def _facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings of a run as terms and values."""
    return [(name.replace("_", " "), _shown(value)) for name, value in record.items()]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or "none"
    return "none" if value is None else str(value)
