"""Molecules streamed from a corpus as folded batches with their pretraining labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem, rdBase
from torch.utils.data import IterableDataset, get_worker_info

from molrate.data.molecules import parse_smiles
from molrate.data.structures import smiles_of_rows
from molrate.encoders.grover.deduplication import PADDING, DeduplicatedBatch, Movable, deduplicate_batch
from molrate.encoders.grover.graphs import batch_molecules
from molrate.errors import InputError
from molrate.files.library import Library
from molrate.pretraining.labels import (
    Vocabularies,
    atom_contexts,
    atom_properties,
    bond_contexts,
    functional_groups,
)

logger = logging.getLogger(__name__)

_ROWS = 10_000
"""Rows of a corpus read at a time."""


def read_corpus(path: Path) -> list[str]:
    """SMILES of a corpus, a file of any format; rows that cannot be read are left out and counted.

    Raises
    ------
    InputError
        If the file is missing, damaged, or has no molecule.
    """
    smiles: list[str] = []
    n_rows = 0
    for chunk in Library([str(path)]).chunks(_ROWS):
        n_rows += len(chunk.rows)
        smiles += filter(None, smiles_of_rows(chunk.rows)[0])
    if not smiles:
        raise InputError(f"{path}: no SMILES in it; a corpus has one in each row")
    if len(smiles) < n_rows:
        left_out = n_rows - len(smiles)
        logger.warning("%s: %d of %d rows have no SMILES or cannot be read", path, left_out, n_rows)
    return smiles


def parse(smiles: list[str]) -> list[Chem.Mol]:
    """Molecules of the SMILES that are valid."""
    with rdBase.BlockLogs():
        parsed = map(parse_smiles, smiles)
        return [molecule for molecule in parsed if molecule is not None]


_TOTAL_CENTRES = torch.tensor([1.0, 56.0, 11.0, 68.0, -7.0, 29.0])
_TOTAL_SCALES = torch.tensor([4.0, 16.0, 5.0, 20.0, 2.5, 9.0])
"""Roughly the mean and spread over drug-like molecules of what is summed over their atoms."""
_LARGEST_TOTAL = 3.0


@dataclass(frozen=True)
class LabelledBatch(Movable):
    """A folded batch and what is to be predicted of it.

    Attributes
    ----------
    graph : DeduplicatedBatch
    atom_rows, bond_rows : Tensor of int64
        Atoms, and first directions of bonds, that have a label.
    atom_labels, bond_labels : Tensor of int64
    groups : Tensor of float32, shape (n_molecules, 85)
    properties : Tensor of float32, shape (n_atoms, 5)
    atom_molecule, bond_molecule : Tensor of int64
        Molecule of each atom and directed bond.
    """

    graph: DeduplicatedBatch
    atom_rows: torch.Tensor
    atom_labels: torch.Tensor
    bond_rows: torch.Tensor
    bond_labels: torch.Tensor
    groups: torch.Tensor
    properties: torch.Tensor
    atom_molecule: torch.Tensor
    bond_molecule: torch.Tensor

    def totals(self) -> torch.Tensor:
        """Scaled sums of each molecule's atom properties and its number of atoms, shape (n_molecules, 6)."""
        atoms = torch.cat([self.properties, torch.ones_like(self.properties[:, :1])], dim=1)
        totals = atoms.new_zeros(len(self.groups), atoms.shape[1])
        totals.index_add_(0, self.atom_molecule, atoms)
        scaled = (totals - _TOTAL_CENTRES.to(atoms.device)) / _TOTAL_SCALES.to(atoms.device)
        # The few huge molecules of a corpus would rule a squared error.
        return scaled.clamp(-_LARGEST_TOTAL, _LARGEST_TOTAL)


def _choose(sizes: list[int], fraction: float, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """The given share, rounded up, of each molecule's atoms or bonds, as positions in the batch."""
    starts = np.cumsum(sizes) - sizes
    chosen = [
        start + generator.choice(size, int(np.ceil(size * fraction)), replace=False)
        for start, size in zip(starts, sizes, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def label_batch(
    molecules: list[Chem.Mol],
    vocabularies: Vocabularies,
    depth: int,
    n_blocks: int,
    label_fraction: float,
    mask_inputs: bool,
    generator: np.random.Generator,
) -> LabelledBatch:
    """Choose the atoms and bonds to be predicted, and hide their features if asked.

    Parameters
    ----------
    mask_inputs : bool
        As released, an encoder sees the features of what it predicts; if set, they are zero.
    """
    batch = batch_molecules(molecules)
    molecules = [molecules[row] for row in batch.rows]
    graph = batch.content
    atom_labels = vocabularies.atoms.index([name for mol in molecules for name in atom_contexts(mol)])
    bond_labels = vocabularies.bonds.index([name for mol in molecules for name in bond_contexts(mol)])
    atoms = _choose([mol.GetNumAtoms() for mol in molecules], label_fraction, generator)
    bonds = _choose([mol.GetNumBonds() for mol in molecules], label_fraction, generator)
    if mask_inputs:
        graph.atoms[atoms] = PADDING
        graph.bonds[2 * bonds] = PADDING
        graph.bonds[2 * bonds + 1] = PADDING
    return LabelledBatch(
        graph=deduplicate_batch(graph, depth, n_blocks),
        atom_rows=torch.from_numpy(atoms),
        atom_labels=torch.from_numpy(atom_labels[atoms]),
        bond_rows=torch.from_numpy(2 * bonds),
        bond_labels=torch.from_numpy(bond_labels[bonds]),
        groups=torch.from_numpy(np.stack([functional_groups(mol) for mol in molecules])),
        properties=torch.from_numpy(np.concatenate([atom_properties(mol) for mol in molecules])),
        atom_molecule=graph.batch,
        bond_molecule=graph.bond_batch,
    )


class CorpusBatches(IterableDataset[LabelledBatch]):
    """Endless batches of a corpus, in an order and with masks that depend on the seed alone.

    Batch number `i` is the same whoever makes it and whenever: a run that is resumed at any step, with
    any number of workers, sees what an uninterrupted one would.

    Parameters
    ----------
    smiles : list of str
    batch_size : int
    seed : int
    first : int
        Number of the first batch.
    last : int, optional
        Number after the last batch.
    rank, world_size : int
        This process among those that share the batches out.
    labelling : dict
        Further arguments of :func:`label_batch`.
    """

    def __init__(
        self,
        smiles: list[str],
        batch_size: int,
        seed: int,
        first: int = 0,
        last: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        **labelling: object,
    ) -> None:
        self.smiles, self.batch_size, self.seed = smiles, batch_size, seed
        self.first, self.last = first, last
        self.rank, self.world_size = rank, world_size
        self.labelling = labelling
        self.n_batches = max(1, len(smiles) // batch_size)
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __iter__(self) -> Iterator[LabelledBatch]:
        worker = get_worker_info()
        offset, n_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        number = self.first + offset * self.world_size + self.rank
        while self.last is None or number < self.last:
            yield self._batch(number)
            number += n_workers * self.world_size

    def _batch(self, number: int) -> LabelledBatch:
        """A batch by its number; of one without a valid SMILES, the molecules of the next.

        Raises
        ------
        InputError
            If no batch has any.
        """
        generator = np.random.default_rng([self.seed, 1, number])
        for following in range(number, number + self.n_batches):
            molecules = parse(self._texts(following))
            if molecules:
                return label_batch(molecules, generator=generator, **self.labelling)  # type: ignore[arg-type]
        raise InputError(f"none of the {len(self.smiles)} SMILES of the corpus is valid")

    def _texts(self, number: int) -> list[str]:
        """SMILES of a batch, in an order of its own in each epoch."""
        epoch, place = divmod(number, self.n_batches)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.smiles))
        start = place * self.batch_size
        return [self.smiles[row] for row in self._order[start : start + self.batch_size]]
