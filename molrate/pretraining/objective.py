"""GROVER's pretraining objective: contexts of atoms and bonds, functional groups, and agreement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    log_softmax,
    mse_loss,
    nll_loss,
)

from molrate.encoders.grover.deduplication import BRANCHES
from molrate.encoders.grover.network import Grover
from molrate.encoders.pooling import POOLINGS
from molrate.pretraining.corpus import LabelledBatch
from molrate.pretraining.labels import ATOM_PROPERTIES, functional_group_names

CONTEXT_AGREEMENT = 0.1
"""Weight of the squared difference between the predictions of two branches for the same atom or bond."""


@dataclass(frozen=True)
class Losses:
    """The parts of the objective; the parts before the agreements are sums over branches, as released."""

    atom_context: Tensor
    bond_context: Tensor
    groups: Tensor
    properties: Tensor
    totals: Tensor
    atom_agreement: Tensor
    bond_agreement: Tensor
    group_agreement: Tensor

    def total(self, group_weight: float = 1.0, property_weight: float = 0.0) -> Tensor:
        """The weighted sum that pretraining minimises."""
        contexts = self.atom_context + self.bond_context
        agreement = CONTEXT_AGREEMENT * (self.atom_agreement + self.bond_agreement) + self.group_agreement
        properties = property_weight * (self.properties + self.totals)
        return contexts + group_weight * self.groups + properties + agreement

    def parts(self) -> dict[str, Tensor]:
        """The parts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def unigram_losses(train: Iterable[LabelledBatch], held_out: Iterable[LabelledBatch]) -> dict[str, float]:
    """Losses of predicting every label by its frequency alone, on the scale of :class:`Losses`.

    Parameters
    ----------
    train : iterable of LabelledBatch
        Batches in which labels are counted; 1 is added to each count.
    held_out : iterable of LabelledBatch
        Batches on which losses are measured.
    """
    counted, measured = list(train), list(held_out)

    def context(name: str) -> float:
        train_labels = torch.cat([getattr(batch, name) for batch in counted])
        labels = torch.cat([getattr(batch, name) for batch in measured])
        counts = torch.bincount(train_labels, minlength=int(labels.max()) + 1) + 1.0
        return -float((counts / counts.sum()).log()[labels].mean())

    groups = torch.cat([batch.groups for batch in counted])
    share = ((groups.sum(dim=0) + 1) / (len(groups) + 2)).expand(sum(len(b.groups) for b in measured), -1)
    group_loss = float(binary_cross_entropy(share, torch.cat([batch.groups for batch in measured])))
    properties = torch.cat([batch.properties for batch in measured])
    centre = torch.cat([batch.properties for batch in counted]).mean(dim=0)
    totals = torch.cat([batch.totals() for batch in measured])
    total_centre = torch.cat([batch.totals() for batch in counted]).mean(dim=0)
    return {
        "properties": 2 * float(((properties - centre) ** 2).mean()),
        "totals": len(BRANCHES) * float(((totals - total_centre) ** 2).mean()),
        "atom_context": 2 * context("atom_labels"),
        "bond_context": 2 * context("bond_labels"),
        "groups": len(BRANCHES) * group_loss,
    }


class Pretraining(nn.Module):
    """An encoder with the heads that predict the pretraining labels.

    Parameters
    ----------
    encoder : Grover
    n_atom_contexts, n_bond_contexts : int
        Sizes of the vocabularies.
    """

    def __init__(self, encoder: Grover, n_atom_contexts: int, n_bond_contexts: int) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.width

        def linears(names: tuple[str, ...], size: int) -> nn.ModuleDict:
            return nn.ModuleDict({name: nn.Linear(width, size) for name in names})

        self.atom_context = linears(("atom-from-atom", "atom-from-bond"), n_atom_contexts)
        self.bond_context = linears(("bond-from-atom", "bond-from-bond"), n_bond_contexts)
        self.bond_context_reverse = linears(("bond-from-atom", "bond-from-bond"), n_bond_contexts)
        self.groups = linears(BRANCHES, len(functional_group_names()))
        self.properties = linears(("atom-from-atom", "atom-from-bond"), len(ATOM_PROPERTIES))
        self.totals = linears(BRANCHES, len(ATOM_PROPERTIES) + 1)

    def forward(self, batch: LabelledBatch) -> Losses:
        """Compute the losses of one batch.

        The agreement of contexts is averaged over the atoms and bonds that have a label.
        """
        layers = self.encoder(batch.graph)
        inverses = {name: branch.inverse for name, branch in batch.graph.branches.items()}

        def nodes(name: str, rows: Tensor) -> Tensor:
            return layers[name][inverses[name][rows]]

        atoms = [
            log_softmax(head(nodes(name, batch.atom_rows)), dim=-1)
            for name, head in self.atom_context.items()
        ]
        bonds = [
            log_softmax(
                head(nodes(name, batch.bond_rows))
                + self.bond_context_reverse[name](nodes(name, batch.bond_rows + 1)),
                dim=-1,
            )
            for name, head in self.bond_context.items()
        ]
        molecules = {name: self._molecules(layers[name][inverses[name]], name, batch) for name in self.groups}
        groups = [head(molecules[name]) for name, head in self.groups.items()]
        totals = [head(molecules[name]) for name, head in self.totals.items()]
        properties = [head(layers[name])[inverses[name]] for name, head in self.properties.items()]
        return Losses(
            torch.stack([nll_loss(scores, batch.atom_labels) for scores in atoms]).sum(),
            torch.stack([nll_loss(scores, batch.bond_labels) for scores in bonds]).sum(),
            torch.stack([binary_cross_entropy_with_logits(scores, batch.groups) for scores in groups]).sum(),
            torch.stack([mse_loss(values, batch.properties) for values in properties]).sum(),
            torch.stack([mse_loss(values, batch.totals()) for values in totals]).sum(),
            mse_loss(atoms[0], atoms[1]),
            mse_loss(bonds[0], bonds[1]),
            mse_loss(groups[0].sigmoid(), groups[1].sigmoid())
            + mse_loss(groups[2].sigmoid(), groups[3].sigmoid()),
        )

    @staticmethod
    def _molecules(rows: Tensor, name: str, batch: LabelledBatch) -> Tensor:
        index = batch.atom_molecule if name.startswith("atom") else batch.bond_molecule
        return POOLINGS["mean"](rows, index, len(batch.groups))
