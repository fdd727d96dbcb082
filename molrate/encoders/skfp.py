"""Fingerprints and descriptors of scikit-fingerprints as baselines, named ``skfp:FINGERPRINT``.

``skfp:MAP4?fp_size=1024`` is ``MAPFingerprint(radius=2, fp_size=1024)``: names are those of its classes, or
end in the diameter, as the literature writes them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.encoders.base import Encoder
from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.cards import EncoderCard
from molrate.errors import UsageError

if TYPE_CHECKING:
    from rdkit import Chem

_FAMILY = "skfp"
_ENDING = "Fingerprint"
_LAYER = "fingerprint"
_OWN = ("batch_size", "n_jobs", "sparse", "verbose")
"""Parameters of how fingerprints are computed, which change nothing of them."""
_MOLECULES_PER_PROCESS = 50


class FingerprintEncoder(Encoder):
    """A fingerprint of scikit-fingerprints, which runs on the CPU.

    Parameters
    ----------
    card : EncoderCard
        Its config has the name of a class and the parameters that were given.
    weights : pathlib.Path, optional
        There are none; :meth:`card_of` refuses them.
    seed : int
        Nothing is drawn.
    """

    level = "molecule"
    layers = (_LAYER,)

    def __init__(self, card: EncoderCard, weights: Path | None = None, seed: int = 0) -> None:
        self.card = card
        self.featurisation = f"{_FAMILY}/1 {json.dumps(card.config, sort_keys=True)}"

    @classmethod
    def card_of(
        cls, name: str, source: str, weights: Path | None, options: dict[str, Any]
    ) -> tuple[EncoderCard, Path | None]:
        """Card of a fingerprint by the name and parameters of its class; see :meth:`Encoder.card_of`."""
        if weights is not None:
            raise UsageError(f"{name} has no weights; --weights cannot be used with it")
        kind, implied = _find(source)
        parameters = {**implied, **{option: _number(options.pop(option)) for option in list(options)}}
        known = [one for one in inspect.signature(kind).parameters if one not in _OWN]
        unknown = sorted(set(parameters) - set(known))
        if unknown:
            raise UsageError(f"{name} has no option {', '.join(unknown)}; it has {', '.join(known)}")
        card = EncoderCard(
            name=name,
            title=f"{kind.__name__} of scikit-fingerprints {version('scikit-fingerprints')}",
            description=(inspect.getdoc(kind) or "").partition("\n\n")[0],
            family=_FAMILY,
            kind="baseline",
            config={"fingerprint": kind.__name__, "parameters": parameters},
            input="molecule, described by scikit-fingerprints",
            parameters=0,
            layers={_LAYER: int(_make(kind, parameters, name).n_features_out)},
            trainable=False,
            pretraining="none: nothing is learned",
            code_licence="MIT",
        )
        return card, None

    @cached_property
    def _fingerprint(self) -> Any:
        config = self.card.config
        return _make(getattr(_library(), config["fingerprint"]), config["parameters"], self.name)

    def identity(self) -> dict[str, str]:
        """Class, parameters and the version of scikit-fingerprints."""
        library = f"scikit-fingerprints {version('scikit-fingerprints')}"
        return {"weights": "none", "config": self.featurisation, "library": library}

    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Compute fingerprints, shape (n_described, d); molecules that have none are reported.

        They are given as canonical SMILES, because some fingerprints depend on the order of atoms.
        """
        from rdkit import Chem

        smiles = [Chem.MolToSmiles(molecule) for molecule in molecules]
        rows: list[npt.NDArray[np.float32] | str]
        try:
            rows = list(self._vectors(smiles))
        except Exception:
            # One molecule that fails, each fingerprint in its own way, leaves none of the others.
            rows = [self._row(text) for text in smiles]
        found: dict[int, npt.NDArray[np.float32]] = {}
        errors: dict[int, str] = {}
        for row, vector in enumerate(rows):
            if isinstance(vector, str):
                errors[row] = vector
            elif np.isfinite(vector).all():
                found[row] = vector
            else:
                errors[row] = f"{self.name} has values of this molecule that are not finite"
        content = np.array(list(found.values()), dtype=np.float32)
        return MoleculeBatch(content.reshape(len(found), self.card.layers[_LAYER]), list(found), errors)

    def _row(self, smiles: str) -> npt.NDArray[np.float32] | str:
        """A molecule's fingerprint, or why there is none."""
        try:
            return self._vectors([smiles])[0]
        except Exception as error:
            return f"{self.name} fails: {type(error).__name__}: {error}"

    def _vectors(self, smiles: list[str]) -> npt.NDArray[np.float32]:
        from joblib import cpu_count

        # The cores are busy where this process is one of several workers.
        n_jobs = min(cpu_count(), len(smiles) // _MOLECULES_PER_PROCESS)
        n_jobs = 1 if parent_process() is not None else max(1, n_jobs)
        vectors = self._fingerprint.set_params(n_jobs=n_jobs).transform(smiles)
        return np.asarray(vectors, dtype=np.float32)

    def forward(
        self, content: npt.NDArray[np.float32], device: str = "cpu"
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Return the fingerprints, shape (n_described, d)."""
        return {_LAYER: content}


def _library() -> Any:
    try:
        return import_module("skfp.fingerprints")
    except ImportError as error:
        raise UsageError(
            f"fingerprints of scikit-fingerprints need that package: pip install 'molrate[skfp]' ({error})"
        ) from error


def _find(name: str) -> tuple[Any, dict[str, Any]]:
    """Class of a fingerprint, and the radius that its name has in it."""
    classes = _classes()
    lower = name.lower().removesuffix(_ENDING.lower())
    if lower in classes:
        return classes[lower], {}
    stem = lower.rstrip("0123456789")
    diameter = lower.removeprefix(stem)
    if diameter and int(diameter) % 2 == 0 and "radius" in _parameters(classes.get(stem)):
        return classes[stem], {"radius": int(diameter) // 2}
    known = sorted(kind.__name__.removesuffix(_ENDING) for kind in classes.values())
    raise UsageError(f"unknown fingerprint {name!r} (--encoder); known: {', '.join(known)}")


def _classes() -> dict[str, Any]:
    """Fingerprints by name in lower case, without those that are networks with weights of their own."""
    classes = [kind for name, kind in vars(_library()).items() if name.endswith(_ENDING)]
    return {
        kind.__name__.removesuffix(_ENDING).lower(): kind
        for kind in classes
        if inspect.isclass(kind) and ".neural." not in kind.__module__
    }


def _parameters(kind: Any) -> list[str]:
    return [] if kind is None else list(inspect.signature(kind).parameters)


def _number(value: Any) -> Any:
    """A value as it stands behind a name; numbers with a point are text until here."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _make(kind: Any, parameters: dict[str, Any], name: str) -> Any:
    """A fingerprint of a class.

    Raises
    ------
    UsageError
        If its parameters are refused, or it reads conformers.
    """
    try:
        fingerprint = kind(**parameters)
        # Without molecules nothing but the parameters is looked at.
        fingerprint.fit([])
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: {error} (--encoder)") from error
    if fingerprint.requires_conformers:
        raise UsageError(f"{name} reads conformers, which molrate does not make; take another fingerprint")
    return fingerprint
