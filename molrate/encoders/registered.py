"""Encoders from Python: any function, transformer or torch module from SMILES to vectors, under a name."""

from __future__ import annotations

import copy
import hashlib
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.encoders.base import Encoder, add_encoder, failed
from molrate.encoders.batch import MoleculeBatch, Texts
from molrate.encoders.cards import EncoderCard
from molrate.encoders.checkpoints import load_state, load_strictly, weights_digest, write_state
from molrate.errors import InputError, UsageError

if TYPE_CHECKING:
    from rdkit import Chem
    from torch import nn

    from molrate.encoders.trainable import Trainable

_FAMILY = "registered"
_KINDS = ("pretrained", "baseline", "control")

Function = Callable[[list[str]], Any]
Vectors = npt.NDArray[np.float32]


def register_encoder(
    name: str,
    encoder: Any,
    *,
    layers: Sequence[str] = ("output",),
    kind: str = "pretrained",
    title: str = "",
    version: str | None = None,
    trained_on: Sequence[str] = (),
) -> Encoder:
    """Make a function, transformer or torch module an encoder that can be named wherever molrate takes one.

    The name is known to this process and to the workers that it starts, to which the encoder is sent by
    cloudpickle. For the command line let a package have it as an entry point of the group
    ``molrate.encoders``.

    Parameters
    ----------
    name : str
        A name that no shipped or installed encoder has, without ``:``, ``?`` and commas. Registered again, it
        stands for what is given last.
    encoder : callable, transformer or torch.nn.Module
        Called with a list of n canonical SMILES. With one layer it returns an array or tensor of shape
        (n, d), with several a mapping of layer name to one. A row with NaN is a molecule that is not
        supported. A transformer has a method ``transform`` in place of the call, as those of scikit-learn
        have; it must need no fitting, or be fitted. The parameters of a module can be fine-tuned; only its
        last layer is.
    layers : sequence of str
        Names of the layers, in the order in which data flows.
    kind : {"pretrained", "baseline", "control"}
    title : str
        For lists of encoders.
    version : str, optional
        What tells this encoder from any other of the name. With it, embeddings are read from the cache in
        later runs too, so change it with everything that changes the numbers. The values of a module's
        parameters and buffers are told apart by themselves.
    trained_on : sequence of str
        SMILES of molecules whose labels it was trained on. A ranking says where they are many of those it
        is made of.

    Returns
    -------
    Encoder

    Raises
    ------
    UsageError
        If the name is taken, or something given cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> _ = register_encoder("length", lambda smiles: np.array([[len(text)] for text in smiles]))
    >>> import molrate
    >>> molrate.embed(["CCO", "C"], "length").tolist()
    [[3.0], [1.0]]
    """
    if kind not in _KINDS:
        raise UsageError(f"unknown kind {kind!r}; known: {', '.join(_KINDS)}")
    layers = _layer_names(layers)
    card = EncoderCard(name, title, "Registered from Python.", _FAMILY, kind)
    token = f"version {version}" if version is not None else f"process {secrets.token_hex(16)}"
    is_module = _is_torch(encoder, "Module")
    if not is_module and not callable(encoder) and not hasattr(encoder, "transform"):
        raise UsageError(f"{name}: a callable, a transformer or a torch module is expected")

    seen = _skeletons(name, trained_on)

    def build(weights: str | Path | None = None, **options: Any) -> Encoder:
        # Nothing is drawn at random here.
        options.pop("seed", None)
        if options:
            raise UsageError(f"{name} has no option {', '.join(options)}")
        given = Path(weights) if weights else None
        if is_module:
            return ModuleEncoder(card, encoder, layers, token, given, seen)
        if given is not None:
            raise UsageError(f"{name} has no weights; --weights cannot be used with it")
        function = encoder if callable(encoder) else encoder.transform
        return FunctionEncoder(card, function, layers, token, seen)

    add_encoder(name, card, build)
    return build()


def _layer_names(layers: Any) -> tuple[str, ...]:
    """Names of layers, which ``last`` and ``all`` are not."""
    names = () if isinstance(layers, str) or not isinstance(layers, Iterable) else tuple(layers)
    usable = all(isinstance(name, str) and name and name not in ("last", "all") for name in names)
    if not names or not usable or len(set(names)) < len(names):
        raise UsageError("layers: a sequence of names that differ is expected, none of them 'last' or 'all'")
    return names


def _skeletons(name: str, smiles: Iterable[str]) -> frozenset[str]:
    """First blocks of InChIKeys; RDKit is not imported for none.

    Raises
    ------
    UsageError
        If they are no SMILES.
    """
    if isinstance(smiles, str) or not isinstance(smiles, Iterable):
        raise UsageError(f"{name}: trained_on takes a sequence of SMILES, not a {type(smiles).__name__}")
    given = list(smiles)
    if not given:
        return frozenset()
    from molrate.data.skeletons import skeletons

    found = skeletons(text for text in given if isinstance(text, str))
    if not found:
        raise UsageError(
            f"{name}: trained_on takes SMILES; no molecule is read from {given[0]!r} and the others"
        )
    return found


def _is_torch(value: Any, kind: str) -> bool:
    """Whether it is a tensor or module of torch; one is never met where torch was not imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, {"Tensor": torch.Tensor, "Module": torch.nn.Module}[kind])


def _canonical(molecules: Sequence[Chem.Mol]) -> list[str]:
    from rdkit import Chem

    return [Chem.MolToSmiles(molecule) for molecule in molecules]


def _by_layer(name: str, layers: tuple[str, ...], returned: Any, n_molecules: int) -> dict[str, Vectors]:
    """What an encoder returned, by layer.

    Raises
    ------
    InputError
        If it is not a matrix of numbers with a row for every molecule, or a layer is missing.
    """
    if not isinstance(returned, Mapping):
        returned = {layers[0]: returned} if len(layers) == 1 else {}
    missing = [layer for layer in layers if layer not in returned]
    if missing:
        raise InputError(
            f"{name} returned no layer {', '.join(missing)}: a mapping of its layers is expected"
        )
    return {layer: _matrix(f"{name}, layer {layer}", returned[layer], n_molecules) for layer in layers}


def _matrix(subject: str, rows: Any, n_molecules: int) -> Vectors:
    """Numbers of an array, tensor or table of any kind, shape (n_molecules, d).

    Raises
    ------
    InputError
        If they are none, or have another shape.
    """
    try:
        array = np.ma.asarray(_plain(rows))
        if array.dtype.kind not in "biufO":
            raise TypeError(f"its values are of the type {array.dtype}")
        # A masked value is none.
        numbers = array.astype(np.float32).filled(np.nan)  # type: ignore[attr-defined]
    except Exception as error:
        # Each kind of what is no matrix fails in its own way.
        raise InputError(
            f"{subject}: returned a {type(rows).__name__} that is no matrix of numbers of shape "
            f"({n_molecules}, d): {type(error).__name__}: {error}"
        ) from error
    if numbers.ndim != 2 or len(numbers) != n_molecules or not numbers.shape[1]:
        raise InputError(f"{subject}: returned shape {numbers.shape} for {n_molecules} molecules")
    return numbers


def _plain(rows: Any) -> Any:
    """What numpy reads in place of tensors and sparse matrices, on their own or in a list."""
    if isinstance(rows, list | tuple):
        return [_plain(row) if _is_torch(row, "Tensor") else row for row in rows]
    if _is_torch(rows, "Tensor"):
        dense = rows.detach().to_dense()
        return (dense if dense.is_complex() else dense.float()).cpu().numpy()
    return rows.toarray() if hasattr(rows, "toarray") else rows


class _Registered(Encoder):
    """What functions and modules have in common."""

    _seen: frozenset[str]

    def skeletons_seen(self) -> frozenset[str]:
        """Those of the molecules it was registered with, and of a fine-tuned model's."""
        return self._seen | super().skeletons_seen()


class FunctionEncoder(_Registered):
    """A function from SMILES to vectors, which runs on the CPU.

    Parameters
    ----------
    card : EncoderCard
    function : callable
    layers : tuple of str
    token : str
        What tells the function from others of the name.
    seen : frozenset of str
        First blocks of the InChIKeys of molecules whose labels it was trained on.
    """

    level = "molecule"

    def __init__(
        self,
        card: EncoderCard,
        function: Function,
        layers: tuple[str, ...],
        token: str,
        seen: frozenset[str] = frozenset(),
    ) -> None:
        self.card = card
        self.layers = layers
        self.featurisation = f"{_FAMILY} {card.name}, {token}"
        self._function, self._seen = function, seen

    def identity(self) -> dict[str, str]:
        """Name and version; embeddings of a function without one are not read from the cache again."""
        return {"weights": "none", "config": self.featurisation}

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Call the function; molecules with NaN in a row are reported.

        Raises
        ------
        InputError
            If the function fails, or returns another shape.
        """
        vectors = self._vectors(_canonical(molecules))
        sound = np.ones(len(molecules), dtype=bool)
        for rows in vectors.values():
            sound &= np.isfinite(rows).all(axis=1)
        reason = f"{self.name} gives no numbers for this molecule"
        errors = {int(row): reason for row in np.flatnonzero(~sound)}
        content = {layer: rows[sound] for layer, rows in vectors.items()}
        return MoleculeBatch(content, np.flatnonzero(sound).tolist(), errors)

    def _vectors(self, smiles: list[str]) -> dict[str, Vectors]:
        try:
            returned = self._function(smiles)
        except Exception as error:
            raise failed(self.name, error) from error
        return _by_layer(self.name, self.layers, returned, len(smiles))

    def forward(self, content: dict[str, Any], device: str = "cpu") -> dict[str, Vectors]:
        """Return the vectors, each of shape (n_molecules, d)."""
        return content


class ModuleEncoder(_Registered):
    """A torch module whose forward takes a list of SMILES; it runs on any device and can be fine-tuned.

    Parameters
    ----------
    card : EncoderCard
    module : torch.nn.Module
        A copy is used.
    layers : tuple of str
    token : str
        What tells the code of the module from others of the name.
    weights : pathlib.Path, optional
        A state of the module.
    seen : frozenset of str
        First blocks of the InChIKeys of molecules whose labels it was trained on.
    """

    # Networks run on the device that is asked for; what they give needs no pooling.
    level = "node"

    def __init__(
        self,
        card: EncoderCard,
        module: nn.Module,
        layers: tuple[str, ...],
        token: str,
        weights: Path | None,
        seen: frozenset[str] = frozenset(),
    ) -> None:
        self.card = card
        self.layers = layers
        self.featurisation = f"{_FAMILY} module"
        self.weights = weights
        self._given, self._token, self._seen = module, token, seen
        self._digest = ""

    @cached_property
    def module(self) -> nn.Module:
        """The network in evaluation mode, a copy of what was given when its digest was last taken."""
        module = copy.deepcopy(self._given)
        if self.weights is not None:
            load_strictly(module, load_state(self.weights), self.weights)
        return module.eval()

    def prepare(self) -> None:
        """Copy the module, with the weights given."""
        _ = self.module

    def identity(self) -> dict[str, str]:
        """Digest of the weights, and the version; a module that was trained meanwhile is copied anew."""
        given = self.weights
        digest = _state_digest(self._given) if given is None else weights_digest(given, 0)
        if digest != self._digest:
            self.__dict__.pop("module", None)
            self._digest = digest
        return {"weights": digest, "config": f"{self.name}, {self._token}"}

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Write molecules as SMILES."""
        return MoleculeBatch(Texts(_canonical(molecules)), list(range(len(molecules))), {})

    def forward(self, content: Texts, device: str = "cpu") -> dict[str, Vectors]:
        """Call the module; each layer has shape (n_molecules, d)."""
        import torch

        module = self.module.to(device)
        try:
            with torch.inference_mode():
                returned = module(list(content))
        except torch.OutOfMemoryError:
            # Smaller batches may do.
            raise
        except Exception as error:
            raise failed(self.name, error) from error
        return _by_layer(self.name, self.layers, returned, len(content))

    def embed(
        self, content: Texts, layers: Sequence[str], pooling: str, device: str = "cpu"
    ) -> dict[str, Any]:
        """Compute the embeddings of some layers; see :meth:`Encoder.embed`."""
        hidden = self.forward(content, device)
        return {layer: hidden[layer] for layer in layers}

    @property
    def n_transferable(self) -> int:
        """The module as a whole, if it has parameters."""
        return int(any(True for _ in self._given.parameters()))

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Copy the module for fine-tuning; see :meth:`Encoder.trainable`."""
        from molrate.encoders.trainable import check_layers
        from molrate.encoders.trainable_module import TrainableModule

        if not self.n_transferable:
            return super().trainable(n_layers, pooling, seed)
        if check_layers(self.name, n_layers, 1) == 0:
            raise UsageError(f"--layers 0: nothing says how {self.name} is drawn at random")
        width = self.forward(Texts(["C"]))[self.layers[-1]].shape[1]
        module = copy.deepcopy(self.module).cpu()
        return TrainableModule(self.name, module, self.layers[-1], width, pooling)

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write the module's state as ``.safetensors``."""
        write_state(path, network.state_dict(), _FAMILY, {"name": self.name})


def _state_digest(module: nn.Module) -> str:
    """SHA-256 of names and values of a module's state."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(repr((name, tuple(value.shape), str(value.dtype))).encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().double().numpy()).data)
    return f"sha256:{digest.hexdigest()}"
