"""Datasets: molecules with measured targets, from a card, from MoleculeNet or from any table."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.data.frames import FRAME, is_frame, named_columns, smiles_of, to_pandas
from molrate.data.numbers import is_missing
from molrate.data.targets import Target, TargetPolicy, seek
from molrate.errors import InputError, UsageError
from molrate.files.columns import find_column, find_id, find_smiles, shown_header
from molrate.files.downloads import Artifact, github_address, offline
from molrate.files.formats import STDIN, format_of, shown_path
from molrate.files.locks import waiting
from molrate.files.tables import Table, read_table
from molrate.paths import cache_folder, shipped

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

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
        The column of identifiers where there is one (:mod:`molrate.files.columns`), else row numbers from 1.
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

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        target: str | Sequence[str],
        smiles: str | None = None,
        ids: str | None = None,
        task: str | None = None,
        name: str = "frame",
        positive: str | None = None,
        censored: str | None = None,
    ) -> Dataset:
        """A dataset from a data frame.

        Parameters
        ----------
        frame : data frame
            Of pandas, polars, pyarrow or any library whose frames have ``__arrow_c_stream__`` or
            ``__dataframe__``. Cells of the SMILES column may be RDKit molecules.
        target : str or sequence of str
            Target columns.
        smiles : str, optional
            Column of SMILES, found by its usual names if not given.
        ids : str, optional
            Column of identifiers, found by its usual names if not given; else the frame's index where it
            has one of its own, else row numbers from 1.
        task : {"classification", "regression"}, optional
            Overrides what the values of the target suggest.
        name : str
            What the dataset is called in results.
        positive, censored : str, optional
            As for :func:`load_dataset`.

        Returns
        -------
        Dataset

        Raises
        ------
        InputError
            If a column is missing or cannot be used.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"smiles": ["C" * n for n in range(1, 31)], "y": range(30)})
        >>> len(Dataset.from_frame(frame, target="y"))
        30
        """
        table = to_pandas(frame)
        header = [str(column) for column in table.columns]
        wanted = [target] if isinstance(target, str) else list(dict.fromkeys(target))
        places = {name: find_column(header, name, FRAME, "--target") for name in wanted}
        columns = {name: table.iloc[:, place].tolist() for name, place in places.items()}
        texts = smiles_of(table.iloc[:, find_smiles(header, FRAME, smiles)].tolist())
        policy = TargetPolicy(task, positive, censored)
        return _in_memory(texts, columns, policy, name, _frame_ids(table, header, ids), FRAME)

    @classmethod
    def from_molecules(
        cls,
        molecules: Iterable[Any],
        values: Any,
        task: str | None = None,
        name: str = "molecules",
        positive: str | None = None,
        censored: str | None = None,
    ) -> Dataset:
        """A dataset from molecules and their measured values.

        Parameters
        ----------
        molecules : iterable of str or rdkit.Chem.Mol, length n
            SMILES, or molecules of RDKit.
        values : array_like, shape (n,) or (n, n_targets), or mapping of str to sequence
            Measured values; NaN or None where not measured.
        task : {"classification", "regression"}, optional
        name : str
        positive, censored : str, optional
            As for :func:`load_dataset`.

        Returns
        -------
        Dataset

        Raises
        ------
        UsageError
            If an item is neither.
        InputError
            If there are not as many values as molecules.

        Examples
        --------
        >>> Dataset.from_molecules(["CCO", "CCN"], [0.1, 0.2]).targets[0].name
        'y'
        """
        smiles = smiles_of(molecules)
        columns = named_columns(values, len(smiles))
        policy = TargetPolicy(task, positive, censored)
        return _in_memory(smiles, columns, policy, name, _row_numbers(len(smiles)), "molecules in memory")

    def take(self, rows: npt.NDArray[np.intp]) -> Dataset:
        """The same targets for some rows."""
        targets = tuple(target.take(rows) for target in self.targets)
        return replace(self, smiles=self.smiles[rows], targets=targets, ids=self.ids[rows])

    def select(self, names: Sequence[str]) -> Dataset:
        """The same molecules with some of the targets.

        Raises
        ------
        InputError
            If there is no such target.
        """
        by_name = {target.name: target for target in self.targets}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise InputError(
                f"{self.name} has no target {', '.join(missing)} (--target); it has {', '.join(by_name)}"
            )
        return replace(self, targets=tuple(by_name[name] for name in names))


def as_dataset(
    source: Any,
    target: Any = None,
    smiles: str | None = None,
    task: str | None = None,
    positive: str | None = None,
    censored: str | None = None,
) -> Dataset:
    """A dataset from whatever holds one.

    Parameters
    ----------
    source : Dataset, str, pathlib.Path, data frame, or sequence of str or rdkit.Chem.Mol
        A sequence is of SMILES or molecules; a string is a name or a file, see :func:`load_dataset`.
    target : str, sequence of str, or array_like
        Names of target columns; for a sequence of molecules, the measured values.
    smiles : str, optional
        Column of SMILES of a file or frame.
    task : {"classification", "regression"}, optional
    positive, censored : str, optional
        As for :func:`load_dataset`.

    Returns
    -------
    Dataset

    Raises
    ------
    UsageError, InputError
        If there is no dataset in it.

    Examples
    --------
    >>> len(as_dataset("freesolv"))
    642
    """
    if isinstance(source, str | Path):
        return load_dataset(source, target, smiles, task, positive, censored)
    if isinstance(source, Dataset):
        if smiles is not None or task is not None or censored is not None:
            raise UsageError("--smiles-column, --task and --censored are for tables; a Dataset has been read")
        wanted = [target] if isinstance(target, str) else list(target or [])
        dataset = source.select(wanted) if wanted else source
        return dataset if positive is None else replace(dataset, targets=seek(dataset.targets, positive))
    if is_frame(source):
        if target is None:
            names = ", ".join(map(str, to_pandas(source).columns))
            raise InputError(f"{FRAME}: say which column to predict with --target; its columns are {names}")
        return Dataset.from_frame(source, target, smiles, None, task, "frame", positive, censored)
    if not isinstance(source, Iterable):
        raise UsageError(
            f"a dataset is a name, a path, a data frame, a Dataset, or a sequence of SMILES, "
            f"not a {type(source).__name__}"
        )
    if target is None or isinstance(target, str):
        raise UsageError("a sequence of molecules needs their measured values as second argument (--target)")
    if smiles is not None:
        raise UsageError("--smiles-column is for tables; these are molecules already")
    return Dataset.from_molecules(source, target, task, "molecules", positive, censored)


def _frame_ids(table: pd.DataFrame, header: Sequence[str], ids: str | None) -> npt.NDArray[np.object_]:
    import pandas as pd

    place = find_id(header, FRAME, ids)
    if place is not None:
        cells = table.iloc[:, place]
        return np.array(["" if is_missing(cell) else str(cell) for cell in cells], dtype=object)
    if isinstance(table.index, pd.RangeIndex) and table.index.start == 0 and table.index.step == 1:
        return _row_numbers(len(table))
    return np.array([str(value) for value in table.index], dtype=object)


def _in_memory(
    smiles: list[str],
    columns: Mapping[str, Sequence[object]],
    policy: TargetPolicy,
    name: str,
    ids: npt.NDArray[np.object_],
    origin: str,
) -> Dataset:
    """A dataset of what is in memory, with a digest of it in place of a file's.

    Raises
    ------
    InputError
        If there are no rows, or a target cannot be used.
    """
    if not smiles:
        raise InputError(f"{origin}: it has no rows")
    targets = policy.read(columns)
    digest = hashlib.sha256("\n".join(smiles).encode("utf-8", "surrogateescape"))
    for target in targets:
        digest.update(target.values.tobytes())
    source = f"{origin} (sha256:{digest.hexdigest()})"
    return Dataset(name, np.array(smiles, dtype=object), targets, ids, source)


def dataset_cards() -> dict[str, dict[str, Any]]:
    """Cards of all datasets that molrate knows, by name."""
    paths = sorted(shipped("datasets").glob("*/card.json"))
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def list_datasets() -> list[dict[str, str]]:
    """Datasets that molrate knows by name.

    Returns
    -------
    list of dict
        Name, task, rows, targets, and whether it needs a download.

    Examples
    --------
    >>> "freesolv" in [row["dataset"] for row in list_datasets()]
    True
    """
    return [
        {
            "dataset": name,
            "task": card["task"],
            "rows": str(card["rows"]),
            "targets": ", ".join(card["targets"]),
            "available offline": "yes" if is_dataset_offline(card) else "download",
        }
        for name, card in dataset_cards().items()
    ]


def load_dataset(
    source: str | Path,
    target: str | Sequence[str] | None = None,
    smiles: str | None = None,
    task: str | None = None,
    positive: str | None = None,
    censored: str | None = None,
    *,
    input_format: str = "csv",
    smiles_option: str = "--smiles-column",
) -> Dataset:
    """Load a dataset by name, by file, or from MoleculeNet.

    Parameters
    ----------
    source : str or pathlib.Path
        A name with a card (``freesolv``), a table (``my.csv``; ``-`` for standard input) or
        ``moleculenet:NAME`` (needs the ``moleculenet`` extra).
    target : str or sequence of str, optional
        Target columns. A table needs at least one; by default a card's or MoleculeNet's are all taken.
    smiles : str, optional
        Column of SMILES, found by its usual names when not given.
    task : {"classification", "regression"}, optional
        Overrides what the values of the target suggest.
    positive : str, optional
        The class that is sought, where two labels do not say which it is.
    censored : {"drop", "bound"}, optional
        What becomes of values such as ``<10``: not measured, or 10. They are refused by default.
    input_format : {"csv", "tsv", "smi", "sdf"}
        Of standard input.
    smiles_option : str
        The option that names `smiles`, for messages.

    Raises
    ------
    UsageError
        If the name is unknown.
    InputError
        If the file or a column cannot be used.
    """
    if not isinstance(source, str | Path):
        raise UsageError(
            f"load_dataset reads files and named datasets, not a {type(source).__name__}; molrate.score, "
            "finetune and select take frames and sequences as they are"
        )
    wanted = [target] if isinstance(target, str) else list(dict.fromkeys(target or []))
    name = str(source)
    cards = dataset_cards()
    policy = TargetPolicy(task, positive, censored)
    if smiles is not None and (name in cards or name.startswith(MOLECULENET_PREFIX)):
        raise UsageError(f"{smiles_option} is for tables; the SMILES of {name} are known")
    if name in cards:
        return _load_card(cards[name], wanted, policy)
    if name.startswith(MOLECULENET_PREFIX):
        return _load_moleculenet(name.removeprefix(MOLECULENET_PREFIX), wanted, policy)
    if name != STDIN and not Path(name).exists() and format_of(name) is None:
        raise UsageError(
            f"{name!r} is neither a dataset ({', '.join(cards)}), nor {MOLECULENET_PREFIX}NAME, nor a file"
        )
    return _load_table(name, wanted, smiles, policy, input_format, smiles_option)


def dataset_name(source: str | Path) -> str:
    """What a dataset is called in results: as it is known, or its file without folder and endings."""
    name = str(source)
    if name == STDIN:
        return "stdin"
    if name.startswith(MOLECULENET_PREFIX):
        return name.removeprefix(MOLECULENET_PREFIX)
    return Path(shown_path(name)).name.split(".")[0]


_KNOWN_AS = {
    # MoleculeNet's files and loaders.
    "bace_classification": "bace",
    "bace_regression": "bace",
    "delaney": "esol",
    "delaney_processed": "esol",
    "lipo": "lipophilicity",
    "sampl": "freesolv",
    "toxcast_data": "toxcast",
    # The Therapeutics Data Commons.
    "bbb_martins": "bbbp",
    "hydrationfreeenergy_freesolv": "freesolv",
    "lipophilicity_astrazeneca": "lipophilicity",
}
"""Public datasets by other names that their files go by."""


def public_name(dataset: str) -> str:
    """The name a public dataset is known by, whichever way its file is called.

    Examples
    --------
    >>> [public_name(name) for name in ("BBBP", "delaney-processed", "Lipophilicity", "my-table")]
    ['bbbp', 'esol', 'lipophilicity', 'my_table']
    """
    name = re.sub(r"\W+", "_", dataset.casefold())
    return _KNOWN_AS.get(name, name)


def _load_table(
    path: str,
    wanted: list[str],
    smiles_column: str | None,
    policy: TargetPolicy,
    input_format: str,
    smiles_option: str,
) -> Dataset:
    table = read_table(path, input_format)
    place = table.smiles_place(smiles_column, smiles_option)
    if not wanted:
        raise InputError(
            f"{path}: say which column to predict with --target; its columns are {shown_header(table.header)}"
        )
    targets = policy.read({name: table.column(name, "--target") for name in wanted})
    digest = "" if path == STDIN else f" (sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()})"
    ids_place = 1 if table.structures else find_id(table.header, path)
    ids = _row_numbers(len(table)) if ids_place is None else np.array(table.cells(ids_place), dtype=object)
    smiles = _smiles(table) if table.structures else table.cells(place)
    return Dataset(
        dataset_name(path), np.array(smiles, dtype=object), targets, ids, f"{shown_path(path)}{digest}"
    )


def _smiles(table: Table) -> list[str]:
    """SMILES of the structures of an SDF; empty, and told, where there is none."""
    from molrate.data.structures import NoSmiles, smiles_of_structure

    empty = "", NoSmiles("unreadable", "empty record")
    results = [smiles_of_structure(block) if block else empty for block in table.cells(0)]
    without = [(row, why.reason) for row, (_, why) in enumerate(results, start=1) if why is not None]
    if without:
        logger.warning(
            "%s: %d structures cannot be used, the first in row %d: %s",
            table.source,
            len(without),
            *without[0],
        )
    return [smiles for smiles, _ in results]


def _row_numbers(n: int) -> npt.NDArray[np.object_]:
    return np.array([str(row + 1) for row in range(n)], dtype=object)


def _load_card(card: dict[str, Any], wanted: list[str], policy: TargetPolicy) -> Dataset:
    unknown = [name for name in wanted if name not in card["targets"]]
    if unknown:
        known = ", ".join(card["targets"])
        raise InputError(f"{card['name']} has no target {', '.join(unknown)} (--target); it has {known}")
    path, copy = _locate_copy(card)
    table = read_table(path)
    policy = replace(policy, task=policy.task or card["task"])
    targets = policy.read({name: table.column(copy["targets"][name]) for name in wanted or card["targets"]})
    targets = tuple(replace(each, unit=card["targets"][each.name]["unit"] or "") for each in targets)
    ids = _row_numbers(len(table))
    if copy["id_column"]:
        ids = np.array(table.column(copy["id_column"]), dtype=object)
    smiles = np.array(table.column(copy["smiles_column"]), dtype=object)
    return Dataset(card["name"], smiles, targets, ids, f"{path.name} (sha256:{copy['sha256']})")


def copy_artifact(copy: dict[str, Any]) -> Artifact:
    """The published file that a card's copy of origin ``github`` stands for."""
    return Artifact(
        copy["file"], "datasets", sha256=copy["sha256"], urls=(github_address(copy),), size=copy["bytes"]
    )


def is_dataset_offline(card: dict[str, Any]) -> bool:
    """Whether the dataset can be loaded without a download."""
    return any(copy["origin"] == "shipped" or copy_artifact(copy).is_here() for copy in card["copies"])


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


def _load_moleculenet(name: str, wanted: list[str], policy: TargetPolicy) -> Dataset:
    smiles, values, tasks = _read_moleculenet(name)
    unknown = [column for column in wanted if column not in tasks]
    if unknown:
        known = ", ".join(tasks)
        raise InputError(
            f"{MOLECULENET_PREFIX}{name} has no target {', '.join(unknown)} (--target); it has {known}"
        )
    targets = policy.read({column: values[:, tasks.index(column)].tolist() for column in wanted or tasks})
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
    if offline():
        raise InputError(
            f"moleculenet:{name}: deepchem downloads what it does not find, and MOLRATE_OFFLINE is set"
        )
    molnet, featurizer = _import_deepchem()
    loader = getattr(molnet, f"load_{name}", None)
    if loader is None:
        known = sorted(key.removeprefix("load_") for key in dir(molnet) if key.startswith("load_"))
        raise UsageError(f"deepchem has no MoleculeNet loader for {name!r}; it has {', '.join(known)}")
    folder = cache_folder("moleculenet")
    folder.mkdir(parents=True, exist_ok=True)
    with waiting(folder / "download"), _removed_if_new(folder), tempfile.TemporaryDirectory() as scratch:
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
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))
    try:
        import deepchem
    except ImportError as error:
        raise UsageError(
            "MoleculeNet datasets are read by deepchem, which is not installed; "
            "install molrate with its extra, on Python below 3.12: pip install 'molrate[moleculenet]'"
        ) from error
    finally:
        logging.disable(disabled)
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
