"""Encoders as scikit-learn transformers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, column_or_1d

from molrate.data.molecules import standardise
from molrate.embedding.embed import embed_one
from molrate.encoders.base import load_encoder
from molrate.errors import InputError, UsageError


class MoleculeEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """SMILES to embeddings, as a step of a scikit-learn pipeline.

    Parameters
    ----------
    encoder : str
        A name that ``molrate list encoders`` prints.
    layer : str
        ``last`` or the name of a layer.
    pooling : {"mean", "sum", "max"}
    standardisation : {"largest-fragment", "none"}
    on_invalid : {"fail", "keep"}
        Stop at invalid SMILES, or keep their rows as NaN.
    device : str
    random_state : int
        Draws the weights of untrained encoders.

    Examples
    --------
    >>> from molrate import MoleculeEncoder
    >>> MoleculeEncoder("ecfp4").fit_transform(["CCO", "c1ccccc1"]).shape
    (2, 2048)
    """

    def __init__(
        self,
        encoder: str = "ecfp4",
        layer: str = "last",
        pooling: str = "mean",
        standardisation: str = "largest-fragment",
        on_invalid: str = "fail",
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.encoder = encoder
        self.layer = layer
        self.pooling = pooling
        self.standardisation = standardisation
        self.on_invalid = on_invalid
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        tags.no_validation = True
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Resolve the encoder and its layer; nothing is learned from the data.

        Parameters
        ----------
        X : array-like of str, shape (n,) or (n, 1)
            SMILES.
        y : ignored
        """
        smiles = self._smiles(X)
        if self.on_invalid not in ("fail", "keep"):
            raise UsageError(f"unknown policy {self.on_invalid!r} (on_invalid); known: fail, keep")
        self.encoder_ = load_encoder(self.encoder, seed=self.random_state)
        self.layer_ = self.encoder_.select_layer(self.layer)
        # A molecule every encoder knows tells the dimension without touching the data.
        self._n_features_out = self._embed(["CC"]).shape[1]
        self.n_features_in_ = 1
        if len(smiles) == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Embed SMILES.

        Parameters
        ----------
        X : array-like of str, shape (n,) or (n, 1)

        Returns
        -------
        ndarray of float32, shape (n, d)

        Raises
        ------
        InputError
            If a SMILES is invalid, or the encoder does not support the molecule, and `on_invalid` is
            ``fail``.
        """
        check_is_fitted(self)
        smiles = self._smiles(X)
        if self.on_invalid == "fail":
            molecules = standardise(smiles, self.standardisation)
            if not molecules.valid.all():
                raise InputError(f"invalid SMILES: {molecules.describe_invalid()}; correct or remove them")
        vectors = self._embed(smiles)
        unsupported = np.flatnonzero(np.isnan(vectors).any(axis=1))
        if self.on_invalid == "fail" and len(unsupported):
            row = unsupported[0]
            raise InputError(f"row {row + 1} {smiles[row]!r}: {self.encoder} does not support this molecule")
        return vectors

    def _embed(self, smiles: list[str]) -> npt.NDArray[np.float32]:
        molecules = standardise(smiles, self.standardisation)
        embedding = embed_one(molecules, self.encoder_, [self.layer_], self.pooling, self.device)
        if self.layer_ in embedding.layers:
            return embedding.layers[self.layer_]
        # Of none of these molecules; how wide the layer is was seen when fitting.
        return np.full((len(smiles), self._n_features_out), np.nan, dtype=np.float32)

    @staticmethod
    def _smiles(X: Any) -> list[str]:
        array = np.asarray(X, dtype=object)
        return [str(text) for text in column_or_1d(array.ravel() if array.shape[1:] == (1,) else array)]
