"""Rows per second of the screening stage on one core, compared with its encoder and its featurizer alone.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/screening.py zinc.smi.gz gcn-supervised [MODEL_FOLDER]

With MALLOC_TRIM_THRESHOLD_=1000000000 and MALLOC_MMAP_THRESHOLD_=100000000 in the environment, figures vary
less. Chunks have 2,000 rows, steps are interleaved, and figures are medians. `embed` and, with a model,
`screen` are all of a worker's work: from rows as read to the bytes of a part. The encoder alone gets
finished graphs; the featurizer alone builds them from SMILES. The library's SMILES are also rewritten with
another order of atoms, as another program would write them: such molecules have to be parsed twice.
"""

import itertools
import statistics
import sys
import time

from rdkit import Chem

from molrate.data.molecules import standardise
from molrate.embedding.embed import read_batches
from molrate.encoders.base import load_encoder
from molrate.files.library import Chunk, Library
from molrate.screening.parts import make_part
from molrate.screening.stage import EmbeddingStage, ScreeningStage

SIZE, REPEATS = 2000, 7


def rewritten(row):
    """Rewrite the SMILES of a row as another program would write it."""
    molecule = Chem.MolFromSmiles(row.text)
    order = list(range(molecule.GetNumAtoms()))[::-1]
    text = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
    return row._replace(text=text)


def work(stage, rows):
    """Do everything that a worker does with a chunk."""
    chunk = Chunk(0, rows)
    return make_part(chunk, stage.table(chunk), ".parquet")


def steps(encoder, stages, rows, rewritten_rows):
    """Functions to time, by name."""
    texts = [row.text for row in rows]
    molecules = standardise(texts)
    layer = encoder.layers[-1]
    graphs = [encoder.featurise(parsed) for _, parsed in read_batches(molecules, [], "cpu")]

    def featurize():
        for _, parsed in read_batches(standardise(texts, keep=True), [], "cpu"):
            encoder.featurise(parsed)

    timed = {
        "encoder alone": lambda: [encoder.embed(batch.content, [layer], "mean", "cpu") for batch in graphs],
        "featurizer alone": featurize,
    }
    for name, stage in stages.items():
        timed[name] = lambda stage=stage: work(stage, rows)
        timed[f"{name}, other SMILES"] = lambda stage=stage: work(stage, rewritten_rows)
    return timed


def main(path, name, model=None):
    encoder = load_encoder(name)
    stages = {"embed": EmbeddingStage(name)}
    if model:
        stages["screen"] = ScreeningStage(model)
    for stage in stages.values():
        stage.prepare()
    chunks = Library.find([path]).chunks(SIZE)
    times = {}
    for chunk in itertools.islice(chunks, REPEATS):
        rows = [row for row in chunk.rows if not row.error]
        rewritten_rows = [rewritten(row) for row in rows]
        for step, run in steps(encoder, stages, rows, rewritten_rows).items():
            started = time.perf_counter()
            run()
            times.setdefault(step, []).append((time.perf_counter() - started) / len(rows))
    medians = {step: statistics.median(values) for step, values in times.items()}
    slower = max(medians["encoder alone"], medians["featurizer alone"])
    print(f"{name}, {REPEATS} chunks of {SIZE} rows, medians; of the slower of encoder and featurizer:")
    for step, seconds in medians.items():
        print(f"{1 / seconds:8.0f} rows/s  {slower / seconds:5.0%}  {step}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
