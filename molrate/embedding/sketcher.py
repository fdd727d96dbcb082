r"""Sketches of how each molecule's prediction moves with the weights of a network.

The derivative of a prediction with respect to the matrix of a linear map is
:math:`\sum_r \delta_r h_r^\top` over the rows r (atoms, bonds, tokens) of the molecule, h what the map reads
and :math:`\delta` the derivative of the prediction with respect to what it writes. Random signs P and Q
take it to :math:`\sum_r (P \delta_r)(Q h_r)^\top`, 12 x 12 numbers, whose inner products are on average
those of the derivatives. The numbers of all maps are added, with random signs, into a common number of
columns. One forward and one backward pass gives this for all molecules of a batch, as no row belongs to two
of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from molrate.embedding.cache import COLUMNS, DIMENSIONS
from molrate.encoders.trainable import NotApartError
from molrate.errors import InputError

if TYPE_CHECKING:
    from molrate.encoders.trainable import SeparateBatch, Trainable

_Projections = tuple[Tensor, Tensor]


class Sketcher:
    """Random projections for every linear map of a network, the same in each run.

    Parameters
    ----------
    trainable : Trainable
        In evaluation mode; its parameters are made constants, as no derivative with respect to them is
        formed.
    head : ndarray, shape (d, m)
        Derivatives of m predictions with respect to the pooled last layer.

    Examples
    --------
    >>> from molrate.data.molecules import parse_canonical
    >>> from molrate.encoders.base import load_encoder
    >>> trainable = load_encoder("gin-untrained").trainable().eval()
    >>> sketcher = Sketcher(trainable, np.ones((trainable.width, 1)))
    >>> sketcher.sketch([trainable.encode(parse_canonical("CCO"))]).shape
    torch.Size([1, 2048])
    """

    def __init__(self, trainable: Trainable, head: npt.NDArray[np.floating[Any]]) -> None:
        self.trainable = trainable.requires_grad_(False)
        parameter = next(trainable.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.head = torch.from_numpy(np.ascontiguousarray(head)).to(self.device, self.dtype)
        self.names = {
            value.untyped_storage().data_ptr(): name
            for name, value in reversed([*trainable.named_parameters()])
        }
        self._projections: dict[str, _Projections] = {}
        self._places: dict[str, _Projections] = {}

    def sketch(self, encoded: Sequence[Any]) -> Tensor:
        """Sketches of molecules that :meth:`Trainable.encode` encoded, shape (n_molecules, COLUMNS).

        Raises
        ------
        InputError
            If one molecule alone is too large for the memory.
        """
        try:
            batch = self.trainable.separate(encoded)
            if len(encoded) > 1:
                _check_apart(batch.owners)
            return self._sketch(batch, len(encoded))
        except (NotApartError, torch.OutOfMemoryError) as error:
            if len(encoded) == 1:
                raise InputError(
                    f"a molecule's gradients do not fit into the memory of {self.device}"
                ) from error
        middle = len(encoded) // 2
        return torch.cat([self.sketch(encoded[:middle]), self.sketch(encoded[middle:])])

    def _sketch(self, batch: SeparateBatch, n_molecules: int) -> Tensor:
        recorder = _Recorder(self, [owner.to(self.device) for owner in batch.owners], n_molecules)
        with torch.enable_grad(), recorder:
            pooled = self.trainable(batch.content.to(self.device))
        total = torch.zeros(n_molecules, COLUMNS, dtype=self.dtype, device=self.device)
        # Of a network that moves with no linear map there is nothing to sketch.
        if not pooled.requires_grad or not recorder.starts:
            return total
        predictions = pooled @ self.head.to(pooled.dtype)
        last = predictions.shape[1] - 1
        for column in range(last + 1):
            recorder.sums.clear()
            torch.autograd.grad(
                predictions[:, column].sum(), recorder.starts, retain_graph=column < last, allow_unused=True
            )
            for key, sums in recorder.sums.items():
                places, signs = self._placed(f"{key} {column}")
                total.index_add_(1, places, sums * signs)
        return total

    @property
    def keys(self) -> list[str]:
        """Names of the matrices that were sketched so far, each followed by which part of it was used."""
        return list(self._projections)

    def projections(self, key: str, n_inputs: int, n_outputs: int) -> _Projections:
        """Random signs for what a map reads, (n_inputs, 12), and for what it writes, (n_outputs, 12)."""
        if key not in self._projections:
            generator = _generator(f"{key} projections")
            self._projections[key] = (
                self._signs(generator, (n_inputs, DIMENSIONS)) / DIMENSIONS**0.5,
                self._signs(generator, (n_outputs, DIMENSIONS)) / DIMENSIONS**0.5,
            )
        return self._projections[key]

    def _placed(self, key: str) -> _Projections:
        """Columns that the numbers of a map are added to, and the signs that they get."""
        if key not in self._places:
            generator = _generator(f"{key} places")
            places = torch.from_numpy(generator.integers(COLUMNS, size=DIMENSIONS**2))
            self._places[key] = places.to(self.device), self._signs(generator, (DIMENSIONS**2,))
        return self._places[key]

    def _signs(self, generator: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        signs = 2.0 * generator.integers(2, size=shape) - 1
        return torch.from_numpy(signs).to(self.device, self.dtype)


def _generator(text: str) -> np.random.Generator:
    """Random numbers that a text stands for."""
    return np.random.default_rng(np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint32))


def _check_apart(owners: Sequence[Tensor]) -> None:
    """Refuse equally many rows of different molecules, as only their number tells kinds apart."""
    by_length: dict[int, Tensor] = {}
    for owner in owners:
        if not torch.equal(by_length.setdefault(len(owner), owner), owner):
            raise NotApartError


class _Recorder(TorchFunctionMode):
    """Notes what every linear map reads in a forward pass, and sums its sketch in backward passes.

    Attributes
    ----------
    starts : list of Tensor
        What derivatives are to be taken down to.
    sums : dict of str to Tensor, shape (n_molecules, 144)
        For each linear map, after a backward pass.
    """

    def __init__(self, sketcher: Sketcher, owners: Sequence[Tensor], n_molecules: int) -> None:
        super().__init__()
        self.sketcher = sketcher
        self.n_molecules = n_molecules
        self._by_length = {len(owner): _MoleculeRows.of(owner, n_molecules) for owner in owners if len(owner)}
        self.starts: list[Tensor] = []
        self.sums: dict[str, Tensor] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is linear:
            return self._linear(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    def _linear(self, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The linear map, whose output tells its derivative."""
        name = self.sketcher.names.get(weight.untyped_storage().data_ptr())
        if name is None:
            # Not a matrix of the network, so that fine-tuning does not move it.
            return linear(inputs, weight, bias)
        if not inputs.requires_grad:
            inputs = inputs.detach().requires_grad_()
            self.starts.append(inputs)
        output = linear(inputs, weight, bias)
        key = f"{name} {weight.storage_offset()} {tuple(weight.shape)}"
        of_inputs, of_outputs = self.sketcher.projections(key, inputs.shape[-1], output.shape[-1])
        with torch.no_grad():
            read = _projected(inputs.detach(), of_inputs)
        if not len(inputs):
            return output
        rows = self._rows(len(inputs))

        def add(derivative: Tensor) -> None:
            with torch.no_grad():
                products = rows.products(_projected(derivative, of_outputs), read)
                self.sums[key] = self.sums[key] + products if key in self.sums else products

        output.register_hook(add)  # type: ignore[no-untyped-call]
        return output

    def _rows(self, n_rows: int) -> _MoleculeRows:
        """How so many rows belong to molecules.

        Raises
        ------
        NotApartError
            If that is not known.
        """
        if n_rows not in self._by_length:
            if self.n_molecules == 1:
                owner = torch.zeros(n_rows, dtype=torch.long, device=self.sketcher.device)
            elif n_rows == self.n_molecules:
                owner = torch.arange(n_rows, device=self.sketcher.device)
            else:
                raise NotApartError
            self._by_length[n_rows] = _MoleculeRows.of(owner, self.n_molecules)
        return self._by_length[n_rows]


def _projected(rows: Tensor, onto: Tensor) -> Tensor:
    """Products (n, ..., 12) of rows and a matrix, in the order that is quicker for few columns."""
    return (onto.T @ rows.reshape(-1, rows.shape[-1]).T).T.view(*rows.shape[:-1], DIMENSIONS)


@dataclass(frozen=True)
class _MoleculeRows:
    """Rows by molecule.

    Attributes
    ----------
    slots : Tensor of int64, shape (n_rows,)
        Place of each row among the molecules' slots, molecule after molecule.
    n_molecules, size : int
        Of slots each molecule has `size`.
    """

    slots: Tensor
    n_molecules: int
    size: int

    @classmethod
    def of(cls, owner: Tensor, n_molecules: int) -> _MoleculeRows:
        """From the molecule of each row."""
        counts = torch.bincount(owner, minlength=n_molecules)
        size = int(counts.max())
        order = torch.argsort(owner, stable=True)
        first = (counts.cumsum(0) - counts)[owner[order]]
        slots = torch.empty_like(owner)
        slots[order] = owner[order] * size + torch.arange(len(owner), device=owner.device) - first
        return cls(slots, n_molecules, size)

    def products(self, written: Tensor, read: Tensor) -> Tensor:
        """Outer products summed over the rows of each molecule, (n_rows, ..., 12) twice to (n, 144)."""
        return (self._slotted(written).transpose(1, 2) @ self._slotted(read)).flatten(1)

    def _slotted(self, rows: Tensor) -> Tensor:
        """Rows of every molecule, zeros where it has fewer; shape (n, size * ..., 12)."""
        filled = rows.new_zeros(self.n_molecules * self.size, *rows.shape[1:])
        filled[self.slots] = rows
        return filled.view(self.n_molecules, -1, DIMENSIONS)
