"""Datasets: molecules with measured targets, from a card, from MoleculeNet or from any table."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.data.targets import Target, parse_target
from molrate.errors import InputError, UsageError
from molrate.files.downloads import Artifact, github_address
from molrate.files.tables import READABLE, column_names, find_smiles_column, read_table, require_columns
from molrate.paths import cache_folder, shipped

if TYPE_CHECKING:
    import pandas as pd

MOLECULENET_PREFIX = "moleculenet:"


@dataclass(frozen=True)
class Dataset:
    """Molecules and their targets, one entry per row of the source table.

    Attributes
    ----------
    name : str
    smiles : ndarray of str, shape (n,)
    targets : tuple of Target
    ids : ndarray of str, shape (n,)
        The column ``id`` where there is one, else row numbers from 1.
    source : str
        Where the rows came from, with a digest, for the record of a run.
    """

    name: str
    smiles: npt.NDArray[np.object_]
    targets: tuple[Target, ...]
    ids: npt.NDArray[np.object_]
    source: str

    def __len__(self) -> int:
        return len(self.smiles)


def dataset_cards() -> dict[str, dict[str, Any]]:
    """Cards of all datasets that molrate knows, by name."""
    paths = sorted(shipped("datasets").glob("*/card.json"))
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def load_dataset(
    source: str | Path,
    target: str | Sequence[str] | None = None,
    smiles_column: str | None = None,
    task: str | None = None,
) -> Dataset:
    """Load a dataset by name, by file, or from MoleculeNet.

    Parameters
    ----------
    source : str or pathlib.Path
        A name with a card (``freesolv``), a table (``my.csv``; ``-`` for standard input) or
        ``moleculenet:NAME`` (needs the ``moleculenet`` extra).
    target : str or sequence of str, optional
        Target columns. A table needs at least one; by default a card's or MoleculeNet's are all taken.
    smiles_column : str, optional
        Found by its usual names when not given.
    task : {"classification", "regression"}, optional
        Overrides what the values of the target suggest.

    Raises
    ------
    UsageError
        If the name is unknown.
    InputError
        If the file or a column cannot be used.
    """
    wanted = [target] if isinstance(target, str) else list(dict.fromkeys(target or []))
    name = str(source)
    cards = dataset_cards()
    if smiles_column is not None and (name in cards or name.startswith(MOLECULENET_PREFIX)):
        raise UsageError(f"--smiles-column is for tables; the SMILES of {name} are known")
    if name in cards:
        return _load_card(cards[name], wanted, task)
    if name.startswith(MOLECULENET_PREFIX):
        return _load_moleculenet(name.removeprefix(MOLECULENET_PREFIX), wanted, task)
    if name != "-" and not Path(name).exists() and not name.lower().removesuffix(".gz").endswith(READABLE):
        raise UsageError(
            f"{name!r} is neither a dataset ({', '.join(cards)}), nor {MOLECULENET_PREFIX}NAME, nor a file"
        )
    return _load_table(name, wanted, smiles_column, task)


def dataset_name(source: str | Path) -> str:
    """What a dataset is called in results: as it is known, or its file without folder and endings."""
    name = str(source)
    if name == "-":
        return "stdin"
    if name.startswith(MOLECULENET_PREFIX):
        return name.removeprefix(MOLECULENET_PREFIX)
    return Path(name).name.split(".")[0]


def _load_table(path: str, wanted: list[str], smiles_column: str | None, task: str | None) -> Dataset:
    table = read_table(path)
    smiles = find_smiles_column(table, path, smiles_column)
    if not wanted:
        raise InputError(
            f"{path}: say which column to predict with --target; its columns are {column_names(table)}"
        )
    require_columns(table, path, wanted, "--target")
    targets = tuple(parse_target(name, table[name].tolist(), task) for name in wanted)
    digest = "" if path == "-" else f" (sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()})"
    ids = _text(table["id"]) if "id" in table else _row_numbers(len(table))
    return Dataset(dataset_name(path), _text(table[smiles]), targets, ids, f"{path}{digest}")


def _row_numbers(n: int) -> npt.NDArray[np.object_]:
    return np.array([str(row + 1) for row in range(n)], dtype=object)


def _text(column: pd.Series) -> npt.NDArray[np.object_]:
    texts = [value.strip() if isinstance(value, str) else "" for value in column]
    return np.array(texts, dtype=object)


def _load_card(card: dict[str, Any], wanted: list[str], task: str | None) -> Dataset:
    unknown = [name for name in wanted if name not in card["targets"]]
    if unknown:
        known = ", ".join(card["targets"])
        raise InputError(f"{card['name']} has no target {', '.join(unknown)} (--target); it has {known}")
    path, copy = _locate_copy(card)
    table = read_table(path)
    targets = tuple(
        parse_target(name, table[copy["targets"][name]].tolist(), task or card["task"])
        for name in wanted or card["targets"]
    )
    ids = _text(table[copy["id_column"]]) if copy["id_column"] else _row_numbers(len(table))
    smiles = _text(table[copy["smiles_column"]])
    return Dataset(card["name"], smiles, targets, ids, f"{path.name} (sha256:{copy['sha256']})")


def copy_artifact(copy: dict[str, Any]) -> Artifact:
    """The published file that a card's copy of origin ``github`` stands for."""
    return Artifact(copy["file"], "datasets", sha256=copy["sha256"], urls=(github_address(copy),))


def is_dataset_offline(card: dict[str, Any]) -> bool:
    """Whether the dataset can be loaded without a download."""
    return any(copy["origin"] == "shipped" or copy_artifact(copy).find() for copy in card["copies"])


def _locate_copy(card: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """First copy available in the card's order: shipped, the user's folders, the cache, a download."""
    for copy in card["copies"]:
        if copy["origin"] != "shipped":
            return copy_artifact(copy).locate(), copy
        path = shipped("datasets") / card["name"] / copy["file"]
        if path.is_file():
            if hashlib.sha256(path.read_bytes()).hexdigest() != copy["sha256"]:
                raise InputError(f"{path} was altered: its digest is not that of its card; reinstall molrate")
            return path, copy
    raise InputError(f"the shipped file of dataset {card['name']} is missing; reinstall molrate")


def _load_moleculenet(name: str, wanted: list[str], task: str | None) -> Dataset:
    smiles, values, tasks = _read_moleculenet(name)
    unknown = [column for column in wanted if column not in tasks]
    if unknown:
        known = ", ".join(tasks)
        raise InputError(
            f"{MOLECULENET_PREFIX}{name} has no target {', '.join(unknown)} (--target); it has {known}"
        )
    targets = tuple(
        parse_target(column, values[:, tasks.index(column)].tolist(), task) for column in wanted or tasks
    )
    ids = _row_numbers(len(smiles))
    digest = hashlib.sha256("\n".join(smiles).encode()).hexdigest()
    return Dataset(
        name,
        np.array(smiles, dtype=object),
        targets,
        ids,
        f"deepchem load_{name} (SMILES sha256:{digest})",
    )


def _read_moleculenet(name: str) -> tuple[list[str], npt.NDArray[np.float64], list[str]]:
    """SMILES, values (n x tasks, NaN = not measured) and task names from deepchem's loader."""
    molnet, featurizer = _import_deepchem()
    loader = getattr(molnet, f"load_{name}", None)
    if loader is None:
        known = sorted(key.removeprefix("load_") for key in dir(molnet) if key.startswith("load_"))
        raise UsageError(f"deepchem has no MoleculeNet loader for {name!r}; it has {', '.join(known)}")
    folder = cache_folder("moleculenet")
    folder.mkdir(parents=True, exist_ok=True)
    with _removed_if_new(folder), tempfile.TemporaryDirectory() as scratch:
        try:
            tasks, (dataset,), _ = loader(
                featurizer=featurizer,
                splitter=None,
                transformers=[],
                reload=False,
                data_dir=str(folder),
                save_dir=scratch,
            )
        except OSError as error:
            raise InputError(
                f"deepchem cannot download MoleculeNet's {name} ({error}). With no network, put the file "
                f"it asks for into {folder}"
            ) from error
    # deepchem marks a missing label by weight 0 and writes 0 into y.
    values = np.where(dataset.w > 0, dataset.y, np.nan).astype(np.float64)
    return [str(smiles) for smiles in dataset.X], values, list(tasks)


def _import_deepchem() -> tuple[Any, Any]:
    # deepchem logs a line for every optional package it does not find; none concerns this use.
    logging.disable(logging.WARNING)
    try:
        import deepchem
    except ImportError as error:
        raise UsageError(
            "MoleculeNet datasets are read by deepchem, which is not installed; "
            "install molrate with its extra, on Python below 3.12: pip install 'molrate[moleculenet]'"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    return deepchem.molnet, deepchem.feat.DummyFeaturizer()


@contextmanager
def _removed_if_new(folder: Path) -> Iterator[None]:
    """Remove what an interrupted download left, which deepchem would take for the whole file."""
    before = set(folder.iterdir())
    try:
        yield
    except BaseException:
        for path in set(folder.iterdir()) - before:
            if path.is_file():
                path.unlink()
        raise
