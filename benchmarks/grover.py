"""Molecules per second of GROVER embeddings, compared with jax-grover and deepchem, in one process.

    pip install "molrate[moleculenet]" jax jax-grover
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/grover.py              # hidden 800, depth 6, heads 4
    python benchmarks/grover.py 96 --molecules 200 --threads 2

Weights are random and the same for molrate and jax-grover, whose outputs are compared first, without padding.
deepchem's network is not GROVER's (its neighbour tables are shifted by a row), so only its time counts;
it has the same width, depth and heads. Runs are interleaved. Times include parsing and featurization.
jax-grover is warm: every batch was embedded once before, so that its compilation is not counted. With
--threads 2 molrate runs a batch on each thread.
"""

import argparse
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

import molrate
from molrate.data.molecules import standardise
from molrate.embedding.embed import embed_molecules
from molrate.encoders.grover.network import Grover

DEPTH, HEADS, BATCH = 6, 4, 32


def write_checkpoint(path, width):
    """Write random weights in the format of the released code."""
    torch.manual_seed(0)
    network = Grover(width, DEPTH, HEADS, 1, activation="PReLU")
    args = Namespace(
        hidden_size=width,
        depth=DEPTH,
        num_attn_head=HEADS,
        num_mt_block=1,
        activation="PReLU",
        bias=False,
        dense=False,
        embedding_output_type="both",
        undirected=False,
        dropout=0.0,
        backbone="gtrans",
    )
    state = {f"grover.encoders.{name}": value for name, value in network.state_dict().items()}
    torch.save({"args": args, "state_dict": state}, path)


def molrate_embedder(path, **options):
    encoder = molrate.load_encoder("grover-official-base", path, **options)

    def run(smiles):
        (embedding,) = embed_molecules(standardise(smiles), [(encoder, ["both"])], device="cpu", cache=False)
        return embedding.layers["both"]

    return run


def jax_embedder(path):
    from jax_grover.convert import load_grover_checkpoint
    from jax_grover.inference import GroverModel

    params, config = load_grover_checkpoint(str(path))
    model = GroverModel(params=params, config=config)
    return lambda smiles: model.embed_smiles(smiles, chunk_size=BATCH)


def deepchem_embedder(width):
    from deepchem.feat import GroverFeaturizer
    from deepchem.feat.graph_data import BatchGraphData
    from deepchem.models.torch_models.grover import GroverEmbedding
    from deepchem.utils.grover import extract_grover_attributes

    model = GroverEmbedding(
        node_fdim=151, edge_fdim=165, hidden_size=width, depth=DEPTH, num_heads=HEADS
    ).eval()
    featurizer = GroverFeaturizer()

    def run(smiles):
        with torch.no_grad():
            for start in range(0, len(smiles), BATCH):
                graphs = list(featurizer.featurize(smiles[start : start + BATCH]))
                for graph in graphs:
                    # Remove lists of unequal length, which its batches stack and current NumPy refuses.
                    for name in graph.kwargs:
                        delattr(graph, name)
                    graph.additional_features = np.zeros(0)
                attributes = extract_grover_attributes(BatchGraphData(graphs))
                to_atoms, scopes = attributes[5], attributes[6:8]
                model([*attributes[:5], *scopes, to_atoms])

    return run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("width", nargs="?", type=int, default=800)
    parser.add_argument("--molecules", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    # deepchem fails on lone atoms, which salts have.
    usable = [s for s in molrate.load_dataset("bbbp").smiles if "." not in s]
    rows = np.random.default_rng(0).permutation(len(usable))[: chosen.molecules]
    # Chiral tags depend on how a SMILES is written, and molrate reads the canonical SMILES.
    smiles = standardise([usable[row] for row in rows]).canonical.tolist()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pt"
        write_checkpoint(path, chosen.width)
        runners = {
            "jax-grover, warm": jax_embedder(path),
            "molrate fp32, padding none": molrate_embedder(path, padding="none"),
            "molrate fp32, official": molrate_embedder(path),
            "molrate bf16, padding none": molrate_embedder(path, padding="none", precision="bf16"),
        }
        try:
            runners["deepchem, not GROVER's output"] = deepchem_embedder(chosen.width)
        except ImportError as error:
            print(f"without deepchem: {error}", file=sys.stderr)
        outputs = {name: run(smiles) for name, run in runners.items()}
        ours, theirs = outputs["molrate fp32, padding none"], outputs["jax-grover, warm"]
        half = outputs["molrate bf16, padding none"]
        cosine = (ours * half).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(half, axis=1)
        print(f"largest difference to jax-grover {np.abs(ours - theirs).max():.1e}", end="; ")
        print(f"smallest cosine of bf16 to fp32 {cosine.min():.6f}")
        times = {name: [] for name in runners}
        for _ in range(chosen.repeats):
            for name, run in runners.items():
                started = time.perf_counter()
                run(smiles)
                times[name].append(time.perf_counter() - started)
    base = statistics.median(times["jax-grover, warm"])
    print(f"width {chosen.width}, {len(smiles)} BBBP molecules, threads {chosen.threads}")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:32} {len(smiles) / median:8.1f} molecules/s  {base / median:5.2f}x jax-grover")


if __name__ == "__main__":
    main()
