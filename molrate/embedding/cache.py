"""Embeddings kept on disk, one file a layer, named by all that changes their numbers."""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.molecules import STANDARDISATION, Molecules
from molrate.embedding.result import Embedding
from molrate.encoders.base import Encoder
from molrate.encoders.batch import POOLING
from molrate.files.kept import Content, DamagedError, find_kept, write_kept
from molrate.paths import cache_folder

_FORMAT = 2
SKETCH = "gradients/1"
"""Version of :mod:`molrate.embedding.sketcher`, part of the key of what it computes."""
DIMENSIONS = 12
"""Random directions on each side of a linear map that a sketch of gradients takes."""
COLUMNS = 2048
"""Numbers that a sketch has for each molecule, whatever the network."""
_LONGEST_NAME = 80


def layer_path(encoder: Encoder, layer: str, pooling: str, molecules: Molecules, device: str) -> Path:
    """File of one layer's embeddings, named by the digest of all that changes its numbers.

    Parameters
    ----------
    encoder : Encoder
        Its identity has weights, settings and precision.
    layer, pooling : str
    molecules : Molecules
    device : str
        Of :func:`molrate.embedding.embed.choose_device`. Fingerprints and descriptors are the same on all.
    """
    return _path(encoder, layer, pooling, molecules, device, {})


def sketch_path(encoder: Encoder, pooling: str, molecules: Molecules, device: str, head: str) -> Path:
    """File of the gradient sketches of an encoder's last layer; other arguments as of :func:`layer_path`.

    Parameters
    ----------
    head : str
        Digest of what the head is fitted to besides the layer: gradients are those of its predictions.
    """
    key = {"sketch": [SKETCH, DIMENSIONS, COLUMNS], "head": head}
    return _path(encoder, f"{encoder.layers[-1]}-gradients", pooling, molecules, device, key)


def _path(
    encoder: Encoder, layer: str, pooling: str, molecules: Molecules, device: str, more: dict[str, Any]
) -> Path:
    key: dict[str, Any] = {
        "format": _FORMAT,
        "encoder": encoder.identity(),
        "featurisation": encoder.featurisation,
        "layer": layer,
        "rdkit": version("rdkit"),
        "standardisation": [STANDARDISATION, molecules.standardisation],
        "molecules": molecules.digest,
        **more,
    }
    if encoder.level == "node":
        key |= {"pooling": [POOLING, pooling], "device": _numerics(device), "torch": version("torch")}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    # An encoder may be named by the path of its file.
    readable = re.sub(r"[^\w.-]+", "-", encoder.name)[-_LONGEST_NAME:]
    return cache_folder("embeddings") / f"{readable}-{layer}-{digest[:24]}.safetensors"


def _numerics(device: str) -> str:
    """What of a device changes numbers: which kind of processor, not which of them."""
    if device == "cpu":
        return device
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def read_layer(path: Path, layer: str, embedding: Embedding, n_molecules: int) -> bool:
    """Fill `embedding` from the cache; False where the file is absent, damaged or altered."""
    found = find_kept(path, partial(_parse, n_molecules=n_molecules))
    if found is None:
        return False
    vectors, errors, remarks = found
    embedding.layers[layer] = vectors
    embedding.errors.update(errors)
    embedding.add_remarks(remarks)
    return True


def _parse(content: Content, n_molecules: int) -> tuple[npt.NDArray[np.float32], dict[int, str], list[str]]:
    """A layer, its errors and remarks, of as many molecules."""
    arrays, texts = content
    try:
        vectors, errors = arrays["embedding"], texts["errors"]
    except KeyError as error:
        raise DamagedError(f"it lacks {error}") from error
    if vectors.ndim != 2 or len(vectors) != n_molecules or vectors.dtype != np.float32:
        raise DamagedError(f"it holds {vectors.shape} {vectors.dtype}, not {n_molecules} rows of float32")
    by_row = {int(row): reason for row, reason in json.loads(errors).items()}
    return vectors, by_row, json.loads(texts.get("remarks") or "[]")


def write_layer(
    path: Path, vectors: npt.NDArray[np.float32], errors: dict[int, str], remarks: list[str]
) -> None:
    """Keep a whole layer in the cache; a cache that cannot be written costs time, not the result."""
    said = {"errors": json.dumps(errors), "remarks": json.dumps(remarks) if remarks else ""}
    write_kept(path, {"embedding": vectors}, said)
