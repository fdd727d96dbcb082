"""Models of the Hugging Face hub, which its own client downloads and keeps."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from molrate.errors import UnreachableError, WeightsError
from molrate.files.downloads import TIMEOUT, offline
from molrate.files.wheels import OUT_OF_SERVICE

HUB_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENISERS = ("tokenizer.json", "vocab.json", "vocab.txt")
_FILES = (
    *HUB_WEIGHTS,
    *_TOKENISERS,
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
)
"""What is fetched; pickles of a training run, which may hold code, are not."""


def is_model_kept(name: str, revision: str) -> bool:
    """Whether the hub's client keeps settings, weights and a tokeniser of a model.

    The client itself is not asked, as importing it takes long.

    Parameters
    ----------
    name : str
        ``OWNER/NAME``.
    revision : str
        A commit, or a branch or tag whose commit the client has noted.
    """
    folder = _cache() / f"models--{name.replace('/', '--')}"
    noted = folder / "refs" / revision
    commit = noted.read_text(encoding="utf-8").strip() if noted.is_file() else revision
    snapshot = folder / "snapshots" / commit
    needed = (("config.json",), HUB_WEIGHTS, _TOKENISERS)
    return all(any(_has_content(snapshot / file) for file in files) for files in needed)


def _cache() -> Path:
    """Folder of the hub's client, by the variables that it reads."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or caches / "huggingface")
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(named or home / "hub")).expanduser()


def _has_content(path: Path) -> bool:
    """A link to a file that is gone has none."""
    return path.is_file() and path.stat().st_size > 0


def model_folder(
    name: str, revision: str | None, download: bool = False, patience: float | None = None
) -> Path:
    """Folder of the hub's cache that has a model's files; the library ``huggingface_hub`` must be installed.

    Parameters
    ----------
    name : str
        ``OWNER/NAME``.
    revision : str or None
        A commit, branch or tag; None for the newest commit.
    download : bool
        Whether files may be fetched; with ``MOLRATE_OFFLINE`` set none are.
    patience : float, optional
        Seconds after which a hub that does not answer is given up; 30 by default.

    Raises
    ------
    UnreachableError
        If the hub does not answer or is out of service, and the model is not in its cache.
    WeightsError
        If there is no such model, or it is not in the cache and nothing may be fetched.
    """
    source = f"{name}@{revision}" if revision else name
    wanted: dict[str, Any] = {"repo_id": name, "revision": revision, "allow_patterns": list(_FILES)}
    if not download or offline():
        return _kept(source, wanted)
    import huggingface_hub as hub

    try:
        with _asked_once(hub.get_session(), TIMEOUT if patience is None else patience), _logged_once():
            return Path(hub.snapshot_download(**wanted))
    except UnreachableError as silent:
        if is_model_kept(name, revision or "main"):
            return _kept(source, wanted)
        raise UnreachableError(f"{source}: not to be had from the Hugging Face hub: {silent}") from silent
    except Exception as error:
        # The library raises dozens of kinds, its own and those of the network.
        raise WeightsError(f"{source}: not to be had from the Hugging Face hub: {_short(error)}") from error


def _kept(source: str, wanted: dict[str, Any]) -> Path:
    import huggingface_hub as hub

    try:
        return Path(hub.snapshot_download(**wanted, local_files_only=True))
    except Exception as error:
        # As above.
        asked = "MOLRATE_OFFLINE is set" if offline() else "nothing is downloaded unasked"
        pinned = f" --revision {wanted['revision']}" if wanted["revision"] else ""
        raise WeightsError(
            f"{source}: neither a folder nor in the cache of the Hugging Face hub ({type(error).__name__}), "
            f"and {asked}; get it with `hf download {wanted['repo_id']}{pinned}`"
        ) from error


def _short(error: Exception) -> str:
    """The first line of what the hub answered; the client tells a story around it."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    cause = error.__cause__ or error
    understood = isinstance(cause, (HfHubHTTPError, HFValidationError))
    if isinstance(cause, (ValueError, TypeError, LookupError)) and not understood:
        return "what answers is no hub (a login page of the network, or a wrong HF_ENDPOINT?)"
    return (str(cause).splitlines() or [type(cause).__name__])[0]


@contextmanager
def _asked_once(session: Any, patience: float) -> Iterator[None]:
    """Requests of the hub's client that are not answered in time raise an error which it does not know.

    By itself it waits for a list of files without an end, and repeats what fails for minutes. A body that
    breaks off on its way is still continued.

    Parameters
    ----------
    session : httpx.Client
        Of the hub's client; as before when the context ends.
    patience : float
        Seconds.
    """
    send = session.send
    silent: list[UnreachableError] = []

    def send_once(request: Any, **options: Any) -> Any:
        if silent:
            raise silent[0]
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), patience)
        try:
            response = send(request, **options)
        except Exception as error:
            # Of httpx or its fork, by the version of the client.
            if not any(kind.__name__ == "TransportError" for kind in type(error).__mro__):
                raise
            late = type(error).__name__.endswith("Timeout")
            reason = f"no answer within {patience:g} s" if late else f"no connection ({type(error).__name__})"
            silent.append(UnreachableError(f"{request.url.host}: {reason}"))
            raise silent[0] from error
        if response.status_code >= OUT_OF_SERVICE:
            response.close()
            raise UnreachableError(f"{request.url.host}: it answers {response.status_code}, out of service")
        return response

    session.send = send_once
    try:
        yield
    finally:
        # One of the instance stands before the method of its class.
        vars(session).pop("send", None)


@contextmanager
def _logged_once() -> Iterator[None]:
    """The hub's client writes what it logs to standard error itself, beside where the process logs."""
    logger = logging.getLogger("huggingface_hub")
    handlers, logger.handlers[:] = logger.handlers[:], []
    try:
        yield
    finally:
        logger.handlers[:] = handlers
