"""Molecules through encoders: batches, one pass for all layers, pooling, and the cache."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.data.molecules import Molecules
from molrate.embedding.cache import layer_path, read_layer, write_layer
from molrate.embedding.result import Embedding
from molrate.encoders.base import POOLING_NAMES, Encoder, failure_of
from molrate.errors import InputError, UsageError

if TYPE_CHECKING:
    from rdkit import Chem

    from molrate.encoders.batch import MoleculeBatch

logger = logging.getLogger(__name__)

BATCH_ATOMS = {"cpu": 2048, "cuda": 65536}
"""Atoms in a batch. Larger batches are slower on a CPU, where their arrays leave its cache."""

_SHARES, _LEAST_ATOMS = 4, 256
"""Batches come in multiples, as cores would otherwise wait for the last of a few; unless they are small."""

Progress = Callable[[int], None]


def choose_device(device: str) -> str:
    """Resolve ``auto`` to ``cuda`` where there is a GPU and ``cpu`` elsewhere.

    Raises
    ------
    UsageError
        If the device named is not there.
    """
    if device == "cpu":
        return device
    # A build for CPUs says so in its version; importing it would cost a second where everything is cached.
    if device == "auto" and version("torch").endswith("+cpu"):
        return "cpu"
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device, dtype=torch.float64)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UsageError(f"--device {device}: {str(error).splitlines()[0]}; use cpu or auto") from error
    return device


def embed_molecules(
    molecules: Molecules,
    requests: Sequence[tuple[Encoder, Sequence[str]]],
    pooling: str = "mean",
    device: str = "auto",
    cache: bool = True,
    progress: Progress | None = None,
) -> list[Embedding]:
    """Embed molecules with several encoders at once.

    Molecules are parsed once for all encoders and turned into graphs once for those of the same
    featurisation; each encoder then gives all its layers in one pass.

    Parameters
    ----------
    molecules : Molecules
    requests : sequence of (Encoder, layer names)
    pooling : {"mean", "sum", "max"}
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
    cache : bool
        Whether to read and keep embeddings on disk.
    progress : callable, optional
        Called with the number of molecules finished since the last call.

    Returns
    -------
    list of Embedding
        One for each request, in order.

    Raises
    ------
    UsageError
        If the pooling or the device is unknown.
    """
    if pooling not in POOLING_NAMES:
        raise UsageError(f"unknown pooling {pooling!r} (--pooling); known: {', '.join(POOLING_NAMES)}")
    if device != "auto" or any(encoder.level == "node" for encoder, _ in requests):
        device = choose_device(device)
    embeddings = [Embedding() for _ in requests]
    missing: list[_Task] = []
    for (encoder, layers), embedding in zip(requests, embeddings, strict=True):
        started = time.perf_counter()
        paths = {layer: layer_path(encoder, layer, pooling, molecules, device) for layer in layers}
        absent = [
            layer
            for layer, path in paths.items()
            if not (cache and read_layer(path, layer, embedding, len(molecules)))
        ]
        embedding.seconds += time.perf_counter() - started
        if absent:
            missing.append(_Task(encoder, embedding, {layer: paths[layer] for layer in absent}))
    if missing:
        _compute(molecules, missing, pooling, device, progress)
        for task in missing:
            task.finish(molecules, cache)
    for embedding in embeddings:
        for remark in embedding.remarks:
            logger.warning("%s", remark)
    return embeddings


def embed_one(
    molecules: Molecules,
    encoder: Encoder,
    layers: Sequence[str],
    pooling: str = "mean",
    device: str = "auto",
    cache: bool = True,
    progress: Progress | None = None,
) -> Embedding:
    """Embed molecules with one encoder; arguments as of :func:`embed_molecules`.

    Raises
    ------
    MolrateError
        If the encoder cannot run.
    """
    (embedding,) = embed_molecules(molecules, [(encoder, layers)], pooling, device, cache, progress)
    if embedding.failure is not None:
        raise embedding.failure
    return embedding


@dataclass
class _Task:
    """An encoder's layers that are not in the cache, collected batch by batch."""

    encoder: Encoder
    embedding: Embedding
    paths: dict[str, Path]

    def add(self, layer: str, n_molecules: int, rows: npt.NDArray[np.intp], vectors: Any) -> None:
        """Put a batch's vectors into their rows of the layer's matrix, which all have one width."""
        layers = self.embedding.layers
        if layer not in layers:
            layers[layer] = np.full((n_molecules, vectors.shape[1]), np.nan, dtype=np.float32)
        width = layers[layer].shape[1]
        if vectors.shape[1] != width:
            self.embedding.failure = InputError(
                f"{self.encoder.name} gives {width} columns of {layer} for some molecules, and "
                f"{vectors.shape[1]} for others"
            )
            return
        layers[layer][rows] = vectors

    def finish(self, molecules: Molecules, cache: bool) -> None:
        """Keep the computed layers in the cache; of an encoder that failed, half a matrix is none."""
        if self.embedding.failure is not None:
            self.embedding.layers.clear()
            return
        remarks = self.encoder.remarks()
        self.embedding.add_remarks(remarks)
        unsupported = dict(self.embedding.errors)
        for layer in [layer for layer in self.paths if layer in self.embedding.layers]:
            errors = self.embedding.not_finite(layer, molecules.valid) | unsupported
            self.embedding.errors |= errors
            if cache:
                write_layer(self.paths[layer], self.embedding.layers[layer], errors, remarks)


def _compute(
    molecules: Molecules, tasks: list[_Task], pooling: str, device: str, progress: Progress | None
) -> None:
    if all(task.encoder.level != "node" for task in tasks):
        device = "cpu"
    names = ", ".join(task.encoder.name for task in tasks)
    logger.info("embedding %d molecules on %s with %s", molecules.valid.sum(), device, names)
    for task in tasks:
        task.embedding.device = device if task.encoder.level == "node" else "cpu"
    networks = [task for task in tasks if task.encoder.level == "node"]
    baselines = [task for task in tasks if task.encoder.level != "node"]
    for task in networks:
        try:
            task.encoder.prepare()
        except Exception as error:
            task.embedding.failure = failure_of(task.encoder, error)
    with batch_threads(device) as (executor, n_threads):
        running: deque[tuple[Future[BatchResult], BatchResult]] = deque()
        for rows, parsed in read_batches(molecules, tasks, device):
            passing = executor.submit(_run_batch, networks, rows, parsed, pooling, device)
            running.append((passing, _run_batch(baselines, rows, parsed, pooling, device)))
            if len(running) > n_threads:
                _keep(running.popleft(), len(molecules), progress)
        while running:
            _keep(running.popleft(), len(molecules), progress)


@contextmanager
def batch_threads(device: str) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Threads that have a batch each; on a CPU in place of torch's own, which gain less from its cores."""
    import torch

    n_cores = torch.get_num_threads()
    n_threads = n_cores if device == "cpu" else 1
    torch.set_num_threads(1 if device == "cpu" else n_cores)
    try:
        with ThreadPoolExecutor(n_threads) as executor:
            yield executor, n_threads
    finally:
        torch.set_num_threads(n_cores)


@dataclass
class EncoderBatchResult:
    """What one encoder made of one batch."""

    task: _Task
    errors: dict[int, str]
    rows: npt.NDArray[np.intp]
    vectors: dict[str, npt.NDArray[np.float32]]
    seconds: float


BatchResult = tuple[int, list[EncoderBatchResult]]
"""Number of molecules in a batch, and what each encoder made of it."""


def _run_batch(
    tasks: list[_Task], rows: npt.NDArray[np.intp], parsed: list[Chem.Mol], pooling: str, device: str
) -> BatchResult:
    """Run encoders on one batch, with graphs once for those that share batches."""
    graphs: dict[str, tuple[Any, float]] = {}
    results = []
    for task in (task for task in tasks if task.embedding.failure is None):
        key = task.encoder.batch_key
        started = time.perf_counter()
        vectors = {}
        try:
            if key not in graphs:
                batch = task.encoder.featurise(parsed)
                graphs[key] = batch, time.perf_counter() - started
            batch, graph_seconds = graphs[key]
            started = time.perf_counter()
            if batch.rows:
                vectors = _vectors(task, batch, [parsed[row] for row in batch.rows], pooling, device)
        except Exception as error:
            task.embedding.failure = failure_of(task.encoder, error)
            continue
        errors = {int(rows[position]): reason for position, reason in batch.errors.items()}
        seconds = time.perf_counter() - started + graph_seconds
        results.append(EncoderBatchResult(task, errors, rows[batch.rows], vectors, seconds))
    return len(rows), results


def _vectors(
    task: _Task, batch: MoleculeBatch, parsed: list[Chem.Mol], pooling: str, device: str
) -> dict[str, npt.NDArray[np.float32]]:
    """Vectors of a batch whose molecules all have code, in halves where the device's memory is too small.

    Raises
    ------
    InputError
        If it is too small for a single molecule.
    """
    import torch

    try:
        return task.encoder.embed(batch.content, list(task.paths), pooling, device)
    except torch.OutOfMemoryError as error:
        if len(parsed) == 1:
            raise InputError(
                f"{task.encoder.name}: {parsed[0].GetNumAtoms()} atoms do not fit into the memory "
                f"of {device}; take --device cpu"
            ) from error
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    middle = len(parsed) // 2
    logger.warning("%s is out of memory at %d molecules; going on with halves", device, len(parsed))
    halves = [
        _vectors(task, task.encoder.featurise(half), half, pooling, device)
        for half in (parsed[:middle], parsed[middle:])
    ]
    return {layer: np.concatenate([half[layer] for half in halves]) for layer in task.paths}


def _keep(
    running: tuple[Future[BatchResult], BatchResult], n_molecules: int, progress: Progress | None
) -> None:
    """Wait for a batch and put its vectors into their rows."""
    passing, (n_rows, of_baselines) = running
    _, of_networks = passing.result()
    for done in [*of_networks, *of_baselines]:
        done.task.embedding.errors.update(done.errors)
        done.task.embedding.seconds += done.seconds
        for layer, vectors in done.vectors.items():
            done.task.add(layer, n_molecules, done.rows, vectors)
    if progress is not None:
        progress(n_rows)


def split_rows(
    molecules: Molecules, rows: npt.NDArray[np.intp], device: str, batch_atoms: int | None = None
) -> list[npt.NDArray[np.intp]]:
    """Places of rows, in their order, in batches of about equally many atoms.

    Parameters
    ----------
    molecules : Molecules
    rows : ndarray of int, shape (n,)
    device : str
    batch_atoms : int, optional
        Of a batch, about; as suits the device if not given.
    """
    if not len(rows):
        return []
    # There are about as many atoms as characters, and never more.
    ends = np.cumsum([len(molecules.canonical[row]) for row in rows])
    n_batches = int(-(-ends[-1] // (batch_atoms or BATCH_ATOMS["cpu" if device == "cpu" else "cuda"])))
    if device == "cpu":
        shared = -(-n_batches // _SHARES) * _SHARES
        n_batches = max(n_batches, min(shared, int(ends[-1]) // _LEAST_ATOMS))
    numbers = (ends - 1) * n_batches // ends[-1]
    return np.split(np.arange(len(rows)), np.flatnonzero(np.diff(numbers)) + 1)


def read_batches(
    molecules: Molecules, tasks: list[_Task], device: str
) -> Iterator[tuple[npt.NDArray[np.intp], list[Chem.Mol]]]:
    """Valid rows with their molecules, in batches."""
    valid = np.flatnonzero(molecules.valid)
    for places in split_rows(molecules, valid, device):
        rows, parsed = [], []
        for row in valid[places]:
            try:
                molecule = molecules.molecule(row)
            except InputError as error:
                for task in tasks:
                    task.embedding.errors[int(row)] = str(error)
                continue
            rows.append(int(row))
            parsed.append(molecule)
        if rows:
            yield np.array(rows), parsed


def embed(
    smiles: Sequence[str],
    encoder: str | Encoder,
    layer: str = "last",
    pooling: str = "mean",
    *,
    standardisation: str = "largest-fragment",
    device: str = "auto",
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    """Embed SMILES with a pretrained encoder.

    Parameters
    ----------
    smiles : sequence of str, length n
    encoder : str or Encoder
        A name that ``molrate list encoders`` prints.
    layer : str
        ``last`` or the name of a layer.
    pooling : {"mean", "sum", "max"}
    standardisation : {"largest-fragment", "none"}
    device : str
    seed : int
        Draws the weights of untrained encoders.

    Returns
    -------
    ndarray of float32, shape (n, d)
        One row per SMILES in the same order; NaN where a SMILES is invalid or the encoder has no code
        for the molecule.

    Raises
    ------
    UsageError
        If the encoder, layer, pooling, standardisation or device is unknown.
    InputError
        If no SMILES is a molecule the encoder can read.
    WeightsError
        If the encoder's weights are missing or not the published ones.
    """
    from molrate.data.molecules import standardise
    from molrate.encoders.base import load_encoder

    if isinstance(smiles, str):
        raise UsageError("embed takes a sequence of SMILES; put the one SMILES into a list")
    if layer == "all":
        raise UsageError("embed gives one layer: name it, or take 'last'")
    if isinstance(encoder, str):
        encoder = load_encoder(encoder, seed=seed)
    molecules = standardise(smiles, standardisation)
    (name,) = encoder.select_layers(layer)
    embedding = embed_one(molecules, encoder, [name], pooling, device)
    if name not in embedding.layers:
        reasons = molecules.describe_invalid() or "; ".join(list(embedding.errors.values())[:3])
        raise InputError(
            f"none of the {len(molecules)} SMILES can be embedded: {reasons or 'none was given'}"
        )
    return embedding.layers[name]
