"""Put a finished run of ``molrate pretrain`` into ``pretrained/`` as an encoder that ships.

    python pretrained/configs/ship.py RUN SIZE CORPUS CONFIG DEVICE

such as ``run/ small chembl grover-small.toml 'one CPU core'``.

Copies weights, vocabularies and learning curve, and writes the card from what the run recorded.
"""

import csv
import hashlib
import json
import shutil
import sys
from pathlib import Path

from molrate.encoders.checkpoints import read_about

CORPORA = {"chembl": "ChEMBL", "zinc": "ZINC"}
CITATION = (
    "Y. Rong, Y. Bian, T. Xu, W. Xie, Y. Wei, W. Huang, J. Huang, Self-Supervised Graph Transformer on "
    "Large-Scale Molecular Data, NeurIPS 2020, arXiv:2007.02835"
)


def main():
    run, (size, corpus, config, device) = Path(sys.argv[1]), sys.argv[2:6]
    name = f"grover-{size}-{corpus}"
    folder = Path(__file__).resolve().parents[1] / name
    folder.mkdir(exist_ok=True)
    for file in ("model.safetensors", "vocabularies.json", "curve.csv"):
        shutil.copyfile(run / file, folder / file)
    settings = read_about(run / "model.safetensors")["settings"]
    with (run / "curve.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    card = {
        "name": name,
        "title": f"GROVER {size}, {CORPORA[corpus]}",
        "description": (
            f"GROVER-style encoder of {settings['n_blocks']} blocks and width "
            f"{settings['width']}, pretrained by molrate on {int(last['molecules']):,} "
            f"{CORPORA[corpus]} molecules ({last['step']} steps, {device}) with the settings of "
            f"pretrained/configs/{config}. See curve.csv for its held-out losses."
        ),
        "family": "grover",
        "kind": "pretrained",
        "config": settings | {"padding": "none"},
        "weights": {
            "file": "model.safetensors",
            "sha256": hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest(),
        },
        "licence": "Apache-2.0",
        "citation": CITATION,
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
