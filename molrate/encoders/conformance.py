"""Whether an encoder does what molrate relies on: one check a property, with what was measured."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.encoders.base import Encoder
from molrate.errors import MolrateError

if TYPE_CHECKING:
    from rdkit import Chem

    from molrate.encoders.trainable import Trainable

PASSED, FAILED, REPORTED, SKIPPED = "passed", "FAILED", "reported", "skipped"

TOLERANCE = 1e-5
"""Largest deviation that is rounding, as a part of a layer's largest entry."""
_TUNING_TOLERANCE = 1e-3
"""The same between an encoder and its network for fine-tuning, which may be of another precision."""

PLAIN = ("CCO", "C", "Cc1ccccc1", "CC(=O)Nc1ccc(O)cc1", "O=S(=O)(O)c1ccc(Br)cc1", "CN1CCCC1c1cccnc1", "C#CCN")
"""Molecules without stereo marks, which every encoder should support."""
MARKED = ("C[C@H](N)C(=O)O", "F/C=C\\Cl", "C[C@@H]1CC[C@H](C(C)C)C[C@H]1O")
UNUSUAL = (
    *("[Na+].[Cl-]", "[H][H]", "[Na+]", "*CC", "N->[Fe]", "[U]", "C[Pt@SP1](F)(Cl)Br", "[CH3]", "[2H]C"),
    *("C~C", "CC(=O)[O-].C[NH3+]", "F[P-](F)(F)(F)(F)F"),
)
LARGE = (100, 400)
"""Residues of peptides, with four heavy atoms each."""
_ORDERS = 5

Vectors = dict[str, npt.NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Check:
    """One property of an encoder.

    Attributes
    ----------
    name : str
    outcome : {"passed", "FAILED", "reported", "skipped"}
        ``reported`` is a measurement on which nothing depends, or that the encoder's kind explains.
    measured : str
    """

    name: str
    outcome: str
    measured: str


def check_encoder(
    encoder: Encoder, reload: Callable[[Path | None], Encoder], pooling: str = "mean", device: str = "cpu"
) -> list[Check]:
    """Check an encoder.

    Parameters
    ----------
    encoder : Encoder
    reload : callable
        Loads the same encoder anew, with the weights in a file if one is given.
    pooling : {"mean", "sum", "max"}
    device : str

    Returns
    -------
    list of Check
        In a fixed order. What an encoder raises is a failed check, too.
    """
    subject = _Subject(encoder, reload, pooling, device)
    return [_outcome(name, check, subject) for name, check in _CHECKS.items()]


def _outcome(name: str, check: Callable[[_Subject], tuple[str, str]], subject: _Subject) -> Check:
    try:
        return Check(name, *check(subject))
    except Exception as error:
        # An encoder of another package may fail in any way, and the other checks still tell something.
        kind = "" if isinstance(error, MolrateError) else f"{type(error).__name__}: "
        return Check(name, FAILED, f"{kind}{error}")


@dataclass
class _Subject:
    """An encoder, and what several checks need of it."""

    encoder: Encoder
    reload: Callable[[Path | None], Encoder]
    pooling: str
    device: str

    def vectors(
        self,
        molecules: Sequence[Chem.Mol],
        layers: Sequence[str] | None = None,
        encoder: Encoder | None = None,
    ) -> Vectors:
        """Embeddings of molecules, all of which must be supported."""
        encoder = encoder or self.encoder
        batch = encoder.featurise(molecules)
        if batch.errors:
            raise MolrateError(f"does not support a plain molecule: {next(iter(batch.errors.values()))}")
        found = encoder.embed(batch.content, layers or encoder.layers, self.pooling, self.device)
        return {layer: np.asarray(rows) for layer, rows in found.items()}

    @cached_property
    def usual(self) -> list[Chem.Mol]:
        """Molecules that every encoder should support."""
        return _parsed([*PLAIN, *MARKED])

    @cached_property
    def together(self) -> Vectors:
        """Their embeddings from one batch."""
        return self.vectors(self.usual)

    @cached_property
    def trainable(self) -> Trainable:
        """The encoder's network for fine-tuning."""
        return self.encoder.trainable(pooling=self.pooling).eval()

    def tuning_batch(self) -> Any:
        """The usual molecules as :attr:`trainable` reads them."""
        return self.trainable.collate([self.trainable.encode(molecule) for molecule in self.usual])


def _parsed(smiles: Sequence[str]) -> list[Chem.Mol]:
    """Molecules as encoders get them: from canonical SMILES."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return [Chem.MolFromSmiles(Chem.MolToSmiles(Chem.MolFromSmiles(text))) for text in smiles]


def _deviation(found: Vectors, expected: Vectors) -> float:
    """Largest deviation of any layer, as a part of its largest entry."""
    deviations = []
    for layer, rows in expected.items():
        scale = np.abs(rows).max(initial=0) or 1.0
        deviations.append(np.abs(found[layer] - rows).max(initial=0) / scale)
    return float(max(deviations))


def _within(deviation: float, limit: float, what: str) -> tuple[str, str]:
    """Outcome of a comparison; not a number is a failure."""
    return PASSED if deviation <= limit else FAILED, f"{what}: {deviation:.1e} of the largest entry"


def _check_shapes(subject: _Subject) -> tuple[str, str]:
    encoder, found = subject.encoder, subject.together
    if tuple(found) != tuple(encoder.layers):
        return FAILED, f"layers {', '.join(found)} and not {', '.join(encoder.layers)}"
    wrong = [
        f"{layer} {rows.shape} {rows.dtype}"
        for layer, rows in found.items()
        if rows.ndim != 2 or len(rows) != len(subject.usual) or rows.dtype.kind != "f"
    ]
    if wrong:
        return (
            FAILED,
            f"not a matrix with a row for each of {len(subject.usual)} molecules: {'; '.join(wrong)}",
        )
    infinite = [layer for layer, rows in found.items() if not np.isfinite(rows).all()]
    if infinite:
        return FAILED, f"not all numbers are finite in {', '.join(infinite)}"
    return PASSED, ", ".join(f"{layer} {rows.shape[1]}" for layer, rows in found.items())


def _check_single_layers(subject: _Subject) -> tuple[str, str]:
    alone: Vectors = {}
    for layer in subject.encoder.layers:
        alone |= subject.vectors(subject.usual, [layer])
    deviation = _deviation(alone, subject.together)
    return _within(deviation, TOLERANCE, "a layer asked for alone")


def _check_batches(subject: _Subject) -> tuple[str, str]:
    rows = [subject.vectors([molecule]) for molecule in subject.usual]
    alone = {layer: np.concatenate([row[layer] for row in rows]) for layer in subject.together}
    return _within(_deviation(alone, subject.together), TOLERANCE, "a molecule alone")


def _check_determinism(subject: _Subject) -> tuple[str, str]:
    again = _deviation(subject.vectors(subject.usual), subject.together)
    reloaded = _deviation(subject.vectors(subject.usual, encoder=subject.reload(None)), subject.together)
    # Sums on a GPU may be in another order each time.
    limit = 0.0 if subject.device == "cpu" else TOLERANCE
    return _within(max(again, reloaded), limit, "the same molecules again, and loaded again")


def _check_identity(subject: _Subject) -> tuple[str, str]:
    identity = subject.encoder.identity()
    if identity != subject.reload(None).identity():
        return FAILED, "it differs when the encoder is loaded again, so that nothing is found in the cache"
    if not all(isinstance(part, str) for item in identity.items() for part in item):
        return FAILED, "it holds values that are not text"
    return PASSED, ", ".join(identity)


def _check_unusual(subject: _Subject) -> tuple[str, str]:
    molecules = _parsed(UNUSUAL)
    mixed = [*subject.usual, *molecules]
    batch = subject.encoder.featurise(mixed)
    if sorted([*batch.rows, *batch.errors]) != list(range(len(mixed))) or list(batch.rows) != sorted(
        batch.rows
    ):
        return FAILED, "rows and errors are not each molecule once, in order"
    if not all(batch.errors.values()):
        return FAILED, "a molecule is not supported and no reason is given"
    found = subject.encoder.embed(batch.content, subject.encoder.layers, subject.pooling, subject.device)
    bad = [layer for layer, rows in found.items() if not np.isfinite(np.asarray(rows)).all()]
    if bad or any(len(rows) != len(batch.rows) for rows in found.values()):
        return FAILED, f"rows are missing or not finite: {', '.join(bad or found)}"
    n_usual = len(subject.usual)
    beside = {layer: np.asarray(rows)[:n_usual] for layer, rows in found.items()}
    if list(batch.rows[:n_usual]) != list(range(n_usual)) or _deviation(beside, subject.together) > TOLERANCE:
        return FAILED, "they change what other molecules of the batch get"
    refused = [f"{UNUSUAL[row - n_usual]} ({reason})" for row, reason in sorted(batch.errors.items())]
    supported = f"{len(UNUSUAL) - len(refused)} of {len(UNUSUAL)} unusual molecules are supported"
    return PASSED, "; ".join([supported, *(f"not {text}" for text in refused)])


def _check_large(subject: _Subject) -> tuple[str, str]:
    measured = []
    for n_residues in LARGE:
        (molecule,) = _parsed(["NCC(=O)" * n_residues + "O"])
        started = time.perf_counter()
        batch = subject.encoder.featurise([molecule])
        what = f"{molecule.GetNumAtoms()} atoms"
        if batch.errors:
            measured.append(f"{what}: not supported ({batch.errors[0]})")
            continue
        found = subject.encoder.embed(batch.content, subject.encoder.layers, subject.pooling, subject.device)
        if not all(np.isfinite(np.asarray(rows)).all() for rows in found.values()):
            return FAILED, f"{what}: not all numbers are finite"
        measured.append(f"{what}: {time.perf_counter() - started:.2f} s")
    return PASSED, "; ".join(measured)


def _check_order(subject: _Subject) -> tuple[str, str]:
    plain = _order_deviation(subject, PLAIN)
    marked = _order_deviation(subject, MARKED)
    outcome, measured = _within(plain, TOLERANCE, "random SMILES of molecules without stereo marks")
    if outcome == FAILED and subject.encoder.reads_text:
        outcome = REPORTED
    return outcome, f"{measured}; with them {marked:.1e}"


def _order_deviation(subject: _Subject, smiles: Sequence[str]) -> float:
    """Largest deviation between a molecule's canonical SMILES and others of it."""
    from rdkit import Chem

    molecules = _parsed(smiles)
    expected = subject.vectors(molecules)
    generator = np.random.default_rng(0)
    deviations = []
    for _ in range(_ORDERS):
        others = []
        for molecule in molecules:
            order = generator.permutation(molecule.GetNumAtoms()).tolist()
            written = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
            others.append(Chem.MolFromSmiles(written))
        deviations.append(_deviation(subject.vectors(others), expected))
    return max(deviations)


def _check_tuning(subject: _Subject) -> tuple[str, str]:
    if not subject.encoder.n_transferable:
        return SKIPPED, "it has nothing to train"
    import torch

    with torch.no_grad():
        pooled = subject.trainable(subject.tuning_batch()).numpy()
    if pooled.shape != (len(subject.usual), subject.trainable.width):
        return (
            FAILED,
            f"shape {pooled.shape} for {len(subject.usual)} molecules of width {subject.trainable.width}",
        )
    last = subject.encoder.layers[-1]
    deviation = _deviation({last: pooled}, {last: subject.together[last]})
    return _within(deviation, _TUNING_TOLERANCE, f"the network for fine-tuning beside {last}")


def _check_gradients(subject: _Subject) -> tuple[str, str]:
    if not subject.encoder.n_transferable:
        return SKIPPED, "it has nothing to train"
    trainable = subject.encoder.trainable(pooling=subject.pooling)
    batch = trainable.collate([trainable.encode(molecule) for molecule in subject.usual])
    trainable(batch).square().sum().backward()
    parameters = dict(trainable.named_parameters())
    missed = [name for name, value in parameters.items() if value.requires_grad and value.grad is None]
    if missed:
        return FAILED, f"none reaches {len(missed)} of {len(parameters)} parameters: {', '.join(missed[:3])}"
    infinite = [
        name
        for name, value in parameters.items()
        if value.grad is not None and not value.grad.isfinite().all()
    ]
    if infinite:
        return FAILED, f"they are not finite in {', '.join(infinite[:3])}"
    return PASSED, f"all {len(parameters)} parameters of {subject.encoder.n_transferable} layers"


def _check_weights(subject: _Subject) -> tuple[str, str]:
    if not subject.encoder.n_transferable:
        return SKIPPED, "it has no weights"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        subject.encoder.write_weights(subject.trainable.network, path)
        read = subject.vectors(subject.usual, encoder=subject.reload(path))
    return _within(_deviation(read, subject.together), TOLERANCE, "written and read back")


_CHECKS: dict[str, Callable[[_Subject], tuple[str, str]]] = {
    "layers and shapes": _check_shapes,
    "single layers": _check_single_layers,
    "batch independence": _check_batches,
    "determinism": _check_determinism,
    "identity": _check_identity,
    "unusual molecules": _check_unusual,
    "large molecules": _check_large,
    "order of atoms": _check_order,
    "fine-tuning": _check_tuning,
    "gradients": _check_gradients,
    "weights": _check_weights,
}
