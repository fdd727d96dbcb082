"""Molecules of a dataset through every encoder: the candidates of a ranking and its rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.datasets import Dataset
from molrate.data.duplicates import merge_measurements
from molrate.data.molecules import Molecules, standardise
from molrate.data.policy import RowPolicy
from molrate.data.structures import limit_atoms, smiles_of_rows
from molrate.data.targets import MIN_LABELLED, Target, check_target
from molrate.embedding.embed import Progress, embed_molecules
from molrate.embedding.gradients import sketch_gradients
from molrate.embedding.result import Embedding
from molrate.embedding.settings import EmbeddingSettings
from molrate.encoders.base import Encoder, failure_of, load_encoder
from molrate.encoders.cards import encoder_cards
from molrate.errors import InputError, MolrateError, UsageError
from molrate.files.library import Library
from molrate.measures.given import GivenArrays
from molrate.measures.tangent import fit_head, head_digest
from molrate.ranking.candidates import Candidate, Gradients, ScoredTarget
from molrate.ranking.contamination import is_suspect, seen_shares
from molrate.statistics.resampling import Resampling, make_resampling

logger = logging.getLogger(__name__)

Request = tuple[Encoder, tuple[str, ...]]

Failure = tuple[str, MolrateError]


@dataclass(frozen=True)
class EncoderPool:
    """Encoders that ran, on the molecules of a dataset."""

    dataset: Dataset
    molecules: Molecules
    requests: list[Request]
    embeddings: list[Embedding]
    failures: list[Failure]
    settings: EmbeddingSettings

    @property
    def common(self) -> npt.NDArray[np.bool_]:
        """Rows that every encoder could embed: rankings compare encoders on the same molecules."""
        common = self.molecules.valid.copy()
        for embedding in self.embeddings:
            common[list(embedding.errors)] = False
        return common

    def candidates(self, given: Mapping[str, Mapping[str, Any]]) -> list[Candidate]:
        """Every layer of every encoder."""
        return [
            Candidate(
                encoder.name,
                layer,
                embedding.layers[layer],
                encoder.card.kind,
                self.settings.pooling if encoder.level == "node" else "none",
                embedding.seconds,
                {
                    **given.get("reference", {}),
                    **given.get(encoder.name, {}),
                    **given.get(f"{encoder.name}/{layer}", {}),
                },
                encoder.n_transferable > 0,
            )
            for (encoder, layers), embedding in zip(self.requests, self.embeddings, strict=True)
            for layer in layers
        ]

    def gradients(
        self, rows: npt.NDArray[np.intp], resampling: Resampling, *, controls: bool = True
    ) -> dict[tuple[str, str], Gradients]:
        """Gradients of a head fitted to the last layer, of every encoder that can be fine-tuned.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Molecules with a label.
        resampling : Resampling
            With the labels.
        controls : bool
            Untrained networks too, which nobody fine-tunes but to compare.
        """
        found = {}
        fitted_to = head_digest(rows, resampling)
        for (encoder, layers), embedding in zip(self.requests, self.embeddings, strict=True):
            last = encoder.layers[-1]
            wanted = controls or encoder.card.kind != "control"
            if not wanted or not encoder.n_transferable or last not in layers:
                continue
            started = time.perf_counter()
            head = partial(fit_head, embedding.layers[last][rows], resampling)
            settings = self.settings.pooling, self.settings.device
            try:
                sketches = sketch_gradients(self.molecules, rows, encoder, head, fitted_to, *settings)
            except Exception as error:
                reason = failure_of(encoder, error)
                logger.warning("%s: scored without gradients: %s", encoder.name, reason)
                continue
            found[encoder.name, last] = Gradients(sketches, time.perf_counter() - started)
        return found


def default_encoders() -> list[str]:
    """Names of the encoders that can run without a download, and of the baselines.

    A control says what pretraining brings, so that it comes with a pretrained network of its family.
    """
    available = {name: card for name, card in encoder_cards().items() if card.available_offline}
    pretrained = {card.family for card in available.values() if card.kind == "pretrained"}
    return [name for name, card in available.items() if card.kind != "control" or card.family in pretrained]


def make_candidates(
    dataset: Dataset, encoders: Sequence[str | Encoder], seed: int = 0, device: str = "auto"
) -> tuple[list[Candidate], list[ScoredTarget]]:
    """Last layers of encoders, and the targets of a dataset, as :func:`score` makes them by default.

    Nothing is read from the cache, so that their seconds are those of embedding.

    Raises
    ------
    UsageError, InputError, WeightsError
        If nothing can be ranked. Encoders that fail beside others are left out.
    """
    policy, settings = RowPolicy(), EmbeddingSettings(seed=seed, device=device)
    molecules = standardise_dataset(dataset, policy)
    requests, _ = load_encoders(encoders, settings)
    embeddings = embed_molecules(molecules, requests, settings.pooling, device, cache=False)
    pool = EncoderPool(dataset, molecules, *_split_failures(requests, embeddings, molecules), settings)
    return pool.candidates({}), targets_to_score(pool, policy, seed)[0]


def standardise_dataset(dataset: Dataset, policy: RowPolicy) -> Molecules:
    """Molecules of a dataset.

    Raises
    ------
    InputError
        If none is valid, or one is not and the policy is to fail.
    """
    molecules = limit_atoms(standardise(dataset.smiles.tolist(), policy.standardisation), policy.max_atoms)
    _check_molecules(dataset, molecules, policy.on_invalid)
    return molecules


def embed_pool(
    dataset: Dataset,
    molecules: Molecules,
    loaded: tuple[list[Request], list[Failure]],
    settings: EmbeddingSettings,
    progress: Progress | None = None,
) -> EncoderPool:
    """Run every encoder on the molecules of a dataset.

    Raises
    ------
    InputError, MolrateError
        If no target can be used, or every encoder failed.
    """
    # Unusable targets are told before the work of embedding, not after it.
    usable_targets(dataset, molecules)
    requests, failures = loaded
    embeddings = embed_molecules(molecules, requests, settings.pooling, settings.device, progress=progress)
    requests, embeddings, failed = _split_failures(requests, embeddings, molecules)
    return EncoderPool(dataset, molecules, requests, embeddings, failures + failed, settings)


def add_source_features(
    given_arrays: GivenArrays, pool: EncoderPool, path: str | Path, policy: RowPolicy
) -> None:
    """Embed the molecules that stand for the pretraining corpus with every encoder of the pool.

    Raises
    ------
    InputError
        If the table cannot be used.
    """
    texts, without = smiles_of_rows(list(Library([str(path)]).rows()), policy.max_atoms)
    if without:
        position, (_, reason) = min(without.items())
        logger.warning(
            "%s: %d rows cannot be read, the first row %d: %s", path, len(without), position + 1, reason
        )
    molecules = limit_atoms(standardise(texts, policy.standardisation), policy.max_atoms)
    if not molecules.valid.any():
        raise InputError(f"{path}: no valid SMILES: {molecules.describe_invalid()} (--source-molecules)")
    settings = pool.settings
    embeddings = embed_molecules(molecules, pool.requests, settings.pooling, settings.device)
    for (encoder, layers), embedding in zip(pool.requests, embeddings, strict=True):
        if embedding.failure is not None:
            raise embedding.failure
        kept = molecules.valid.copy()
        kept[list(embedding.errors)] = False
        for layer in layers:
            arrays = given_arrays.setdefault(f"{encoder.name}/{layer}", {})
            arrays["source_features"] = embedding.layers[layer][kept]


def add_source_probabilities(given_arrays: GivenArrays, pool: EncoderPool) -> None:
    """What the classification heads that encoders were trained with say of the molecules of the pool.

    An array that was given for an encoder stays.
    """
    for encoder, _ in pool.requests:
        head = encoder.class_head()
        if head is None or "source_probabilities" in given_arrays.get(encoder.name, {}):
            continue
        last = encoder.layers[-1]
        request = [(encoder, (last,))]
        (embedding,) = embed_molecules(pool.molecules, request, head.pooling, pool.settings.device)
        if embedding.failure is not None:
            raise embedding.failure
        arrays = given_arrays.setdefault(encoder.name, {})
        arrays["source_probabilities"] = head.probabilities(embedding.layers[last])


def targets_to_score(
    pool: EncoderPool, policy: RowPolicy, seed: int
) -> tuple[list[ScoredTarget], list[tuple[Target, InputError]]]:
    """Targets with their rows and resampling, and those that cannot be ranked by with the reason.

    Raises
    ------
    InputError
        The first target's error, if none can be used.
    """
    targets, unusable = usable_targets(pool.dataset, pool.molecules)
    for _, reason in unusable:
        logger.error("%s", reason)
    scored_targets = []
    for target in targets:
        labelled, rows = labelled_rows(target, pool.molecules, pool.common, policy.duplicates)
        groups = pool.molecules.canonical[rows].astype(str)
        try:
            # Again, as molecules that an encoder cannot read or that were merged are now left out.
            check_target(labelled, groups)
        except InputError as error:
            unusable.append((target, error))
            continue
        resampling = make_resampling(labelled.values, target.task, groups=groups, seed=seed)
        make_gradients = partial(pool.gradients, rows, resampling)
        scored_targets.append(ScoredTarget(labelled, rows, resampling, make_gradients))
    if not scored_targets:
        raise unusable[0][1]
    return scored_targets, unusable


def _check_molecules(dataset: Dataset, molecules: Molecules, on_invalid: str) -> None:
    if not molecules.valid.any():
        raise InputError(
            f"{dataset.name}: none of the {len(molecules)} SMILES is valid: {molecules.describe_invalid()}. "
            "Is this the SMILES column? Name another with --smiles-column"
        )
    if on_invalid == "fail" and not molecules.valid.all():
        raise InputError(
            f"{dataset.name}: {np.sum(~molecules.valid)} invalid SMILES: {molecules.describe_invalid()}. "
            "Correct them, or leave them out with --on-invalid skip"
        )


def load_encoders(
    encoders: Sequence[str | Encoder], settings: EmbeddingSettings
) -> tuple[list[Request], list[Failure]]:
    """Encoders with their layers, and those that cannot be loaded with the reason.

    Raises
    ------
    MolrateError
        The first encoder's error, if none can be loaded.
    """
    loaded: list[Encoder] = []
    failures: list[Failure] = []
    for item in dict.fromkeys(encoders):
        try:
            encoder = item
            if isinstance(item, str):
                encoder = load_encoder(item, seed=settings.seed, precision=settings.precision)
            if not isinstance(encoder, Encoder):
                raise UsageError(
                    f"--encoder takes encoders and names, not a {type(encoder).__name__}; make it an encoder "
                    "with molrate.register_encoder"
                )
            loaded.append(encoder)
        except UsageError:
            raise
        except MolrateError as error:
            failures.append((str(item), error))
    _refuse_equal_names(loaded)
    if not loaded:
        raise failures[0][1] if failures else UsageError("no encoder to score (--encoder)")
    for _, reason in failures:
        logger.error("%s", reason)
    return [(encoder, _layers(encoder, settings.layer, loaded)) for encoder in loaded], failures


def _refuse_equal_names(encoders: Sequence[Encoder]) -> None:
    names = [encoder.name for encoder in encoders]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two encoders are called {twice}, and a ranking knows them by name; score them in calls of "
            "their own, or register them under two names"
        )


def without_contaminated(
    loaded: tuple[list[Request], list[Failure]], dataset: str, molecules: Molecules
) -> tuple[tuple[list[Request], list[Failure]], list[str]]:
    """Encoders that have not seen labels of a dataset or of its molecules, and the names of the others.

    Raises
    ------
    UsageError
        If none is left.
    """
    encoders = [encoder for encoder, _ in loaded[0]]
    shares = seen_shares(encoders, molecules)
    excluded = [encoder.name for encoder in encoders if is_suspect(encoder.card, dataset, shares)]
    reason = f"every encoder may have seen the labels of {dataset} (--exclude-contaminated)"
    return _without(loaded, excluded, reason), excluded


def of_licence(
    loaded: tuple[list[Request], list[Failure]], licence: str
) -> tuple[tuple[list[Request], list[Failure]], list[str]]:
    """Encoders whose weights have a licence, or that have no weights, and the names of the others.

    Raises
    ------
    UsageError
        If none is left.
    """
    cards = [encoder.card for encoder, _ in loaded[0]]
    excluded = [card.name for card in cards if card.weights is not None and not card.has_licence(licence)]
    return _without(loaded, excluded, f"no encoder is of that licence (--licence {licence})"), excluded


def _without(
    loaded: tuple[list[Request], list[Failure]], excluded: Sequence[str], reason: str
) -> tuple[list[Request], list[Failure]]:
    """Encoders but some; `reason` is the error where none is left."""
    requests, failures = loaded
    kept = [request for request in requests if request[0].name not in excluded]
    if not kept:
        raise UsageError(reason)
    return kept, failures


def _layers(encoder: Encoder, layer: str, ranked: Sequence[Encoder]) -> tuple[str, ...]:
    """Layers of an encoder to rank; the only one of a fingerprint beside networks that have the one named.

    Raises
    ------
    UsageError
        If the encoder has no such layer.
    """
    if len(encoder.layers) == 1 and layer not in ("last", "all", *encoder.layers):
        network = next((other for other in ranked if len(other.layers) > 1), encoder)
        network.select_layers(layer)
        return encoder.layers
    return encoder.select_layers(layer)


def usable_targets(
    dataset: Dataset, molecules: Molecules
) -> tuple[list[Target], list[tuple[Target, InputError]]]:
    """Targets that can be ranked by, and the others with the reason.

    Raises
    ------
    InputError
        The first target's error, if none can be used.
    """
    usable, unusable = [], []
    for target in dataset.targets:
        try:
            valid = np.flatnonzero(molecules.valid)
            check_target(target.take(valid), molecules.canonical[valid].astype(str))
            usable.append(target)
        except InputError as error:
            unusable.append((target, error))
    if not usable:
        raise unusable[0][1]
    return usable, unusable


def _split_failures(
    requests: list[Request], embeddings: list[Embedding], molecules: Molecules
) -> tuple[list[Request], list[Embedding], list[Failure]]:
    """Encoders that ran with their embeddings, and those that failed in running or read too few molecules.

    Raises
    ------
    MolrateError
        The first encoder's error, if all failed.
    """
    ran: list[tuple[Request, Embedding]] = []
    failures: list[Failure] = []
    for request, embedding in zip(requests, embeddings, strict=True):
        failure = embedding.failure or _too_few(request[0], embedding, molecules)
        if failure is None:
            ran.append((request, embedding))
        else:
            failures.append((request[0].name, failure))
    if not ran:
        raise failures[0][1]
    for _, reason in failures:
        logger.error("%s", reason)
    return [request for request, _ in ran], [embedding for _, embedding in ran], failures


def _too_few(encoder: Encoder, embedding: Embedding, molecules: Molecules) -> InputError | None:
    """An encoder that reads so few molecules that none could be ranked beside it, and why; else None."""
    n_valid = int(molecules.valid.sum())
    n_read = n_valid - len(embedding.errors)
    if n_read >= min(MIN_LABELLED, n_valid):
        return None
    row, reason = min(embedding.errors.items())
    return InputError(
        f"{encoder.name} reads {n_read or 'none'} of {n_valid} molecules, fewer than {MIN_LABELLED}; "
        f"row {row + 1}: {reason}"
    )


def labelled_rows(
    target: Target, molecules: Molecules, common: npt.NDArray[np.bool_], duplicates: str
) -> tuple[Target, npt.NDArray[np.intp]]:
    """The target on the rows to score, and those rows.

    Parameters
    ----------
    target : Target
        Of the n rows of a table.
    molecules : Molecules
    common : ndarray of bool, shape (n,)
        Rows that can be used.
    duplicates : {"keep", "merge"}

    Returns
    -------
    Target, ndarray of int
    """
    target = target.where(common)
    if duplicates == "merge":
        (target,) = merge_measurements(molecules.canonical.tolist(), [target])
    rows = np.flatnonzero(target.labelled)
    return target.take(rows), rows
