"""Gradients of a head's predictions for molecules, kept on disk as embeddings are.

They are sketched by :class:`molrate.embedding.sketcher.Sketcher`; where they are kept already, torch is not
imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.molecules import Molecules
from molrate.embedding.cache import COLUMNS, read_layer, sketch_path, write_layer
from molrate.embedding.embed import batch_threads, choose_device, split_rows
from molrate.embedding.result import Embedding
from molrate.encoders.base import Encoder


def sketch_gradients(
    molecules: Molecules,
    rows: npt.NDArray[np.intp],
    encoder: Encoder,
    head: Callable[[], npt.NDArray[np.floating[Any]]],
    fitted_to: str,
    pooling: str = "mean",
    device: str = "auto",
) -> npt.NDArray[np.float32]:
    """Sketches of the gradients of a head's predictions, kept on disk as embeddings are.

    Parameters
    ----------
    molecules : Molecules
    rows : ndarray of int, shape (n,)
        Molecules to sketch, which the encoder can read.
    encoder : Encoder
        One that can be fine-tuned; its last layer is what the head reads.
    head : callable
        Fits the head and returns its matrix, shape (d, m); called where nothing is kept.
    fitted_to : str
        Digest of `rows` and of what else the head is fitted to.
    pooling : {"mean", "sum", "max"}
    device : str

    Returns
    -------
    ndarray of float32, shape (n, 2048)

    Raises
    ------
    MolrateError
        If the encoder cannot run.
    """
    device = choose_device(device)
    path = sketch_path(encoder, pooling, molecules, device, fitted_to)
    kept = Embedding()
    if read_layer(path, "gradients", kept, len(rows)):
        return kept.layers["gradients"]
    from molrate.embedding.sketcher import Sketcher

    trainable = encoder.trainable(pooling=pooling).eval().to(device)
    sketcher = Sketcher(trainable, head())
    sketches = np.empty((len(rows), COLUMNS), dtype=np.float32)

    def run(places: npt.NDArray[np.intp]) -> None:
        encoded = [trainable.encode(molecules.molecule(rows[place])) for place in places]
        sketches[places] = sketcher.sketch(encoded).float().cpu().numpy()

    # Shorter texts, and fewer rows, are filled up to the most of their batch.
    by_length = np.argsort([len(molecules.canonical[row]) for row in rows], kind="stable")
    batches = split_rows(molecules, rows[by_length], device, trainable.batch_atoms.get(device))
    with batch_threads(device) as (executor, _):
        list(executor.map(run, (by_length[places] for places in batches)))
    write_layer(path, sketches, {}, [])
    return sketches
