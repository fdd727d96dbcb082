"""Embeddings kept on disk, one file a layer, named by all that changes their numbers."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from molrate.data.molecules import Molecules
from molrate.embedding.result import Embedding
from molrate.encoders.base import Encoder
from molrate.paths import cache_folder

logger = logging.getLogger(__name__)


def layer_path(encoder: Encoder, layer: str, pooling: str, molecules: Molecules) -> Path:
    """File of one layer's embeddings, named by the digest of all that changes its numbers."""
    key = {
        "encoder": encoder.identity(),
        "featurisation": encoder.featurisation,
        "layer": layer,
        "pooling": pooling if encoder.level == "node" else "none",
        "rdkit": version("rdkit"),
        "standardisation": molecules.standardisation,
        "molecules": molecules.digest,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_folder("embeddings") / f"{encoder.name}-{layer}-{digest[:24]}.safetensors"


def read_layer(path: Path, layer: str, embedding: Embedding) -> bool:
    """Fill `embedding` from the cache; False where the file is absent or damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="np") as stored:
            embedding.layers[layer] = stored.get_tensor("embedding")
            errors = json.loads(stored.metadata()["errors"])
    except SafetensorError as error:
        logger.warning("%s is damaged (%s); computing it again", path, error)
        return False
    embedding.errors.update({int(row): reason for row, reason in errors.items()})
    return True


def write_layer(path: Path, vectors: npt.NDArray[np.float32], errors: dict[int, str]) -> None:
    """Keep a layer in the cache; a cache that cannot be written costs time, not the result."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"embedding": vectors}, partial, metadata={"errors": json.dumps(errors)})
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        logger.warning("the cache %s cannot be written (%s); going on without it", path.parent, error)
        with suppress(OSError):
            partial.unlink(missing_ok=True)
