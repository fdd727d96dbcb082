"""``molrate info``."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import click

from molrate.cli.options import examples

_PACKAGES = ("molrate", "torch", "torch-geometric", "rdkit", "numpy", "scipy", "scikit-learn", "pandas")
_OPTIONAL = ("lightning", "ray", "deepchem", "openpyxl", "scikit-fingerprints", "transformers")
_VARIABLES = ("MOLRATE_CACHE", "MOLRATE_DATA", "MOLRATE_WEIGHTS", "MOLRATE_OFFLINE")


@click.command(
    "info",
    short_help="Print versions, devices, caches and encoders.",
    epilog=examples("molrate info", "molrate info > report.txt"),
)
def command() -> None:
    """Print what a report of a problem needs: versions, devices, folders, caches, encoders."""
    import torch

    import molrate
    from molrate.files.cache import cache_usage, show_bytes
    from molrate.statistics.threads import count_cores

    _print("python", f"{platform.python_version()} on {platform.platform()}")
    for package in _PACKAGES + _OPTIONAL:
        _print(package, _version(package))
    devices = ["cpu"]
    devices += [f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    _print("devices", ", ".join(devices))
    _print("threads", f"{torch.get_num_threads()} of {count_cores()} cores")
    for variable in _VARIABLES:
        _print(variable, os.environ.get(variable, "not set"))
    for usage in cache_usage():
        _print(f"cache {usage.kind}", f"{usage.files}, {show_bytes(usage.n_bytes)}, {usage.folder}")
    rows = molrate.list_encoders()
    offline = [row["encoder"] for row in rows if row["available offline"] == "yes"]
    _print("encoders", f"{len(offline)} of {len(rows)} need no download: {', '.join(offline)}")


def _print(name: str, value: str) -> None:
    click.echo(f"{name}: {value}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
