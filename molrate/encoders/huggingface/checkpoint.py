"""Language models in the format of Hugging Face: where their files are, and the settings these tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molrate.encoders.checkpoints import read_about, read_settings
from molrate.encoders.huggingface.library import configure, need
from molrate.encoders.huggingface.tokenisers import PUBLISHED, SMILES, join_vocabulary
from molrate.errors import WeightsError
from molrate.files.hub import HUB_WEIGHTS, model_folder

if TYPE_CHECKING:
    from torch import Tensor

    from molrate.encoders.huggingface.tokenisers import Tokeniser

FAMILY = "hf"

_IRRELEVANT = {
    "_name_or_path",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "task_specific_params",
    "torch_dtype",
    "torchscript",
    "transformers_version",
}
"""Keys of ``config.json`` that say nothing of the layers."""

_DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def find_weights(source: str, download: bool = False, patience: float | None = None) -> Path:
    """The weights file of a folder, or of a model of the hub.

    Parameters
    ----------
    source : str
        A folder, a file in it, or ``OWNER/NAME`` with or without ``@REVISION`` of the hub.
    download : bool
        Whether files may be fetched from the hub; by default they must be in its cache.
    patience : float, optional
        Seconds after which a hub that does not answer is given up.

    Raises
    ------
    UnreachableError
        If the hub does not answer.
    WeightsError
        If there are no such files.
    """
    path = Path(source)
    if path.is_file():
        return path
    folder = path if path.is_dir() else _snapshot(source, download, patience)
    for name in HUB_WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    parts = sorted(part.name for part in folder.glob("*.index.json"))
    if parts:
        raise WeightsError(f"{folder}: its weights are in several files ({parts[0]}); only one is supported")
    raise WeightsError(f"{folder}: holds neither {' nor '.join(HUB_WEIGHTS)}")


def _snapshot(source: str, download: bool, patience: float | None) -> Path:
    """Folder of the hub's cache that has a model's files."""
    name, _, revision = source.partition("@")
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        raise WeightsError(f"{source}: no such folder, and not OWNER/NAME of a model of the Hugging Face hub")
    need("huggingface_hub")
    return model_folder(name, revision or None, download, patience)


def read_model_settings(weights: Path) -> dict[str, Any]:
    """Architecture and tokeniser of weights: in their own metadata, or in the files beside them.

    Raises
    ------
    WeightsError
        If they are missing, damaged, or of a model that needs code of its own.
    """
    if weights.suffix == ".safetensors":
        settings = read_settings(weights, FAMILY)
        if settings is not None:
            return settings
    folder = weights.parent
    architecture = _read_json(folder / "config.json")
    tokeniser_config = folder / "tokenizer_config.json"
    for path in (folder / "config.json", tokeniser_config):
        if path.is_file() and "auto_map" in _read_json(path):
            raise WeightsError(
                f"{path}: the model brings code of its own (auto_map), and no code of a download is ever run"
            )
    kept = {key: value for key, value in architecture.items() if key not in _IRRELEVANT}
    check_architecture(kept, folder / "config.json")
    return {"architecture": kept, "tokeniser": _tokeniser_settings(folder)}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read, it is damaged: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"{path.parent}: has no {path.name}, which says how the model is built")
    try:
        content = json.loads(_read_text(path))
    except ValueError as error:
        raise WeightsError(f"{path}: cannot be read, it is damaged: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: settings are expected, not {type(content).__name__}")
    return content


def check_architecture(architecture: dict[str, Any], path: Path) -> None:
    """Refuse settings of a model that cannot be built from them.

    Raises
    ------
    WeightsError
        If they do not tell the kind of model, or it is quantised or has a decoder.
    """
    if not isinstance(architecture.get("model_type"), str):
        raise WeightsError(
            f"{path}: does not say what kind of model it is; add its model_type, for example "
            '"model_type": "bert"'
        )
    if architecture.get("is_encoder_decoder"):
        raise WeightsError(f"{path}: a model with an encoder and a decoder is not supported")
    if "quantization_config" in architecture:
        raise WeightsError(f"{path}: a quantised model is not supported; take it in full precision")


def tokeniser_file(weights: Path) -> Path:
    """The file that has the tokeniser of weights: their own metadata, or the first that is beside them."""
    if weights.suffix == ".safetensors" and read_about(weights) is not None:
        return weights
    beside = (weights.with_name(name) for name in ("tokenizer.json", "vocab.txt", "vocab.json"))
    return next((path for path in beside if path.is_file()), weights.parent)


def _tokeniser_settings(folder: Path) -> dict[str, Any]:
    """The tokeniser beside weights: as published, else the rule over a vocabulary without one."""
    if (folder / "tokenizer.json").is_file():
        return {"kind": PUBLISHED, "content": _read_text(folder / "tokenizer.json")}
    named = (folder / "tokenizer_config.json").is_file() and (
        "tokenizer_class" in _read_json(folder / "tokenizer_config.json")
    )
    vocabulary = folder / "vocab.txt"
    if vocabulary.is_file() and not named:
        # The default of its format is English text, with atoms in lower case.
        tokens = _read_text(vocabulary).splitlines()
        return {"kind": SMILES, "vocabulary": join_vocabulary({token: k for k, token in enumerate(tokens)})}
    if not named and not (folder / "vocab.json").is_file():
        raise WeightsError(f"{folder}: has no tokeniser (tokenizer.json, vocab.json or vocab.txt)")
    return {"kind": PUBLISHED, "content": _converted_tokeniser(folder)}


def _converted_tokeniser(folder: Path) -> str:
    """The content of ``tokenizer.json`` of a tokeniser in older files."""
    transformers = need("transformers")
    try:
        tokeniser = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return str(tokeniser.backend_tokenizer.to_str())
    except Exception as error:
        # Each kind of tokeniser fails in its own way.
        raise WeightsError(f"{folder}: its tokeniser cannot be read: {error}") from error


def depth_of(architecture: dict[str, Any], source: str) -> int:
    """Number of layers, by any of its names; `source` is where the settings come from."""
    for name in _DEPTHS:
        if isinstance(architecture.get(name), int):
            return int(architecture[name])
    return int(configure(architecture, source).num_hidden_layers)


def _table_size(architecture: dict[str, Any], source: str) -> int | None:
    """Number of tokens that a model has vectors for; None where its kind does not say."""
    size = architecture.get("vocab_size")
    return size if isinstance(size, int) else getattr(configure(architecture, source), "vocab_size", None)


def check_vocabulary(tokeniser: Tokeniser, architecture: dict[str, Any], source: str) -> None:
    """Refuse a tokeniser that gives numbers of tokens which the model has no vectors for.

    Raises
    ------
    WeightsError
        With both sizes.
    """
    size = _table_size(architecture, source)
    if size is not None and tokeniser.n_numbers > size:
        raise WeightsError(
            f"{source}: has {tokeniser.n_numbers} tokens, and the model has vectors for {size} (vocab_size); "
            "it is the tokeniser of another model, or was added to: take the one published with the weights"
        )


def body_of(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors of the encoder, without the heads of pretraining beside it and the pooler on it.

    Parameters
    ----------
    state : dict of str to Tensor
    prefix : str
        Under which a model with a head keeps its encoder.
    """
    start = f"{prefix}."
    inside = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
    body = {}
    for name, value in (inside or state).items():
        # Buffers of older versions, which follow from the settings.
        if name.startswith("pooler.") or name.endswith(("position_ids", "token_type_ids")):
            continue
        for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
            name = name.replace(old, new)
        body[name] = value
    return body
