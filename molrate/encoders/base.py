"""Encoders: SMILES go in, and one forward pass gives the embeddings of named layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

from molrate.encoders.batch import MoleculeBatch
from molrate.encoders.cards import EncoderCard, encoder_cards
from molrate.encoders.checkpoints import TRAINING_MOLECULES, card_of_file
from molrate.errors import InputError, MolrateError, UsageError, WeightsError
from molrate.registry import Registry, plugins

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from rdkit import Chem
    from torch import nn

    from molrate.encoders.class_head import ClassHead
    from molrate.encoders.trainable import Trainable

POOLING_NAMES = ("mean", "sum", "max")

FAMILIES = Registry(
    "encoder family",
    "molrate.encoder_families",
    {
        "pretrain-gnns": "molrate.encoders.pretrain_gnns.encoder:PretrainGNNEncoder",
        "hf": "molrate.encoders.huggingface.encoder:LanguageModelEncoder",
        "molclr": "molrate.encoders.molclr.encoder:MolCLREncoder",
        "grover": "molrate.encoders.grover.encoder:GroverEncoder",
        "chemprop": "molrate.encoders.dmpnn.encoder:DMPNNEncoder",
        "minimol": "molrate.encoders.minimol.encoder:MiniMolEncoder",
        "chemnet": "molrate.encoders.chemnet.encoder:ChemNetEncoder",
        "ecfp": "molrate.encoders.baselines:ECFPEncoder",
        "rdkit-descriptors": "molrate.encoders.baselines:DescriptorEncoder",
        "skfp": "molrate.encoders.skfp:FingerprintEncoder",
        "features": "molrate.encoders.feature_file:FeatureFileEncoder",
    },
)

_PLUGIN_GROUP = "molrate.encoders"

_REGISTERED: dict[str, tuple[EncoderCard, Callable[..., Encoder]]] = {}
"""Encoders of :func:`molrate.register_encoder`: the card of each, and what builds it."""


class Encoder(ABC):
    """A fixed function from molecules to embeddings, with one matrix for each of its layers.

    Attributes
    ----------
    card : EncoderCard
    layers : tuple of str
        Layer names as the family calls them, in the order in which data flows through the layers.
    level : {"node", "molecule"}
        Whether :meth:`forward` returns one row per atom, which is then pooled, or one per molecule.
    featurisation : str
        Name and version of the input featurisation.
    reads_text : bool
        Whether the numbers depend on how a molecule's SMILES is written, because a network reads it.
    options : tuple of str
        Names of the options that :func:`load_encoder` accepts in addition to weights and seed.
    file_options : tuple of str
        Names of the options that say what a file does not; see :meth:`file_config`.
    """

    card: EncoderCard
    layers: tuple[str, ...]
    level: str
    featurisation: str
    reads_text: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ()
    file_options: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """Name under which the encoder is registered."""
        return self.card.name

    @property
    def batch_key(self) -> str:
        """Encoders with the same one share batches: all that decides what is refused, and why, is in it."""
        return self.featurisation

    @classmethod
    def find_file(cls, source: str) -> Path:
        """Weights that the second half of ``FAMILY:FILE`` stands for.

        Raises
        ------
        WeightsError
            If there are none.
        """
        path = Path(source)
        if not path.is_file():
            raise WeightsError(f"{source}: no such file (--encoder)")
        return path

    @classmethod
    def card_of(
        cls, name: str, source: str, weights: Path | None, options: dict[str, Any]
    ) -> tuple[EncoderCard, Path | None]:
        """Card and weights of an encoder that no card describes, named ``FAMILY:SOURCE``.

        Parameters
        ----------
        name : str
            With family and options.
        source : str
            The second half of the name: a file, unless the family has other sources.
        weights : pathlib.Path, optional
            Used in place of the file.
        options : dict
            Those of the name. What the card takes is removed.

        Raises
        ------
        UsageError, WeightsError
            If there is no such encoder.
        """
        if not source:
            raise UsageError(
                f"{name!r} names a family and no file of it (--encoder); write "
                f"{name.partition(':')[0]}:FILE, or the name of an encoder"
            )
        if weights is None:
            # Families of a hub fetch files where that is asked for.
            weights = cls.find_file(source, **({"download": True} if options.get("download") else {}))
        if not weights.is_file():
            raise WeightsError(f"{weights}: no such file (--encoder {name})")
        about = {option: options.pop(option) for option in cls.file_options if option in options}
        config = cls.file_config(weights, **about)
        return card_of_file(name, weights, name.partition(":")[0], config), weights

    @classmethod
    def file_config(cls, weights: Path) -> dict[str, Any]:
        """Config of the card of an encoder that is nothing but a file, named ``FAMILY:FILE``.

        Families with :attr:`file_options` take these by keyword, too.

        Raises
        ------
        UsageError
            If the family does not read files that no card describes.
        WeightsError
            If the file is not one of the family's.
        """
        names = [card.name for card in encoder_cards().values() if FAMILIES[card.family] is cls]
        raise UsageError(
            f"{weights}: files of this family do not tell their settings; name an encoder of the family "
            f"({', '.join(names)}) with --encoder, and give the file with --weights"
        )

    @classmethod
    def reads_files(cls) -> bool:
        """Whether ``FAMILY:FILE`` is an encoder; see :meth:`file_config`."""
        own = cls.__mro__[: cls.__mro__.index(Encoder)]
        return any("file_config" in vars(kind) for kind in own)

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Everything that determines the encoder's numbers; known without loading anything heavy."""

    def prepare(self) -> None:  # noqa: B027 (baselines have nothing to read)
        """Read what :meth:`forward` needs. Call it before threads share the encoder.

        Raises
        ------
        WeightsError
            If the weights cannot be read.
        """

    def remarks(self) -> list[str]:
        """Sentences on what molecules read since :meth:`prepare` lost in the encoder's input form."""
        return []

    def skeletons_seen(self) -> frozenset[str]:
        """First blocks of the InChIKeys of molecules whose labels it was trained on, as far as known.

        Weights out of a model that ``molrate finetune`` wrote have the molecules beside them.
        """
        weights: Path | None = getattr(self, "weights", None)
        beside = None if weights is None else weights.with_name(TRAINING_MOLECULES)
        if beside is None or not beside.is_file():
            return self.card.skeletons_seen()
        from molrate.data.skeletons import skeletons

        return self.card.skeletons_seen() | skeletons(beside.read_text(encoding="utf-8").splitlines())

    @abstractmethod
    def featurise(self, molecules: Sequence[Chem.Mol]) -> MoleculeBatch:
        """Convert molecules into the encoder's input form; the molecules are not changed."""

    @abstractmethod
    def forward(self, content: Any, device: str = "cpu") -> dict[str, Any]:
        """Compute the embeddings of every layer in one pass.

        Returns
        -------
        dict of str to array
            For each layer name, a tensor of shape (n_nodes, d) if :attr:`level` is ``node``, otherwise an
            array of shape (n_molecules, d).
        """

    def embed(self, content: Any, layers: Sequence[str], pooling: str, device: str = "cpu") -> dict[str, Any]:
        """Compute the molecule embeddings of some layers in one pass.

        Parameters
        ----------
        content : object
            Content of a batch that :meth:`featurise` returned.
        layers : sequence of str
        pooling : str
            One of :data:`POOLING_NAMES`; it has no effect on molecule-level layers.
        device : str

        Returns
        -------
        dict of str to ndarray, shape (n_molecules, d)
        """
        hidden = self.forward(content, device)
        if self.level == "molecule":
            return {layer: hidden[layer] for layer in layers}
        from molrate.encoders.pooling import POOLINGS

        pool = POOLINGS[pooling]
        return {
            layer: pool(rows, content.batch.to(rows.device), content.num_graphs).cpu().numpy()
            for layer, rows in ((layer, hidden[layer]) for layer in layers)
        }

    def class_head(self) -> ClassHead | None:
        """Classification head that the encoder was trained with, or None if its weights have none."""
        return None

    @property
    def n_transferable(self) -> int:
        """Number of layers that fine-tuning can transfer; 0 if there is nothing to train."""
        return 0

    def trainable(self, n_layers: int | None = None, pooling: str = "mean", seed: int = 0) -> Trainable:
        """Build the network for fine-tuning: the first layers are transferred, the rest are drawn at random.

        Parameters
        ----------
        n_layers : int, optional
            Number of layers to transfer, at most :attr:`n_transferable`, which is the default.
        pooling : str
            One of :data:`POOLING_NAMES`.
        seed : int
            Seed of the layers that are not transferred.

        Raises
        ------
        UsageError
            If the encoder has nothing to train, or fewer layers than `n_layers`.
        """
        raise UsageError(f"{self.name} has nothing to train; fit a head on it as it is (--frozen)")

    def write_weights(self, network: nn.Module, path: Path) -> None:
        """Write the weights of :attr:`Trainable.network` to a file that this encoder can load."""
        raise UsageError(f"{self.name} has no weights")

    def select_layers(self, layer: str) -> tuple[str, ...]:
        """Resolve ``last``, ``all`` or a layer's name.

        Raises
        ------
        UsageError
            If the encoder has no layer of that name.
        """
        if layer == "all":
            return self.layers
        if layer == "last":
            return self.layers[-1:]
        if layer in self.layers:
            return (layer,)
        raise UsageError(
            f"{self.name} has no layer {layer!r} (--layer); it has last, all, {', '.join(self.layers)}"
        )

    def select_layer(self, layer: str) -> str:
        """Resolve ``last`` or a layer's name where one layer is read.

        Raises
        ------
        UsageError
            If it stands for several, or the encoder has no layer of that name.
        """
        layers = self.select_layers(layer)
        if len(layers) > 1:
            raise UsageError(f"--layer {layer}: a model reads one layer; {self.name} has {', '.join(layers)}")
        return layers[0]


def failed(name: str, error: Exception) -> InputError:
    """What went wrong in an encoder's code that is not molrate's, where anything may."""
    return InputError(f"{name} failed: {type(error).__name__}: {error}")


def failure_of(encoder: Encoder, error: Exception) -> MolrateError:
    """Why an encoder failed, so that others go on without it.

    Raises
    ------
    Exception
        The error itself, if it is none that is raised on purpose and the encoder's code is molrate's own.
    """
    if isinstance(error, MolrateError):
        return error
    if type(encoder).__module__.partition(".")[0] == "molrate":
        raise error
    failure = failed(encoder.name, error)
    failure.__cause__ = error
    return failure


def add_encoder(name: str, card: EncoderCard, build: Callable[..., Encoder]) -> None:
    """Let a name stand for an encoder in this process.

    Parameters
    ----------
    name : str
    card : EncoderCard
    build : callable
        Takes ``weights`` and ``seed`` by keyword.

    Raises
    ------
    UsageError
        If a shipped or installed encoder has the name, or it cannot be one.
    """
    check_name(name)
    if name in encoder_names() and name not in _REGISTERED:
        raise UsageError(f"{name}: an encoder of that name is installed; choose another name")
    _REGISTERED[name] = card, build


def check_name(name: Any) -> None:
    """Refuse what cannot name an encoder: files and options are told by ``:`` and ``?``, lists by commas.

    Raises
    ------
    UsageError
        If it is empty or no text, or has such a sign, a line break or white space around it.
    """
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise UsageError(f"{name!r} is no name of an encoder; a name is a word such as my-encoder")
    signs = [sign for sign in "?:," if sign in name] + ["-"] * name.startswith("-")
    if signs:
        raise UsageError(
            f"{name!r} is no name of an encoder: {signs[0]!r} has a meaning of its own there (FAMILY:FILE, "
            "NAME?option=value, lists, options of the command line); take another name"
        )


def registered_encoders() -> dict[str, tuple[EncoderCard, Callable[..., Encoder]]]:
    """Encoders of :func:`molrate.register_encoder` by name: the card of each, and what builds it."""
    return dict(_REGISTERED)


def encoder_names() -> list[str]:
    """Names of all encoders: with a card, then of other installed packages, then registered ones."""
    cards = encoder_cards()
    return [*cards, *sorted(plugins(_PLUGIN_GROUP).keys() - set(cards)), *_REGISTERED]


def list_encoders(
    family: str | Sequence[str] | None = None,
    offline: bool = False,
    task: str | Sequence[str] | None = None,
    licence: str | Sequence[str] | None = None,
) -> list[dict[str, str]]:
    """List the encoders that molrate knows, including plugins.

    Parameters
    ----------
    family : str or sequence of str, optional
        Only those of this family or these, of :data:`FAMILIES`.
    offline : bool
        Only those that can run without a download. Names and sizes of weights are compared here, digests
        when they are used.
    task : str or sequence of str, optional
        Only those that were pretrained to do this or one of these, such as ``attribute-masking`` or
        ``supervised``.
    licence : str or sequence of str, optional
        Only those of this licence or these, in upper or lower case; ``permissive`` for all that allow every
        use.

    Returns
    -------
    list of dict
        Name, family, kind, availability offline, title, licence and pretraining tasks of each encoder.

    Raises
    ------
    UsageError
        If a family, task or licence is unknown.

    Examples
    --------
    >>> "ecfp4" in [row["encoder"] for row in list_encoders()]
    True
    """
    registered = {name: card for name, (card, _) in _REGISTERED.items()}
    cards = encoder_cards() | registered
    families = _choose("family", family, {card.family for card in cards.values()})
    tasks = _choose("task", task, {name for card in cards.values() for name in card.tasks})
    licences = _choose("licence", licence, _licences(cards))
    rows = []
    for name in encoder_names():
        card = cards.get(name)
        if card is None:
            if families is None and tasks is None and licences is None:
                rows.append(_row_of_plugin(name))
        elif (
            (families is None or card.family in families)
            and (tasks is None or not tasks.isdisjoint(card.tasks))
            and (licences is None or any(map(card.has_licence, licences)))
            and (not offline or card.available_offline)
        ):
            rows.append(_row_of(card))
    return rows


def check_licence(licence: str) -> None:
    """Refuse a licence that no card has.

    Raises
    ------
    UsageError
        With those that cards have.
    """
    _choose("licence", licence, _licences(encoder_cards()))


def _licences(cards: Mapping[str, EncoderCard]) -> set[str]:
    return {card.licence for card in cards.values()} | {"permissive"}


def _choose(noun: str, names: str | Sequence[str] | None, known: set[str]) -> set[str] | None:
    """The known names that are meant, whatever their case, or None where all are."""
    if names is None or not len(names):
        return None
    spelled = {name.casefold(): name for name in known if name}
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name.casefold() not in spelled]
    if unknown:
        listed = ", ".join(sorted(spelled.values(), key=str.casefold))
        raise UsageError(f"unknown {noun} {unknown[0]!r} (--{noun}); known: {listed}")
    return {spelled[name.casefold()] for name in wanted}


def _row_of_plugin(name: str) -> dict[str, str]:
    """Row of an encoder of another package, of which nothing is known until it is loaded."""
    return {
        "encoder": name,
        "family": "",
        "kind": "plugin",
        "available offline": "yes",
        "what": "",
        "licence": "",
        "tasks": "",
    }


def _row_of(card: EncoderCard) -> dict[str, str]:
    available = "yes" if card.available_offline else "by hand" if card.by_hand else "download"
    if card.missing_extra is not None:
        available = f"needs molrate[{card.missing_extra}]"
    return {
        "encoder": card.name,
        "family": card.family,
        "kind": card.kind,
        "available offline": available,
        "what": card.title,
        "licence": card.licence,
        "tasks": ", ".join(card.tasks),
    }


def describe_encoder(name: str) -> dict[str, Any]:
    """What is known of an encoder, from its card.

    Parameters
    ----------
    name : str
        As of :func:`load_encoder`.

    Returns
    -------
    dict
        Plain values by name: layers with their dimensions, pretraining, labels seen, licence, source, ...

    Raises
    ------
    UsageError, WeightsError
        If no encoder has that name.
    """
    card = encoder_cards().get(name) or load_encoder(name).card
    return {
        "encoder": card.name,
        "title": card.title,
        "family": card.family,
        "kind": card.kind,
        "description": card.description,
        "input": card.input,
        "layers": card.layers,
        "parameters": card.parameters,
        "trainable": card.trainable,
        "pretraining": card.pretraining,
        "tasks": card.tasks,
        "labels seen": "not known" if card.labels_seen is None else card.labels_seen,
        "licence": card.licence or ("not stated" if card.weights else "no weights"),
        "licence of code": card.code_licence or "as of the weights",
        "permissive": card.permissive,
        "source": card.source,
        "digest": card.digest,
        "bytes": card.size,
        "available offline": _row_of(card)["available offline"],
        "citation": card.citation,
    }


def load_encoder(
    name: str,
    weights: str | Path | None = None,
    seed: int = 0,
    precision: str = "fp32",
    **options: Any,
) -> Encoder:
    """Get an encoder by name. This finds and verifies its weights; the first use reads them.

    Parameters
    ----------
    name : str
        Name that ``molrate list encoders`` prints; or ``FAMILY:FILE`` for a checkpoint that tells its own
        settings, such as ``chemprop:model.pt``; or ``hf:FOLDER`` or ``hf:OWNER/NAME@REVISION`` for a
        language model; or ``skfp:FINGERPRINT`` for one of scikit-fingerprints. Options of the family may
        follow: ``grover-small-zinc?padding=batch``, ``skfp:MAP4?fp_size=1024``.
    weights : str or pathlib.Path, optional
        A checkpoint of the same architecture to use in place of the published one. Its digest goes
        into the record but is not compared with the card's.
    seed : int
        Initialises the weights of untrained encoders; trained ones do not depend on it.
    precision : {"fp32", "bf16"}
        Precision of weights and hidden states, for families that offer the choice (GROVER).
    **options
        Other options of the encoder's family; GROVER has ``padding``, language models have ``tokens``,
        ``tokeniser`` and ``download``.

    Raises
    ------
    UsageError
        If no encoder has that name, or its family does not have an option.
    WeightsError
        If the weights are missing and cannot be downloaded, or are not the published ones.
    """
    plugin = plugins(_PLUGIN_GROUP).get(name)
    if plugin is not None:
        check_name(name)
    base, given = _split_options(name)
    options = {**given, **options}
    card = encoder_cards().get(base)
    family_name, colon, source = base.partition(":")
    if card is None and colon and family_name in FAMILIES:
        given_weights = Path(weights) if weights else None
        card, weights = FAMILIES[family_name].card_of(name, source, given_weights, options)
    if card is not None:
        family = FAMILIES[card.family]
        unknown = sorted(set(options) - set(family.options))
        if unknown:
            raise UsageError(f"{name} has no option {', '.join(unknown)}")
        if "precision" in family.options:
            options["precision"] = precision
        # Variants of an encoder stand beside one another in a ranking, and a model remembers its own.
        card = replace(card, name=name)
        return family(card, weights=Path(weights) if weights else None, seed=seed, **options)
    if name in _REGISTERED:
        return _REGISTERED[name][1](weights=weights, seed=seed, **options)
    if plugin is not None:
        return _load_plugin(plugin, weights=weights, seed=seed, **options)
    raise _unknown(name, base)


def _load_plugin(plugin: EntryPoint, **options: Any) -> Encoder:
    """An encoder of another package.

    Raises
    ------
    InputError
        If the package fails, or gives something else.
    """
    try:
        encoder = plugin.load()(**options)
    except MolrateError:
        raise
    except Exception as error:
        raise failed(plugin.name, error) from error
    if not isinstance(encoder, Encoder):
        raise InputError(
            f"{plugin.name} failed: {plugin.value} gives a {type(encoder).__name__}, not an Encoder"
        )
    return encoder


def _unknown(name: str, base: str) -> UsageError:
    """That no encoder has a name, and what may have been meant."""
    if Path(base).exists():
        families = ", ".join(family for family in FAMILIES if FAMILIES[family].reads_files())
        return UsageError(
            f"{name}: a file is named with its family before it, FAMILY:{name} (--encoder); families that "
            f"read files: {families}. Of others name an encoder, and give the file with --weights"
        )
    family = base.partition(":")[0]
    if family != base:
        meant = f"there is no family {family!r}; families: {', '.join(FAMILIES)}"
    else:
        near = get_close_matches(base, encoder_names())
        meant = f"near it: {', '.join(near)}; " if near else ""
        meant += "a file is named FAMILY:FILE, such as chemprop:model.pt"
    return UsageError(
        f"unknown encoder {name!r} (--encoder); {meant}. molrate list encoders prints all names; what was "
        "registered with molrate.register_encoder is known in that process alone"
    )


def _split_options(name: str) -> tuple[str, dict[str, Any]]:
    """The name of an encoder before ``?``, and the options behind it."""
    base, _, query = name.partition("?")
    words: dict[str, Any] = {"yes": True, "no": False}
    try:
        pairs = parse_qsl(query, strict_parsing=bool(query))
    except ValueError as error:
        raise UsageError(f"{name}: options are written NAME?option=value&option=value (--encoder)") from error
    return base, {key: int(value) if value.isdigit() else words.get(value, value) for key, value in pairs}
